"""What an answer cost, in one line and as data."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgewise.engine.protocol import Timings


def line(timings: Timings) -> str:
    """For people."""
    parts = [
        f"load {timings.load_s * 1e3:.0f} ms",
        f"first token {timings.time_to_first_token_s * 1e3:.0f} ms",
        f"prefill {timings.evaluated_tokens} tokens at {timings.prefill_tokens_per_second:.1f}/s"
        + (f" ({timings.cached_tokens} cached)" if timings.cached_tokens else ""),
        f"decode {timings.generated_tokens} tokens at {timings.decode_tokens_per_second:.1f}/s"
        + (f" ({timings.accepted_tokens} of {timings.drafted_tokens} guessed)" if timings.drafted_tokens else ""),
    ]
    if timings.peak_memory_bytes:
        parts.append(f"peak memory {timings.peak_memory_bytes / 1e6:.0f} MB")
    return " | ".join(parts)


def note(timings: Timings) -> str | None:
    """What the context lost, for people; None if nothing."""
    if not timings.dropped_tokens:
        return None
    return f"note: the context was full: {timings.dropped_tokens} tokens were dropped, oldest first"


def data(timings: Timings) -> dict[str, float | int]:
    """For programs; seconds, tokens per second, bytes."""
    return {
        "load_s": timings.load_s,
        "time_to_first_token_s": timings.time_to_first_token_s,
        "prefill_tokens": timings.evaluated_tokens,
        "prefill_tokens_per_second": timings.prefill_tokens_per_second,
        "cached_tokens": timings.cached_tokens,
        "decode_tokens": timings.generated_tokens,
        "decode_tokens_per_second": timings.decode_tokens_per_second,
        "drafted_tokens": timings.drafted_tokens,
        "accepted_tokens": timings.accepted_tokens,
        "dropped_tokens": timings.dropped_tokens,
        "peak_memory_bytes": timings.peak_memory_bytes,
    }
