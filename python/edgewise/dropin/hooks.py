"""Functions of the caller that see every token: logits processors and stopping criteria. They need numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewise.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable

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
