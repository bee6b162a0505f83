"""Run transformers on every case and store its figures. By hand, never in CI.

    cd tests && PYTHONPATH=../benchmarks python -m convert.make_golden

Needs `torch` (it runs on the CPU), `transformers`, `peft`, `sentencepiece`, `gguf` and `numpy`, and the folder that
EDGEWISE_TEST_DATA names. Tokenizers are trained only where the repository has none yet; what they make of texts can be
made again by `make_golden_tokens` alone. For each case it looks for a seed with which every greedy choice is clear.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import peft
import safetensors
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

from convert.cases import ADAPTERS, CASES, POSITIONS, PROMPT_LENGTH, STEPS, TOLERANCE, Case, prompt
from convert.folders import GOLDEN, tensors_of, write_adapter, write_folder
from convert.make_golden_tokens import lines, write_tokens
from convert.train_tokenizers import train_tokenizers

_MOST_SEEDS = 500
_CLEAR = 0.25 * TOLERANCE  # of the range: a margin that rounding, a thousandth of it, cannot turn
_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def main() -> None:
    """Make the figures of all cases, or of those named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="cases to make again; all without names")
    given = parser.parse_args().names
    names = given or list(CASES)
    data = Path(os.environ["EDGEWISE_TEST_DATA"])
    train_tokenizers(GOLDEN / "tokenizers", data / "text" / "tinyshakespeare.txt")
    path, logits_path = GOLDEN / "figures.json", GOLDEN / "logits.npz"
    figures = json.loads(path.read_text())["cases"] if path.exists() else {}
    arrays = dict(np.load(logits_path)) if logits_path.exists() else {}
    for name in names:
        figures[name], arrays[name] = _make(CASES[name])
        print(name, "seed", figures[name]["seed"], flush=True)
    for name in [] if given else ADAPTERS:
        figures[name], arrays[name] = _adapt(name, figures)
    np.savez_compressed(logits_path, allow_pickle=False, **{name: arrays[name] for name in sorted(arrays)})
    record = {"oracle": f"transformers {transformers.__version__}, torch {torch.__version__}", "cases": figures}
    path.write_text(lines(record) + "\n")
    if not given:
        write_tokens(data)


def _make(case: Case) -> tuple[dict[str, Any], npt.NDArray[np.float32]]:
    config = AutoConfig.for_model(case.model_type, **case.settings)
    for seed in count(1):
        with tempfile.TemporaryDirectory() as folder:
            figures = _save(case, config, seed, Path(folder))
            rows, tokens = _run(case, Path(folder))
        if len(tokens) == STEPS and len(set(tokens)) >= 8:
            return {**figures, "tokens": tokens, "range": _spread(rows)}, rows[list(POSITIONS)]
        if seed == _MOST_SEEDS:
            raise RuntimeError(f"{case.name}: no seed up to {seed} gives figures that say something")
    raise AssertionError


def _save(case: Case, config: Any, seed: int, folder: Path) -> dict[str, Any]:
    """Saves the model as transformers does, and makes sure that the tests' own folder holds the same."""
    model = AutoModelForCausalLM.from_config(config, dtype=_DTYPES[case.dtype])
    shapes = {name: list(parameter.shape) for name, parameter in model.named_parameters()}
    with torch.no_grad():
        for name, tensor in tensors_of(case, shapes, seed).items():
            values = torch.frombuffer(bytearray(tensor.data), dtype=_DTYPES[case.dtype])
            model.get_parameter(name).copy_(values.reshape(tensor.shape))
    model.save_pretrained(folder, max_shard_size="10GB" if case.shards == 1 else "60KB")
    figures = {"seed": seed, "tensors": shapes, "config": json.loads((folder / "config.json").read_text())}
    for path in folder.glob("*.safetensors*"):
        if path.suffix == ".safetensors":
            with safetensors.safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118  no mapping
                    assert torch.equal(file.get_tensor(name), model.get_parameter(name)), name
        path.unlink()
    write_folder(folder, case, figures)
    return figures


def _run(case: Case, folder: Path) -> tuple[npt.NDArray[np.float32], list[int]]:
    """Logits of the prompt and of 64 tokens after it, without a cache, in f32; fewer where a choice is too close."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    tokens = prompt(case)
    with torch.no_grad():
        rows = [model(torch.tensor([tokens]), use_cache=False).logits[0].numpy()]
        for _ in range(STEPS):
            best = np.sort(rows[-1][-1])
            if best[-1] - best[-2] <= _CLEAR * _spread(rows[0]):
                break
            tokens.append(int(rows[-1][-1].argmax()))
            rows.append(model(torch.tensor([tokens]), use_cache=False).logits[0, -1:].numpy())
    return np.concatenate(rows), tokens[PROMPT_LENGTH:]


def _spread(rows: npt.NDArray[np.float32]) -> float:
    return float(rows.max() - rows.min())


def _adapt(name: str, figures: dict[str, Any]) -> tuple[dict[str, Any], npt.NDArray[np.float32]]:
    """An adapter as PEFT saves it, and the logits of the prompt with it."""
    base, settings = ADAPTERS[name]
    case = CASES[base]
    with tempfile.TemporaryDirectory() as temporary:
        folder, adapter = write_folder(Path(temporary, "base"), case, figures[base]), Path(temporary, "adapter")
        model = AutoModelForCausalLM.from_pretrained(folder)
        adapted = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **settings))
        adapted.save_pretrained(adapter, save_embedding_layers=False)
        with safetensors.safe_open(adapter / "adapter_model.safetensors", framework="pt") as file:
            shapes = {key: list(file.get_tensor(key).shape) for key in file.keys()}  # noqa: SIM118  no mapping
        config = json.loads((adapter / "adapter_config.json").read_text()) | {"base_model_name_or_path": base}
        found = {"seed": 1, "config": config, "tensors": shapes}
        write_adapter(adapter, name, found)
        merged = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), adapter)
        with torch.no_grad():
            rows = merged.merge_and_unload().eval()(torch.tensor([prompt(case)]), use_cache=False).logits[0].numpy()
    return {**found, "range": _spread(rows)}, rows[list(POSITIONS)]


if __name__ == "__main__":
    main()
