"""`/v1/completions`: text goes on as the model sees fit, without a chat template."""

from __future__ import annotations

import codecs
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgewise.chat.events import TextDelta
from edgewise.server.answering import Delta
from edgewise.server.openai.chat import note
from edgewise.server.openai.errors import failed
from edgewise.server.openai.forms import DONE, FINGERPRINT, new_id, now, token_text, usage
from edgewise.server.openai.requests import answer_format, ask, sampling
from edgewise.server.prompt_logprobs import prompt_logprobs
from edgewise.server.replies import SSE, begin, event, reply
from edgewise.server.schema import WrongField
from edgewise.server.several import several, starts
from edgewise.server.timings import timings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from starlette.responses import Response

    from edgewise.engine.protocol import Engine, Piece
    from edgewise.server.answering import Cost, Prepared, Reply
    from edgewise.server.endpoint import Call
    from edgewise.server.prompt_logprobs import Logprob

    Prompt = str | list[int]


async def complete(call: Call) -> Response:
    """Continuations of prompts."""
    body = call.body
    count, candidates = _counts(body)
    prompts = _prompts(body)
    if body.get("suffix") and not all(isinstance(prompt, str) for prompt in prompts):
        raise WrongField("suffix", "suffix needs a prompt that is text")
    if body.get("stream"):
        if candidates > count:
            raise WrongField("best_of", "best_of can not be streamed: which answer is best shows at the end")
        return await begin(_chunks(call, prompts, count), SSE, failed)
    async with AsyncExitStack() as stack:
        prepared = [await stack.enter_async_context(_prepare(call, prompt)) for prompt in prompts]
        choices = [await _choice(call, one, prompt) for one, prompt in zip(prepared, prompts, strict=True)]
        rows = [[choice.copy() for _ in range(candidates)] for choice in choices]
        flat = [choice for row in rows for choice in row]
        begins = [start for one in prepared for start in starts(one, candidates)]
        async for index, said in several(begins, prepared[0].lease.model.slots):
            flat[index].hear(said)
        note(call, prepared[0].lease.model.installed.name, [choice.cost for choice in flat])
    best = [choice for row in rows for choice in sorted(row, key=lambda choice: -choice.score)[:count]]
    return reply(
        {
            **_head(call, new_id("cmpl-")),
            "choices": [choice.whole(index) for index, choice in enumerate(best)],
            "usage": _usage([[choice.cost for choice in row] for row in rows]),
            "timings": timings(best[0].cost),
        }
    )


async def _chunks(call: Call, prompts: Sequence[Prompt], count: int) -> AsyncGenerator[bytes, None]:
    head = _head(call, new_id("cmpl-"))
    has_usage = bool((call.body.get("stream_options") or {}).get("include_usage"))
    empty = {"usage": None} if has_usage else {}
    async with AsyncExitStack() as stack:
        prepared = [await stack.enter_async_context(_prepare(call, prompt)) for prompt in prompts]
        choices = [await _choice(call, one, prompt) for one, prompt in zip(prepared, prompts, strict=True)]
        flat = [choice.copy() for choice in choices for _ in range(count)]
        begins = [start for one in prepared for start in starts(one, count)]
        begun: set[int] = set()
        async for index, said in several(begins, prepared[0].lease.model.slots):
            choice = flat[index]
            if index not in begun:
                begun.add(index)
                if call.body.get("echo"):
                    yield event(None, {**head, "choices": [choice.whole(index, is_over=False)], **empty})
            new = choice.hear(said)
            if not isinstance(said, Delta):
                last = {"index": index, "text": "", "logprobs": None, "finish_reason": choice.finish_reason}
                yield event(None, {**head, "choices": [last], **empty, "timings": timings(choice.cost)})
            elif new["text"] or new["logprobs"]:
                yield event(None, {**head, "choices": [{"index": index, **new, "finish_reason": None}], **empty})
        note(call, prepared[0].lease.model.installed.name, [choice.cost for choice in flat])
    if has_usage:
        costs = [choice.cost for choice in flat]
        rows = [costs[begin : begin + count] for begin in range(0, len(costs), count)]
        yield event(None, {**head, "choices": [], "usage": _usage(rows)})
    yield DONE


def _counts(body: dict[str, Any]) -> tuple[int, int]:
    """How many answers to a prompt are wanted, and of how many they are the best."""
    count = int(body.get("n") or 1)
    candidates = int(body.get("best_of") or count)
    if candidates < count:
        raise WrongField("best_of", f"best_of must be at least n, which is {count}, got {candidates}")
    return count, candidates


def _prompts(body: dict[str, Any]) -> list[Prompt]:
    prompt = body.get("prompt")
    if prompt is None or isinstance(prompt, str):
        return [prompt or ""]
    if isinstance(prompt[0], str):
        return list(prompt)
    if isinstance(prompt[0], list):
        return [[int(token) for token in one] for one in prompt]
    return [[int(token) for token in prompt]]


