"""Run the tokenizers of transformers on every text and store a digest of the tokens. By hand, never in CI.

    cd tests && PYTHONPATH=../benchmarks python -m convert.make_golden_tokens

Needs `tokenizers`, and the folder that EDGEWISE_TEST_DATA names.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from convert.folders import GOLDEN
from convert.texts import TEXTS, digest, parts


def write_tokens(data: Path) -> None:
    """Write the digests of all tokenizers and texts."""
    (GOLDEN / "texts.json").write_text(lines(_tokens(data)) + "\n")


def lines(values: dict[str, Any], depth: int = 3) -> str:
    """JSON with a line for each value `depth` levels down."""
    if depth == 0:
        return json.dumps(values)
    parts = [
        f"{json.dumps(key)}: {lines(value, depth - 1) if isinstance(value, dict) else json.dumps(value)}"
        for key, value in values.items()
    ]
    return "{" + ",\n".join(parts) + "}"


def _tokens(data: Path) -> dict[str, dict[str, list[str]]]:
    """For each tokenizer and text, a digest of the tokens of each part."""
    found: dict[str, dict[str, list[str]]] = {}
    for folder in sorted((GOLDEN / "tokenizers").iterdir()):
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        found[folder.name] = {
            text: [digest(tokenizer.encode(part).ids) for part in parts(data, text)] for text in TEXTS
        }
    return found


if __name__ == "__main__":
    write_tokens(Path(os.environ["EDGEWISE_TEST_DATA"]))
