"""Generate for a long time with the demo model, and fail if resident memory grows.

python benchmarks/endurance.py --minutes 30
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import edgewise
from edgewise import ContextFull, EngineConfig, GenerateOptions, Llama
from edgewise.engine.native import NativeEngine
from speed.quality_models import DEMO

WARM_UP_ROUNDS = 3
"""Rounds of all activities before memory is sampled: caches fill, allocators find their size."""

DISK_BYTES = 4_000_000
"""What prompts on disk may take: some, so that they give way to each other."""

ROUNDS_PER_WRITE = 8
"""Prompts go to disk in one of so many rounds, to spare it."""

MOST_GROWTH_BYTES = 4_000_000

QUESTIONS = (
    "What is machine learning?",
    "Tell me a story about a fox.",
    "How much memory does a 7B model need?",
    "Can a Raspberry Pi run a language model?",
    "What is the capital of France?",
)


def main() -> None:
    """Generate, print what memory did, exit with 1 if it grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--most-growth", type=int, default=MOST_GROWTH_BYTES, metavar="BYTES")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        samples, load = _measured(arguments.minutes, folder)
    growth = growth_bytes(samples)
    print(
        f"{load.answers} answers, {load.tokens} tokens, {len(samples)} samples in {arguments.minutes:g} minutes; "
        f"resident memory {min(samples) / 1e6:.1f} - {max(samples) / 1e6:.1f} MB, from the first quarter to the last "
        f"{growth / 1e6:+.2f} MB (at most {arguments.most_growth / 1e6:.2f})"
    )
    sys.exit(growth > arguments.most_growth)


def _measured(minutes: float, folder: str) -> tuple[list[int], "Load"]:
    """Sizes of resident memory in bytes, one per round, and what was done."""
    load = Load(random.Random(1), folder)
    for _ in range(WARM_UP_ROUNDS):
        load.round()
    samples = [resident_bytes()]
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end or len(samples) < 4:
        load.round()
        samples.append(resident_bytes())
    load.close()
    return samples, load


class Load:
    """What a program does with models all day.

    Args:
        chance: chooses questions and where to stop.
        folder: where prompts are kept.
    """

    def __init__(self, chance: random.Random, folder: str) -> None:
        self.answers = 0
        self.tokens = 0
        self._rounds = 0
        self._chance = chance
        self._llama = Llama(model_path=str(DEMO), n_ctx=512, verbose=False)
        self._engine = NativeEngine(DEMO, EngineConfig(context_length=256, sequences=3, prompt_cache_bytes=0))
        self._keeping = NativeEngine(
            DEMO, EngineConfig(context_length=512, cache_folder=folder, prompt_cache_bytes=DISK_BYTES)
        )
        self._activities: Sequence[Callable[[], None]] = (
            self._chat,
            self._cancelled_chat,
            self._completions,
            self._interleaved_answers,
            self._several_sequences,
            self._shifted_context,
            self._prompt_on_disk,
            self._prompt_that_does_not_fit,
            self._opened_again,
        )

    def round(self) -> None:
        """Every activity once."""
        for activity in self._activities:
            activity()
        self._rounds += 1

    def close(self) -> None:
        """Close what is open."""
        for engine in (self._llama, self._engine, self._keeping):
            engine.close()

    def _chat(self) -> None:
        """Turns that share their beginning."""
        messages: list[Any] = [{"role": "system", "content": "You are a helpful assistant."}]
        for _ in range(3):
            messages.append({"role": "user", "content": self._question()})
            answer: Any = self._llama.create_chat_completion(messages=messages, max_tokens=32)
            messages.append(answer["choices"][0]["message"])
            self._count(answer["usage"]["completion_tokens"])

    def _cancelled_chat(self) -> None:
        """A stream whose reader goes away."""
        messages: list[Any] = [{"role": "user", "content": self._question()}]
        chunks: Any = self._llama.create_chat_completion(messages=messages, max_tokens=64, stream=True)
        for _ in range(self._chance.randrange(1, 16)):
            next(chunks, None)
            self.tokens += 1
        chunks.close()
        self.answers += 1

    def _completions(self) -> None:
        """Several prompts that have nothing in common."""
        for _ in range(3):
            prompt = f"{self._chance.random()}: {self._question()}"
            answer: Any = self._llama(prompt, max_tokens=16, seed=self._chance.randrange(1 << 31), stop=["."])
            self._count(answer["usage"]["completion_tokens"])

    def _interleaved_answers(self) -> None:
        """Two readers of one engine in turn, the second of them left unread."""
        options = GenerateOptions(max_tokens=8, seed=self._chance.randrange(1 << 31))
        first, second = (self._engine.generate(self._question(), options) for _ in range(2))
        for _ in range(4):
            self.tokens += sum(next(answer, None) is not None for answer in (first, second))
        self.tokens += sum(1 for _ in first)
        self.answers += 2

    def _several_sequences(self) -> None:
        """Texts that are evaluated together and end at different times."""
        sampler = GenerateOptions(seed=self._chance.randrange(1 << 31)).sampler()
        with self._engine.exclusive() as session:
            texts = [session.begin(self._engine.tokenize(self._question()))[0] for _ in range(2)]
            work = [[self._chance.randrange(10, self._engine.vocabulary_size)] for _ in texts]
            for step in range(8):
                session.step([(text, tokens, "last") for text, tokens in zip(texts, work, strict=True)])
                work = [[session.sample(sampler, sequence=text)[0]] for text in texts]
                self.tokens += len(texts)
                if step == 4:
                    session.end(texts.pop())
                    work.pop()
            session.end(texts.pop())
        self.answers += 2

    def _shifted_context(self) -> None:
        """An answer that goes on beyond the context."""
        options = GenerateOptions(context_shift=True, max_tokens=280, logit_bias=self._no_end())
        self._count(sum(1 for _ in self._engine.generate(self._question(), options)))

    def _no_end(self) -> dict[int, float]:
        eos = self._engine.tokenizer.eos
        return {} if eos is None else {eos: -100.0}

    def _prompt_on_disk(self) -> None:
        """A long prompt that no other is like."""
        if self._rounds % ROUNDS_PER_WRITE == 0:
            prompt = [self._chance.randrange(10, self._keeping.vocabulary_size) for _ in range(300)]
            self._count(sum(1 for _ in self._keeping.generate(prompt, GenerateOptions(max_tokens=4))))

    def _prompt_that_does_not_fit(self) -> None:
        try:
            self._engine.generate("many words " * 300)
        except ContextFull:
            return
        raise AssertionError("a prompt longer than the context was taken")

    def _opened_again(self) -> None:
        """A model that is opened for one answer."""
        with edgewise.open(DEMO, EngineConfig(context_length=128)) as engine:
            self._count(sum(1 for _ in engine.generate(self._question(), GenerateOptions(max_tokens=4))))

    def _question(self) -> str:
        return self._chance.choice(QUESTIONS)

    def _count(self, tokens: int) -> None:
        self.answers += 1
        self.tokens += tokens


def growth_bytes(samples: Sequence[int]) -> int:
    """From the median of the first quarter of the samples to that of the last.

    Args:
        samples: at least four sizes in bytes, in the order of time.
    """
    quarter = len(samples) // 4
    return int(median(samples[-quarter:]) - median(samples[:quarter]))


def resident_bytes() -> int:
    """Memory of this process that is resident, mapped file pages included.

    Raises:
        RuntimeError: where the system does not say.
    """
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError as error:
        raise RuntimeError("this system does not say how much memory is resident: no /proc/self/statm") from error
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
