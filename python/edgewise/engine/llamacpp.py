"""The llama.cpp backend: the xllamacpp wheel, for architectures that the core does not run, and for GPUs."""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xllamacpp

from edgewise import _core
from edgewise.engine.images import ImagePrompt
from edgewise.engine.llamacpp_answer import LlamaCppAnswer
from edgewise.engine.llamacpp_wire import Wire
from edgewise.engine.protocol import Engine, GenerateOptions
from edgewise.errors import ContextFull, InvalidArgument, ModelFileError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self

    from edgewise.config import EngineConfig

GPU_BUILDS = (
    "https://xorbitsai.github.io/xllamacpp/whl/ has builds for CUDA, ROCm and Vulkan; on macOS Metal is included"
)
PROJECTOR_HINT = "EngineConfig(projector=...) names its mmproj file"
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
        if config.projector:
            _core.ModelFile(config.projector)
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
        key = secrets.token_hex(16)
        try:
            self._server: Any = xllamacpp.Server(self._parameters(config, key))
        except RuntimeError as error:
            self._folder.cleanup()
            files = f"{path} with {config.projector}" if config.projector else str(path)
            raise ModelFileError(f"{files}: llama.cpp could not load it: {error}") from error
        self.wire = Wire(str(self._server.listening_address), key)
        facts = self.wire.facts() if config.projector else {}
        self._marker = str(facts.get("media_marker", ""))
        self.sees_images = bool(facts.get("modalities", {}).get("vision")) and bool(self._marker)
        self.load_s = time.perf_counter() - started_s

    def _parameters(self, config: EngineConfig, key: str) -> Any:
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(self._path)
        parameters.n_ctx = self._context_length
        parameters.n_batch = parameters.n_ubatch = config.batch
        parameters.n_parallel = 1
        parameters.n_gpu_layers = config.gpu_layers
        if config.projector:
            parameters.mmproj.path = str(config.projector)
            parameters.mmproj_use_gpu = config.gpu_layers != 0
        parameters.lora_adapters = [
            xllamacpp.CommonAdapterLoraInfo(str(path), float(scale)) for path, scale in config.lora
        ]
        parameters.cache_type_k = getattr(xllamacpp.ggml_type, CACHE_TYPES[config.key_format])
        parameters.cache_type_v = getattr(xllamacpp.ggml_type, CACHE_TYPES[config.value_format])
        threads = min(config.threads or _core.choose_threads().threads, _core.choose_threads().limit)
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
        parameters.cache_ram_mib = 0  # by default 8 GiB of old prompts, of whatever namespace
        parameters.warmup = False
        parameters.verbosity = -1
        parameters.api_keys = [key]
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

    def generate(
        self, prompt: str | Sequence[int] | ImagePrompt, options: GenerateOptions | None = None
    ) -> LlamaCppAnswer:
        """Continues a prompt; see `Engine.generate`.

        Images are seen where the engine was opened with a projector. The text around them is split into tokens by
        llama.cpp, which puts the special tokens that the model expects first.

        Raises:
            UnsupportedError: if there are images and no projector, or the context is to shift.
        """
        options = options or GenerateOptions()
        options.sampler()  # refuses what is out of range
        if options.context_shift:
            raise UnsupportedError("context_shift: the llama.cpp backend cannot tell what was dropped")
        if isinstance(prompt, ImagePrompt):
            if not self.sees_images:
                raise UnsupportedError("this model was opened without what sees images", hint=PROJECTOR_HINT)
        elif not isinstance(prompt, str):
            prompt = list(prompt)
            if len(prompt) >= self._context_length:
                raise ContextFull(f"Requested tokens ({len(prompt)}) exceed context window of {self._context_length}")
        self._was_asked = True
        return LlamaCppAnswer(self, prompt, options, self._marker)

    def close(self) -> None:
        """Gives the memory back."""
        if self._server is not None:
            if not self._was_asked:
                # xllamacpp waits forever for a server that ends before its loop runs: one token proves it runs.
                self.wire.completion({"prompt": "a", "n_predict": 1}).run(lambda said: None)
            self.wire.settle()
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


def has_gpu() -> bool:
    """Whether the installed build of xllamacpp sees a GPU."""
    return any("GPU" in str(device.get("type")) for device in xllamacpp.get_device_info())
