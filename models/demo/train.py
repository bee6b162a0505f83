"""Train the demo model on the generated corpus with AdamW, on a CPU; resumes from its last checkpoint.

python models/demo/train.py --steps 3000
"""

import argparse
import itertools
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from corpus.documents import Document, held_out_document, training_document
from model import ModelConfig, Params, initial_params, parameter_count, weighted_loss
from tokenizer import load_or_train
from tokenizers import Tokenizer

WORK = Path(__file__).parent / "work"
SHARD_DOCUMENTS = 2000
OPEN_ROWS = 16


@dataclass(frozen=True)
class TrainConfig:
    """Everything that the weights depend on, besides the model's shape."""

    steps: int = 1600
    seed: int = 7
    tokens_per_batch: int = 3072
    row_lengths: tuple[int, ...] = (256, 512)  # documents go to the shortest row that holds them
    muon_learning_rate: float = 0.02
    adam_learning_rate: float = 2e-3
    warmup_steps: int = 20
    decay_share: float = 0.5  # of the steps, at the end, down to a hundredth
    momentum: float = 0.95
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.98
    clip_norm: float = 1.0


@dataclass(frozen=True)
class Batch:
    """Packed rows, each (rows, positions): token ids, number of the document in its row, weight in the loss."""

    tokens: np.ndarray
    document: np.ndarray
    weight: np.ndarray


Encoded = tuple[list[int], list[float]]


def encode(tokenizer: Tokenizer, document: Document) -> Encoded:
    """Token ids of a document and the weight of each in the loss."""
    ids: list[int] = []
    weights: list[float] = []
    for piece in document:
        piece_ids = tokenizer.encode(piece.text).ids
        ids += piece_ids
        weights += [piece.weight] * len(piece_ids)
    return ids, weights


def pack(documents: list[Encoded], length: int) -> list[Batch]:
    """Fill rows of length tokens with whole documents, each into the fullest open row that still has room."""
    rows: list[list[Encoded]] = []
    open_rows: list[tuple[int, list[Encoded]]] = []  # (tokens used, documents)
    for document in documents:
        size = len(document[0])
        fitting = [i for i, (used, _) in enumerate(open_rows) if used + size <= length]
        if fitting:
            best = max(fitting, key=lambda i: open_rows[i][0])
            used, row = open_rows.pop(best)
        else:
            if len(open_rows) == OPEN_ROWS:
                rows.append(open_rows.pop(max(range(OPEN_ROWS), key=lambda i: open_rows[i][0]))[1])
            used, row = 0, []
        row.append(document)
        open_rows.append((used + size, row))
    return [_row(row, length) for row in rows + [row for _, row in open_rows]]


def _row(documents: list[Encoded], length: int) -> Batch:
    tokens, number, weight = np.zeros(length, np.int32), np.full(length, -1, np.int32), np.zeros(length, np.float32)
    position = 0
    for i, (ids, weights) in enumerate(documents):
        end = position + len(ids)
        tokens[position:end], number[position:end], weight[position:end] = ids, i, weights
        position = end
    return Batch(tokens, number, weight)


def stack(rows: list[Batch]) -> Batch:
    """Rows of one length as one batch."""
    return Batch(*(np.stack([getattr(row, name) for row in rows]) for name in ("tokens", "document", "weight")))


def batches_of(documents: list[Encoded], config: TrainConfig, rng: random.Random) -> list[Batch]:
    """Pack documents into full batches in random order; rows that fill no batch are dropped."""
    result: list[Batch] = []
    shorter = 0
    for length in config.row_lengths:
        rows = pack([d for d in documents if shorter < len(d[0]) <= length], length)
        rng.shuffle(rows)
        count = config.tokens_per_batch // length
        result += [stack(rows[i : i + count]) for i in range(0, len(rows) - count + 1, count)]
        shorter = length
    rng.shuffle(result)
    return result


def training_batches(tokenizer: Tokenizer, config: TrainConfig) -> Iterator[Batch]:
    """Endless fresh batches; the same seed gives the same ones."""
    for shard in itertools.count():
        rng = random.Random(f"{config.seed}/{shard}")
        documents = [encode(tokenizer, training_document(rng)) for _ in range(SHARD_DOCUMENTS)]
        yield from batches_of(documents, config, rng)


def held_out_batches(tokenizer: Tokenizer, config: TrainConfig, document_count: int) -> list[Batch]:
    """Batches of wordings, animals and unknown things that training never shows."""
    rng = random.Random(f"{config.seed}/held out")
    return batches_of([encode(tokenizer, held_out_document(rng)) for _ in range(document_count)], config, rng)


def rate_factor(config: TrainConfig, step: jax.Array) -> jax.Array:
    """Linear warm-up, constant, linear decay: the factor of every learning rate."""
    warm = (step + 1) / config.warmup_steps
    left = (config.steps - step) / (config.steps * config.decay_share)
    return jnp.clip(jnp.minimum(warm, left), 0.01, 1.0)


def orthogonalized(matrix: jax.Array) -> jax.Array:
    """The nearest matrix whose singular values are all near one, by five Newton-Schulz steps.

    Source: Muon, https://kellerjordan.github.io/posts/muon/
    """
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (jnp.linalg.norm(x) + 1e-7)
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * (square @ square)) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


State = tuple[Params, Params, Params]  # weights, first and second moments


