"""What the shortcuts of the kernels cost: int8 activations, and tiles in place of one token after another.

The same weights as f32 meet float activations in the core, so their predictions are those without any rounding of
activations; weights that a tile rounds again would show as a distance of the prompt from decoding.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from speed.divergence import divergence, expected_perplexity, perplexity, predictions
from speed.quality_models import QualityModel
from speed.report import align
from speed.verdict import Verdict

MOST_PERPLEXITY_CHANGE = 0.001
MOST_KL_GROWTH = 1.1

# Below this, in nats, a divergence is the order of float additions.
_ROUNDING_KL = 1e-6


@dataclass(frozen=True)
class Quality:
    """What one model file loses. Divergences are means over the positions, in nats.

    Attributes:
        model: its name.
        positions: predictions that were compared.
        perplexity: of the text, token by token; where there is none, the expected one of a text that the float path
            would draw.
        tiles_change: of that perplexity by evaluating prompts at once, as a share.
        activations_kl: of int8 activations from float ones, both token by token.
        tiles_kl: of prompts at once from float activations.
        between_kl: of prompts at once from token by token. Where an activation lies near the border of two codes, the
            order of float additions decides; so even exact tiles are some way off.
    """

    model: str
    positions: int
    perplexity: float
    tiles_change: float
    activations_kl: float
    tiles_kl: float
    between_kl: float

    def verdicts(self) -> list[Verdict]:
        """Whether tiles stay close enough to the exact path."""
        subject, change = f"quality, {self.model}", abs(self.tiles_change)
        bound = max(MOST_KL_GROWTH * self.activations_kl, _ROUNDING_KL)
        return [
            Verdict(subject, _PERPLEXITY_TARGET, change, change <= MOST_PERPLEXITY_CHANGE),
            Verdict(subject, f"{_KL_TARGET}, {bound:.2e}", self.tiles_kl, self.tiles_kl <= bound),
        ]


_PERPLEXITY_TARGET = f"change <= {MOST_PERPLEXITY_CHANGE:.1%}"
_KL_TARGET = f"KL of tiles <= {MOST_KL_GROWTH:g}x token by token"


def measure_quality(model: QualityModel, isa: str, threads: int) -> Quality:
    """Evaluate the tokens of a model in three ways."""
    decoded = predictions(model.path, model.tokens, isa, threads, "one by one")
    unrounded = (
        decoded if model.as_f32 == model.path else predictions(model.as_f32, model.tokens, isa, threads, "one by one")
    )
    at_once = predictions(model.path, model.tokens, isa, threads, "prompt")
    if model.is_text:
        exact, in_tiles = perplexity(decoded, model.tokens), perplexity(at_once, model.tokens)
    else:
        exact, in_tiles = expected_perplexity(decoded, unrounded), expected_perplexity(at_once, unrounded)
    return Quality(
        model=model.name,
        positions=len(decoded),
        perplexity=exact,
        tiles_change=in_tiles / exact - 1,
        activations_kl=divergence(unrounded, decoded),
        tiles_kl=divergence(unrounded, at_once),
        between_kl=divergence(decoded, at_once),
    )


def quality_table(found: Sequence[Quality]) -> str:
    """All models in one table."""
    head = ["", "positions", "perplexity", "change in tiles", "KL token by token", "KL in tiles", "KL between"]
    cells = [[*head, "target", ""]]
    for one in found:
        divergences = (one.activations_kl, one.tiles_kl, one.between_kl)
        cells.append(
            [
                one.model,
                str(one.positions),
                f"{one.perplexity:.4f}",
                f"{one.tiles_change:+.4%}",
                *(f"{value:.2e}" for value in divergences),
                f"{_PERPLEXITY_TARGET}, {_KL_TARGET}",
                ", ".join(str(verdict) for verdict in one.verdicts()),
            ]
        )
    return (
        "Quality: perplexity token by token and its change where prompts are evaluated at once, in tiles; divergence "
        "in nats of both from float activations, and between them\n" + align(cells, left=1)
    )
