"""Speed, start-up and memory of Edgewise, beside llama.cpp in the same run, the engines in turn.

python benchmarks/bench.py                                     every part, every format; `make bench` keeps the result
python benchmarks/bench.py --only decode,prefill --formats q4_k_m
python benchmarks/bench.py --peer PYTHON --peer PYTHON         two builds of llama.cpp, one in each interpreter
python benchmarks/bench.py --shape qwen3-0.6b                  another shape; weights are random
python benchmarks/bench.py --model FILE                        a file of yours
"""

import argparse
import dataclasses
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from edgewise import _core
from edgewise.engine.models import DEMO
from make_model import FOLDER, make_model
from prompt_cache import Recalled, measure_recall
from random_model.known_shapes import KNOWN_SHAPES
from random_model.recipe import MIXES
from speculation import measure_speculation, speculation_table
from speed import report
from speed.divergence import WINDOW
from speed.document import record
from speed.machine import ROOT, describe_machine
from speed.measure import check_peer, measure
from speed.peers import Peer, find_peers
from speed.plan import HEADLINE_FORMATS, PARTS, Suite
from speed.quality import Quality, measure_quality, quality_table
from speed.quality_models import random_models, trained_models
from speed.rows import rows_of
from speed.verdict import conclusion


def main() -> None:
    """Run the parts that the arguments choose."""
    arguments = _arguments()
    machine = describe_machine()
    suite = _suite(arguments)
    try:
        peers = find_peers(arguments.peer)
        for peer in peers:
            check_peer(peer, suite.smallest_job())
    except RuntimeError as error:
        sys.exit(f"bench: {error}")
    measured = [measure(job, peers) for job in suite.jobs()]
    qualities = _qualities(suite, peers, arguments.smoke) if "quality" in suite.parts else []
    rows = [row for one in measured for row in rows_of(one, suite.parts)]
    verdicts = [verdict for row in rows for verdict in row.verdicts()]
    verdicts += [verdict for quality in qualities for verdict in quality.verdicts()]
    guessed = measure_speculation(DEMO, 120, 1 if arguments.smoke else 15) if "speculation" in suite.parts else []
    recalled = [_recall(suite)] if "recall" in suite.parts else []
    verdicts += [one.verdict() for one in guessed] + [one.verdict() for one in recalled]
    tables = [report.table(part, of_part) for part in PARTS if (of_part := [row for row in rows if row.part == part])]
    if guessed:
        tables.append(speculation_table(guessed))
    tables += [one.table() for one in recalled]
    if qualities:
        tables.append(quality_table(qualities))
    own = {"version": _core.VERSION, "threads": suite.threads, "isa": suite.isa}
    text = "\n\n".join(
        [
            report.header(machine, own, peers),
            report.ceilings(measured),
            *tables,
            conclusion(verdicts),
        ]
    )
    print(text)
    command = _command(sys.argv[1:])
    result = {
        "command": command,
        "machine": machine,
        "peers": [dataclasses.asdict(peer) for peer in peers],
        "measured": [dataclasses.asdict(one) for one in measured],
        "rows": [dataclasses.asdict(row) for row in rows],
        "quality": [dataclasses.asdict(quality) for quality in qualities],
        "speculation": [dataclasses.asdict(one) for one in guessed],
        "recall": [dataclasses.asdict(one) for one in recalled],
        "verdicts": [dataclasses.asdict(verdict) for verdict in verdicts],
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(result, indent=1, default=str) + "\n")
    print(f"figures of every run: {arguments.json}", file=sys.stderr)
    if arguments.record:
        record(arguments.record, command, text, date.today())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=_names(PARTS), default=PARTS, help=f"some of {','.join(PARTS)}")
    parser.add_argument("--formats", type=_names(MIXES), default=HEADLINE_FORMATS, help="of the models to make")
    parser.add_argument("--rounds", type=int, default=5, help="processes per engine for the headline figures")
    parser.add_argument("--peer", action="append", default=[], metavar="PYTHON", help="has a build of llama-cpp-python")
    parser.add_argument("--shape", choices=sorted(KNOWN_SHAPES), default="llama3.2-1b", help="of the models to make")
    parser.add_argument("--model", type=Path, help="a GGUF file to measure in place of those")
    parser.add_argument("--threads", type=int, help="of every engine; by default what Edgewise chooses")
    parser.add_argument("--isa", choices=_core.instruction_sets(), help="of Edgewise; by default the best")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench.json", help="where all figures go")
    parser.add_argument("--record", type=Path, help="a document whose end becomes the result")
    parser.add_argument("--smoke", action="store_true", help="one round with tiny models: does everything run?")
    arguments = parser.parse_args()
    if arguments.model and not arguments.model.exists():
        parser.error(f"{arguments.model} does not exist")
    return arguments


def _names(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """A parser of comma-separated names, each one of `known`."""

    def parse(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return names

    return parse


def _suite(arguments: argparse.Namespace) -> Suite:
    return Suite(
        parts=arguments.only,
        formats=arguments.formats,
        shape="tiny" if arguments.smoke else arguments.shape,
        small_shape="tiny" if arguments.smoke else "smollm2-135m",
        file=arguments.model and arguments.model.resolve(),
        isa=arguments.isa or _core.instruction_sets()[-1],
        instruction_sets=tuple(_core.instruction_sets()),
        threads=arguments.threads or (1 if arguments.smoke else _core.choose_threads().threads),
        rounds=1 if arguments.smoke else arguments.rounds,
        folder=FOLDER,
    )


def _recall(suite: Suite) -> Recalled:
    path = suite.file or suite.folder / f"{suite.small_shape}-q8_0.gguf"
    if not path.exists():
        make_model(path, suite.small_shape, "q8_0")
    return measure_recall(path, 1024, suite.rounds)


def _qualities(suite: Suite, peers: Sequence[Peer], is_smoke: bool) -> list[Quality]:
    """What the kernels lose, on trained and on random models."""
    models = [
        *trained_models(suite.folder, suite.formats, peers, WINDOW * (1 if is_smoke else 8)),
        *random_models(suite.folder, "tiny" if is_smoke else "mini", suite.formats, WINDOW * (1 if is_smoke else 2)),
    ]
    return [measure_quality(model, suite.isa, suite.threads) for model in models]


def _command(arguments: Sequence[str]) -> str:
    """What was typed, without the folders of this machine."""
    words = ["python", "benchmarks/bench.py"]
    for before, word in zip(["", *arguments], arguments, strict=False):
        words.append("PYTHON" if before == "--peer" else Path(word).name if before == "--model" else word)
    return shlex.join(words)


if __name__ == "__main__":
    main()
