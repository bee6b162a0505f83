"""Quantizers beside llama.cpp's: how long they take, in turn on the same threads, and what every tensor loses.

python benchmarks/quantizers.py --peer PYTHON

PYTHON is an interpreter that has llama-cpp-python, as `make bench` builds one. The source is in the page cache.
The time of llama.cpp is that of the whole call, without a sync. That of Edgewise is for reading and encoding, for
handing bytes to the system, and until they are on the disk, each on its own.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgewise import _core
from edgewise.engine.memory import peak_memory_bytes
from edgewise.quantize import imatrix
from edgewise.quantize.imatrix import ImportanceMatrix, Sums
from edgewise.quantize.mixes import named_mix
from edgewise.quantize.work import open_source, plan_mix, save
from make_model import FOLDER, make_model
from speed.machine import describe_machine
from speed.peers import find_peers
from speed.verdict import Verdict, conclusion

MIXES = ("q4_k_m", "q6_k", "q5_k_m", "q3_k_m", "q2_k")
ALL = (*MIXES, "q4_k_s", "q5_k_s", "q3_k_l", "q3_k_s", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl", "iq4_xs")
TARGETS = {"q4_k_m": 10.0, "q6_k": 6.0, "q5_k_m": 6.0, "q3_k_m": 6.0, "q2_k": 6.0}
"""How many times faster than llama.cpp."""
MOST_BYTES = 400 << 20
ROUNDING = 1e-4
"""What two errors may differ by and still count as equal."""
HEAD = (
    f"{'':8} {'compute, s':>20} {'write, s':>20} {'sync, s':>20} {'llama.cpp, s':>20}"
    f" {'compute':>8} {'with write':>10} {'MB':>7} {'llama.cpp':>10}"
)
_BAND_VALUES = 1 << 22

Values = npt.NDArray[np.float32]


@dataclass
class Runs:
    """What several runs of one mix took.

    Attributes:
        compute_s: Edgewise, reading and encoding.
        write_s: Edgewise, handing bytes to the system.
        sync_s: Edgewise, until they are on the disk.
        peer_s: llama.cpp, the whole call.
        peak_bytes: the most memory that Edgewise had resident.
        peer_peak_bytes: the most that llama.cpp had, pages of the mapped source included.
    """

    compute_s: list[float] = field(default_factory=list)
    write_s: list[float] = field(default_factory=list)
    sync_s: list[float] = field(default_factory=list)
    peer_s: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    peer_peak_bytes: int = 0

    def row(self, mix: str) -> str:
        """A row of the table of times."""
        times = (f"{shown(values):>20}" for values in (self.compute_s, self.write_s, self.sync_s, self.peer_s))
        memory = f"{self.peak_bytes / 1e6:>7.0f} {self.peer_peak_bytes / 1e6:>10.0f}"
        return f"{mix:8} {' '.join(times)} {self.ratio:>8.1f} {self.ratio_written:>10.1f} {memory}"

    def verdicts(self, mix: str, *, is_timed: bool) -> list[Verdict]:
        """Whether time, if that counts for this model, and memory are as they should be."""
        found = [Verdict(f"memory, {mix}", "<= 400 MiB", self.peak_bytes / 2**20, self.peak_bytes <= MOST_BYTES)]
        if is_timed and mix in TARGETS:
            target = f">= {TARGETS[mix]:g}x llama.cpp, compute"
            found.append(Verdict(f"time, {mix}", target, self.ratio, self.ratio >= TARGETS[mix]))
        return found

    @property
    def ratio(self) -> float:
        """Times llama.cpp, by reading and encoding."""
        return statistics.median(self.peer_s) / statistics.median(self.compute_s)

    @property
    def ratio_written(self) -> float:
        """Times llama.cpp, with the bytes handed to the system as llama.cpp's call does."""
        both = [compute + write for compute, write in zip(self.compute_s, self.write_s, strict=True)]
        return statistics.median(self.peer_s) / statistics.median(both)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", default=sys.executable, help="an interpreter that has llama-cpp-python")
    parser.add_argument("--model", type=Path, help="what to quantize; by default an f16 model of the 1B shape")
    parser.add_argument("--mixes", nargs="+", default=list(MIXES), choices=ALL)
    parser.add_argument("--rounds", type=int, default=3, help="of the times")
    parser.add_argument("--with-importance", action="store_true", help="quantize with importances, drawn at random")
    parser.add_argument("--folder", type=Path, help="where results go meanwhile; by default among temporary files")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(one(*arguments.child)))
        return
    (peer,) = find_peers([arguments.peer])
    model = arguments.model or FOLDER / "llama3.2-1b-f16.gguf"
    if not model.exists():
        make_model(model, "llama3.2-1b", "f16")
    threads = _core.choose_threads().threads
    machine = describe_machine()
    print(f"{machine['cpu']}, {machine['cpus']} CPUs; edgewise {_core.VERSION}, commit {machine['commit']}")
    print(f"{peer.label}, llama-cpp-python {peer.version}, built with {' '.join(peer.flags)}")
    print(f"{model.name}, {threads} threads, {arguments.rounds} rounds, medians (least-most)\n")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        matrix = draw_importances(model, folder) if arguments.with_importance else None
        verdicts, losses = [], {}
        print(HEAD)
        for mix in arguments.mixes:
            runs = measure(model, mix, folder, peer.python, threads, arguments.rounds, matrix)
            print(runs.row(mix), flush=True)
            verdicts += runs.verdicts(mix, is_timed=arguments.model is None)
            losses[mix] = compare(model, folder, matrix)
    print("\nError of a tensor as a share of llama.cpp's, root mean squares")
    print(f"{'':8}{'least':>8}{'median':>8}{'most':>8}")
    for mix, shares in losses.items():
        worst = max(shares, key=lambda name: shares[name])
        least, *_, most = values = sorted(shares.values())
        print(f"{mix:8}{least:8.4f}{statistics.median(values):8.4f}{most:8.4f}  {worst}")
        verdicts.append(Verdict(f"error of the worst tensor, {mix}", "<= llama.cpp's", most, most <= 1 + ROUNDING))
    print(f"\n{conclusion(verdicts)}")


