"""Runs a model over a text and measures what its matrices are multiplied by."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from edgewise.evaluate.texts import chunks_of, inputs_of, tokens_of
from edgewise.quantize.imatrix import ImportanceMatrix, Sums

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgewise.engine.native import NativeEngine


def measure_importance(
    engine: NativeEngine,
    text: bytes,
    name: str,
    *,
    chunks: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ImportanceMatrix:
    """The importance of each input of each matrix in the layers, as llama.cpp's tool measures it.

    Args:
        engine: the model, opened by `open_to_evaluate`.
        text: what it reads, chunk by chunk.
        name: what the text is called.
        chunks: how many chunks of it to use at most; all if None.
        progress: is told after each chunk how many are done and how many there are.

    Raises:
        InvalidArgument: if the text is too short.
        ModelFileError: if a matrix is multiplied by what is not finite.
    """
    context = engine.context_length
    pieces = chunks_of(tokens_of(engine, text), context, chunks)
    with engine.exclusive() as session:
        session.collect_importances()
        for done, piece in enumerate(pieces, 1):
            # The hidden states of all tokens are wanted, or the last layer would compute one; logits are not.
            session.embed(inputs_of(engine, piece), "mean")
            if progress is not None:
                progress(done, len(pieces))
        found = session.importances()
    entries = {tensor: Sums(array("f", sums), (tokens,)) for tensor, sums, tokens in found}
    return ImportanceMatrix(entries, (name,), len(pieces), context)
