"""Let llama.cpp quantize every case and store its choices. By hand, never in CI.

    cd tests && PYTHONPATH=../benchmarks python -m quantize.make_golden

Needs `llama-cpp-python`, `gguf` and `numpy`.
"""

import ctypes
import json
import tempfile
from pathlib import Path

import llama_cpp
import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter

from edgewise.quantize.mixes import MIXES
from quantize.cases import CASES, Case
from quantize.tables import PATH, Table, tabulate, with_importance

_silence = llama_cpp.llama_log_callback(lambda level, text, user_data: None)


def main() -> None:
    """Make all tables."""
    llama_cpp.llama_log_set(_silence, ctypes.c_void_p(0))
    tables = {}
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            source = Path(folder) / "source.gguf"
            _write(source, case)
            tables[case.name] = _tables(source, Path(folder) / "target.gguf", case)
            print(case.name, tables[case.name]["q4_k_m"])
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(_as_text(tables), encoding="utf-8")


def _tables(source: Path, target: Path, case: Case) -> dict[str, Table]:
    """The table of every mix, and the one with an importance matrix where it differs."""
    found = {}
    for mix in MIXES:
        if mix != "f32":
            plain, weighted = (_choices(source, target, case, mix, has_importance) for has_importance in (False, True))
            found[mix] = plain
            if weighted != plain:
                found[with_importance(mix)] = weighted
    return found


def _write(path: Path, case: Case) -> None:
    shape, facts = case.shape, case.facts()
    writer = GGUFWriter(path, shape.architecture)
    shape.add_to(writer)
    if case.expert_count:
        writer.add_expert_count(case.expert_count)
        writer.add_expert_used_count(2)
    writer.add_layer_norm_eps(1e-5)
    random = np.random.default_rng(1)
    for tensor in facts.tensors:
        writer.add_tensor(tensor.name, random.standard_normal(tensor.shape[::-1], dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _choices(source: Path, target: Path, case: Case, mix: str, has_importance: bool) -> Table:
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = MIXES[mix].file_type
    parameters.nthread = 1
    wishes = case.wishes
    if wishes.output:
        parameters.output_tensor_type = _type(wishes.output)
    if wishes.embedding:
        parameters.token_embedding_type = _type(wishes.embedding)
    if wishes.patterns:
        patterns = [llama_cpp.llama_model_tensor_override(text.encode(), _type(name)) for text, name in wishes.patterns]
        end = llama_cpp.llama_model_tensor_override(None, 0)
        parameters.tt_overrides = (llama_cpp.llama_model_tensor_override * (len(patterns) + 1))(*patterns, end)
    if has_importance:
        parameters.imatrix = _importance(case)
    status = llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(parameters))
    if status:
        raise RuntimeError(f"{case.name}: llama_model_quantize answers {status}")
    tensors = GGUFReader(target).tensors
    return tabulate({tensor.name: tensor.tensor_type.name.lower() for tensor in tensors if len(tensor.shape) > 1})


def _importance(case: Case) -> object:
    entries = []
    for tensor in case.facts().tensors:
        size = tensor.shape[0] * (tensor.shape[2] if len(tensor.shape) > 2 else 1)
        ones = (ctypes.c_float * size)(*[1.0] * size)
        entries.append(llama_cpp.llama_model_imatrix_data(tensor.name.encode(), ones, size))
    end = llama_cpp.llama_model_imatrix_data(None, None, 0)
    return (llama_cpp.llama_model_imatrix_data * (len(entries) + 1))(*entries, end)


def _type(name: str) -> int:
    return int(GGMLQuantizationType[name.upper()])


def _as_text(tables: dict[str, dict[str, Table]]) -> str:
    """JSON with one line for each mix."""
    cases = []
    for name, columns in tables.items():
        lines = ",\n".join(f"  {json.dumps(mix)}: {json.dumps(table)}" for mix, table in columns.items())
        cases.append(f"{json.dumps(name)}: {{\n{lines}\n}}")
    oracle = f"llama-cpp-python {llama_cpp.__version__}"
    body = ",\n".join(cases)
    return f'{{"oracle": {json.dumps(oracle)}, "tables": {{\n{body}\n}}}}\n'


if __name__ == "__main__":
    main()
