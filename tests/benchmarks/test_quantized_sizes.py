"""Sizes computed from shapes are those of files that others published."""

from __future__ import annotations

import pytest

from quantized_sizes import plan_of

# Bits per weight and GiB of Llama 3.1 8B, from llama.cpp's tools/quantize/README.md.
PUBLISHED = {
    "f16": (16.00, 14.96),
    "q8_0": (8.50, 7.95),
    "q6_k": (6.56, 6.14),
    "q5_k_m": (5.70, 5.33),
    "q5_k_s": (5.57, 5.21),
    "q4_k_m": (4.89, 4.58),
    "q4_k_s": (4.67, 4.36),
    "iq4_nl": (4.68, 4.38),
    "iq4_xs": (4.46, 4.17),
    "q3_k_l": (4.30, 4.02),
    "q3_k_m": (4.00, 3.74),
    "q3_k_s": (3.64, 3.41),
    "q2_k": (3.16, 2.95),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_of_llama_3_1_8b_are_the_published_ones(name: str) -> None:
    plan = plan_of("llama3.1-8b", name)
    assert (round(plan.bits_per_weight, 2), round(plan.size_bytes / 2**30, 2)) == PUBLISHED[name]
