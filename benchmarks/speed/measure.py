"""Run jobs: engines in turn, every run in a process of its own, the ceilings of the machine beside each round."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from make_model import make_model
from speed.ceilings import Work, measure_ceilings, work_of
from speed.peers import Peer
from speed.plan import Job

OWN = "edgewise"

Figures = dict[str, float]


@dataclass(frozen=True)
class Measured:
    """What a job gave.

    Attributes:
        job: what was measured.
        file_bytes: size of the model file.
        work: what a token of this model costs.
        facts: of Edgewise: version, instruction set, threads, bytes of the KV cache.
        ceilings: of the machine, measured at the start of each round.
        runs: engine -> the figures of each round.
    """

    job: Job
    file_bytes: int
    work: Work
    facts: dict[str, Any]
    ceilings: list[Figures]
    runs: dict[str, list[Figures]]


def measure(job: Job, peers: Sequence[Peer]) -> Measured:
    """All rounds of a job: A B C, A B C, ..."""
    if not job.path.exists():
        _say(f"making {job.path.name}")
        make_model(job.path, job.shape, job.format)
    _warm(job.path)
    work = work_of(job.path)
    facts: dict[str, Any] = {}
    ceilings: list[Figures] = []
    runs: dict[str, list[Figures]] = {OWN: [], **{peer.label: [] for peer in peers}}
    for index in range(job.rounds):
        _say(f"{', '.join(job.parts)}: {job.path.stem}, round {index + 1} of {job.rounds}")
        ceilings.append(measure_ceilings(job.isa, job.threads, job.path))
        found = _run(sys.executable, "edgewise", job)
        facts = found["facts"]
        runs[OWN].append(found["figures"])
        for peer in peers:
            runs[peer.label].append(_run(peer.python, "llama.cpp", job)["figures"])
    return Measured(job, job.path.stat().st_size, work, facts, ceilings, runs)


def check_peer(peer: Peer, job: Job) -> None:
    """Let a peer do a small job, so that a build which does not work is found out before the long ones.

    Raises:
        RuntimeError: if it fails.
    """
    if not job.path.exists():
        make_model(job.path, job.shape, job.format)
    try:
        _run(peer.python, "llama.cpp", job)
    except subprocess.CalledProcessError as error:
        raise RuntimeError(
            f"{peer.label} ({peer.python}) fails on {job.path.name} with status {error.returncode}; "
            "GCC 12 miscompiles its AMX code: build it without AMX, or with CXXFLAGS='-fno-tree-dse -fno-dse'"
            if error.returncode < 0 and "AMX_INT8" in peer.flags
            else f"{peer.label} ({peer.python}) fails on {job.path.name} with status {error.returncode}"
        ) from error


def _warm(path: Path) -> None:
    """Read the file once: every run finds it in the page cache."""
    with path.open("rb", buffering=0) as file:
        while file.read(1 << 24):
            pass


def _run(python: str, engine: str, job: Job) -> dict[str, Any]:
    """One run of one engine in a process of its own."""
    command = [python, "-m", "speed.worker", engine, str(job.path.resolve())]
    command += [str(job.context), job.isa, str(job.threads), str(job.streams), str(time.monotonic()), *job.work]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _say(text: str) -> None:
    print(text, file=sys.stderr)
