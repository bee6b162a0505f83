"""A projector of random weights, which turns images into what a model reads; and an image."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import gguf
import numpy as np

IMAGE_TOKENS = 16  # of any image: 4 patches in each direction


def random_projector(path: Path, width: int, without: str = "") -> Path:
    """Writes the projector: a vision transformer of one layer, and two matrices behind it.

    Args:
        path: of the file.
        width: of the embeddings of the model that it belongs to.
        without: a tensor that is left away.
    """
    random = np.random.default_rng(0)
    size, patch, inner, hidden = 56, 14, 64, 128
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type("mmproj")
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_bool("clip.use_gelu", True)
    writer.add_string("clip.projector_type", "mlp")
    for name, number in (
        ("image_size", size), ("patch_size", patch), ("embedding_length", inner), ("feed_forward_length", hidden),
        ("projection_dim", width), ("block_count", 1), ("attention.head_count", 4),
    ):  # fmt: skip
        writer.add_uint32(f"clip.vision.{name}", number)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    writer.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
    shapes: dict[str, tuple[int, ...]] = {
        "v.patch_embd.weight": (inner, 3, patch, patch),
        "v.class_embd": (inner,),
        "v.position_embd.weight": ((size // patch) ** 2 + 1, inner),
        "mm.0.weight": (width, inner),
        "mm.0.bias": (width,),
        "mm.2.weight": (width, width),
        "mm.2.bias": (width,),
    }
    for name in ("pre_ln", "post_ln", "blk.0.ln1", "blk.0.ln2"):
        shapes |= {f"v.{name}.weight": (inner,), f"v.{name}.bias": (inner,)}
    for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
        shapes |= {f"v.blk.0.{name}.weight": (inner, inner), f"v.blk.0.{name}.bias": (inner,)}
    shapes |= {"v.blk.0.ffn_up.weight": (hidden, inner), "v.blk.0.ffn_up.bias": (hidden,)}
    shapes |= {"v.blk.0.ffn_down.weight": (inner, hidden), "v.blk.0.ffn_down.bias": (inner,)}
    shapes.pop(without, None)
    for name, shape in shapes.items():
        writer.add_tensor(name, (random.standard_normal(shape) * 0.1).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def png(width: int = 60, height: int = 60) -> bytes:
    """An image file."""
    rows = b"".join(b"\0" + bytes(x * y % 255 for x in range(3 * width)) for y in range(height))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
