"""What a figure was measured on."""

import os
import platform
import subprocess
from pathlib import Path

from edgewise import _core

ROOT = Path(__file__).parents[2]


def describe_machine() -> dict[str, str | int | float | None]:
    """CPU, CPUs that this process may use, quota, load, instruction sets, and the commit of this repository."""
    choice = _core.choose_threads()
    return {
        "cpu": _cpu_name(),
        "architecture": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "cpus": choice.allowed,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0,
        "quota": choice.quota,
        "instruction_sets": " ".join(_core.instruction_sets()),
        "commit": _commit(),
    }


def _cpu_name() -> str:
    try:
        facts = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in facts if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.processor()


def _commit() -> str:
    found = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return found.stdout.strip() or "unknown"
