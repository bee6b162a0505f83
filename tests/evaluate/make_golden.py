"""Measure every case with llama.cpp and store its figures. By hand, never in CI.

    cd tests && PYTHONPATH=../benchmarks python -m evaluate.make_golden --tools FOLDER

Needs `llama-cpp-python` (built natively), `gguf`, `numpy`, and in FOLDER llama.cpp's llama-perplexity and
llama-imatrix of the same version. The figures are the definitions, computed in double precision from llama.cpp's
logits; those that llama-perplexity prints stand beside them. It stores the predictions of a reference in 16 bits and
cuts off probabilities below e^-16 of the largest, so its divergences differ a little, and its perplexity of the
reference a lot where a text surprises.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
from pathlib import Path

import llama_cpp
import numpy as np
import numpy.typing as npt

from conformance.oracle import Oracle
from evaluate.cases import (
    CASES,
    GOLDEN,
    GOLDEN_IMPORTANCE,
    IMPORTANCE_CHUNKS,
    IMPORTANCE_CONTEXT,
    IMPORTANCE_TEXT,
    STORIES,
    TEXT_BYTES,
    Case,
)
from speed.machine import ROOT

Floats = npt.NDArray[np.float64]

_PRINTED = {
    "perplexity": r"Mean PPL\(Q\) +: +(\S+)",
    "perplexity_error": r"Mean PPL\(Q\) +: +\S+ ± +(\S+)",
    "divergence": r"Mean +KLD: +(\S+)",
    "divergence_error": r"Mean +KLD: +\S+ ± +(\S+)",
    "median": r"Median +KLD: +(\S+)",
    "percentile_99": r"99.0% +KLD: +(\S+)",
    "maximum": r"Maximum KLD: +(\S+)",
    "same_top": r"Same top p: +(\S+)",
}


def main() -> None:
    """Make the figures of all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared", help="the folder of test data")
    parser.add_argument("--tools", type=Path, required=True, help="the folder of llama-perplexity")
    arguments = parser.parse_args()
    figures = {}
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            path = case.write(_found(case.source, arguments.data), Path(folder))
            reference = None if case.reference is None else _found(case.reference, arguments.data)
            text = Path(folder) / "text"
            text.write_bytes((arguments.data / case.text).read_bytes()[:TEXT_BYTES])
            figures[case.name] = {
                "definition": _by_definition(case, path, reference, text.read_bytes().removesuffix(b"\n")),
                "tool": _by_tool(case, path, reference, text, arguments.tools / "llama-perplexity", Path(folder)),
            }
        print(case.name, json.dumps(figures[case.name], indent=1))
    record = {
        "oracle": f"llama-cpp-python {llama_cpp.__version__}, {llama_cpp.llama_print_system_info().decode().strip()}",
        "cases": figures,
    }
    GOLDEN.write_text(json.dumps(record, indent=1) + "\n")
    _importance(arguments.data, arguments.tools / "llama-imatrix")


def _importance(data: Path, tool: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / Path(IMPORTANCE_TEXT).name
        text.write_bytes((data / IMPORTANCE_TEXT).read_bytes()[:TEXT_BYTES])
        context = str(IMPORTANCE_CONTEXT)
        size = ["-c", context, "-b", context, "--chunks", str(IMPORTANCE_CHUNKS), "-t", "1"]
        files = ["-m", str(data / STORIES), "-f", text.name, "-o", str(GOLDEN_IMPORTANCE)]
        _output([str(tool), *files, *size], text.parent)


def _found(name: str, data: Path) -> Path:
    return ROOT / name if (ROOT / name).exists() else data / name


def _by_definition(case: Case, path: Path, reference: Path | None, text: bytes) -> dict[str, float]:
    model, tokens = _log_probabilities(case, path, text)
    surprise = -np.take_along_axis(model, tokens[:, None], axis=1)[:, 0]
    perplexity = float(np.exp(surprise.mean()))
    found = {"perplexity": perplexity, "perplexity_error": perplexity * _error(surprise), "positions": len(tokens)}
    if reference is None:
        return found
    truth, _ = _log_probabilities(case, reference, text)
    truth_surprise = -np.take_along_axis(truth, tokens[:, None], axis=1)[:, 0]
    divergence = (np.exp(truth) * (truth - model)).sum(axis=1)
    return found | {
        "reference_perplexity": float(np.exp(truth_surprise.mean())),
        "log_ratio": float((surprise - truth_surprise).mean()),
        "log_ratio_error": _error(surprise - truth_surprise),
        "divergence": float(divergence.mean()),
        "divergence_error": _error(divergence),
        "median": float(np.median(divergence)),
        "percentile_99": float(np.percentile(divergence, 99)),
        "maximum": float(divergence.max()),
        "same_top": float((model.argmax(axis=1) == truth.argmax(axis=1)).mean()),
    }


def _error(values: Floats) -> float:
    return float(np.sqrt(values.var() / (len(values) - 1)))


def _log_probabilities(case: Case, path: Path, text: bytes) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Of the second halves of all chunks, (positions, vocabulary), and the tokens that followed."""
    rows, following = [], []
    with Oracle(path, case.context, cache="f16") as oracle:
        tokens = oracle.tokenize(text)
        for start in range(0, case.chunks * case.context, case.context):
            chunk = tokens[start : start + case.context]
            oracle.forget()
            inputs = chunk if oracle.first_token is None else [oracle.first_token, *chunk[1:]]
            logits = oracle.evaluate(inputs)[case.context // 2 : -1].astype(np.float64)
            shifted = logits - logits.max(axis=1, keepdims=True)
            rows.append(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
            following += chunk[case.context // 2 + 1 :]
    return np.concatenate(rows), np.array(following)


def _by_tool(case: Case, path: Path, reference: Path | None, text: Path, tool: Path, folder: Path) -> dict[str, float]:
    size = str(case.context)
    command = [str(tool), "-f", str(text), "-c", size, "-b", size, "--chunks", str(case.chunks), "-t", "1"]
    if reference is None:
        printed = _output([*command, "-m", str(path)])
        perplexity, error = re.findall(r"PPL = (\S+) \+/- (\S+)", printed)[0]
        return {"perplexity": float(perplexity), "perplexity_error": float(error)}
    base = ["--kl-divergence-base", str(folder / "reference.kld")]
    _output([*command, *base, "-m", str(reference)])
    printed = _output([*command, *base, "--kl-divergence", "-m", str(path)])
    found = {name: float(re.findall(pattern, printed)[0]) for name, pattern in _PRINTED.items()}
    return found | {"same_top": found["same_top"] / 100}


def _output(command: list[str], folder: Path | None = None) -> str:
    result = subprocess.run(command, cwd=folder, capture_output=True, check=True)
    return (result.stdout + result.stderr).decode(errors="replace")


if __name__ == "__main__":
    main()
