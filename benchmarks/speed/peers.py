"""The builds of llama.cpp to compare with: one Python interpreter for each."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

INSTALL = "CMAKE_ARGS=-DGGML_NATIVE=ON pip install --no-binary llama-cpp-python llama-cpp-python"

_PROBE = """
import json, re, llama_cpp
flags = re.findall(r"(\\w+) = 1", llama_cpp.llama_print_system_info().decode())
print(json.dumps([llama_cpp.__version__, flags]))
"""


@dataclass(frozen=True)
class Peer:
    """One build.

    Attributes:
        label: what tables call it.
        python: the interpreter that has it.
        version: of llama-cpp-python.
        flags: what it was built with, as it says itself.
    """

    label: str
    python: str
    version: str
    flags: tuple[str, ...]


def find_peers(pythons: Sequence[str]) -> list[Peer]:
    """The builds in `pythons`, or that of this interpreter, if it has one, where the list is empty.

    Raises:
        RuntimeError: if an interpreter that was asked for has none.
    """
    found = []
    for python in pythons or [sys.executable]:
        if shutil.which(python) is None:
            raise RuntimeError(f"there is no interpreter {python}")
        done = subprocess.run([python, "-c", _PROBE], capture_output=True, text=True)
        if done.returncode == 0:
            version, flags = json.loads(done.stdout.splitlines()[-1])
            found.append((str(Path(python).absolute()), str(version), tuple(str(flag) for flag in flags)))
        elif pythons:
            raise RuntimeError(f"{python} has no llama-cpp-python that works: {done.stderr.strip()[-300:]}")
    labels = name_builds([(version, flags) for _, version, flags in found])
    return [Peer(label, *build) for label, build in zip(labels, found, strict=True)]


def name_builds(builds: Sequence[tuple[str, tuple[str, ...]]]) -> list[str]:
    """Short names that tell builds of these versions and flags apart."""
    shared = set.intersection(*(set(flags) for _, flags in builds)) if builds else set()
    has_versions = len({version for version, _ in builds}) > 1
    names = []
    for version, flags in builds:
        more = [f"+{flag}" for flag in flags if flag not in shared]
        names.append(" ".join(["llama.cpp", *([version] if has_versions else []), *more]))
    return [f"{name} #{index + 1}" if names.count(name) > 1 else name for index, name in enumerate(names)]
