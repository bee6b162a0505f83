"""What guessing the next tokens gains on text that repeats the prompt, and what it costs on text that does not.

python benchmarks/speculation.py                     the demo model
python benchmarks/speculation.py --model FILE        a chat model of yours

Each prompt is answered with and without guesses in turn, by the same engine in one process; the texts must be equal.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from edgewise import EngineConfig, GenerateOptions
from edgewise.chat.conversation import Conversation
from edgewise.engine.models import DEMO
from edgewise.engine.native import NativeEngine
from speed.machine import describe_machine
from speed.report import align
from speed.verdict import Verdict

REPEATED = ("What is quantization?", "What is a token?", "What is a KV cache?")
FRESH = (
    "What is a language model?",
    "Tell me a story about a fox.",
    "Tell me a story about a boat.",
    "What is edgewise?",
)


@dataclass(frozen=True)
class Case:
    """A prompt, and how it is answered.

    Attributes:
        title: what the table calls it.
        question: what is asked.
        is_repeated: whether the conversation holds the same question with its answer already.
        temperature: of sampling.
    """

    title: str
    question: str
    is_repeated: bool
    temperature: float


CASES = (
    *(Case("again: " + text, text, True, 0.0) for text in REPEATED),
    *(Case("fresh: " + text, text, False, 0.0) for text in FRESH),
    *(Case("sampled: " + text, text, False, 0.8) for text in FRESH),
)


@dataclass(frozen=True)
class Guessed:
    """What guesses did for a case.

    Attributes:
        case: the case.
        drafted: guessed tokens of an answer.
        accepted: those of them that were right.
        guessing: tokens per second with guesses, the median of all answers.
        plain: the same without.
    """

    case: Case
    drafted: int
    accepted: int
    guessing: float
    plain: float

    @property
    def ratio(self) -> float:
        """How many times faster answers are with guesses."""
        return self.guessing / self.plain

    def verdict(self) -> Verdict:
        """Answers that repeat the conversation get twice as fast, others not slower."""
        bound = 2.0 if self.case.is_repeated else 0.97
        return Verdict(f"speculation, {self.case.title}", f">= {bound:g}x plain", self.ratio, self.ratio >= bound)


def main() -> None:
    """Measure every case and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=DEMO, help="a GGUF file with a chat template")
    parser.add_argument("--tokens", type=int, default=120, help="the longest answer")
    parser.add_argument("--rounds", type=int, default=15, help="answers with and without guesses, per case")
    arguments = parser.parse_args()
    machine = describe_machine()
    print(f"machine   {machine['cpu']}, {machine['cpus']} CPUs, commit {machine['commit']}")
    print(f"model     {arguments.model.name}; medians of {arguments.rounds} answers each way, in turn\n")
    print(speculation_table(measure_speculation(arguments.model, arguments.tokens, arguments.rounds)))


def measure_speculation(model: Path, tokens: int, rounds: int) -> list[Guessed]:
    """All cases, answered so many times each way, in turn.

    Raises:
        RuntimeError: if guesses change a text.
    """
    with (
        NativeEngine(model, EngineConfig(draft="ngram")) as guessing,
        NativeEngine(model, EngineConfig(draft="off")) as plain,
    ):
        return [_measure(case, guessing, plain, tokens, rounds) for case in CASES]


def speculation_table(found: Sequence[Guessed]) -> str:
    """All cases in one table."""
    cells = [["", "guessed", "right", "tokens/s", "plain", "ratio", "target", ""]]
    for one in found:
        verdict = one.verdict()
        counts = [str(one.drafted), str(one.accepted)]
        speeds = [f"{one.guessing:.0f}", f"{one.plain:.0f}", f"{one.ratio:.2f}"]
        cells.append([one.case.title, *counts, *speeds, verdict.target, str(verdict)])
    return "Guessed tokens: answers with and without them, the same text\n" + align(cells, left=1)


def _measure(case: Case, guessing: NativeEngine, plain: NativeEngine, tokens: int, rounds: int) -> Guessed:
    options = GenerateOptions(temperature=case.temperature, seed=1, max_tokens=tokens, logprobs=False)
    figures: dict[NativeEngine, list[float]] = {guessing: [], plain: []}
    texts: set[str] = set()
    drafted = accepted = 0
    for seed in range(rounds):
        seeded = replace(options, seed=seed)
        for engine in (guessing, plain) if seed % 2 else (plain, guessing):
            conversation = Conversation(engine, seeded)
            if case.is_repeated:
                conversation.answered("".join(piece.text for piece in conversation.ask(case.question)))
            answer = conversation.ask(case.question)
            texts.add(f"{seed}: " + "".join(piece.text for piece in answer))
            figures[engine].append(answer.timings.decode_tokens_per_second)
            drafted += answer.timings.drafted_tokens
            accepted += answer.timings.accepted_tokens
    if len(texts) != rounds:
        raise RuntimeError(f"{case.title}: texts differ with and without guesses")
    return Guessed(case, drafted // rounds, accepted // rounds, median(figures[guessing]), median(figures[plain]))


if __name__ == "__main__":
    main()
