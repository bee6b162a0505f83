"""The llama.cpp backend: the xllamacpp wheel, for architectures that the core does not run, and for GPUs."""

from __future__ import annotations

import os
import queue
import secrets
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xllamacpp

from edgewise import _core
from edgewise.config import LARGEST
from edgewise.engine.memory import peak_memory_bytes
from edgewise.engine.protocol import Engine, GenerateOptions, Piece, Timings
from edgewise.errors import ContextFull, EdgewiseError, InvalidArgument, ModelFileError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self

    from edgewise.config import EngineConfig
    from edgewise.engine.protocol import FinishReason

GPU_BUILDS = (
    "https://xorbitsai.github.io/xllamacpp/whl/ has builds for CUDA, ROCm and Vulkan; on macOS Metal is included"
)
CACHE_TYPES = {"f32": "GGML_TYPE_F32", "f16": "GGML_TYPE_F16", "q8_0": "GGML_TYPE_Q8_0"}


class LlamaCppEngine(Engine):
    """A model in llama.cpp.

    xllamacpp runs llama.cpp's server inside this process. Here it listens on nothing but a socket file that only this
    user can reach (on Windows: the loopback address), and a random key keeps everybody out.

    Args:
        path: a GGUF file.
        config: how to open it; `isa` means nothing to llama.cpp.

    Raises:
        ModelFileError: if llama.cpp cannot load the file, or an adapter.
        UnsupportedError: if layers are asked for on a GPU that this build or machine does not have.
    """

    def __init__(self, path: Path, config: EngineConfig) -> None:
        started_s = time.perf_counter()
        if config.gpu_layers != 0 and not has_gpu():
            raise UnsupportedError(
                f"gpu_layers={config.gpu_layers}: the installed build of xllamacpp finds no GPU", hint=GPU_BUILDS
            )
        self._path = path
        file = _core.ModelFile(path)
        for adapter, _ in config.lora:
            _core.ModelFile(adapter)  # refuses what is malformed
        self._metadata = file.metadata()
        self._vocabulary_size = {key: count for key, _, count in file.arrays()}.get("tokenizer.ggml.tokens", 0)
        try:
            self._tokenizer: _core.Tokenizer | None = _core.Tokenizer(file)
        except UnsupportedError:
            self._tokenizer = None
        trained = self._metadata.get(f"{self._metadata.get('general.architecture')}.context_length", 0)
        self._context_length = config.context_for(trained if isinstance(trained, int) else 0)
        self._folder = tempfile.TemporaryDirectory(prefix="edgewise-")
        self._was_asked = False
        try:
            self._server: Any = xllamacpp.Server(self._parameters(config))
        except RuntimeError as error:
            self._folder.cleanup()
            raise ModelFileError(f"{path}: llama.cpp could not load it: {error}") from error
        self.load_s = time.perf_counter() - started_s

    def _parameters(self, config: EngineConfig) -> Any:
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(self._path)
        parameters.n_ctx = self._context_length
        parameters.n_batch = parameters.n_ubatch = config.batch
        parameters.n_parallel = 1
        parameters.n_gpu_layers = config.gpu_layers
        parameters.lora_adapters = [
            xllamacpp.CommonAdapterLoraInfo(str(path), float(scale)) for path, scale in config.lora
        ]
        parameters.cache_type_k = getattr(xllamacpp.ggml_type, CACHE_TYPES[config.key_format])
        parameters.cache_type_v = getattr(xllamacpp.ggml_type, CACHE_TYPES[config.value_format])
        threads = min(config.threads or _core.choose_threads().threads, _core.choose_threads().limit)
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
        parameters.warmup = False
        parameters.verbosity = -1
        parameters.api_keys = [secrets.token_hex(16)]
        if os.name != "nt":
            parameters.hostnames = [str(Path(self._folder.name) / "llama.sock")]
        return parameters

    @property
    def name(self) -> str:
        """`llamacpp`."""
        return "llamacpp"

    @property
    def path(self) -> Path:
        """The model file."""
        return self._path

    @property
    def metadata(self) -> Mapping[str, object]:
        """The file's metadata, without its arrays."""
        return self._metadata

    @property
    def context_length(self) -> int:
        """Tokens that prompt and answer may have together."""
        return self._context_length

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens that the model knows."""
        return self._vocabulary_size

    @property
    def server(self) -> Any:
        """The xllamacpp server.

        Raises:
            InvalidArgument: if the engine is closed.
        """
        if self._server is None:
            raise InvalidArgument("the engine is closed")
        return self._server

    def tokenize(self, text: str | bytes, *, add_special: bool = True, parse_special: bool = False) -> list[int]:
        """Text to token ids; see `Engine.tokenize`.

        Raises:
            UnsupportedError: if the core does not know the file's tokenizer; `generate` takes text all the same.
        """
        data = text.encode() if isinstance(text, str) else text
        return self._known_tokenizer().encode(data, add_special=add_special, parse_special=parse_special)

    def detokenize(self, tokens: Sequence[int], *, special: bool = False) -> bytes:
        """Token ids to the bytes of their text; see `Engine.detokenize`."""
        return self._known_tokenizer().decode(tokens, special=special)

    def generate(self, prompt: str | Sequence[int], options: GenerateOptions | None = None) -> LlamaCppAnswer:
        """Continues a prompt; see `Engine.generate`."""
        options = options or GenerateOptions()
        options.sampler()  # refuses what is out of range
        if options.context_shift:
            raise UnsupportedError("context_shift: the llama.cpp backend cannot tell what was dropped")
        if not isinstance(prompt, str):
            prompt = list(prompt)
            if len(prompt) >= self._context_length:
                raise ContextFull(f"Requested tokens ({len(prompt)}) exceed context window of {self._context_length}")
        return LlamaCppAnswer(self, prompt, options)

    def close(self) -> None:
        """Gives the memory back."""
        if self._server is not None:
            if not self._was_asked:
                # xllamacpp waits forever for a server that ends before its loop runs: one token proves it runs.
                _ask(self._server, {"prompt": "a", "n_predict": 1}, queue.SimpleQueue(), threading.Event())
            self._server = None
            self._folder.cleanup()

    def __del__(self) -> None:
        if hasattr(self, "_server"):
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _known_tokenizer(self) -> _core.Tokenizer:
        if self._tokenizer is None:
            raise UnsupportedError("the core does not know this file's tokenizer", hint="give the prompt as text")
        return self._tokenizer


class LlamaCppAnswer:
    """Iterates over the pieces of an answer; see `edgewise.engine.protocol.Generation`.

    llama.cpp calls back, so a thread collects what it says; requests queue up inside llama.cpp.

    Args:
        engine: whose server is asked.
        prompt: text or token ids.
        options: how the answer is made.
    """

    def __init__(self, engine: LlamaCppEngine, prompt: str | list[int], options: GenerateOptions) -> None:
        self._engine = engine
        engine._was_asked = True
        self._with_logprobs = options.logprobs
        self._said: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._cancelled = threading.Event()
        self._is_over = False
        self._finish_reason: FinishReason | None = None
        self._usage: dict[str, Any] = {}
        self._measured: dict[str, Any] = {}
        self._started_s = time.perf_counter()
        self._first_token_s = 0.0
        request = _request(prompt, options)
        self._prompt_tokens = len(prompt) if isinstance(prompt, list) else 0
        threading.Thread(target=_ask, args=(engine.server, request, self._said, self._cancelled), daemon=True).start()

    @property
    def prompt_tokens(self) -> int:
        """Tokens in the prompt; of a text known once the answer has ended."""
        return int(self._usage.get("prompt_tokens", self._prompt_tokens))

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the answer ended; None while it goes on, and after `close`."""
        return self._finish_reason

    @property
    def timings(self) -> Timings:
        """What it cost, as far as llama.cpp has said."""
        measured = self._measured
        return Timings(
            load_s=self._engine.load_s,
            time_to_first_token_s=self._first_token_s,
            cached_tokens=int(measured.get("cache_n", 0)),
            evaluated_tokens=int(measured.get("prompt_n", 0)),
            generated_tokens=int(self._usage.get("completion_tokens", measured.get("predicted_n", 0))),
            prefill_s=float(measured.get("prompt_ms", 0.0)) / 1e3,
            decode_s=float(measured.get("predicted_ms", 0.0)) / 1e3,
            peak_memory_bytes=peak_memory_bytes(),
        )

    def __iter__(self) -> Iterator[Piece]:
        return self

    def __next__(self) -> Piece:
        while not self._is_over:
            said = self._said.get()
            if said is None:
                self._is_over = True
                break
            if "error" in said:
                self.close()
                raise _error(said["error"])
            piece = self._piece(said)
            if piece is not None:
                return piece
        raise StopIteration

    def close(self) -> None:
        """Stops; llama.cpp notices at its next token."""
        self._is_over = True
        self._cancelled.set()

    def __del__(self) -> None:
        self._cancelled.set()

    def _piece(self, said: dict[str, Any]) -> Piece | None:
        self._usage = said.get("usage", self._usage)
        self._measured = said.get("timings", self._measured)
        choice = said["choices"][0]
        self._finish_reason = choice["finish_reason"] or self._finish_reason
        content = (choice.get("logprobs") or {}).get("content") or []
        if not content:
            return Piece(-1, choice["text"], None) if choice["text"] else None
        if self._first_token_s == 0.0:
            self._first_token_s = time.perf_counter() - self._started_s
        token = content[-1]
        top = tuple((other["id"], other["logprob"]) for other in token["top_logprobs"])
        return Piece(
            token["id"],
            choice["text"],
            token["logprob"] if self._with_logprobs else None,
            top if self._with_logprobs else (),
        )


