"""Write a projector with random weights: a small vision transformer whose patches become embeddings of a model."""

from pathlib import Path

import numpy as np
from gguf import GGUFWriter

WIDTH, HEADS = 32, 2
IMAGE, PATCH = 32, 8  # pixels of a side
IMAGE_TOKENS = (IMAGE // PATCH) ** 2


def write_projector(path: Path, embedding_length: int, seed: int = 1) -> Path:
    """Write a projector of the kind that LLaVA has: each image becomes `IMAGE_TOKENS` embeddings.

    Args:
        path: the file to write.
        embedding_length: of the model that it is for.
        seed: the same seed gives the same bytes.
    """
    random = np.random.default_rng(seed)
    writer = GGUFWriter(path, "clip")
    writer.add_type("mmproj")
    writer.add_name("random weights")
    writer.add_clip_has_vision_encoder(True)
    writer.add_clip_projector_type("mlp")
    writer.add_vision_image_size(IMAGE)
    writer.add_vision_patch_size(PATCH)
    writer.add_vision_embedding_length(WIDTH)
    writer.add_vision_feed_forward_length(2 * WIDTH)
    writer.add_vision_projection_dim(embedding_length)
    writer.add_vision_block_count(2)  # llama.cpp leaves the last one away
    writer.add_vision_head_count(HEADS)
    writer.add_vision_attention_layernorm_eps(1e-5)
    writer.add_vision_image_mean([0.5] * 3)
    writer.add_vision_image_std([0.5] * 3)
    writer.add_vision_use_gelu(True)

    def matrix(name: str, *shape: int) -> None:
        fan_in = int(np.prod(shape[1:])) or 1
        writer.add_tensor(f"{name}.weight", random.normal(0, fan_in**-0.5, shape).astype(np.float32))

    def bias(name: str, length: int) -> None:
        writer.add_tensor(f"{name}.bias", random.normal(0, 0.02, length).astype(np.float32))

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
        bias(name, WIDTH)

    matrix("v.patch_embd", WIDTH, 3, PATCH, PATCH)
    matrix("v.position_embd", IMAGE_TOKENS, WIDTH)
    norm("v.pre_ln")
    for block in range(2):
        for name, rows, columns in (
            ("attn_q", WIDTH, WIDTH),
            ("attn_k", WIDTH, WIDTH),
            ("attn_v", WIDTH, WIDTH),
            ("attn_out", WIDTH, WIDTH),
            ("ffn_up", 2 * WIDTH, WIDTH),
            ("ffn_down", WIDTH, 2 * WIDTH),
        ):
            matrix(f"v.blk.{block}.{name}", rows, columns)
            bias(f"v.blk.{block}.{name}", rows)
        norm(f"v.blk.{block}.ln1")
        norm(f"v.blk.{block}.ln2")
    for name, columns in (("mm.0", WIDTH), ("mm.2", embedding_length)):
        matrix(name, embedding_length, columns)
        bias(name, embedding_length)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
