"""What docs/server.md shows is run as it stands, against a server with the demo model."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from server.running import Running

DOCUMENT = Path(__file__).parents[3] / "docs" / "server.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)


def test_there_are_snippets() -> None:
    assert len(SNIPPETS) >= 3


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: snippet.split()[1])
def test_a_snippet_runs(demo: Running, snippet: str) -> None:
    package = snippet.split()[1]
    pytest.importorskip(package, reason=f"{package} is not installed: pip install --group clients")
    program = snippet.replace("http://localhost:11434", demo.url)
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "OLLAMA_HOST": demo.url}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) > 10
