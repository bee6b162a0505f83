"""What several of OpenAI's answers have in common: ids, usage, times, log-probabilities."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

from edgewise._core import VERSION
from edgewise.server.replies import dumps

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgewise.chat.events import ToolCall
    from edgewise.engine.protocol import Engine, Piece
    from edgewise.server.answering import Cost

FINGERPRINT = f"edgewise-{VERSION}"
DONE = b"data: [DONE]\n\n"


def new_id(prefix: str, length: int = 24) -> str:
    """An id that no other answer has."""
    return prefix + secrets.token_hex(length // 2)


def now() -> int:
    """Seconds since 1970."""
    return int(time.time())


def usage(costs: Sequence[Cost], reasoning_tokens: int = 0) -> dict[str, Any]:
    """Tokens of answers to one prompt, which counts once."""
    prompt, cached = (costs[0].prompt_tokens, costs[0].cached_tokens) if costs else (0, 0)
    generated = sum(cost.generated_tokens for cost in costs)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": generated,
        "total_tokens": prompt + generated,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning_tokens},
    }


def tool_call(call: ToolCall, call_id: str) -> dict[str, Any]:
    """A call; its arguments are JSON in a text."""
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": call.name, "arguments": dumps(call.arguments).decode()},
    }


def logprobs(engine: Engine, pieces: Iterable[Piece]) -> list[dict[str, Any]]:
    """Log-probabilities of tokens, and of the likeliest in their place."""
    found = []
    for piece in pieces:
        if piece.logprob is not None:
            top = [_token(engine, token, logprob) for token, logprob in piece.top_logprobs]
            found.append({**_token(engine, piece.token, piece.logprob), "top_logprobs": top})
    return found


def token_text(engine: Engine, token: int) -> str:
    """A token's text; what is no whole character of it is replaced."""
    return engine.detokenize([token], special=True).decode("utf-8", "replace")


def _token(engine: Engine, token: int, logprob: float) -> dict[str, Any]:
    data = engine.detokenize([token], special=True)
    return {"token": data.decode("utf-8", "replace"), "logprob": logprob, "bytes": list(data)}
