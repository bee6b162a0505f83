"""Write a GGUF file of a known model's shape with random weights, in seconds and without a download.

python benchmarks/make_model.py --shape llama3.2-1b --format q4_k_m --out benchmarks/models/llama3.2-1b-q4_k_m.gguf
"""

import argparse
import shutil
from pathlib import Path

from random_model.known_shapes import KNOWN_SHAPES
from random_model.recipe import MIXES, mix
from random_model.writer import write_model

PIECE_BYTES = 1 << 24
FOLDER = Path(__file__).parent / "models"


def main() -> None:
    """Write one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=sorted(KNOWN_SHAPES), default="llama3.2-1b")
    parser.add_argument("--format", choices=sorted(MIXES), default="q4_k_m", help="the mix of formats")
    parser.add_argument("--seed", type=int, default=1, help="the same seed writes the same bytes")
    parser.add_argument("--out", type=Path, help="default: benchmarks/models/SHAPE-FORMAT.gguf")
    arguments = parser.parse_args()
    path = arguments.out or FOLDER / f"{arguments.shape}-{arguments.format}.gguf"
    make_model(path, arguments.shape, arguments.format, arguments.seed)
    print(path)


def make_model(path: Path, shape_name: str, mix_name: str, seed: int = 1) -> None:
    """Write a file; a reader never sees it half written.

    Args:
        path: the file; its folder is made.
        shape_name: one of `KNOWN_SHAPES`.
        mix_name: one of `MIXES`.
        seed: the same seed writes the same bytes.
    """
    shape = KNOWN_SHAPES[shape_name]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    write_model(temporary, shape, mix(mix_name, shape), seed)
    copy_in_large_pieces(temporary, path.with_suffix(".whole"))
    path.with_suffix(".whole").replace(path)
    temporary.unlink()


def copy_in_large_pieces(source: Path, target: Path) -> None:
    """Copy a file so that Linux caches it in large pages, as it does a file that Edgewise is the first to map.

    A file that was written in small pieces stays in small pages until it leaves the cache; reading those is slower on
    virtual machines.
    """
    with source.open("rb") as read, target.open("wb", buffering=0) as write:
        shutil.copyfileobj(read, write, PIECE_BYTES)


if __name__ == "__main__":
    main()
