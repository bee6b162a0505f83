"""The models whose quality is measured: trained ones in several formats, and random ones; each also as f32."""

import os
import random
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, ReaderTensor
from gguf.quants import dequantize, quantize

from edgewise import _core
from random_model.known_shapes import KNOWN_SHAPES
from random_model.recipe import mix
from random_model.writer import write_model
from speed.machine import ROOT
from speed.peers import Peer

TEXT = ROOT / "benchmarks" / "texts" / "stories.txt"
DEMO = ROOT / "python" / "edgewise" / "data" / "demo-q8_0.gguf"
DEMO_SOURCE = ROOT / "models" / "demo" / "demo-f16.gguf"


@dataclass(frozen=True)
class QualityModel:
    """A model file, and what to evaluate with it.

    Attributes:
        name: what tables call it.
        path: the file.
        as_f32: the same weights as f32.
        tokens: what to evaluate.
        is_text: whether the tokens are a text that the model was trained to predict.
    """

    name: str
    path: Path
    as_f32: Path
    tokens: tuple[int, ...]
    is_text: bool


def trained_models(
    folder: Path, formats: Sequence[str], peers: Sequence[Peer], most_tokens: int
) -> Iterator[QualityModel]:
    """The demo model and the story model as they are, and in `formats` where a peer is there to quantize them.

    Args:
        folder: where quantized files go.
        formats: of the quantized files.
        peers: builds of llama.cpp; the first one quantizes.
        most_tokens: how much of the text to use.
    """
    stories = Path(os.environ.get("EDGEWISE_TEST_DATA", ROOT.parent / "shared")) / "models" / "stories260k-f32.gguf"
    yield _with_text("demo q8_0", DEMO, folder, most_tokens)
    if stories.exists():
        yield _with_text("stories260k f32", stories, folder, most_tokens)
    for name in formats if peers else ():
        if name != "q8_0":
            path = _quantized(DEMO_SOURCE, folder / f"demo-{name}.gguf", name, peers[0])
            yield _with_text(f"demo {name}", path, folder, most_tokens)
    # The rows of the story model are no whole blocks of 256.
    for name in ("q8_0", "q4_0"):
        if name in formats and peers and stories.exists():
            path = _quantized(stories, folder / f"stories260k-{name}.gguf", name, peers[0])
            yield _with_text(f"stories260k {name}", path, folder, most_tokens)


def random_models(folder: Path, shape: str, formats: Sequence[str], token_count: int) -> Iterator[QualityModel]:
    """Random weights of one shape in `formats`, and so many random tokens."""
    chance = random.Random(1)
    tokens = tuple(chance.randrange(KNOWN_SHAPES[shape].vocabulary_size) for _ in range(token_count))
    for name in formats:
        path, as_f32 = folder / f"{shape}-{name}.gguf", folder / f"{shape}-{name}-as-f32.gguf"
        for file, is_f32 in ((path, False), (as_f32, True)):
            if not file.exists():
                temporary = file.with_suffix(".partial")
                write_model(temporary, KNOWN_SHAPES[shape], mix(name, KNOWN_SHAPES[shape]), 1, as_f32=is_f32)
                temporary.replace(file)
        yield QualityModel(f"random {shape} {name}", path, as_f32, tokens, is_text=False)


def write_as_f32(source: Path, target: Path) -> None:
    """The same model with every tensor as f32."""
    write_in(source, target, lambda _: GGMLQuantizationType.F32)


def write_in(source: Path, target: Path, format_of: Callable[[ReaderTensor], GGMLQuantizationType]) -> None:
    """The same model with tensors in other formats: floats and what the `gguf` package quantizes."""
    reader = GGUFReader(source)
    writer = GGUFWriter(target, str(reader.fields["general.architecture"].contents()))
    for name, field in reader.fields.items():
        if name != "general.architecture" and not name.startswith("GGUF."):
            item_type = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], sub_type=item_type)
    for tensor in reader.tensors:
        values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        wanted = format_of(tensor)
        writer.add_tensor(tensor.name, quantize(values, wanted), raw_dtype=wanted)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _with_text(name: str, path: Path, folder: Path, most_tokens: int) -> QualityModel:
    tokenizer = _core.Tokenizer(_core.ModelFile(path))
    tokens = tokenizer.encode(TEXT.read_bytes(), add_special=True, parse_special=False)
    as_f32 = folder / f"{path.stem}-as-f32.gguf"
    if all(name in ("f32", "f16", "bf16") for _, name, *_ in _core.ModelFile(path).tensors()):
        as_f32 = path
    elif not as_f32.exists():
        folder.mkdir(parents=True, exist_ok=True)
        temporary = as_f32.with_suffix(".partial")
        write_as_f32(path, temporary)
        temporary.replace(as_f32)
    return QualityModel(name, path, as_f32, tuple(tokens[:most_tokens]), is_text=True)


def _quantized(source: Path, target: Path, name: str, peer: Peer) -> Path:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_suffix(".partial")
        command = [peer.python, "-m", "speed.requantize", str(source), str(temporary), name]
        subprocess.run(command, cwd=ROOT / "benchmarks", check=True)
        temporary.replace(target)
    return target
