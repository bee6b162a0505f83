"""Which format each matrix of a model gets: the same one everywhere, or what a named mix gives it."""

from collections.abc import Callable

from edgewise.quantize import mixes
from edgewise.quantize.recipe import ModelFacts, choose
from edgewise.quantize.roles import Tensor
from random_model.blocks import FORMATS
from random_model.shape import Shape

Recipe = Callable[[str], str]
"""From the name of a matrix to the name of its format."""

MIXES = tuple(dict.fromkeys((*mixes.MIXES, *FORMATS)))
"""The product's mixes, and formats that it reads and does not make."""

FALLBACKS = {
    "q2_k": "q4_0",
    "q3_k": "q4_0",
    "q4_k": "q5_0",
    "q5_k": "q5_1",
    "q6_k": "q8_0",
    "iq4_xs": "iq4_nl",
}
"""Instead of a format whose blocks of 256 do not fit the columns of a matrix."""


def uniform(name: str) -> Recipe:
    """Every matrix in one format."""
    if name not in FORMATS:
        raise ValueError(f"no format {name!r}; there are {', '.join(FORMATS)}")
    return lambda tensor: name


def mix(name: str, shape: Shape) -> Recipe:
    """The formats of a file that the quantizer makes without an importance matrix.

    Raises:
        ValueError: if `name` is not one of `MIXES`.
    """
    if name not in mixes.MIXES:
        return uniform(name)
    facts = ModelFacts(
        architecture=shape.architecture,
        block_count=shape.block_count,
        head_count=shape.head_count,
        head_count_kv=shape.head_count_kv,
        expert_count=0,
        tensors=tuple(
            Tensor(tensor.name, "f32", (tensor.columns,) if tensor.kind == "vector" else (tensor.columns, tensor.rows))
            for tensor in shape.tensors()
        ),
    )
    choices = choose(facts, mixes.MIXES[name])
    return lambda tensor: choices[tensor].format
