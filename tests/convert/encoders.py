"""Folders of small random encoders, and what they compute, from their formulas alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from convert.folders import stored, write_safetensors

Kind = Literal["bert", "nomic-bert"]
Array = npt.NDArray[np.float32]

WIDTH, INNER, HEADS, LAYERS, POSITIONS = 64, 96, 4, 2, 40
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TOKENS = [*SPECIAL, "!", ",", "the", "cat", "ca", "##t", "##s", "a", "##a", "u", "##u", "\u00fc", "##\u00fc"]

CONFIGS: dict[Kind, dict[str, Any]] = {
    "bert": {
        "architectures": ["BertModel"],
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": INNER,
        "max_position_embeddings": POSITIONS,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "type_vocab_size": 2,
        "vocab_size": len(TOKENS),
        "position_embedding_type": "absolute",
    },
    "nomic-bert": {
        "architectures": ["NomicBertModel"],
        "n_embd": WIDTH,
        "n_layer": LAYERS,
        "n_head": HEADS,
        "n_inner": INNER,
        "n_positions": 8 * POSITIONS,
        "max_trained_positions": POSITIONS,
        "activation_function": "swiglu",
        "layer_norm_epsilon": 1e-12,
        "rotary_emb_base": 1000,
        "rotary_emb_fraction": 1.0,
        "rotary_emb_interleaved": False,
        "rotary_emb_scale_base": None,
        "type_vocab_size": 2,
        "vocab_size": len(TOKENS) + 2,  # padded, as Nomic's is
        "prenorm": False,
        "causal": False,
    },
}


def tokenizer_json() -> dict[str, Any]:
    """A tokenizer.json as `tokenizers` writes it for BERT."""
    return {
        "added_tokens": [{"id": i, "content": text, "special": True} for i, text in enumerate(SPECIAL)],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
            ],
        },
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {text: i for i, text in enumerate(TOKENS)},
        },
    }


def weights(kind: Kind) -> dict[str, Array]:
    """Random weights under their names in the folder."""
    is_bert, random = kind == "bert", np.random.default_rng(7)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (CONFIGS[kind]["vocab_size"], WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
    }
    matrices: dict[str, tuple[int, int]]
    if is_bert:
        shapes["embeddings.position_embeddings.weight"] = (POSITIONS, WIDTH)
        layer, norms = "encoder.layer", ("attention.output.LayerNorm", "output.LayerNorm")
        matrices = {f"attention.self.{part}": (WIDTH, WIDTH) for part in ("query", "key", "value")}
        matrices |= {"attention.output.dense": (WIDTH, WIDTH)}
        matrices |= {"intermediate.dense": (INNER, WIDTH), "output.dense": (WIDTH, INNER)}
    else:
        layer, norms = "encoder.layers", ("norm1", "norm2")
        matrices = {"attn.Wqkv": (3 * WIDTH, WIDTH), "attn.out_proj": (WIDTH, WIDTH)}
        matrices |= {"mlp.fc11": (INNER, WIDTH), "mlp.fc12": (INNER, WIDTH), "mlp.fc2": (WIDTH, INNER)}
    all_norms = ["embeddings.LayerNorm" if is_bert else "emb_ln"]
    for index in range(LAYERS):
        all_norms += [f"{layer}.{index}.{name}" for name in norms]
        for name, shape in matrices.items():
            shapes[f"{layer}.{index}.{name}.weight"] = shape
            if is_bert:
                shapes[f"{layer}.{index}.{name}.bias"] = shape[:1]
    found = {name: random.normal(0, shape[-1] ** -0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    for name in all_norms:
        found[f"{name}.weight"] = random.normal(1, 0.2, WIDTH).astype(np.float32)
        found[f"{name}.bias"] = random.normal(0, 0.2, WIDTH).astype(np.float32)
    return found


def write_folder(folder: Path, kind: Kind, *, pooling: str | None = "mean_tokens") -> None:
    """A model folder."""
    folder.mkdir(exist_ok=True)
    tensors = {name: stored(values, "F32") for name, values in weights(kind).items()}
    if kind == "bert":  # what such folders hold beside
        tensors["pooler.dense.weight"] = stored(np.zeros((WIDTH, WIDTH), np.float32), "F32")
        tensors["pooler.dense.bias"] = stored(np.zeros(WIDTH, np.float32), "F32")
    write_safetensors(folder / "model.safetensors", tensors)
    (folder / "config.json").write_text(json.dumps(CONFIGS[kind]))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer_json()))
    if pooling is not None:
        (folder / "1_Pooling").mkdir()
        modes = {f"pooling_mode_{name}": name == pooling for name in ("cls_token", "mean_tokens", "max_tokens")}
        (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": WIDTH, **modes}))


def states(kind: Kind, tokens: list[int]) -> Array:
    """The states of all tokens behind the last layer: (tokens, width)."""
    w, is_bert = weights(kind), kind == "bert"
    layer = "encoder.layer" if is_bert else "encoder.layers"
    x = w["embeddings.word_embeddings.weight"][tokens] + w["embeddings.token_type_embeddings.weight"][0]
    if is_bert:
        x = x + w["embeddings.position_embeddings.weight"][: len(tokens)]
    x = _norm(x, w, "embeddings.LayerNorm" if is_bert else "emb_ln")
    for index in range(LAYERS):
        name = f"{layer}.{index}"
        if is_bert:
            heads = [_linear(x, w, f"{name}.attention.self.{part}") for part in ("query", "key", "value")]
            found = _linear(_attention(*heads), w, f"{name}.attention.output.dense")
            x = _norm(x + found, w, f"{name}.attention.output.LayerNorm")
            up = _linear(x, w, f"{name}.intermediate.dense")
            bent = 0.5 * up * (1 + np.tanh(np.sqrt(2 / np.pi) * (up + 0.044715 * up**3)))
            x = _norm(x + _linear(bent, w, f"{name}.output.dense"), w, f"{name}.output.LayerNorm")
        else:
            query, key, value = np.split(_linear(x, w, f"{name}.attn.Wqkv"), 3, axis=-1)
            found = _linear(_attention(_rotated(query), _rotated(key), value), w, f"{name}.attn.out_proj")
            x = _norm(x + found, w, f"{name}.norm1")
            gate = _linear(x, w, f"{name}.mlp.fc12")
            bent = _linear(x, w, f"{name}.mlp.fc11") * gate / (1 + np.exp(-gate))
            x = _norm(x + _linear(bent, w, f"{name}.mlp.fc2"), w, f"{name}.norm2")
    return x.astype(np.float32)


def _linear(x: Array, w: dict[str, Array], name: str) -> Array:
    return np.asarray(x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", np.float32(0)))


def _norm(x: Array, w: dict[str, Array], name: str) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
    return np.asarray(scaled * w[f"{name}.weight"] + w[f"{name}.bias"])


def _attention(query: Array, key: Array, value: Array) -> Array:
    q, k, v = (x.reshape(len(x), HEADS, -1).swapaxes(0, 1) for x in (query, key, value))
    scores = q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    return np.asarray((shares @ v).swapaxes(0, 1).reshape(query.shape))


def _rotated(x: Array) -> Array:
    heads = x.reshape(len(x), HEADS, 2, -1)  # (tokens, heads, half, pair)
    pairs = heads.shape[-1]
    angles = np.arange(len(x))[:, None, None] * 1000.0 ** (-np.arange(pairs) / pairs)
    low, high = heads[:, :, 0], heads[:, :, 1]
    cosines, sines = np.cos(angles), np.sin(angles)
    turned = np.stack([low * cosines - high * sines, low * sines + high * cosines], axis=2)
    return np.asarray(turned.reshape(x.shape))
