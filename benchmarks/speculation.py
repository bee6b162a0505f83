"""What guessing the next tokens gains on text that repeats the prompt, and what it costs on text that does not.

python benchmarks/speculation.py                     the demo model
python benchmarks/speculation.py --model FILE        a chat model of yours

Each prompt is answered with and without guesses in turn, by the same engine in one process; the texts must be equal.
"""

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from edgewise import EngineConfig, GenerateOptions
from edgewise.chat.conversation import Conversation
from edgewise.engine.models import DEMO
from edgewise.engine.native import NativeEngine
from speed.machine import describe_machine

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
    print(f"{'':40}{'guessed':>9}{'right':>7}{'tokens/s':>10}{'plain':>9}{'ratio':>7}")
    cases = [Case("again: " + text, text, True, 0.0) for text in REPEATED]
    cases += [Case("fresh: " + text, text, False, 0.0) for text in FRESH]
    cases += [Case("fresh, sampled: " + text, text, False, 0.8) for text in FRESH]
    with (
        NativeEngine(arguments.model, EngineConfig(draft="ngram")) as guessing,
        NativeEngine(arguments.model, EngineConfig(draft="off")) as plain,
    ):
        for case in cases:
            _measure(case, guessing, plain, arguments.tokens, arguments.rounds)


def _measure(case: Case, guessing: NativeEngine, plain: NativeEngine, tokens: int, rounds: int) -> None:
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
        sys.exit(f"{case.title}: texts differ with and without guesses")
    fast, slow = median(figures[guessing]), median(figures[plain])
    print(
        f"{case.title[:39]:40}{drafted // rounds:>9}{accepted // rounds:>7}{fast:>10.1f}{slow:>9.1f}{fast / slow:>7.2f}"
    )


if __name__ == "__main__":
    main()