def adam(
    config: TrainConfig, factor: jax.Array, step: jax.Array, w: jax.Array, g: jax.Array, m: jax.Array, v: jax.Array
):
    """New weight and moments of an embedding or a norm."""
    t = step + 1.0
    m, v = config.beta1 * m + (1 - config.beta1) * g, config.beta2 * v + (1 - config.beta2) * g * g
    update = (m / (1 - config.beta1**t)) / (jnp.sqrt(v / (1 - config.beta2**t)) + 1e-8)
    return w - factor * config.adam_learning_rate * update, m, v


def muon(config: TrainConfig, factor: jax.Array, w: jax.Array, g: jax.Array, m: jax.Array):
    """New weight and momentum of a matrix inside a block."""
    m = config.momentum * m + g
    update = orthogonalized(g + config.momentum * m) * max(1.0, w.shape[0] / w.shape[1]) ** 0.5
    rate = factor * config.muon_learning_rate
    return w - rate * (update + config.weight_decay * w), m


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=(2,))
def train_step(
    model: ModelConfig,
    config: TrainConfig,
    state: State,
    step: jax.Array,
    tokens: jax.Array,
    document: jax.Array,
    weight: jax.Array,
) -> tuple[State, jax.Array]:
    """One step: Muon for the matrices of the blocks, Adam for the rest."""
    params, first, second = (dict(tree) for tree in state)
    loss, gradient = jax.value_and_grad(lambda p: weighted_loss(model, p, tokens, document, weight))(params)
    norm = jnp.sqrt(sum(jnp.sum(g * g) for g in gradient.values()))
    clip = jnp.minimum(1.0, config.clip_norm / (norm + 1e-6))
    factor = rate_factor(config, step)
    for name, g in gradient.items():
        w, m, g = params[name], first[name], g * clip
        if name.startswith("blk.") and g.ndim == 2:
            params[name], first[name] = muon(config, factor, w, g, m)
        else:
            params[name], first[name], second[name] = adam(config, factor, step, w, g, m, second[name])
    return (params, first, second), loss


held_out_loss = jax.jit(weighted_loss, static_argnums=0)


def mean_loss(model: ModelConfig, params: Params, batches: list[Batch]) -> float:
    """Mean over batches of the weighted loss, in nats per token."""
    return float(np.mean([held_out_loss(model, params, b.tokens, b.document, b.weight) for b in batches]))


def save_checkpoint(path: Path, state: State, step: int) -> None:
    """Write state through a temporary file, so that a stop in between leaves the last one whole."""
    arrays = {
        f"{part}/{name}": np.asarray(a) for part, tree in zip("pmv", state, strict=True) for name, a in tree.items()
    }
    temporary = path.with_suffix(".tmp.npz")
    np.savez(temporary, allow_pickle=False, step=np.asarray(step), **arrays)
    temporary.replace(path)


def load_checkpoint(path: Path) -> tuple[State, int]:
    """What save_checkpoint wrote: weights with moments, and the number of steps done."""
    trees: dict[str, Params] = {"p": {}, "m": {}, "v": {}}
    with np.load(path) as arrays:
        for key in arrays.files:
            if key != "step":
                part, name = key.split("/", 1)
                trees[part][name] = jnp.asarray(arrays[key])
        return (trees["p"], trees["m"], trees["v"]), int(arrays["step"])


def train(model: ModelConfig, config: TrainConfig, checkpoint: Path, start: Path | None) -> None:
    """Train to config.steps, from checkpoint where it exists, else from the weights in start; report to stderr."""
    tokenizer = load_or_train(checkpoint.parent / "tokenizer.json", config.seed)
    params = load_checkpoint(start)[0][0] if start else initial_params(model, config.seed)
    zeros = {name: jnp.zeros_like(a) for name, a in params.items()}
    state, done = (params, zeros, jax.tree.map(jnp.copy, zeros)), 0
    if checkpoint.exists():
        state, done = load_checkpoint(checkpoint)
    held_out = held_out_batches(tokenizer, config, 1000)
    print(
        f"{parameter_count(model)} parameters, step {done} of {config.steps}, {len(held_out)} held-out batches",
        file=sys.stderr,
        flush=True,
    )
    started, recent = time.monotonic(), []
    batches = itertools.islice(training_batches(tokenizer, config), done, config.steps)
    for step, batch in enumerate(batches, done):
        state, loss = train_step(model, config, state, jnp.float32(step), batch.tokens, batch.document, batch.weight)
        recent.append(loss)
        if (step + 1) % 50 == 0:
            rate = (step + 1 - done) * config.tokens_per_batch / (time.monotonic() - started)
            print(f"step {step + 1} loss {np.mean(recent):.4f} {rate:.0f} tokens/s", file=sys.stderr, flush=True)
            recent = []
        if (step + 1) % 100 == 0 or step + 1 == config.steps:
            save_checkpoint(checkpoint, state, step + 1)
            print(
                f"step {step + 1} held-out loss {mean_loss(model, state[0], held_out):.4f}", file=sys.stderr, flush=True
            )


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=TrainConfig.steps, help="steps in all, of 3072 tokens each")
    parser.add_argument(
        "--checkpoint", type=Path, default=WORK / "checkpoint.npz", help="file to write and resume from"
    )
    parser.add_argument("--start", type=Path, help="checkpoint whose weights a new run starts from")
    parser.add_argument("--rate", type=float, default=1.0, help="factor of all learning rates")
    arguments = parser.parse_args()
    rates = TrainConfig()
    config = TrainConfig(
        steps=arguments.steps,
        muon_learning_rate=arguments.rate * rates.muon_learning_rate,
        adam_learning_rate=arguments.rate * rates.adam_learning_rate,
    )
    train(ModelConfig(), config, arguments.checkpoint, arguments.start)


if __name__ == "__main__":
    main()
