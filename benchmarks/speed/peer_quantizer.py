"""Quantize with llama.cpp; run by an interpreter that has llama-cpp-python, and needs nothing else.

python peer_quantizer.py MODEL.gguf OUT.gguf FILE_TYPE THREADS [IMPORTANCE.npz]
"""

import ctypes
import json
import re
import resource
import sys
import time
from pathlib import Path

import llama_cpp
import numpy as np


def main() -> None:
    """Print what it took, as JSON."""
    model, out, file_type, threads, *importance = sys.argv[1:]
    silent = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(silent, None)
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype, parameters.nthread = int(file_type), int(threads)
    if importance:
        columns = dict(np.load(importance[0]))
        parameters.imatrix = table(columns)
    used, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    failed = llama_cpp.llama_model_quantize(model.encode(), out.encode(), parameters)
    wall_s, now = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    if failed:
        raise SystemExit(f"llama_model_quantize failed with {failed}")
    cpu_s = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    print(json.dumps({"wall_s": wall_s, "cpu_s": cpu_s, "peak_bytes": peak_bytes()}))


def peak_bytes() -> int:
    """The most memory that this process has had resident; what getrusage says may be that of the parent."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s*(\d+) kB", status)[0]) * 1024


def table(columns: dict[str, np.ndarray]) -> ctypes.Array[llama_cpp.llama_model_imatrix_data]:
    """Importances as llama.cpp takes them; they must outlive the call."""
    pointer = ctypes.POINTER(ctypes.c_float)
    entries = [
        llama_cpp.llama_model_imatrix_data(name.encode(), values.ctypes.data_as(pointer), values.size)
        for name, values in columns.items()
    ]
    found: ctypes.Array[llama_cpp.llama_model_imatrix_data]
    found = (llama_cpp.llama_model_imatrix_data * (len(entries) + 1))(*entries)
    return found


if __name__ == "__main__":
    main()