def measure(model: Path, mix: str, folder: Path, peer: str, threads: int, rounds: int, matrix: Path | None) -> Runs:
    """Both quantizers in turn, each in a process of its own; their files stay in the folder."""
    runs = Runs()
    ours = [sys.executable, __file__, "--child", str(model), str(folder / "edgewise.gguf"), mix]
    script = Path(__file__).parent / "speed" / "peer_quantizer.py"
    theirs = [peer, str(script), str(model), str(folder / "peer.gguf"), str(named_mix(mix).file_type), str(threads)]
    if matrix is not None:
        theirs.append(str(matrix.with_suffix(".npz")))
    for number in range(rounds):
        for command in (ours, theirs) if number % 2 == 0 else (theirs, ours):
            cached(model)
            figures = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.splitlines()[-1])
            if command is ours:
                for name in ("compute_s", "write_s", "sync_s"):
                    getattr(runs, name).append(figures[name])
                runs.peak_bytes = max(runs.peak_bytes, figures["peak_bytes"])
            else:
                runs.peer_s.append(figures["wall_s"])
                runs.peer_peak_bytes = max(runs.peer_peak_bytes, figures["peak_bytes"])
    return runs


def one(model: str, out: str, mix: str) -> dict[str, float]:
    """Quantize once with Edgewise."""
    matrix = Path(out).with_name("importance.gguf")
    source = open_source(Path(model), matrix if matrix.exists() else None)
    written = save(source, plan_mix(source, named_mix(mix)), Path(out), replace=True)
    return {
        "compute_s": written.compute_s,
        "write_s": written.write_s,
        "sync_s": written.sync_s,
        "peak_bytes": peak_memory_bytes(),
    }


def draw_importances(model: Path, folder: Path) -> Path:
    """Importances over several orders of magnitude, for both quantizers."""
    generator = np.random.default_rng(1)
    entries, columns = {}, {}
    for tensor in open_source(model).facts.tensors:
        if len(tensor.shape) == 2 and tensor.name.endswith(".weight"):
            drawn = generator.lognormal(sigma=1.5, size=tensor.shape[0]).astype(np.float32)
            squares = array("f", drawn.tobytes())
            entries[tensor.name], columns[tensor.name] = Sums(squares, (1,)), drawn
    path = folder / "importance.gguf"
    imatrix.write(path, ImportanceMatrix(entries, ("drawn",), 1, 1))
    np.savez(path.with_suffix(".npz"), **columns)  # type: ignore[arg-type]
    return path


def compare(model: Path, folder: Path, matrix: Path | None) -> dict[str, float]:
    """The error of every tensor in Edgewise's file as a share of that in llama.cpp's, weighted by importance."""
    columns = np.load(matrix.with_suffix(".npz")) if matrix is not None else {}
    source, ours, theirs = (_core.ModelFile(path) for path in (model, folder / "edgewise.gguf", folder / "peer.gguf"))
    shares = {}
    formats = {name: format_name for name, format_name, *_ in source.tensors()}
    peer_formats = {name: format_name for name, format_name, *_ in theirs.tensors()}
    for name, format_name, shape, _ in ours.tensors():
        if peer_formats[name] != format_name:
            raise SystemExit(f"{name} is {format_name} here, {peer_formats[name]} in llama.cpp's file")
        if format_name == formats[name]:
            continue
        weight = columns[name] if name in columns else np.float32(1)
        errors = [0.0, 0.0]
        for row, rows in bands(shape):
            whole = values(source, name, formats[name], row, rows, shape[0])
            for index, file in enumerate((ours, theirs)):
                difference = values(file, name, format_name, row, rows, shape[0]) - whole
                errors[index] += float(np.einsum("rc,rc,c->", difference, difference, weight * np.ones(shape[0], "f")))
        shares[name] = (errors[0] / errors[1]) ** 0.5
    return shares


def bands(shape: list[int]) -> Iterator[tuple[int, int]]:
    """First row and number of rows of pieces of a matrix."""
    most = max(1, _BAND_VALUES // shape[0])
    for row in range(0, shape[1], most):
        yield row, min(most, shape[1] - row)


def values(file: _core.ModelFile, name: str, format_name: str, row: int, rows: int, columns: int) -> Values:
    """Some rows of a matrix as numbers."""
    data = bytes(file.read(name, row, rows))
    file.release(name, row, rows)
    if format_name == "f16":
        return np.frombuffer(data, np.float16).astype(np.float32).reshape(-1, columns)
    return np.frombuffer(_core.dequantize(format_name, data), np.float32).reshape(-1, columns)


def cached(path: Path) -> None:
    """Read a file, so that it is in the page cache."""
    with path.open("rb", buffering=0) as file:
        piece = bytearray(1 << 24)
        while file.readinto(piece):
            pass
    time.sleep(1)  # until what was written before is on its way


def shown(numbers: list[float]) -> str:
    """Median and spread."""
    return f"{statistics.median(numbers):.2f} ({min(numbers):.2f}-{max(numbers):.2f})"


if __name__ == "__main__":
    main()
