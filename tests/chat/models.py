"""A small model of random weights whose vocabulary has the special tokens that a test names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gguf import GGUFWriter

from random_model.recipe import uniform
from random_model.shape import Shape
from random_model.writer import write_tensors

SHAPE: dict[str, Any] = {
    "architecture": "llama",
    "block_count": 1,
    "embedding_length": 64,
    "feed_forward_length": 64,
    "head_count": 2,
    "head_count_kv": 1,
    "key_length": 32,
}


def model(path: Path, special: Sequence[str], template: str | None = None, **more_templates: str) -> Path:
    """Writes a model of 256 bytes, 300 pairs of letters, and special tokens, of which the first two begin and end."""
    size = 256 + 300 + len(special)
    shape = Shape(**SHAPE, vocabulary_size=size, special_count=len(special))
    writer = GGUFWriter(path, shape.architecture)
    writer.add_name("random weights")
    shape.add_to(writer)
    tokens = writer.kv_data[0]["tokenizer.ggml.tokens"]
    tokens.value = [*tokens.value[: -len(special)], *special]
    if template is not None:
        writer.add_chat_template([{"name": "default", "template": template}, *(
            {"name": name, "template": text} for name, text in more_templates.items()
        )] if more_templates else template)  # fmt: skip
    write_tensors(writer, shape.tensors(), uniform("f16"), 1, as_f32=False)
    return path
