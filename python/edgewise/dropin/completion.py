"""Completions as llama-cpp-python shapes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from edgewise.dropin.types import Choice, Completion, FinishReason, Logprobs
    from edgewise.engine.protocol import Generation, Piece

TopLogprobs = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Request:
    """What the caller asked for, beyond the answer itself.

    Args:
        id: of the completion.
        created: seconds since 1970.
        model: the name to report.
        prompt: as it was given.
        prompt_tokens: what it became.
        bos: the beginning-of-sequence token, -1 if there is none.
        echo: put the prompt before the answer.
        logprobs: how many of the likeliest tokens to report for each token, None for no log-probabilities.
        prompt_logprobs: (log-probability, likeliest tokens) of every prompt token but the first, if they are wanted.
        detokenize: token ids to text.
    """

    id: str
    created: int
    model: str
    prompt: str | list[int]
    prompt_tokens: list[int]
    bos: int
    echo: bool
    logprobs: int | None
    prompt_logprobs: list[tuple[float, TopLogprobs]] | None
    detokenize: Callable[[Sequence[int]], str]

    @property
    def counted_bos(self) -> int:
        """An empty prompt's BOS counts as a token of the answer."""
        return 1 if self.prompt == "" and self.prompt_tokens[:1] == [self.bos] else 0


def whole(request: Request, answer: Generation) -> Completion:
    """The completion in one dict."""
    pieces = list(answer)
    text = "".join(piece.text for piece in pieces)
    if request.counted_bos:
        text = text.removeprefix(" ")
    if request.echo:
        prompt = request.prompt if isinstance(request.prompt, str) else request.detokenize(request.prompt)
        text = prompt + text
    logprobs = None if request.logprobs is None else _logprobs(request, pieces)
    completion = _envelope(request, text, logprobs, answer.finish_reason)
    prompt_tokens = len(request.prompt_tokens)
    completion_tokens = answer.timings.generated_tokens + request.counted_bos
    completion["usage"] = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
    return completion


def chunks(request: Request, answer: Generation) -> Iterator[Completion]:
    """The completion piece by piece; the last one is empty and says why it ended."""
    shown: list[int] = []
    try:
        for piece in answer:
            logprobs = None
            if request.logprobs is not None and piece.logprob is not None:
                offset = len(request.prompt) + len(request.detokenize(shown))
                logprobs = _one_logprob(request, piece.token, piece.logprob, piece.top_logprobs, offset)
            shown.append(piece.token)
            if piece.text:
                yield _envelope(request, piece.text, logprobs, None)
        yield _envelope(request, "", None, answer.finish_reason)
    finally:
        answer.close()


def _envelope(request: Request, text: str, logprobs: Logprobs | None, reason: FinishReason | None) -> Completion:
    choice: Choice = {"text": text, "index": 0, "logprobs": logprobs, "finish_reason": reason}
    return {
        "id": request.id,
        "object": "text_completion",
        "created": request.created,
        "model": request.model,
        "choices": [choice],
    }


def _logprobs(request: Request, pieces: list[Piece]) -> Logprobs:
    rows: list[tuple[int, float, TopLogprobs]] = [
        (piece.token, piece.logprob, piece.top_logprobs) for piece in pieces if piece.logprob is not None
    ]
    offset = len(request.prompt)
    if request.echo and request.prompt_logprobs is not None:
        offset = 0
        known = zip(request.prompt_tokens[1:], request.prompt_logprobs, strict=True)
        rows = [(token, logprob, top) for token, (logprob, top) in known] + rows
        if request.prompt_tokens[0] != request.bos:
            rows.insert(0, (request.prompt_tokens[0], 0.0, ()))
    result: Logprobs = {"tokens": [], "text_offset": [], "token_logprobs": [], "top_logprobs": []}
    tokens = [token for token, _, _ in rows]
    for index, (token, logprob, top) in enumerate(rows):
        one = _one_logprob(request, token, logprob, top, offset + len(request.detokenize(tokens[:index])))
        result["tokens"] += one["tokens"]
        result["text_offset"] += one["text_offset"]
        result["token_logprobs"] += one["token_logprobs"]
        result["top_logprobs"] += one["top_logprobs"]
    if request.echo and rows:
        result["token_logprobs"][0] = None  # as OpenAI does: nothing predicts the first token
        result["top_logprobs"][0] = None
    return result


def _one_logprob(request: Request, token: int, logprob: float, top: TopLogprobs, offset: int) -> Logprobs:
    text = request.detokenize([token])
    likeliest: dict[str, Any] = {request.detokenize([other]): value for other, value in top}
    return {
        "tokens": [text],
        "text_offset": [offset],
        "token_logprobs": [logprob],
        "top_logprobs": [{**likeliest, text: logprob}],
    }
