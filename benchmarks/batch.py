"""What a batch costs and gains: one answer beside `generate`, a mask, several answers, and a prompt beside an answer.

python benchmarks/batch.py --model benchmarks/models/smollm2-135m-q4_k_m.gguf

Everything runs in one process, in turn; each figure is the median of the rounds, and its range.
"""

import argparse
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median

from edgewise import EngineConfig, GenerateOptions
from edgewise.engine.batching import Batch
from edgewise.engine.models import DEMO
from edgewise.engine.native import NativeEngine
from edgewise.engine.protocol import Piece
from speed.machine import describe_machine

PROMPT_TOKENS = 16


class Everything:
    """A mask of all tokens: the longest that there is to search."""

    is_complete = False

    def __init__(self, vocabulary_size: int) -> None:
        self._mask = b"\xff" * -(-vocabulary_size // 8)

    def allowed(self) -> bytes:
        """All tokens."""
        return self._mask

    def accept(self, token: int) -> None:
        """Changes nothing."""


class Bench:
    """Measurements of one model.

    Args:
        engine: the model.
        batch: a batch on it.
        tokens: of an answer.
        rounds: how often each is measured.
    """

    def __init__(self, engine: NativeEngine, batch: Batch, tokens: int, rounds: int) -> None:
        self._engine, self._batch, self._tokens, self._rounds = engine, batch, tokens, rounds
        self._number = 0

    def _prompt(self, length: int = PROMPT_TOKENS) -> list[int]:
        """Another one each time, so that nothing is cached."""
        self._number += 1
        return [10 + (self._number * 7919 + i * i) % (self._engine.vocabulary_size - 20) for i in range(length)]

    def _options(self, tokens: int) -> GenerateOptions:
        ends = {end: -100.0 for end in [self._engine.tokenizer.eos] if end is not None}
        return GenerateOptions(max_tokens=tokens, logit_bias=ends, logprobs=False, seed=1)

    def alone(self) -> None:
        """One answer: by the engine, by the batch, and by both under a mask; in turn."""
        options, everything = self._options(self._tokens), Everything(self._engine.vocabulary_size)
        engine, batch = self._engine, self._batch
        ways: dict[str, Callable[[list[int]], Iterable[Piece]]] = {
            "generate": lambda prompt: engine.generate(prompt, options),
            "batch": lambda prompt: batch.submit(prompt, options),
            "generate, mask": lambda prompt: engine.generate(prompt, options, constraint=everything),
            "batch, mask": lambda prompt: batch.submit(prompt, options, constraint=everything),
        }
        found: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(self._rounds):
            prompt = self._prompt()
            for way, ask in ways.items():
                found[way].append(_seconds_per_token(ask(prompt)))
        for way, seconds in found.items():
            print(f"{way:<28}{_shown([1e3 * x for x in seconds])} ms a token")

    def several(self) -> None:
        """Tokens per second of so many answers together."""
        for count in (1, 2, 4, 8):
            rates = []
            for _ in range(self._rounds):
                streams = [self._batch.submit(self._prompt(), self._options(self._tokens)) for _ in range(count)]
                started_s = time.perf_counter()
                told = sum(len(list(stream)) for stream in streams)
                rates.append(told / (time.perf_counter() - started_s))
            print(f"{f'{count} answers together':<28}{_shown(rates)} tokens/s")

    def beside_a_prompt(self, length: int) -> None:
        """The longest wait for a token of an answer while a long prompt is evaluated beside it, and without one."""
        for name, has_prompt in (("alone", False), ("beside a prompt", True)):
            longest, usual = [], []
            for _ in range(self._rounds):
                stream = self._batch.submit(self._prompt(), self._options(20_000))
                for _ in range(4):
                    next(stream)
                told_s, gaps = time.perf_counter(), []
                other = self._batch.submit(self._prompt(length), self._options(1)) if has_prompt else None
                for _ in zip(range(10_000 if has_prompt else self._tokens), stream, strict=False):
                    now_s = time.perf_counter()
                    gaps.append(1e3 * (now_s - told_s))
                    told_s = now_s
                    if other is not None and other.poll() and other.is_over:
                        break
                stream.close()
                longest.append(max(gaps))
                usual.append(median(gaps))
            print(f"{f'next token, {name}':<28}{_shown(usual)} ms, at most {_shown(longest)} ms")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=DEMO, help="a GGUF file")
    parser.add_argument("--tokens", type=int, default=48, help="of an answer")
    parser.add_argument("--prompt", type=int, default=2000, help="tokens of the prompt beside an answer")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured")
    arguments = parser.parse_args()
    machine = describe_machine()
    print(f"machine   {machine['cpu']}, {machine['cpus']} CPUs, {machine['busy']:.1f} busy, commit {machine['commit']}")
    room = arguments.prompt + arguments.tokens + 64
    config = EngineConfig(context_length=max(room, 4096), sequences=8, prompt_cache_bytes=0)
    with NativeEngine(arguments.model, config) as engine, Batch(engine, parallel=8) as batch:
        print(f"model     {arguments.model.name}, {engine.vocabulary_size} tokens, {engine.session.threads} threads\n")
        bench = Bench(engine, batch, arguments.tokens, arguments.rounds)
        bench.alone()
        bench.several()
        bench.beside_a_prompt(arguments.prompt)


def _seconds_per_token(answer: Iterable[Piece]) -> float:
    started_s = time.perf_counter()
    count = sum(1 for _ in answer)
    return (time.perf_counter() - started_s) / count


def _shown(values: list[float]) -> str:
    return f"{median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


if __name__ == "__main__":
    main()
