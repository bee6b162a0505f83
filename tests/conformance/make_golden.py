"""Run llama.cpp on every case and store its figures. By hand, never in CI.

    cd tests && PYTHONPATH=../benchmarks python -m conformance.make_golden

Needs `llama-cpp-python` (built natively), `gguf` and `numpy`. For each case it looks for a seed
with which the comparison says something: for float models, every greedy choice has a margin that no difference within
the tolerance can turn; for quantized models, llama.cpp's own rounding of activations stays within half of the tolerance
and at least half of the best tokens are clear.
"""

import argparse
import json
import tempfile
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import llama_cpp
import numpy as np

from conformance.cases import FLOAT_TOLERANCE, KL_TOLERANCE, POSITIONS, STEPS, Case, adapter_cases, all_cases, prompt
from conformance.files import write_files
from conformance.golden import FOLDER, GROUPS, Logits
from conformance.measure import divergence, is_clear, margin
from conformance.oracle import Oracle

_MOST_SEEDS = 500


@dataclass(frozen=True)
class _Figures:
    tokens: list[int]
    logits: Logits
    exact: Logits
    sha256: str


def main() -> None:
    """Make the figures of all cases, or of those named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="cases to make again; all without names")
    names = parser.parse_args().names
    for group, cases in zip(GROUPS, (all_cases(), adapter_cases()), strict=True):
        wanted = [case for case in cases if not names or case.name in names]
        if wanted:
            _make_group(group, wanted, keep=bool(names))


def _make_group(group: str, cases: list[Case], *, keep: bool) -> None:
    """Make the figures of some cases that are stored together, and keep those of the others or not."""
    figures: dict[str, object] = {}
    arrays: dict[str, Logits] = {}
    if keep and (FOLDER / f"{group}figures.json").exists():
        figures = json.loads((FOLDER / f"{group}figures.json").read_text())["cases"]
        with np.load(FOLDER / f"{group}logits.npz") as stored:
            arrays = {name: stored[name] for name in stored.files}
    for case in cases:
        figures[case.name], arrays[case.name] = _make(case)
        print(case.name, {key: value for key, value in _as_dict(figures[case.name]).items() if key != "tokens"})
    _store(group, figures, arrays)


def _make(case: Case) -> tuple[dict[str, object], Logits]:
    for seed in count(1):
        found = _run(case, seed)
        if _says_something(case, found):
            break
        if seed == _MOST_SEEDS:
            raise RuntimeError(f"{case.name}: no seed up to {seed} gives figures that say something")
    spread = float(found.logits.max() - found.logits.min())
    stored = list(POSITIONS)
    logits, exact = found.logits[stored], found.exact[stored]
    figure: dict[str, object] = {
        "seed": seed,
        "sha256": found.sha256,
        "tokens": found.tokens,
        "largest_rounding_share": float(f"{abs(logits - exact).max() / spread:.2e}"),
        "largest_rounding_kl": float(f"{divergence(exact, logits).max():.2e}"),
        "clear": int(is_clear(logits, exact).sum()),
    }
    if case.is_float:
        return figure, np.stack([logits])
    return figure, np.stack([logits, exact]).astype(np.float16)


def _run(case: Case, seed: int) -> _Figures:
    with tempfile.TemporaryDirectory() as folder:
        files = write_files(Path(folder), case, seed)
        exact_files = write_files(Path(folder), case, seed, as_f32=True)
        sha256 = files.sha256
        # llama.cpp rounds the activations to bf16 where the weights are bf16: twice the tolerance by itself.
        oracle_files = exact_files if case.name.endswith("-bf16") else files
        rows, tokens = [], []
        with Oracle(oracle_files.model, case.context_length, adapters=oracle_files.adapters) as oracle:
            rows.append(oracle.evaluate(prompt(case)))
            for _ in range(STEPS):
                tokens.append(int(rows[-1][-1].argmax()))
                rows.append(oracle.evaluate(tokens[-1:]))
        with Oracle(exact_files.model, case.context_length, adapters=exact_files.adapters) as oracle:
            exact = [oracle.evaluate(prompt(case)), *(oracle.evaluate([token]) for token in tokens)]
    return _Figures(tokens, np.concatenate(rows), np.concatenate(exact), sha256)


def _says_something(case: Case, found: _Figures) -> bool:
    if len(set(found.tokens)) < 8:
        return False
    if case.is_float:
        spread = float(found.logits.max() - found.logits.min())
        return float(margin(found.logits[-STEPS - 1 : -1]).min()) > 2 * FLOAT_TOLERANCE * spread
    stored = list(POSITIONS)
    logits, exact = found.logits[stored], found.exact[stored]
    is_quiet = divergence(exact, logits).max() <= KL_TOLERANCE / 2
    return bool(is_quiet and is_clear(logits, exact).mean() >= 0.5)


def _as_dict(figure: object) -> dict[str, object]:
    assert isinstance(figure, dict)
    return figure


def _store(group: str, figures: dict[str, object], arrays: dict[str, Logits]) -> None:
    FOLDER.mkdir(exist_ok=True)
    names = sorted(figures)
    record: dict[str, object] = {
        "oracle": f"llama-cpp-python {llama_cpp.__version__}, {llama_cpp.llama_print_system_info().decode().strip()}",
        "settings": "KV cache f32, flash attention off, weights not repacked, one thread, one batch for the prompt",
        "cases": {name: figures[name] for name in names},
    }
    temporary = FOLDER / f"{group}figures.json.tmp"
    temporary.write_text(_compact(record))
    temporary.replace(FOLDER / f"{group}figures.json")
    temporary = FOLDER / f"{group}logits.tmp.npz"
    np.savez_compressed(temporary, allow_pickle=False, **{name: arrays[name] for name in names})
    temporary.replace(FOLDER / f"{group}logits.npz")


def _compact(record: dict[str, object]) -> str:
    """JSON with one line per case."""
    cases = _as_dict(record["cases"])
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(figure)}" for name, figure in cases.items())
    head = "".join(f"{json.dumps(key)}: {json.dumps(value)},\n" for key, value in record.items() if key != "cases")
    return f'{{{head}"cases": {{\n{lines}\n}}}}\n'


if __name__ == "__main__":
    main()
