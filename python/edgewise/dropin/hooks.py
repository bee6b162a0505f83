"""Functions of the caller that see every token: logits processors, stopping criteria, draft models. They need numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewise.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import numpy.typing as npt

    Tokens = npt.NDArray[np.intc]
    Scores = npt.NDArray[np.single]
    LogitsProcessor = Callable[[Tokens, Scores], Scores]
    StoppingCriteria = Callable[[Tokens, Scores], bool]


class LogitsProcessorList(list["LogitsProcessor"]):
    """Functions from (tokens, logits) to logits, applied in order."""

    def __call__(self, input_ids: Tokens, scores: Scores) -> Scores:
        """The logits after the last of the functions."""
        for processor in self:
            scores = processor(input_ids, scores)
        return scores


class StoppingCriteriaList(list["StoppingCriteria"]):
    """Functions from (tokens, logits) to whether to stop; one that says so is enough."""

    def __call__(self, input_ids: Tokens, logits: Scores) -> bool:
        """Whether any of the functions says so."""
        return any(criterion(input_ids, logits) for criterion in self)


def adjuster(processors: Any) -> Callable[[list[int], bytes], bytes] | None:
    """A logits processor, or a list of them, as the engine's `adjust`."""
    if processors is None:
        return None
    np = require_numpy("logits_processor")
    apply = processors if callable(processors) else LogitsProcessorList(processors)

    def adjust(tokens: list[int], logits: bytes) -> bytes:
        scores = apply(np.array(tokens, dtype=np.intc), np.frombuffer(logits, dtype=np.single).copy())
        return bytes(np.ascontiguousarray(scores, dtype=np.single).tobytes())

    return adjust


def stopper(criteria: Any) -> Callable[[list[int], bytes], bool] | None:
    """A stopping criterion, or a list of them, as the engine's `should_stop`."""
    if criteria is None:
        return None
    np = require_numpy("stopping_criteria")
    apply = criteria if callable(criteria) else StoppingCriteriaList(criteria)

    def should_stop(tokens: list[int], logits: bytes) -> bool:
        return bool(apply(np.array(tokens, dtype=np.intc), np.frombuffer(logits, dtype=np.single).copy()))

    return should_stop


class CallersDrafter:
    """A function from tokens to the tokens that it expects next, such as llama_cpp's `LlamaPromptLookupDecoding`.

    Args:
        draft_model: called as `draft_model(tokens)`.
    """

    def __init__(self, draft_model: Callable[[Tokens], npt.NDArray[np.intc]]) -> None:
        self._draft_model = draft_model
        self._np = require_numpy("draft_model")

    def propose(self, tokens: Sequence[int], count: int) -> list[int]:
        """The first `count` tokens that the function expects."""
        return [int(token) for token in self._draft_model(self._np.array(tokens, dtype=self._np.intc))[:count]]


def require_numpy(what: str) -> Any:
    """The numpy module.

    Raises:
        UnsupportedError: if it is not installed.
    """
    try:
        import numpy as np
    except ImportError:
        raise UnsupportedError(f"{what} needs numpy", hint="pip install numpy") from None
    return np