def has_gpu() -> bool:
    """Whether the installed build of xllamacpp sees a GPU."""
    return any("GPU" in str(device.get("type")) for device in xllamacpp.get_device_info())


def _ask(
    server: Any, request: dict[str, Any], said: queue.SimpleQueue[dict[str, Any] | None], cancelled: threading.Event
) -> None:
    """Runs in a thread that does not hold the answer, so that one that nobody reads any more is cancelled."""

    def hear(message: dict[str, Any]) -> bool:
        said.put(message)
        return cancelled.is_set()  # True ends the work

    try:
        answer = server.handle_completions(request, hear)
        if isinstance(answer, dict):
            said.put(answer)
    except Exception as error:  # whatever goes wrong here is told to the thread that reads
        said.put({"error": {"message": str(error)}})
    said.put(None)


def _request(prompt: str | list[int], options: GenerateOptions) -> dict[str, Any]:
    request: dict[str, Any] = {
        "prompt": prompt,
        "n_predict": -1 if options.max_tokens is None else min(options.max_tokens, LARGEST),
        "temperature": options.temperature,
        "top_k": min(max(options.top_k, 0), LARGEST),
        "top_p": options.top_p,
        "min_p": options.min_p,
        "typical_p": options.typical_p,
        "repeat_penalty": options.repeat_penalty,
        "frequency_penalty": options.frequency_penalty,
        "presence_penalty": options.presence_penalty,
        "repeat_last_n": min(max(options.penalty_last_n, -1), LARGEST),
        "logit_bias": [[token, bias] for token, bias in options.logit_bias.items()],
        "seed": options.chosen_seed % 2**32,
        "stop": list(options.stop),
        "n_probs": min(max(1, options.top_logprobs), LARGEST),  # without it llama.cpp does not tell the token's id
        "stream": True,
        "cache_prompt": True,
    }
    if options.mirostat is not None:
        tau, eta = options.mirostat
        request |= {"mirostat": 2, "mirostat_tau": tau, "mirostat_eta": eta}
    return request


def _error(error: dict[str, Any]) -> EdgewiseError:
    message = str(error.get("message", error))
    if error.get("type") == "exceed_context_size_error":
        return ContextFull(f"Requested tokens ({error['n_prompt_tokens']}) exceed context window of {error['n_ctx']}")
    if error.get("code") == 400:
        return InvalidArgument(message)
    return EdgewiseError(f"llama.cpp: {message}")
