"""llama.cpp through the ctypes layer of llama-cpp-python: the logits of a token sequence, nothing else."""

import ctypes
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal

import llama_cpp
import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]


_silence = llama_cpp.llama_log_callback(lambda level, text, user_data: None)


class Oracle:
    """One model in llama.cpp, as exact as it computes: no flash attention, weights not repacked.

    Args:
        path: the model file.
        context_length: tokens that it may have.
        cache: number format of the KV cache.
        adapters: LoRA adapters and their scales.
    """

    def __init__(
        self,
        path: Path,
        context_length: int,
        cache: Literal["f32", "f16"] = "f32",
        adapters: Sequence[tuple[Path, float]] = (),
    ) -> None:
        llama_cpp.llama_log_set(_silence, ctypes.c_void_p(0))
        model_parameters = llama_cpp.llama_model_default_params()
        model_parameters.use_extra_bufts = False
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), model_parameters)
        if not self._model:
            raise RuntimeError(f"llama.cpp does not load {path}")
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = context_length
        parameters.n_batch = parameters.n_ubatch = 512
        parameters.n_threads = parameters.n_threads_batch = 1
        parameters.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        parameters.type_k = parameters.type_v = getattr(llama_cpp, f"GGML_TYPE_{cache.upper()}")
        self._context = llama_cpp.llama_init_from_model(self._model, parameters)
        if not self._context:
            raise RuntimeError(f"llama.cpp makes no context for {path}")
        if adapters:
            self._adapt(adapters)
        self._vocabulary = llama_cpp.llama_model_get_vocab(self._model)
        self._vocabulary_size = llama_cpp.llama_vocab_n_tokens(self._vocabulary)
        self._position = 0

    def _adapt(self, adapters: Sequence[tuple[Path, float]]) -> None:
        found = [llama_cpp.llama_adapter_lora_init(self._model, str(path).encode()) for path, _ in adapters]
        if not all(found):
            raise RuntimeError(f"llama.cpp does not take {adapters}")
        pointers = (llama_cpp.llama_adapter_lora_p_ctypes * len(found))(*found)
        scales = (ctypes.c_float * len(found))(*(scale for _, scale in adapters))
        if llama_cpp.llama_set_adapters_lora(self._context, pointers, len(found), scales):
            raise RuntimeError(f"llama.cpp does not set {adapters}")

    def evaluate(self, tokens: list[int]) -> Logits:
        """The logits behind each of `tokens`, which follow what was evaluated before: (tokens, vocabulary)."""
        batch = llama_cpp.llama_batch_init(len(tokens), 0, 1)
        batch.n_tokens = len(tokens)
        for index, token in enumerate(tokens):
            batch.token[index] = token
            batch.pos[index] = self._position + index
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = 0
            batch.logits[index] = 1
        status = llama_cpp.llama_decode(self._context, batch)
        llama_cpp.llama_batch_free(batch)
        if status:
            raise RuntimeError(f"llama_decode answers {status}")
        self._position += len(tokens)
        rows = [
            np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(self._context, index), (self._vocabulary_size,))
            for index in range(len(tokens))
        ]
        return np.array(rows, dtype=np.float32)

    def forget(self) -> None:
        """Empties the cache."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)
        self._position = 0

    def tokenize(self, text: bytes) -> list[int]:
        """The tokens of a text, special tokens added."""
        tokens = (llama_cpp.llama_token * (len(text) + 2))()
        count = llama_cpp.llama_tokenize(self._vocabulary, text, len(text), tokens, len(tokens), True, False)
        return list(tokens[:count])

    @property
    def first_token(self) -> int | None:
        """The token that the model begins texts with, if it does."""
        if not llama_cpp.llama_vocab_get_add_bos(self._vocabulary):
            return None
        return int(llama_cpp.llama_vocab_bos(self._vocabulary))

    def __enter__(self) -> "Oracle":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        llama_cpp.llama_free(self._context)
        llama_cpp.llama_model_free(self._model)
