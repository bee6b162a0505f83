"""Answers of the llama.cpp backend."""

from __future__ import annotations

import base64
import queue
import threading
import time
from typing import TYPE_CHECKING, Any

from edgewise.config import LARGEST
from edgewise.engine.images import ImagePrompt
from edgewise.engine.memory import peak_memory_bytes
from edgewise.engine.protocol import GenerateOptions, Piece, Timings
from edgewise.errors import ContextFull, EdgewiseError, InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgewise.engine.llamacpp import LlamaCppEngine
    from edgewise.engine.llamacpp_wire import Completion
    from edgewise.engine.protocol import FinishReason

    Said = queue.SimpleQueue[dict[str, Any] | None]


class LlamaCppAnswer:
    """Iterates over the pieces of an answer; see `edgewise.engine.protocol.Generation`.

    A thread collects what llama.cpp says, once it is this answer's turn.

    Args:
        engine: whose server is asked.
        prompt: text, token ids, or text with images.
        options: how the answer is made.
        marker: what stands for an image in a text.
    """

    def __init__(
        self, engine: LlamaCppEngine, prompt: str | list[int] | ImagePrompt, options: GenerateOptions, marker: str
    ) -> None:
        self._engine = engine
        self._with_logprobs = options.logprobs
        self._top_logprobs = options.top_logprobs
        self._said: Said = queue.SimpleQueue()
        self._is_over = False
        self._finish_reason: FinishReason | None = None
        self._counted: dict[str, Any] = {}
        self._measured: dict[str, Any] = {}
        self._started_s = time.perf_counter()
        self._first_token_s = 0.0
        self._prompt_tokens = len(prompt) if isinstance(prompt, list) else 0
        shown = [engine.detokenize([token], special=True).decode(errors="replace") for token in options.shown_tokens]
        request = _request(prompt, options, marker) | {"preserved_tokens": shown}
        self._completion = engine.wire.completion(request, options.cache_namespace)
        threading.Thread(target=_ask, args=(engine.server, self._completion, self._said), daemon=True).start()

    @property
    def prompt_tokens(self) -> int:
        """Tokens in the prompt, an image's included; of a text known once the answer begins."""
        return int(self._counted.get("tokens_evaluated", self._prompt_tokens))

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the answer ended; None while it goes on, and after `close`."""
        return self._finish_reason

    @property
    def timings(self) -> Timings:
        """What it cost, as far as llama.cpp has said."""
        measured = self._measured
        return Timings(
            load_s=self._engine.load_s,
            time_to_first_token_s=self._first_token_s,
            cached_tokens=int(measured.get("cache_n", 0)),
            evaluated_tokens=int(measured.get("prompt_n", 0)),
            generated_tokens=int(self._counted.get("tokens_predicted", 0)),
            prefill_s=float(measured.get("prompt_ms", 0.0)) / 1e3,
            decode_s=float(measured.get("predicted_ms", 0.0)) / 1e3,
            peak_memory_bytes=peak_memory_bytes(),
        )

    def __iter__(self) -> Iterator[Piece]:
        return self

    def __next__(self) -> Piece:
        while not self._is_over:
            said = self._said.get()
            if said is None:
                self._is_over = True
                break
            if "error" in said:
                self.close()
                raise _error(said["error"])
            piece = self._piece(said)
            if piece is not None:
                return piece
        raise StopIteration

    def close(self) -> None:
        """Stops; llama.cpp notices at its next token, or within a second."""
        self._is_over = True
        self._completion.cancel()

    def __del__(self) -> None:
        if hasattr(self, "_completion"):
            self._completion.cancel()

    def _piece(self, said: dict[str, Any]) -> Piece | None:
        self._counted = said
        self._measured = said.get("timings", self._measured)
        if said["stop"]:
            self._finish_reason = "length" if said.get("stop_type") == "limit" else "stop"
        tokens = said.get("tokens") or []
        if not tokens:
            return Piece(-1, said["content"], None) if said["content"] else None
        if self._first_token_s == 0.0:
            self._first_token_s = time.perf_counter() - self._started_s
        if not self._with_logprobs:
            return Piece(tokens[-1], said["content"], None)
        told = said["completion_probabilities"][-1]
        top = tuple((other["id"], other["logprob"]) for other in told["top_logprobs"][: self._top_logprobs])
        return Piece(tokens[-1], said["content"], told["logprob"], top)


def _ask(server: Any, completion: Completion, said: Said) -> None:
    """Runs in a thread that does not hold the answer, so that one that nobody reads any more is cancelled.

    Args:
        server: not to be closed meanwhile.
        completion: what is asked of it.
        said: where its words go, and None behind the last one.
    """
    try:
        completion.run(said.put)
    except Exception as error:  # whatever goes wrong here is told to the thread that reads
        said.put({"error": {"message": str(error)}})
    said.put(None)


def _request(prompt: str | list[int] | ImagePrompt, options: GenerateOptions, marker: str) -> dict[str, Any]:
    request: dict[str, Any] = {
        "prompt": _illustrated(prompt, marker) if isinstance(prompt, ImagePrompt) else prompt,
        "n_predict": -1 if options.max_tokens is None else min(options.max_tokens, LARGEST),
        "temperature": options.temperature,
        "top_k": min(max(options.top_k, 0), LARGEST),
        "top_p": options.top_p,
        "min_p": options.min_p,
        "typical_p": options.typical_p,
        "repeat_penalty": options.repeat_penalty,
        "frequency_penalty": options.frequency_penalty,
        "presence_penalty": options.presence_penalty,
        "repeat_last_n": min(max(options.penalty_last_n, -1), LARGEST),
        "logit_bias": [[token, bias] for token, bias in options.logit_bias.items()],
        "seed": options.chosen_seed % 2**32,
        "stop": list(options.stop),
        "n_probs": min(max(1, options.top_logprobs), LARGEST) if options.logprobs else 0,
        "return_tokens": True,
        "stream": True,
    }
    if options.mirostat is not None:
        tau, eta = options.mirostat
        request |= {"mirostat": 2, "mirostat_tau": tau, "mirostat_eta": eta}
    return request


def _illustrated(prompt: ImagePrompt, marker: str) -> dict[str, Any]:
    """A prompt with images, in llama.cpp's form. The marker is random, so that no text that a user wrote has it."""
    if any(marker in text for text in prompt.texts):
        raise InvalidArgument("the text has what stands for an image")
    images = [base64.b64encode(image.data).decode() for image in prompt.images]
    return {"prompt_string": marker.join(prompt.texts), "multimodal_data": images}


def _error(error: dict[str, Any]) -> EdgewiseError:
    message = str(error.get("message", error))
    if error.get("type") == "exceed_context_size_error":
        return ContextFull(f"Requested tokens ({error['n_prompt_tokens']}) exceed context window of {error['n_ctx']}")
    if error.get("code") == 400:
        return InvalidArgument(message)
    return EdgewiseError(f"llama.cpp: {message}")
