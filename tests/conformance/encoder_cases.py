"""The encoders that are compared, and the texts that they embed."""

from dataclasses import dataclass, replace

import numpy as np

from random_model.blocks import RandomBytes
from random_model.encoder import EncoderShape

POOLINGS = ("mean", "first", "last")
LENGTHS = (1, 2, 9, 33, 300)
"""Tokens of the texts; none of them sees another."""
ROWS_OF = 2
"""The text whose tokens are compared one by one, by its place in `LENGTHS`."""
# The gain of matrices, by format. Two engines that round activations by themselves drift apart where it is high.
GAINS = {"f32": 1.5, "f16": 1.5, "q8_0": 0.35, "q4_k": 0.35}
TOLERANCE = 1e-3
"""Largest difference of vectors of length 1, and of their cosine from 1."""

_BERT = EncoderShape("bert")
_NOMIC = EncoderShape("nomic-bert", has_fused_heads=True)
SHAPES = {
    "bert": replace(_BERT, embedding_length=256),
    "nomic-bert": replace(_NOMIC, embedding_length=256),
    "bert-fused": replace(_BERT, has_fused_heads=True),
    "nomic-bert-apart": replace(_NOMIC, has_fused_heads=False, head_count=2),
}


@dataclass(frozen=True)
class EncoderCase:
    """One encoder.

    Attributes:
        name: shape and format, `bert-q8_0`.
        shape: hyperparameters.
        format_name: of its matrices.
    """

    name: str
    shape: EncoderShape
    format_name: str

    @property
    def texts(self) -> list[list[int]]:
        """Random tokens."""
        count = len(self.shape.vocabulary)
        return [
            [int(word) % count for word in RandomBytes(length, self.name).draw(2 * length).view(np.dtype("<u2"))]
            for length in LENGTHS
        ]


def encoder_cases() -> list[EncoderCase]:
    """Both architectures in several formats, and their variants in f32."""
    plain = [
        EncoderCase(f"{name}-{form}", replace(SHAPES[name], gain=gain), form)
        for name in ("bert", "nomic-bert")
        for form, gain in GAINS.items()
    ]
    return plain + [EncoderCase(f"{name}-f32", SHAPES[name], "f32") for name in ("bert-fused", "nomic-bert-apart")]
