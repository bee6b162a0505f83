"""The texts whose tokens are compared, in parts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

CONTROL = "control tokens"
TEXTS = (
    CONTROL,
    "vocab/ggml-vocab-llama-bpe.gguf.inp",
    "text/tinyshakespeare.txt",
    "text/wikitext2-test.txt",
    "text/wikitext2-valid.txt",
    "text/war-and-peace.txt",
)
_LARGEST_PART = 100_000


def parts(data: Path, text: str) -> list[str]:
    """The cases of a fixture, or all parts of a long text.

    Args:
        data: the folder with shared data.
        text: one of `TEXTS`.
    """
    if text == CONTROL:
        return [
            "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nTo be?<|eot_id|>",
            "<|im_start|>user\nTo be?<|im_end|>\n<tool_call> or",
            "<s>To be</s> or not<s> to be",
            "<bos><start_of_turn>user\n\nTo be?<end_of_turn>\n\n\n",
            "<|user|>\n To be?<|end|> \n<|assistant|> or",
        ]
    content = (data / text).read_bytes().decode()
    if text.endswith(".inp"):
        return content.split("\n__ggml_vocab_test__\n")
    return [content[at : at + _LARGEST_PART] for at in range(0, len(content), _LARGEST_PART)]


def digest(tokens: Sequence[int]) -> str:
    """A few digits that change with any token."""
    return hashlib.sha256(b"".join(token.to_bytes(4, "little") for token in tokens)).hexdigest()[:8]
