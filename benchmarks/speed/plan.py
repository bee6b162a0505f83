"""What a run of the suite measures: which models, with which work, in how many processes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HEADLINE_FORMATS = ("q4_k_m", "q5_k_m", "q6_k", "q3_k_m", "q4_0", "q8_0")
CONTEXT_FORMATS = ("q4_k_m",)
STREAMS_FORMATS = ("q4_k_m", "q8_0", "q6_k")
SMALL_FORMATS = ("q8_0",)

PREFILL = ("prefill:64", "prefill:256", "prefill:1024")
DECODE = ("decode:0",)
DECODE_IN_CONTEXT = ("decode:4096",)
STREAMS = ("streams:1", "streams:2", "streams:4", "streams:8")
SMALL = ("decode:0", "prefill:256")

PARTS = (
    *("prefill", "decode", "start", "context", "streams", "small", "one-thread", "avx2"),
    *("speculation", "recall", "quality"),
)
"""All parts of the suite. Start-up and memory are measured by every process; `start` reports them."""


@dataclass(frozen=True)
class Job:
    """One model file and the work that every engine does with it, one process per engine and round.

    Attributes:
        parts: the parts of the suite that it serves.
        shape: of the model to make; empty for a file that is there.
        format: of the model to make; what tables call the model.
        path: the model file.
        work: names of workloads, in order; see `workloads.py`.
        context: tokens of context, of each stream.
        streams: texts at once, at most.
        isa: instruction set of Edgewise; the peers choose theirs.
        threads: of every engine.
        rounds: processes per engine.
    """

    parts: tuple[str, ...]
    shape: str
    format: str
    path: Path
    work: tuple[str, ...]
    context: int
    streams: int
    isa: str
    threads: int
    rounds: int


@dataclass(frozen=True)
class Suite:
    """What to measure.

    Attributes:
        parts: some of `PARTS`.
        formats: formats of the large model.
        shape: of the large model.
        small_shape: of the small one.
        file: a model file to measure in place of the large model.
        isa: instruction set of Edgewise.
        instruction_sets: what this machine offers.
        threads: of every engine.
        rounds: processes per engine for the headline figures; streams take three fifths, forced threads and
            instruction sets two fifths of that.
        folder: where made models are.
    """

    parts: tuple[str, ...]
    formats: tuple[str, ...]
    shape: str
    small_shape: str
    file: Path | None
    isa: str
    instruction_sets: tuple[str, ...]
    threads: int
    rounds: int
    folder: Path

    def jobs(self) -> list[Job]:
        """The jobs of all parts, those with the same model and settings in one."""
        found = []
        headline = tuple(part for part in ("prefill", "decode", "start") if part in self.parts)
        if headline:
            work = (DECODE if "decode" in headline else ()) + (PREFILL if "prefill" in headline else ())
            found += [self._job(headline, name, work) for name in self._formats(HEADLINE_FORMATS)]
        if "context" in self.parts:
            found += [self._job(("context",), name, DECODE_IN_CONTEXT) for name in self._formats(CONTEXT_FORMATS)]
        if "streams" in self.parts:
            some = max(1, self.rounds * 3 // 5)
            found += [self._job(("streams",), name, STREAMS, rounds=some) for name in self._formats(STREAMS_FORMATS)]
        if "small" in self.parts and self.file is None:
            found += [
                self._job(("small",), name, SMALL, shape=self.small_shape)
                for name in SMALL_FORMATS
                if name in self.formats
            ]
        few = max(1, self.rounds * 2 // 5)
        if "one-thread" in self.parts:
            for name in self._formats(HEADLINE_FORMATS):
                found.append(self._job(("one-thread",), name, SMALL, threads=1, rounds=few))
        if "avx2" in self.parts and "avx2" in self.instruction_sets:
            for name in self._formats(HEADLINE_FORMATS):
                found.append(self._job(("avx2",), name, SMALL, isa="avx2", rounds=few))
        return found

    def smallest_job(self) -> Job:
        """A job of a fraction of a second that tells whether an engine works."""
        return self._job(("start",), "q4_k_m", ("prefill:64", "streams:2"), shape="tiny", threads=1, rounds=1)

    def _formats(self, of_part: Sequence[str]) -> list[str]:
        """The formats that the part and the suite share; just one name where a file is given."""
        return [self.file.stem] if self.file else [name for name in self.formats if name in of_part]

    def _job(
        self,
        parts: tuple[str, ...],
        name: str,
        work: tuple[str, ...],
        *,
        shape: str | None = None,
        isa: str | None = None,
        threads: int | None = None,
        rounds: int | None = None,
    ) -> Job:
        shape = shape or ("" if self.file else self.shape)
        return Job(
            parts=parts,
            shape=shape,
            format=name,
            path=self.file if self.file and not shape else self.folder / f"{shape}-{name}.gguf",
            work=work,
            context=256 + _largest(work, "prefill", "decode"),  # 256 for what is generated
            streams=max(1, _largest(work, "streams")),
            isa=isa or self.isa,
            threads=threads or self.threads,
            rounds=rounds or self.rounds,
        )


def _largest(work: Sequence[str], *words: str) -> int:
    """The largest argument of the workloads of these names."""
    found = [name.partition(":") for name in work]
    return max((int(argument) for word, _, argument in found if word in words), default=0)
