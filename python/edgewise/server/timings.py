"""Where the time of a request went, as replies tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgewise.server.answering import Cost
    from edgewise.server.embedding import Embedded


def timings(cost: Cost) -> dict[str, float]:
    """Where the time went, in milliseconds, by llama.cpp's names; tokens per second count those that were evaluated.

    Tokens of a prompt that was shortened, as the request wished, are `truncated_n`.
    """
    decoded = max(0, cost.generated_tokens - 1)
    return {
        "cache_n": cost.cached_tokens,
        "prompt_n": cost.evaluated_tokens,
        "prompt_ms": milliseconds(cost.prefill_s),
        "prompt_per_token_ms": milliseconds(cost.prefill_s / cost.evaluated_tokens) if cost.evaluated_tokens else 0.0,
        "prompt_per_second": round(cost.evaluated_tokens / cost.prefill_s, 3) if cost.prefill_s > 0 else 0.0,
        "predicted_n": cost.generated_tokens,
        "predicted_ms": milliseconds(cost.decode_s),
        "predicted_per_token_ms": milliseconds(cost.decode_s / decoded) if decoded else 0.0,
        "predicted_per_second": round(decoded / cost.decode_s, 3) if cost.decode_s > 0 else 0.0,
        "queue_ms": milliseconds(cost.queue_s),
        "load_ms": milliseconds(cost.load_s),
        "time_to_first_token_ms": milliseconds(cost.time_to_first_token_s),
        "inter_token_p50_ms": milliseconds(cost.inter_token_p50_s),
        "inter_token_p95_ms": milliseconds(cost.inter_token_p95_s),
        **({"truncated_n": cost.truncated_tokens} if cost.truncated_tokens else {}),
    }


def embedding_timings(embedded: Embedded) -> dict[str, float]:
    """The same of texts that became vectors."""
    evaluated, evaluation_s = embedded.evaluated_tokens, embedded.evaluation_s
    return {
        "cache_n": embedded.cached_tokens,
        "prompt_n": evaluated,
        "prompt_ms": milliseconds(evaluation_s),
        "prompt_per_second": round(evaluated / evaluation_s, 3) if evaluation_s > 0 else 0.0,
        "queue_ms": milliseconds(embedded.queue_s),
        "load_ms": milliseconds(embedded.load_s),
        "total_ms": milliseconds(embedded.total_s),
        **({"truncated_n": embedded.truncated_tokens} if embedded.truncated_tokens else {}),
    }


def milliseconds(seconds: float) -> float:
    """Seconds as milliseconds, of which a thousandth is the smallest that is told."""
    return round(seconds * 1e3, 3)
