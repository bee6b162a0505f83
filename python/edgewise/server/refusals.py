"""Which status an error has; each surface says in its own form what happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgewise import errors

Kind = Literal[
    "invalid_request",
    "context_exceeded",
    "unauthorized",
    "forbidden",
    "not_found",
    "method_not_allowed",
    "too_large",
    "timeout",
    "overloaded",
    "not_implemented",
    "internal",
]

STATUS: dict[Kind, int] = {
    "invalid_request": 400,
    "context_exceeded": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "too_large": 413,
    "timeout": 504,
    "overloaded": 503,
    "not_implemented": 501,
    "internal": 500,
}


@dataclass(frozen=True)
class Refusal:
    """What a client is told.

    Args:
        kind: decides the status, and the name that each surface has for it.
        message: what happened, and the way out.
        retry_after_s: when it is worth asking again; None if the same request can never work.
        parameter: the field that is to blame, where it is known.
    """

    kind: Kind
    message: str
    retry_after_s: float | None = None
    parameter: str | None = None

    @property
    def status(self) -> int:
        """The HTTP status."""
        return STATUS[self.kind]


class Refused(errors.EdgewiseError):
    """Raised inside the server, where no other error says it: carries the refusal itself.

    Args:
        kind: see `Refusal`.
        message: see `Refusal`.
        retry_after_s: see `Refusal`.
    """

    def __init__(self, kind: Kind, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.refusal = Refusal(kind, message, retry_after_s)


def refusal_of(error: BaseException) -> Refusal:
    """What a client is told of an error. Of one that is not foreseen, only that it is ours."""
    if isinstance(error, Refused):
        return error.refusal
    if not isinstance(error, errors.EdgewiseError):
        return Refusal("internal", "an internal error of the server; its log says more")
    message = error.message if error.hint is None else f"{error.message} ({error.hint})"
    for name, kind in _KINDS:
        if isinstance(error, name):
            return Refusal(kind, message, getattr(error, "retry_after_s", None), getattr(error, "field", None) or None)
    return Refusal("internal", message)


# In this order: what several apply to is the first.
_KINDS: tuple[tuple[type[errors.EdgewiseError], Kind], ...] = (
    (errors.QueueFull, "overloaded"),
    (errors.DeadlineExceeded, "timeout"),
    (errors.Closed, "overloaded"),
    (errors.NotFound, "not_found"),
    (errors.ContextFull, "context_exceeded"),
    (errors.InvalidArgument, "invalid_request"),
    (errors.ModelFileError, "invalid_request"),
    (errors.UnsupportedError, "invalid_request"),
)
