"""Memory that grows is found out; that of some seconds of generation does not grow."""

import subprocess
import sys
from pathlib import Path

import pytest

from endurance import growth_bytes

ENDURANCE = Path(__file__).parents[2] / "benchmarks" / "endurance.py"
needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system has no /proc/self/statm")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, ENDURANCE, *arguments], capture_output=True, text=True, timeout=120)


@needs_proc
def test_some_seconds_of_generation_do_not_grow() -> None:
    done = run("--minutes", "0.05")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tokens" in done.stdout


@needs_proc
def test_growth_beyond_the_bound_fails() -> None:
    done = run("--minutes", "0", "--most-growth", str(-(10**12)))
    assert done.returncode == 1
    assert "at most" in done.stdout


def test_growth_is_that_of_the_medians_of_the_outer_quarters() -> None:
    assert growth_bytes([100, 100, 100, 100]) == 0
    assert growth_bytes([100, 900, 100, 100, 100, 100, 100, 100, 100, 100, 900, 100]) == 0
    assert growth_bytes([100 + 10 * i for i in range(12)]) == 90
