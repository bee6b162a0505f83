"""Model folders written without transformers: the same bytes of weights that it had."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from convert.cases import ADAPTERS, CASES, VOCABULARY_SIZE, Case, weights

GOLDEN = Path(__file__).parent / "golden"


@dataclass(frozen=True)
class Stored:
    """A tensor to be stored: its dtype as safetensors spells it, its shape and its bytes."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


def stored(values: np.ndarray[Any, np.dtype[np.float32]], dtype: str) -> Stored:
    """Floats in a dtype; bf16 by cutting off, so that every such value is one of both."""
    if dtype == "BF16":
        data = (np.ascontiguousarray(values, "<f4").view("<u4") >> np.uint32(16)).astype("<u2").tobytes()
    else:
        data = values.astype({"F32": "<f4", "F16": "<f2"}[dtype]).tobytes()
    return Stored(dtype, values.shape, data)


def write_safetensors(path: Path, tensors: Mapping[str, Stored]) -> None:
    """A safetensors file."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, tensor in tensors.items():
        end = offset + len(tensor.data)
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(tensor.data for tensor in tensors.values()))


def write_shards(folder: Path, tensors: Mapping[str, Stored], count: int) -> None:
    """Weights in several files and their index, or in one."""
    if count == 1:
        write_safetensors(folder / "model.safetensors", tensors)
        return
    names = sorted(tensors)
    files = {name: f"model-{1 + i * count // len(names):05}-of-{count:05}.safetensors" for i, name in enumerate(names)}
    for file in set(files.values()):
        write_safetensors(folder / file, {name: tensors[name] for name in names if files[name] == file})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))


def write_adapter(folder: Path, name: str, figures: Mapping[str, Any]) -> Path:
    """The adapter folder of an entry of `ADAPTERS`, as its figures say that PEFT saved it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(figures["config"]))
    tensors = tensors_of(CASES[ADAPTERS[name][0]], figures["tensors"], figures["seed"])
    write_safetensors(folder / "adapter_model.safetensors", tensors)
    return folder


def tensors_of(case: Case, shapes: Mapping[str, list[int]], seed: int) -> dict[str, Stored]:
    """All tensors of a case."""
    return {name: stored(weights(case, name, tuple(shape), seed), case.dtype) for name, shape in shapes.items()}


def write_folder(folder: Path, case: Case, figures: Mapping[str, Any]) -> Path:
    """The model folder of a case, as its figures say that transformers saved it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(figures["config"]))
    write_shards(folder, tensors_of(case, figures["tensors"], figures["seed"]), case.shards)
    for path in (GOLDEN / "tokenizers" / case.tokenizer).iterdir():
        shutil.copy(path, folder / path.name)
    return folder


def wide(case: Case, figures: Mapping[str, Any]) -> tuple[Case, dict[str, Any]]:
    """The same architecture with rows of whole blocks of 256, from four times the heads."""
    sizes = {"hidden_size": 256, "intermediate_size": 256, "num_attention_heads": 16}
    sizes["num_key_value_heads"] = 4 * figures["config"]["num_key_value_heads"]
    of_feed_forward = {96: 256, 192: 512}  # phi3 has two of its matrices in one

    def widened(name: str, shape: list[int]) -> list[int]:
        if name.endswith(("q_norm.weight", "k_norm.weight")):  # of a head
            return shape
        return [length if length == VOCABULARY_SIZE else of_feed_forward.get(length, 4 * length) for length in shape]

    shapes = {name: widened(name, shape) for name, shape in figures["tensors"].items()}
    config = figures["config"] | sizes
    return replace(case, settings=case.settings | sizes), {**figures, "config": config, "tensors": shapes}
