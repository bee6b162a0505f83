"""Formats chosen by measured error, for a size or for a divergence that the model shall have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewise.errors import InvalidArgument
from edgewise.quantize.budget import Allocation, Candidates, Option, allocate, smallest_for, worthwhile
from edgewise.quantize.plan import ALIGNMENT, Plan, PlannedTensor, make_plan
from edgewise.quantize.recipe import Choice, Wishes, decided
from edgewise.quantize.roles import role_of
from edgewise.quantize.samples import measure
from edgewise.quantize.work import thread_count

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edgewise.quantize.roles import Role, Tensor
    from edgewise.quantize.work import SourceModel

# What is tried where rows are whole blocks of 256, and where they are not.
_FORMATS = ("q2_k", "q3_k", "iq4_xs", "q4_k", "q5_k", "q6_k", "q8_0")
_SMALL_FORMATS = ("q4_0", "iq4_nl", "q4_1", "q5_0", "q5_1", "q8_0")

_MOST_TRIALS = 6
_CLOSE_ENOUGH = 0.03
"""A divergence that is below its limit by at most this share ends the search."""

# Divergence for a relative squared error of one tensor of this role: geometric means of what quantizing one role alone
# cost models of 0.3, 3.7 and 135 million parameters, each within a factor of three to four of the mean; what roles cost
# alone added up to what all cost together (benchmarks/sensitivity.py). Embeddings apart from the output projection were
# not among them.
_SENSITIVITY: Mapping[Role, float] = {
    "output": 4.0,
    "embedding": 1.0,
    "keys": 0.23,
    "queries": 0.1,
    "values": 0.14,
    "attention output": 0.09,
    "ffn_up": 0.17,
    "ffn_gate": 0.15,
    "ffn_down": 0.18,
    "other": 0.15,
}


@dataclass(frozen=True)
class Measured:
    """What every tensor of a model may become, and at what cost.

    Args:
        source: the model.
        fixed: tensors that have no choice, with the reason.
        candidates: the others.
    """

    source: SourceModel
    fixed: dict[str, Choice]
    candidates: tuple[Candidates, ...]

    def plan(self, budget_bytes: int, *, may_requantize: bool = False) -> Plan:
        """The best plan whose file takes at most so many bytes.

        Raises:
            InvalidArgument: if even the smallest formats take more.
        """
        overhead = self.overhead_bytes()
        try:
            allocation = allocate(self.candidates, budget_bytes - overhead)
        except InvalidArgument as error:
            least = overhead + sum(worthwhile(tensor.options)[0].size_bytes for tensor in self.candidates)
            raise InvalidArgument(
                f"{self.source.path} takes {least} bytes at least, {budget_bytes} are asked for",
                hint="ask for a larger size, or start from a smaller model",
            ) from error
        choices = self.fixed | _choices(allocation)
        return make_plan(self.source.facts, choices, may_requantize=may_requantize)

    def plan_for_loss(self, loss: float, *, may_requantize: bool = False) -> Plan:
        """The smallest plan that is expected to lose at most so much; the best one if none is."""
        budget = smallest_for(self.candidates, loss)
        return self.plan(budget + self.overhead_bytes(), may_requantize=may_requantize)

    def loss_of(self, plan: Plan) -> float:
        """What a plan is expected to lose."""
        formats = {tensor.source.name: tensor.format for tensor in plan.tensors}
        return sum(
            tensor.weight * next(option.error for option in tensor.options if option.format == formats[tensor.name])
            for tensor in self.candidates
        )

    def overhead_bytes(self) -> int:
        """What the file holds beside the tensors that have a choice."""
        sizes = (
            PlannedTensor(tensor, self.fixed[tensor.name].format, "").size_bytes
            for tensor in self.source.facts.tensors
            if tensor.name in self.fixed
        )
        padding = ALIGNMENT * len(self.source.facts.tensors)
        return self.source.header_bytes + _MORE_METADATA_BYTES + padding + sum(sizes)


_MORE_METADATA_BYTES = 1024


def measure_formats(
    source: SourceModel,
    wishes: Wishes | None = None,
    *,
    threads: int = 0,
    isa: str | None = None,
    progress: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> Measured:
    """Measures what each tensor would lose in each format, on a sample of its rows.

    Args:
        source: the model.
        wishes: formats of tensors that have no choice.
        threads: how many threads encode; 0 chooses.
        isa: their instruction set; the fastest if None.
        progress: is told before each tensor how many are done, how many there are, and its name.

    Raises:
        InvalidArgument: if a weight is not finite.
    """
    fixed = decided(source.facts, wishes or Wishes())
    open_tensors = [tensor for tensor in source.facts.tensors if tensor.name not in fixed]
    candidates = []
    for index, tensor in enumerate(open_tensors):
        progress(index, len(open_tensors), tensor.name)
        planned = PlannedTensor(tensor, tensor.format, "")
        options = [
            option
            for option in measure(
                planned,
                _tried(tensor),
                source.file,
                importance=source.importance.get(tensor.name),
                threads=thread_count(threads),
                isa=isa,
            )
            if option.size_bytes < planned.source_bytes
        ]
        options.append(Option(tensor.format, planned.source_bytes, 0.0))
        role = role_of(tensor.name)
        weight = _SENSITIVITY["output" if role == "embedding" and source.facts.is_tied else role]
        candidates.append(Candidates(tensor.name, weight, tuple(options)))
    progress(len(open_tensors), len(open_tensors), "")
    return Measured(source, fixed, tuple(candidates))


def plan_divergence(
    measured: Measured,
    limit: float,
    divergence: Callable[[Plan], float],
    *,
    may_requantize: bool = False,
) -> tuple[Plan, float]:
    """The smallest plan whose measured divergence is at most a limit.

    What a plan is expected to lose is proportional to its divergence, by a factor that each measurement makes better
    known.

    Args:
        measured: what the tensors may become.
        limit: mean divergence from the source, in nats.
        divergence: measures that of a plan.
        may_requantize: whether quantized tensors may become something else.

    Returns:
        The plan, and its divergence.

    Raises:
        InvalidArgument: if no trial stays below the limit.
    """
    best: tuple[Plan, float] | None = None
    tried: set[tuple[str, ...]] = set()
    expected, low, high, found = limit, 0.0, float("inf"), 0.0  # losses: those that hold the limit, those that do not
    while len(tried) < _MOST_TRIALS:
        plan = measured.plan_for_loss(expected, may_requantize=may_requantize)
        formats = tuple(tensor.format for tensor in plan.tensors)
        if formats in tried:
            break
        tried.add(formats)
        loss, found = measured.loss_of(plan), divergence(plan)
        if found <= limit:
            best = (plan, found) if best is None or plan.size_bytes < best[0].size_bytes else best
            low = max(low, loss)
        else:
            high = min(high, loss)
        if limit * (1 - _CLOSE_ENOUGH) <= found <= limit:
            break
        expected = loss * limit * (1 - _CLOSE_ENOUGH / 2) / found if found > 0 else 2 * loss
        if not low < expected < high:
            expected = (low + high) / 2 if high < float("inf") else 2 * low
    if best is None:
        raise InvalidArgument(
            f"no choice of formats stays within a divergence of {limit}: the last one that was tried has {found:.6f}",
            hint="allow more, or take q8_0",
        )
    return best


def _tried(tensor: Tensor) -> Sequence[str]:
    tried = _FORMATS if tensor.shape[0] % 256 == 0 else _SMALL_FORMATS
    return (*tried, "bf16") if tensor.format == "f32" else tried


def _choices(allocation: Allocation) -> dict[str, Choice]:
    choices = {}
    for name, option in allocation.options.items():
        if option.error == 0:
            reason = "loses nothing: there is room for it"
        else:
            reason = f"measured: {option.error**0.5:.2%} error"
            if name in allocation.better:
                better = allocation.better[name]
                more = (better.size_bytes - option.size_bytes) / 1e6
                reason += f"; {better.format} would have {better.error**0.5:.2%} for {more:.2f} MB more"
        choices[name] = Choice(option.format, reason)
    return choices