def _prepare(call: Call, prompt: Prompt) -> Any:
    body = call.body
    given = sampling(body)
    if body.get("max_tokens") is not None:
        given["max_tokens"] = int(body["max_tokens"])
    if body.get("logprobs") is not None or body.get("best_of"):
        given |= {"logprobs": True, "top_logprobs": int(body.get("logprobs") or 0)}
    asked = ask(
        call, prompt=prompt, suffix=body.get("suffix") or None, format=answer_format(body), sampling=given
    )  # fmt: skip
    return call.state.answers.prepare(asked)


def _head(call: Call, answer_id: str) -> dict[str, Any]:
    return {
        "id": answer_id,
        "object": "text_completion",
        "created": now(),
        "model": call.body["model"],
        "system_fingerprint": FINGERPRINT,
    }


def _usage(rows: Sequence[Sequence[Cost]]) -> dict[str, Any]:
    """Tokens of several prompts, each with its answers."""
    parts = [usage(costs) for costs in rows]
    total = {name: sum(part[name] for part in parts) for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    cached = sum(part["prompt_tokens_details"]["cached_tokens"] for part in parts)
    return {**parts[0], **total, "prompt_tokens_details": {"cached_tokens": cached}}


async def _choice(call: Call, prepared: Prepared, prompt: Prompt) -> _Choice:
    """An answer that has heard nothing yet but, with `echo`, the prompt."""
    engine, tokens = prepared.lease.model.engine, prepared.spoken.tokens
    text = prompt if isinstance(prompt, str) else engine.detokenize(prompt).decode("utf-8", "replace")
    has_logprobs = call.body.get("logprobs") is not None
    top = int(call.body.get("logprobs") or 0)
    choice = _Choice(engine, has_logprobs, _Logprobs(engine, 0 if call.body.get("echo") else len(text)))
    if call.body.get("echo"):
        choice.text = text
        if has_logprobs:
            found: list[Logprob] = await prompt_logprobs(engine, tokens, top)
            choice.logprobs.add(tokens[0], None, ())
            for token, (logprob, likeliest) in zip(tokens[1:], found, strict=True):
                choice.logprobs.add(token, logprob, likeliest)
    return choice


class _Logprobs:
    """Log-probabilities in the form of completions: four lists."""

    def __init__(self, engine: Engine, offset: int) -> None:
        self._engine = engine
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._offset = offset
        self.rows: list[tuple[str, float | None, dict[str, float] | None, int]] = []

    def add(self, token: int, logprob: float | None, top: Sequence[tuple[int, float]]) -> None:
        """One more token; the first of a text has no probability."""
        text = token_text(self._engine, token)
        likeliest = None
        if logprob is not None:
            likeliest = {token_text(self._engine, other): value for other, value in top} | {text: logprob}
        self.rows.append((text, logprob, likeliest, self._offset))
        self._offset += len(self._decoder.decode(self._engine.detokenize([token])))

    def form(self, since: int = 0) -> dict[str, Any]:
        """The four lists, from a token on."""
        rows = self.rows[since:]
        return {
            "tokens": [text for text, _, _, _ in rows],
            "token_logprobs": [logprob for _, logprob, _, _ in rows],
            "top_logprobs": [likeliest for _, _, likeliest, _ in rows],
            "text_offset": [offset for _, _, _, offset in rows],
        }

    def copy(self) -> _Logprobs:
        """The same, to go on by itself."""
        new = _Logprobs(self._engine, self._offset)
        new.rows = list(self.rows)
        return new


@dataclass
class _Choice:
    """One of the answers, as far as it was heard."""

    engine: Engine
    has_logprobs: bool
    logprobs: _Logprobs
    text: str = ""
    surprises: list[float] = field(default_factory=list)
    answer: Reply = field(init=False)

    def copy(self) -> _Choice:
        """The same, to go on by itself."""
        return _Choice(self.engine, self.has_logprobs, self.logprobs.copy(), self.text)

    @property
    def cost(self) -> Cost:
        """What it cost."""
        return self.answer.cost

    @property
    def finish_reason(self) -> str:
        """Why it ended."""
        return self.answer.finish_reason

    @property
    def score(self) -> float:
        """The mean log-probability of its tokens."""
        return sum(self.surprises) / len(self.surprises) if self.surprises else 0.0

    def hear(self, said: Delta | Reply) -> dict[str, Any]:
        """Takes what was said; gives what is new."""
        if not isinstance(said, Delta):
            self.answer = said
            return {"text": "", "logprobs": None}
        text = said.event.text if isinstance(said.event, TextDelta) else ""
        self.text += text
        before = len(self.logprobs.rows)
        for piece in said.pieces:
            self._take(piece)
        has_new = self.has_logprobs and len(self.logprobs.rows) > before
        return {"text": text, "logprobs": self.logprobs.form(before) if has_new else None}

    def whole(self, index: int, *, is_over: bool = True) -> dict[str, Any]:
        """All of it."""
        return {
            "index": index,
            "text": self.text,
            "logprobs": self.logprobs.form() if self.has_logprobs else None,
            "finish_reason": self.finish_reason if is_over else None,
        }

    def _take(self, piece: Piece) -> None:
        if piece.logprob is None:
            return
        self.surprises.append(piece.logprob)
        if self.has_logprobs:
            self.logprobs.add(piece.token, piece.logprob, piece.top_logprobs)
