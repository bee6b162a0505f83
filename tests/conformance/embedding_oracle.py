"""llama.cpp through the ctypes layer of llama-cpp-python: the embeddings of token sequences, nothing else."""

import ctypes
from pathlib import Path

import llama_cpp
import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]

_silence = llama_cpp.llama_log_callback(lambda level, text, user_data: None)
_POOLINGS = {"none": 0, "mean": 1, "first": 2, "last": 3}


def embeddings(path: Path, texts: list[list[int]], pooling: str) -> list[Vectors]:
    """The vectors of each text, evaluated alone: (1, width), or (tokens, width) without pooling."""
    llama_cpp.llama_log_set(_silence, ctypes.c_void_p(0))
    model_parameters = llama_cpp.llama_model_default_params()
    model_parameters.use_extra_bufts = False
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), model_parameters)
    if not model:
        raise RuntimeError(f"llama.cpp does not load {path}")
    parameters = llama_cpp.llama_context_default_params()
    parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = 512
    parameters.n_threads = parameters.n_threads_batch = 1
    parameters.embeddings = True
    parameters.pooling_type = _POOLINGS[pooling]
    parameters.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
    context = llama_cpp.llama_init_from_model(model, parameters)
    if not context:
        raise RuntimeError(f"llama.cpp makes no context for {path}")
    width = llama_cpp.llama_model_n_embd(model)
    found = []
    for text in texts:
        batch = llama_cpp.llama_batch_init(len(text), 0, 1)
        batch.n_tokens = len(text)
        for index, token in enumerate(text):
            batch.token[index] = token
            batch.pos[index] = index
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = 0
            batch.logits[index] = 1
        status = llama_cpp.llama_encode(context, batch)
        llama_cpp.llama_batch_free(batch)
        if status:
            raise RuntimeError(f"llama_encode answers {status}")
        rows = (
            [llama_cpp.llama_get_embeddings_ith(context, index) for index in range(len(text))]
            if pooling == "none"
            else [llama_cpp.llama_get_embeddings_seq(context, 0)]
        )
        found.append(np.array([np.ctypeslib.as_array(row, (width,)) for row in rows], dtype=np.float32))
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return found
