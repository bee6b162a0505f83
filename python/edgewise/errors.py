"""The one exception tree.

```
EdgewiseError
├── ModelFileError      the file is malformed, truncated or inconsistent (also a ValueError)
├── UnsupportedError    sound, but not something that this engine does
├── InvalidArgument     an argument is out of its range (also a ValueError)
├── ContextFull         the tokens do not fit the context window (also a ValueError)
├── NotFound            no model of that name is installed (also a LookupError)
├── SystemRefused       no such file, no permission, no memory (also an OSError)
├── QueueFull           more requests wait than may wait; says when to try again
├── DeadlineExceeded    the answer was not there in time (also a TimeoutError)
├── Closed              the engine or its batch was closed before the answer ended
└── InternalError       a bug in Edgewise
```
"""

from __future__ import annotations


class EdgewiseError(Exception):
    """Everything that Edgewise raises on purpose.

    Args:
        message: the thing, the finding and the rule.
        hint: the way out, where one is known.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\nhint: {self.hint}"

    def __reduce__(self) -> tuple[type[EdgewiseError], tuple[object, ...]]:
        return type(self), (self.message, self.hint)


class ModelFileError(EdgewiseError, ValueError):
    """The model file is malformed, truncated or inconsistent."""


class UnsupportedError(EdgewiseError):
    """The request is sound, but not something that this engine does."""


class InvalidArgument(EdgewiseError, ValueError):
    """An argument is out of its range."""


class ContextFull(EdgewiseError, ValueError):
    """The tokens do not fit the context window."""


class NotFound(EdgewiseError, LookupError):
    """No model of that name is installed."""


class SystemRefused(EdgewiseError, OSError):
    """The operating system refused: no such file, no permission, no memory."""


class QueueFull(EdgewiseError):
    """More requests wait than may wait.

    Args:
        message: see `EdgewiseError`.
        hint: see `EdgewiseError`.
        retry_after_s: when there may be room again, in seconds from now.
    """

    def __init__(self, message: str, hint: str | None = None, retry_after_s: float = 1.0) -> None:
        super().__init__(message, hint)
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[type[EdgewiseError], tuple[object, ...]]:
        return type(self), (self.message, self.hint, self.retry_after_s)


class DeadlineExceeded(EdgewiseError, TimeoutError):
    """The answer was not there in time."""


class Closed(EdgewiseError):
    """The engine or its batch was closed before the answer ended."""


class InternalError(EdgewiseError):
    """A bug in Edgewise: the message says where."""
