"""The demo model: a small llama-architecture decoder as pure JAX functions over a tree of arrays."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

Params = dict[str, jax.Array]


@dataclass(frozen=True)
class ModelConfig:
    """Shape of the model. Row lengths are multiples of 256, so that every GGUF block format applies."""

    vocab_size: int = 2048
    embedding_length: int = 256
    block_count: int = 4
    head_count: int = 4
    head_count_kv: int = 2
    head_size: int = 64
    feed_forward_length: int = 768
    context_length: int = 512
    rope_base: float = 10000.0
    norm_epsilon: float = 1e-5


def tensor_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor, under its GGUF name; matrices are (outputs, inputs) as GGUF stores them."""
    embedding, feed_forward = config.embedding_length, config.feed_forward_length
    query, key = config.head_count * config.head_size, config.head_count_kv * config.head_size
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (config.vocab_size, embedding), "output_norm": (embedding,)}
    for i in range(config.block_count):
        shapes |= {
            f"blk.{i}.attn_norm": (embedding,),
            f"blk.{i}.attn_q": (query, embedding),
            f"blk.{i}.attn_k": (key, embedding),
            f"blk.{i}.attn_v": (key, embedding),
            f"blk.{i}.attn_output": (embedding, query),
            f"blk.{i}.ffn_norm": (embedding,),
            f"blk.{i}.ffn_gate": (feed_forward, embedding),
            f"blk.{i}.ffn_up": (feed_forward, embedding),
            f"blk.{i}.ffn_down": (embedding, feed_forward),
        }
    return shapes


def initial_params(config: ModelConfig, seed: int) -> Params:
    """Normal matrices of deviation 0.02 (residual outputs scaled down with depth) and norms of one."""
    rng = np.random.default_rng(seed)
    params: Params = {}
    for name, shape in tensor_shapes(config).items():
        if len(shape) == 1:
            params[name] = jnp.ones(shape, jnp.float32)
            continue
        deviation = 0.02 if name == "token_embd" else shape[1] ** -0.5
        if name.endswith(("attn_output", "ffn_down")):
            deviation /= (2 * config.block_count) ** 0.5
        params[name] = jnp.asarray(rng.normal(0.0, deviation, shape), jnp.float32)
    return params


def parameter_count(config: ModelConfig) -> int:
    """Number of weights; the output matrix is the embedding and counts once."""
    return sum(int(np.prod(shape)) for shape in tensor_shapes(config).values())


def rms_norm(x: jax.Array, weight: jax.Array, epsilon: float) -> jax.Array:
    """Scale each row of x to a mean square of one, then by weight."""
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + epsilon) * weight


def rope(x: jax.Array, base: float) -> jax.Array:
    """Rotate neighbouring pairs (2i, 2i + 1) of every head: llama.cpp's "normal" RoPE, so no permutation at export.

    Args:
        x: (batch, positions, heads, head_size).
        base: wavelength base, 10000 in the original Llama.
    """
    batch, positions, heads, size = x.shape
    frequency = base ** (-np.arange(0, size, 2) / size)
    angle = np.arange(positions)[:, None] * frequency  # (positions, head_size / 2)
    cos = jnp.asarray(np.cos(angle), x.dtype)[None, :, None]
    sin = jnp.asarray(np.sin(angle), x.dtype)[None, :, None]
    pairs = x.reshape(batch, positions, heads, size // 2, 2)
    even, odd = pairs[..., 0], pairs[..., 1]
    return jnp.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1).reshape(x.shape)


def attention(config: ModelConfig, params: Params, block: str, x: jax.Array, mask: jax.Array) -> jax.Array:
    """Grouped-query attention; mask is (batch, positions, positions), True where a key may be seen."""
    batch, positions, _ = x.shape
    groups = config.head_count // config.head_count_kv
    q = (x @ params[f"{block}.attn_q"].T).reshape(batch, positions, config.head_count, config.head_size)
    k = (x @ params[f"{block}.attn_k"].T).reshape(batch, positions, config.head_count_kv, config.head_size)
    v = (x @ params[f"{block}.attn_v"].T).reshape(batch, positions, config.head_count_kv, config.head_size)
    q, k = rope(q, config.rope_base), rope(k, config.rope_base)
    k, v = jnp.repeat(k, groups, axis=2), jnp.repeat(v, groups, axis=2)
    scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) * config.head_size**-0.5
    weights = jax.nn.softmax(jnp.where(mask[:, None], scores, -1e9), axis=-1)
    mixed = jnp.einsum("bhqk,bkhd->bqhd", weights, v).reshape(batch, positions, -1)
    return mixed @ params[f"{block}.attn_output"].T


def logits(config: ModelConfig, params: Params, tokens: jax.Array, document: jax.Array) -> jax.Array:
    """Next-token logits of packed rows, (batch, positions, vocab).

    Tokens and document are (batch, positions); document numbers what a token belongs to, and attention stays inside it.
    """
    positions = tokens.shape[1]
    causal = jnp.tril(jnp.ones((positions, positions), bool))
    mask = causal[None] & (document[:, :, None] == document[:, None, :])
    x = params["token_embd"][tokens]
    for i in range(config.block_count):
        block = f"blk.{i}"
        x = x + attention(config, params, block, rms_norm(x, params[f"{block}.attn_norm"], config.norm_epsilon), mask)
        h = rms_norm(x, params[f"{block}.ffn_norm"], config.norm_epsilon)
        gated = jax.nn.silu(h @ params[f"{block}.ffn_gate"].T) * (h @ params[f"{block}.ffn_up"].T)
        x = x + gated @ params[f"{block}.ffn_down"].T
    return rms_norm(x, params["output_norm"], config.norm_epsilon) @ params["token_embd"].T


def weighted_loss(
    config: ModelConfig, params: Params, tokens: jax.Array, document: jax.Array, weight: jax.Array
) -> jax.Array:
    """Mean cross-entropy in nats of each next token, weighted by weight (batch, positions) of the token predicted."""
    predicted = jax.nn.log_softmax(logits(config, params, tokens, document)[:, :-1], axis=-1)
    nll = -jnp.take_along_axis(predicted, tokens[:, 1:, None], axis=-1)[..., 0]
    keep = weight[:, 1:] * (document[:, 1:] == document[:, :-1])
    return jnp.sum(nll * keep) / jnp.maximum(jnp.sum(keep), 1.0)
