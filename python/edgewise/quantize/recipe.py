"""Which format each tensor gets, and why: facts about a model in, choices out.

A mix spends its bits where they are felt. The output projection gets more; so do attention values, which many heads
share, the matrices that write into the residual stream (attention output, feed-forward down), and in mixes M the first
and last eighth of the layers with every third between.

Source: the choices of llama.cpp (src/llama-quant.cpp in its version 0.5.0), which the names promise; tests/quantize
holds its tables for models of each architecture.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from edgewise.quantize.mixes import FLOATS, Mix, row_bytes
from edgewise.quantize.roles import Role, Tensor, layer_of, role_of, why_kept

_MANY_SHARE = 4
"""So many query heads to a key/value head make the values small and precious."""

# Layers of the models that llama.cpp takes for one of 70 billion parameters.
_LAYERS_OF_70B = {"llama": 80, "qwen2": 80, "deci": 80, "olmo": 80, "jais2": 68}


@dataclass(frozen=True)
class ModelFacts:
    """What choices depend on.

    Args:
        architecture: as the file names it.
        block_count: layers.
        head_count: query heads of the first layer.
        head_count_kv: key/value heads of the first layer.
        expert_count: experts of each feed-forward part; 0 without.
        tensors: in file order.
    """

    architecture: str
    block_count: int
    head_count: int
    head_count_kv: int
    expert_count: int
    tensors: tuple[Tensor, ...]

    @property
    def heads_per_key(self) -> int:
        """Query heads that share a key and a value."""
        return self.head_count // self.head_count_kv if self.head_count_kv else 0

    @property
    def is_tied(self) -> bool:
        """Whether the token embeddings are the output projection too."""
        return all(role_of(tensor.name) != "output" for tensor in self.tensors)


@dataclass(frozen=True)
class Wishes:
    """What the user asks for beyond a mix.

    Args:
        patterns: (regular expression, format): tensors whose name holds a match get that format; the first one counts.
        output: the format of the output projection.
        embedding: the format of the token embeddings.
    """

    patterns: tuple[tuple[str, str], ...] = ()
    output: str | None = None
    embedding: str | None = None


@dataclass(frozen=True)
class Choice:
    """A format for one tensor.

    Args:
        format: what it will be stored in.
        reason: why, in a few words.
    """

    format: str
    reason: str


@dataclass(frozen=True)
class _Place:
    """Where a tensor stands among those of its role, from 0."""

    index: int
    count: int

    @property
    def is_spared(self) -> bool:
        """Whether mixes M give it more bits."""
        eighth = self.count // 8
        return self.index < eighth or self.index >= 7 * self.count // 8 or (self.index - eighth) % 3 == 2


def choose(
    model: ModelFacts, mix: Mix, wishes: Wishes | None = None, *, has_importance: bool = False
) -> dict[str, Choice]:
    """A format for each tensor, by name, in file order.

    Args:
        model: the facts.
        mix: what to choose by.
        wishes: what goes before the mix.
        has_importance: whether an importance matrix will guide the quantizers.
    """
    chooser = _Chooser(model, mix, wishes or Wishes(), has_importance)
    choices = {
        tensor.name: chooser.choose(tensor)
        for tensor in sorted(model.tensors, key=lambda tensor: (layer_of(tensor.name), tensor.name))
    }
    return {tensor.name: choices[tensor.name] for tensor in model.tensors}


def decided(model: ModelFacts, wishes: Wishes) -> dict[str, Choice]:
    """The choices that no mix changes: tensors that keep their format, and those that the user asks a format for."""
    found = _Decided(model, wishes)
    choices = ((tensor.name, found.choice(tensor)) for tensor in model.tensors)
    return {name: choice for name, choice in choices if choice is not None}


class _Decided:
    """What is decided before a mix has its say."""

    def __init__(self, model: ModelFacts, wishes: Wishes) -> None:
        self._wishes = wishes
        self._patterns = [(re.compile(pattern), pattern, name) for pattern, name in wishes.patterns]
        self._is_tied = model.is_tied

    def choice(self, tensor: Tensor) -> Choice | None:
        kept = why_kept(tensor)
        if kept is not None:
            return Choice(tensor.format, kept)
        wish = self._wish(tensor)
        return None if wish is None else _fitting(tensor, wish)

    def _wish(self, tensor: Tensor) -> Choice | None:
        role = role_of(tensor.name)
        named = next(
            (
                Choice(name, f"asked for: --tensor-type {text}={name}")
                for pattern, text, name in self._patterns
                if pattern.search(tensor.name)
            ),
            None,
        )
        is_apart = tensor.name == "per_layer_token_embd.weight" and named is not None
        if role == "embedding" and self._wishes.embedding and not is_apart:
            return Choice(self._wishes.embedding, "asked for: --token-embedding")
        if role == "output" and self._wishes.output:
            return Choice(self._wishes.output, "asked for: --output-tensor")
        if named is None and role == "embedding" and self._is_tied and self._wishes.output:
            return Choice(self._wishes.output, "asked for: --output-tensor, which is the embedding too")
        return named


class _Chooser:
    """Goes through the tensors layer by layer, counting."""

    def __init__(self, model: ModelFacts, mix: Mix, wishes: Wishes, has_importance: bool) -> None:
        self._model, self._mix, self._has_importance = model, mix, has_importance
        self._decided = _Decided(model, wishes)
        self._seen: Counter[Role] = Counter()
        self._values_count = sum(role_of(tensor.name) == "values" for tensor in model.tensors)

    def choose(self, tensor: Tensor) -> Choice:
        return self._decided.choice(tensor) or _fitting(tensor, self._by_mix(tensor))

    def _by_mix(self, tensor: Tensor) -> Choice:
        usual = Choice(self._mix.format, f"what {self._mix.name} gives most matrices")
        if self._mix.format in FLOATS:
            return usual
        role = role_of(tensor.name)
        if role == "output" or (role == "embedding" and self._model.is_tied):
            return self._output(tensor, role)
        place = self._place(tensor, role)
        if role == "values":
            return self._values(place) or usual
        if role == "keys" and self._model.expert_count == 8:
            return Choice("q8_0", "small beside eight experts")
        if role == "ffn_down":
            return self._down(place) or usual
        if role == "attention output":
            return self._attention_output() or usual
        return usual

    def _place(self, tensor: Tensor, role: Role) -> _Place:
        index = self._seen[role]
        self._seen[role] += 1
        if role == "values":
            return _Place(index, self._values_count)
        if self._model.expert_count > 1:
            index = max(layer_of(tensor.name), 0)  # experts may be stored one by one
        return _Place(index, self._model.block_count)

    def _output(self, tensor: Tensor, role: Role) -> Choice:
        what = "the output projection" if role == "output" else "the embedding, which is the output projection too"
        is_uneven = row_bytes(self._mix.format, tensor.shape[0]) is None
        if self._mix.format == "q8_0" or is_uneven or self._model.architecture == "falcon":
            return Choice("q8_0", what)
        return Choice("q6_k", f"more bits: {what}")

    def _values(self, place: _Place) -> Choice | None:
        model, mix = self._model, self._mix
        if model.expert_count == 8:
            return Choice("q8_0", "small beside eight experts")
        are_shared = model.heads_per_key >= _MANY_SHARE
        shared = f"more bits: {model.heads_per_key} heads share the values"
        found = None
        if mix.name == "q2_k":
            found = Choice("q4_k", shared) if are_shared else Choice("q3_k", "more bits: attention values")
        elif mix.name == "q3_k_m":
            found = Choice("q5_k" if place.index < 2 else "q4_k", "more bits: attention values, the first two most")
        elif mix.name == "q3_k_l":
            found = Choice("q5_k", "more bits: attention values")
        elif mix.name in ("iq4_nl", "iq4_xs") and are_shared:
            found = Choice("q5_k", shared)
        elif mix.name in ("q4_k_m", "q5_k_m") and place.is_spared:
            found = Choice("q6_k", f"more bits: attention values in {_SPARED}")
        elif mix.name == "q4_k_s" and place.index < 4:
            found = Choice("q5_k", "more bits: attention values of the first four layers")
        if self._is_70b() and (found.format if found else mix.format) in ("q3_k", "q4_k"):
            return Choice("q5_k", "more bits: small in a model of 70 billion parameters")
        return found

    def _down(self, place: _Place) -> Choice | None:
        name, is_falcon = self._mix.name, self._model.architecture == "falcon"
        is_early = place.index < place.count // 8
        early = "feed-forward down in the first eighth of the layers"
        if name == "q2_k":
            return Choice("q3_k", "more bits: feed-forward down")
        if name == "q3_k_m":
            if place.index < place.count // 16:
                return Choice("q5_k", "more bits: feed-forward down in the first sixteenth of the layers")
            is_usual = is_falcon and not place.is_spared
            return None if is_usual else Choice("q4_k", "more bits: feed-forward down")
        if name == "q3_k_l":
            return Choice("q4_k" if is_falcon else "q5_k", "more bits: feed-forward down")
        if name == "q4_k_m" and is_falcon:
            if place.index < place.count // 16:
                return Choice("q6_k", "more bits: feed-forward down in the first sixteenth of the layers")
            return Choice("q5_k", f"more bits: feed-forward down in {_SPARED}") if place.is_spared else None
        if name in ("q4_k_m", "q5_k_m") and place.is_spared:
            return Choice("q6_k", f"more bits: feed-forward down in {_SPARED}")
        if name == "q4_k_s" and is_early and not is_falcon:
            return Choice("q5_k", f"more bits: {early}")
        if name in ("iq4_nl", "iq4_xs") and is_early and not self._has_importance:
            return Choice("q5_k", f"more bits: {early}, without an importance matrix")
        if name in ("q4_0", "q5_0") and is_early and self._has_importance:
            return Choice({"q4_0": "q4_1", "q5_0": "q5_1"}[name], f"an offset: {early}, with an importance matrix")
        return None

    def _attention_output(self) -> Choice | None:
        name, found = self._mix.name, None
        if self._model.architecture == "falcon":
            found = {"q3_k_l": "q4_k"}.get(name)
        elif self._model.expert_count == 8:
            found = "q5_k" if name in _OUTPUT_BESIDE_EXPERTS else None
        else:
            found = {"q2_k": "q3_k", "q3_k_m": "q4_k", "q3_k_l": "q5_k"}.get(name)
        return None if found is None else Choice(found, "more bits: attention output")

    def _is_70b(self) -> bool:
        model = self._model
        is_so_deep = _LAYERS_OF_70B.get(model.architecture) == model.block_count
        return is_so_deep and (model.architecture != "llama" or model.head_count != model.head_count_kv)


_SPARED = "the outer eighths and every third layer"

_OUTPUT_BESIDE_EXPERTS = {"q2_k", "q3_k_s", "q3_k_m", "iq4_nl", "iq4_xs", "q4_k_s", "q4_k_m"}

# What to store in where rows are no whole blocks of 256; of 32 then.
_WITH_SMALLER_BLOCKS = {
    "q2_k": "q4_0",
    "q3_k": "q4_0",
    "q4_k": "q5_0",
    "q5_k": "q5_1",
    "q6_k": "q8_0",
    "iq4_xs": "iq4_nl",
}


def _fitting(tensor: Tensor, choice: Choice) -> Choice:
    columns = tensor.shape[0]
    if row_bytes(choice.format, columns) is not None:
        return choice
    smaller = _WITH_SMALLER_BLOCKS.get(choice.format, choice.format)
    found = smaller if row_bytes(smaller, columns) is not None else "f16"
    return Choice(found, f"{columns} columns are no whole blocks of {choice.format} ({choice.reason})")
