"""What a figure was measured on."""

import os
import platform
import subprocess
import time
from pathlib import Path

from edgewise import _core
from edgewise.evaluate.speed import cpu_name

ROOT = Path(__file__).parents[2]


def describe_machine() -> dict[str, str | int | float | None]:
    """CPU, CPUs that may be used, quota, CPUs that others keep busy, instruction sets, commit of this repository."""
    choice = _core.choose_threads()
    return {
        "cpu": cpu_name(),
        "architecture": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "cpus": choice.allowed,
        "busy": _busy_cpus(),
        "quota": choice.quota,
        "instruction_sets": " ".join(_core.instruction_sets()),
        "commit": _commit(),
    }


def _busy_cpus(interval_s: float = 0.5) -> float:
    """How many CPUs were at work on average while this process slept; 0 where the system does not say."""
    before = _cpu_seconds()
    time.sleep(interval_s)
    return (_cpu_seconds() - before) / interval_s


def _cpu_seconds() -> float:
    """Seconds that all CPUs have worked since the system started: user, nice, system, and the time taken by hosts."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    except OSError:
        return 0.0
    user, nice, system, _idle, _wait, interrupt, soft_interrupt, steal = map(int, fields[1:9])
    return (user + nice + system + interrupt + soft_interrupt + steal) / os.sysconf("SC_CLK_TCK")


def _commit() -> str:
    found = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return found.stdout.strip() or "unknown"
