"""The engines that are compared, each through its lowest Python door: token ids in, the greedy token out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

BATCH = 512


class MeasuredEngine(Protocol):
    """A loaded model with one context; keys and values are cached as f16."""

    vocabulary_size: int
    facts: dict[str, str | int]

    def next_token(self, tokens: Sequence[int]) -> int:
        """Evaluate tokens behind those before, and give the best next one."""

    def clear(self) -> None:
        """Empty the context."""

    def begin_streams(self, prompts: Sequence[Sequence[int]]) -> list[int]:
        """Evaluate prompts of so many texts, and give the best next token of each."""

    def step_streams(self, tokens: Sequence[int]) -> list[int]:
        """Evaluate a token more of each text in one pass, and give the best next ones."""

    def end_streams(self) -> None:
        """Forget the texts."""


class Edgewise:
    """The core of Edgewise.

    Args:
        path: the model file.
        context_length: tokens of context, of each stream.
        isa: instruction set of the kernels, or `auto`.
        threads: threads to compute with.
        streams: how many texts at once.
    """

    def __init__(self, path: Path, context_length: int, isa: str, threads: int, streams: int) -> None:
        from edgewise import _core
        from edgewise.background import Background

        file = _core.ModelFile(path)
        model = _core.Model(file)
        tokenizer = Background(lambda: _core.Tokenizer(file))  # the peer's start-up loads its vocabulary too
        self._session = _core.Session(
            model,
            context_length=context_length,
            batch=BATCH,
            key_format="f16",
            value_format="f16",
            isa=isa,
            threads=threads,
            sequences=streams,
        )
        self._tokenizer = tokenizer.result()
        self._sequences: list[int] = []
        self._sampler = _core.Sampler(
            temperature=0.0,
            top_k=0,
            top_p=1.0,
            min_p=0.0,
            typical_p=1.0,
            repeat_penalty=1.0,
            frequency_penalty=0.0,
            presence_penalty=0.0,
            penalty_last_n=0,
            logit_bias=[],
            mirostat=None,
            seed=0,
        )
        self.vocabulary_size = model.vocabulary_size
        self.facts: dict[str, str | int] = {
            "version": _core.VERSION,
            "isa": self._session.isa,
            "threads": self._session.threads,
            "cache_bytes": self._session.cache_bytes,
        }

    def next_token(self, tokens: Sequence[int]) -> int:
        """Evaluate tokens behind those before, and give the best next one."""
        self._session.evaluate(tokens)
        return self._session.sample(self._sampler)[0]

    def clear(self) -> None:
        """Empty the context."""
        self._session.truncate(0)

    def begin_streams(self, prompts: Sequence[Sequence[int]]) -> list[int]:
        """Evaluate prompts of so many texts, and give the best next token of each."""
        begun = [self._session.begin(prompt) for prompt in prompts]
        self._sequences = [sequence for sequence, _ in begun]
        return self._step([prompt[held:] for prompt, (_, held) in zip(prompts, begun, strict=True)])

    def step_streams(self, tokens: Sequence[int]) -> list[int]:
        """Evaluate a token more of each text in one pass, and give the best next ones."""
        return self._step([[token] for token in tokens])

    def end_streams(self) -> None:
        """Forget the texts."""
        for sequence in self._sequences:
            self._session.end(sequence)

    def _step(self, texts: Sequence[Sequence[int]]) -> list[int]:
        self._session.step([(sequence, text, "last") for sequence, text in zip(self._sequences, texts, strict=True)])
        return [self._session.sample(self._sampler, sequence=sequence)[0] for sequence in self._sequences]


class LlamaCpp:
    """llama.cpp, through the C interface that llama-cpp-python carries, with that interface's defaults.

    Args:
        path: the model file.
        context_length: tokens of context, of each stream.
        isa: ignored; the build decides.
        threads: threads to compute with.
        streams: how many texts at once.
    """

    def __init__(self, path: Path, context_length: int, isa: str, threads: int, streams: int) -> None:
        import ctypes
        import re

        import llama_cpp

        self._api: Any = llama_cpp
        self._silence = llama_cpp.llama_log_callback(lambda level, text, user_data: None)
        llama_cpp.llama_log_set(self._silence, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = context_length * streams
        parameters.n_seq_max = streams
        parameters.n_batch = context_length  # a prompt in one call; BATCH tokens of it at a time
        parameters.n_ubatch = BATCH
        parameters.n_threads = parameters.n_threads_batch = threads
        self._context = llama_cpp.llama_init_from_model(model, parameters)
        if not self._context:
            raise RuntimeError(f"llama.cpp does not open {path}")
        self._sampler = llama_cpp.llama_sampler_init_greedy()
        self._batch = llama_cpp.llama_batch_init(context_length, 0, 1)
        self._lengths: list[int] = []  # of the streams
        self.vocabulary_size: int = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
        self.facts: dict[str, str | int] = {
            "version": llama_cpp.__version__,
            "isa": " ".join(re.findall(r"(\w+) = 1", llama_cpp.llama_print_system_info().decode())),
            "threads": threads,
        }

    def next_token(self, tokens: Sequence[int]) -> int:
        """Evaluate tokens behind those before, and give the best next one."""
        array = (self._api.llama_token * len(tokens))(*tokens)
        status = self._api.llama_decode(self._context, self._api.llama_batch_get_one(array, len(tokens)))
        if status:
            raise RuntimeError(f"llama_decode answers {status}")
        return int(self._api.llama_sampler_sample(self._sampler, self._context, -1))

    def clear(self) -> None:
        """Empty the context."""
        self._api.llama_memory_clear(self._api.llama_get_memory(self._context), True)

    def begin_streams(self, prompts: Sequence[Sequence[int]]) -> list[int]:
        """Evaluate prompts of so many texts, and give the best next token of each."""
        self.clear()
        self._lengths = [0] * len(prompts)
        return self._step(prompts)

    def step_streams(self, tokens: Sequence[int]) -> list[int]:
        """Evaluate a token more of each text in one pass, and give the best next ones."""
        return self._step([[token] for token in tokens])

    def end_streams(self) -> None:
        """Forget the texts."""
        self.clear()

    def _step(self, texts: Sequence[Sequence[int]]) -> list[int]:
        batch, index, last = self._batch, 0, []
        for stream, text in enumerate(texts):
            for token in text:
                batch.token[index], batch.pos[index] = token, self._lengths[stream]
                batch.n_seq_id[index], batch.seq_id[index][0] = 1, stream
                batch.logits[index] = False
                self._lengths[stream] += 1
                index += 1
            batch.logits[index - 1] = True
            last.append(index - 1)
        batch.n_tokens = index
        status = self._api.llama_decode(self._context, batch)
        if status:
            raise RuntimeError(f"llama_decode answers {status}")
        return [int(self._api.llama_sampler_sample(self._sampler, self._context, index)) for index in last]


ENGINES: dict[str, type[Edgewise] | type[LlamaCpp]] = {"edgewise": Edgewise, "llama.cpp": LlamaCpp}
