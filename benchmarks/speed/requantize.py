"""Quantize a model file with llama.cpp: python -m speed.requantize SOURCE TARGET FORMAT."""

import ctypes
import sys

import llama_cpp


def main() -> None:
    """Write TARGET in the mix that llama.cpp calls FORMAT, such as `q4_k_m`."""
    source, target, name = sys.argv[1:]
    silence = llama_cpp.llama_log_callback(lambda level, text, user_data: None)
    llama_cpp.llama_log_set(silence, ctypes.c_void_p(0))
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{name.upper()}")
    status = llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(parameters))
    if status:
        sys.exit(f"llama_model_quantize answers {status}")


if __name__ == "__main__":
    main()
