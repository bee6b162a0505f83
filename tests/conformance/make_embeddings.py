"""Run llama.cpp on every encoder and store its vectors. By hand, never in CI.

    cd tests && PYTHONPATH=../benchmarks python -m conformance.make_embeddings

Needs `llama-cpp-python` (built natively), `gguf` and `numpy`.
"""

import hashlib
import json
import tempfile
from pathlib import Path

import llama_cpp
import numpy as np

from conformance.embedding_oracle import Vectors, embeddings
from conformance.encoder_cases import POOLINGS, ROWS_OF, encoder_cases
from conformance.golden import FOLDER
from random_model.encoder import write_encoder

SEED = 1


def main() -> None:
    """Make the figures of all cases."""
    hashes: dict[str, str] = {}
    arrays: dict[str, Vectors] = {}
    for case in encoder_cases():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "encoder.gguf"
            write_encoder(path, case.shape, case.format_name, SEED)
            hashes[case.name] = hashlib.sha256(path.read_bytes()).hexdigest()
            for pooling in POOLINGS:
                arrays[f"{case.name}/{pooling}"] = np.concatenate(embeddings(path, case.texts, pooling))
            arrays[f"{case.name}/none"] = embeddings(path, [case.texts[ROWS_OF]], "none")[0]
    record = {"oracle": f"llama-cpp-python {llama_cpp.__version__}", "seed": SEED, "sha256": hashes}
    (FOLDER / "embedding-figures.json").write_text(json.dumps(record, indent=1) + "\n")
    np.savez_compressed(FOLDER / "embeddings.npz", allow_pickle=False, **arrays)


if __name__ == "__main__":
    main()
