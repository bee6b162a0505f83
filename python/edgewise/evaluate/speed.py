"""How fast models run on this machine and what memory they take: short runs, each in a process of its own.

The models take turns, so that what else happens on the machine meets all of them alike.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from edgewise.config import EngineConfig
from edgewise.engine.memory import peak_memory_bytes
from edgewise.errors import InternalError, InvalidArgument
from edgewise.evaluate.quality import open_to_evaluate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROUNDS = 5
PROMPT_TOKENS = 256
ANSWER_TOKENS = 64


@dataclass(frozen=True)
class Spread:
    """What several runs found.

    Args:
        median: of all.
        least: the smallest.
        most: the largest.
    """

    median: float
    least: float
    most: float


@dataclass(frozen=True)
class Speed:
    """How fast a model is.

    Args:
        prefill: prompt tokens per second, of a prompt of 256.
        decode: tokens per second, one after another behind that prompt.
        peak_memory_bytes: what the process had in memory at most, the mapped file included; 0 where nobody counts.
    """

    prefill: Spread
    decode: Spread
    peak_memory_bytes: int


@dataclass(frozen=True)
class _Run:
    prefill_s: float
    decode_s: float
    peak_memory_bytes: int


def measure_speeds(
    paths: Sequence[Path],
    tokens: Sequence[int],
    config: EngineConfig,
    *,
    rounds: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Speed]:
    """Measures models that have the same vocabulary.

    Args:
        paths: their files.
        tokens: of a text; the first are the prompt, those behind stand for an answer.
        config: how the models are opened.
        rounds: how often each runs; five times if None.
        progress: is told after each run how many are done and how many there are.

    Raises:
        InvalidArgument: if there are fewer tokens than the runs take.
    """
    require_tokens(tokens)
    rounds = ROUNDS if rounds is None else rounds
    runs: list[list[_Run]] = [[] for _ in paths]
    for turn in range(rounds):
        for index, path in enumerate(paths):
            runs[index].append(_measured_alone(path, tokens[: PROMPT_TOKENS + ANSWER_TOKENS], config))
            if progress is not None:
                progress(turn * len(paths) + index + 1, rounds * len(paths))
    return [
        Speed(
            prefill=_spread([PROMPT_TOKENS / run.prefill_s for run in of_model]),
            decode=_spread([ANSWER_TOKENS / run.decode_s for run in of_model]),
            peak_memory_bytes=max(run.peak_memory_bytes for run in of_model),
        )
        for of_model in runs
    ]


def require_tokens(tokens: Sequence[int]) -> None:
    """Checks that a text is long enough to measure speeds with.

    Raises:
        InvalidArgument: if it is not.
    """
    needed = PROMPT_TOKENS + ANSWER_TOKENS
    if len(tokens) < needed:
        raise InvalidArgument(f"speed is measured with {needed} tokens, the text has {len(tokens)}")


def cpu_name() -> str:
    """What the CPU of this machine is called."""
    try:
        facts = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in facts if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.processor()


def _spread(values: Sequence[float]) -> Spread:
    return Spread(median(values), min(values), max(values))


def _measured_alone(path: Path, tokens: Sequence[int], config: EngineConfig) -> _Run:
    order = json.dumps({"path": str(path), "tokens": list(tokens), "config": asdict(config)})
    command = [sys.executable, "-m", "edgewise.evaluate.speed"]
    result = subprocess.run(command, input=order, capture_output=True, text=True, check=False)
    if result.returncode:
        last = result.stderr.strip().splitlines()[-1:]
        raise InternalError(f"{path}: the measured run failed: {''.join(last) or result.returncode}")
    return _Run(**json.loads(result.stdout))


def _run(path: Path, tokens: Sequence[int], config: EngineConfig) -> _Run:
    prompt, answer = tokens[:PROMPT_TOKENS], tokens[PROMPT_TOKENS:]
    with open_to_evaluate(path, config, len(tokens)) as engine, engine.exclusive() as session:
        session.evaluate(prompt[:1])  # the pages of the file are mapped now
        session.truncate(0)
        started = time.perf_counter()
        session.evaluate(prompt)
        read = time.perf_counter()
        for token in answer:
            session.evaluate([token])
        return _Run(read - started, time.perf_counter() - read, peak_memory_bytes())


if __name__ == "__main__":
    given = json.load(sys.stdin)
    json.dump(asdict(_run(Path(given["path"]), given["tokens"], EngineConfig(**given["config"]))), sys.stdout)
