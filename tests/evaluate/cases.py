"""What is measured by both: models that are written on the spot, texts, contexts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gguf import GGMLQuantizationType, ReaderTensor

from speed.machine import ROOT
from speed.quality_models import DEMO, DEMO_SOURCE, write_as_f32, write_in

GOLDEN = Path(__file__).parent / "golden.json"
GOLDEN_IMPORTANCE = Path(__file__).parent / "golden-imatrix.gguf"

TEXT_BYTES = 200_000
"""How much of a text is used: no case needs more."""

STORIES = "models/stories260k-f32.gguf"


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
        name: the model, and what is done to it.
        source: the model's file; in the folder of test data unless it is there as named.
        format: what its matrices are rounded to; "" for none.
        as_floats: whether the rounded values are stored as f32, so that activations stay floats too.
        reference: what it is compared with; None for nothing.
        text: in the folder of test data; the beginning of it is used.
        context: tokens of a chunk.
        chunks: how many of them.
    """

    name: str
    source: str
    format: str
    as_floats: bool
    reference: str | None
    text: str
    context: int
    chunks: int

    @property
    def is_quantized(self) -> bool:
        """Whether matrices are stored in blocks."""
        return self.source == _DEMO or (self.format != "" and not self.as_floats)

    def write(self, source: Path, folder: Path) -> Path:
        """Writes the model; gives its file."""
        if not self.format:
            return source
        path = folder / f"{self.name}.gguf"
        write_in(source, path, self._format_of)
        if not self.as_floats:
            return path
        floats = folder / f"{self.name}-as-floats.gguf"
        write_as_f32(path, floats)
        return floats

    def _format_of(self, tensor: ReaderTensor) -> GGMLQuantizationType:
        is_whole_blocks = len(tensor.shape) == 2 and tensor.shape[0] % 32 == 0
        return GGMLQuantizationType[self.format.upper()] if is_whole_blocks else GGMLQuantizationType.F32


_DEMO, _DEMO_SOURCE = (str(path.relative_to(ROOT)) for path in (DEMO, DEMO_SOURCE))

CASES = [
    Case("stories", STORIES, "", False, None, "text/tinyshakespeare.txt", 512, 40),
    Case("stories-short", STORIES, "", False, None, "text/wikitext2-valid.txt", 100, 100),
    Case("stories-q4_0-as-floats", STORIES, "q4_0", True, STORIES, "text/tinyshakespeare.txt", 256, 40),
    Case("stories-q4_0", STORIES, "q4_0", False, STORIES, "text/tinyshakespeare.txt", 256, 120),
    Case("demo-f16", _DEMO_SOURCE, "", False, None, "text/war-and-peace.txt", 512, 8),
    Case("demo-q8_0", _DEMO, "", False, _DEMO_SOURCE, "text/war-and-peace.txt", 512, 60),
    Case("demo-q4_0-as-floats", _DEMO_SOURCE, "q4_0", True, _DEMO_SOURCE, "text/war-and-peace.txt", 512, 10),
    Case("demo-q4_0", _DEMO_SOURCE, "q4_0", False, _DEMO_SOURCE, "text/war-and-peace.txt", 512, 30),
]

# The importance matrix of the story model.
IMPORTANCE_TEXT, IMPORTANCE_CONTEXT, IMPORTANCE_CHUNKS = "text/tinyshakespeare.txt", 128, 12
