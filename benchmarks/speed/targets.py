"""What the figures should be, and whether they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Measure = Literal["share", "ratio", "scaling", "beyond"]
"""Share of the machine's ceiling; times better than the first peer; times one stream; MB beyond file and KV cache."""

_FORMATS = ("q4_k_m", "q5_k_m", "q6_k", "q3_k_m", "q4_0", "q8_0")
_WITH_16_WIDE_SCALES = ("q6_k", "q3_k_m")


@dataclass(frozen=True)
class Target:
    """A bound for one measure of a row; `beyond` is at most the bound, everything else at least."""

    measure: Measure
    bound: float

    def is_met(self, found: float) -> bool:
        """Whether a measured value is on the right side."""
        return found <= self.bound if self.measure == "beyond" else found >= self.bound

    def __str__(self) -> str:
        return {
            "share": f"share >= {self.bound:.0%}",
            "ratio": f"ratio >= {self.bound:g}",
            "scaling": f">= {self.bound:g}x one",
            "beyond": f"<= {self.bound:g} MB",
        }[self.measure]


def _all_formats(*targets: Target) -> dict[str, tuple[Target, ...]]:
    return dict.fromkeys(_FORMATS, targets)


def _long_prefill() -> dict[str, tuple[Target, ...]]:
    return {name: (Target("share", 0.5 if name in _WITH_16_WIDE_SCALES else 0.6),) for name in _FORMATS}


def _streams(q4_k_m: float, others: float) -> dict[str, tuple[Target, ...]]:
    return {name: (Target("scaling", q4_k_m if name == "q4_k_m" else others),) for name in ("q4_k_m", "q8_0", "q6_k")}


TARGETS: Mapping[tuple[str, str], Mapping[str, tuple[Target, ...]]] = {
    ("prefill", "prefill:64"): _all_formats(Target("share", 0.5)),
    ("prefill", "prefill:256"): _long_prefill(),
    ("prefill", "prefill:1024"): _long_prefill(),
    ("decode", "decode:0"): _all_formats(Target("share", 0.95), Target("ratio", 1.0)),
    ("context", "decode:4096"): {"q4_k_m": (Target("share", 0.85), Target("ratio", 1.5))},
    ("streams", "streams:2"): _streams(1.8, 1.8),
    ("streams", "streams:4"): _streams(3.0, 3.0),
    ("streams", "streams:8"): _streams(4.0, 5.0),
    ("small", "prefill:256"): {"q8_0": (Target("ratio", 2.2),)},
    ("small", "decode:0"): {"q8_0": (Target("ratio", 1.25),)},
    ("start", "first_token_s"): _all_formats(Target("ratio", 5.0)),
    ("start", "peak_memory_bytes"): _all_formats(Target("beyond", 60.0)),
    ("avx2", "prefill:256"): _all_formats(Target("ratio", 1.0)),
    ("avx2", "decode:0"): _all_formats(Target("ratio", 1.0)),
}
"""(part, figure) -> format -> targets. A pair that is not here is reported without one."""
