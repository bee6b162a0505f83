"""Vocabularies of GGUF files written back as the files of a model folder."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from edgewise import _core
from edgewise.convert.metadata import Metadata
from edgewise.convert.writing import Output, write

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")
BLANK = "\u2581"


def split(expression: str) -> dict[str, Any]:
    """A step that cuts text at every match."""
    return {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False}


def byte_level(*, use_regex: bool) -> dict[str, Any]:
    """The step that spells bytes."""
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def sequence(*steps: dict[str, Any]) -> dict[str, Any]:
    """Several steps."""
    return {"type": "Sequence", "pretokenizers": list(steps)}


PUBLISHED: dict[str, dict[str, Any]] = {
    "llama-bpe": {
        "pre_tokenizer": sequence(split(LLAMA3), byte_level(use_regex=False)),
        "model": {"ignore_merges": True},
    },
    "qwen2": {
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": sequence(split(QWEN2), byte_level(use_regex=False)),
        "model": {},
    },
    "gpt-2": {"pre_tokenizer": byte_level(use_regex=True), "model": {}},
}
"""What the tokenizer.json of models with these vocabularies says beside the vocabulary."""


def arrays_of(path: Path) -> dict[str, list[Any]]:
    """The arrays of a vocabulary file by the last part of their keys."""
    file = _core.ModelFile(path)
    names = ("tokens", "token_type", "merges", "scores")
    return {name: file.array(f"tokenizer.ggml.{name}") or [] for name in names}


def write_byte_level(folder: Path, name: str, arrays: dict[str, list[Any]]) -> None:
    """tokenizer.json of byte-level BPE; the merges of some models are pairs, those of others are lines."""
    merges = [merge.split(" ") if name == "llama-bpe" else merge for merge in arrays["merges"]]
    added = _added(arrays)
    vocabulary = {text: token for token, text in enumerate(arrays["tokens"]) if token not in added}
    settings = PUBLISHED[name]
    model = {"type": "BPE", "vocab": vocabulary, "merges": merges, **settings["model"]}
    values = {**settings, "added_tokens": list(added.values()), "model": model}
    (folder / "tokenizer.json").write_text(json.dumps(values))


def write_fallback(folder: Path, arrays: dict[str, list[Any]]) -> None:
    """tokenizer.json of a SentencePiece model: every split of a token into two others is a merge, best first."""
    ids = {text: token for token, text in enumerate(arrays["tokens"])}
    usable = {text for text, token in ids.items() if arrays["token_type"][token] == 1}
    merges = []
    for text, token in ids.items():
        if text in usable:
            pairs = [(text[:at], text[at:]) for at in range(1, len(text))]
            merges += [(-arrays["scores"][token], pair) for pair in pairs if usable.issuperset(pair)]
    merges.sort(key=lambda merge: merge[0])
    added = _added(arrays)
    model = {
        "type": "BPE",
        "byte_fallback": True,
        "unk_token": "<unk>",
        "vocab": {text: token for text, token in ids.items() if token not in added},
        "merges": [pair for _, pair in merges],
    }
    normalizer = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": BLANK}]}
    values = {"normalizer": normalizer, "added_tokens": list(added.values()), "model": model}
    (folder / "tokenizer.json").write_text(json.dumps(values))


def _added(arrays: dict[str, list[Any]]) -> dict[int, dict[str, Any]]:
    """Control and user-defined tokens."""
    return {
        token: {"id": token, "content": text, "special": kind == 3}
        for token, (text, kind) in enumerate(zip(arrays["tokens"], arrays["token_type"], strict=True))
        if kind in (3, 4)
    }


def sentencepiece_bytes(pieces: list[tuple[str, float, int]], *, model_type: int = 2, adds_blank: bool = True) -> bytes:
    """A tokenizer.model, in the wire format of protocol buffers."""
    data = b""
    for text, score, kind in pieces:
        piece = _field(1, text.encode()) + b"\x15" + struct.pack("<f", score) + b"\x18" + _varint(kind)
        data += _field(1, piece)
    data += _field(2, b"\x18" + _varint(model_type))
    return data + _field(3, b"\x18" + _varint(int(adds_blank)))


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    found = b""
    while value >= 0x80:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])


def tokenizer_of(path: Path, metadata: Metadata) -> _core.Tokenizer:
    """The core's tokenizer for some metadata."""
    write(Output(path, True, 1), {"general.architecture": "llama", **metadata}, [])
    return _core.Tokenizer(_core.ModelFile(path))
