"""The server's log on stderr: a line for each request, and what goes wrong."""

from __future__ import annotations

import contextlib
import json
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from edgewise.server.settings import LogFormat


class Log:
    """Writes lines for people, or one JSON object each.

    What clients send stands in it only where the caller puts it there: see `ServerConfig.logs_prompts`.

    Args:
        form: `text` or `json`.
        file: where to; stderr by default.
    """

    def __init__(self, form: LogFormat = "text", file: TextIO | None = None) -> None:
        self._form = form
        self._file = file

    def write(self, event: str, **facts: Any) -> None:
        """One line.

        Args:
            event: what happened.
            facts: about it; those that are None are left away.
        """
        known = {name: value for name, value in facts.items() if value is not None}
        now_s = time.time()
        stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now_s))}.{int(now_s * 1000) % 1000:03d}Z"
        if self._form == "json":
            line = json.dumps({"time": stamp, "event": event, **known}, default=str)
        else:
            line = " ".join([stamp, event, *(f"{name}={_shown(value)}" for name, value in known.items())])
        with contextlib.suppress(OSError, ValueError):  # whoever read the log is gone; the server goes on
            (self._file or sys.stderr).write(f"{line}\n")

    def error(self, event: str, error: BaseException, **facts: Any) -> None:
        """An error that is not foreseen, with where it came from."""
        trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        self.write(event, **facts, error=f"{type(error).__name__}: {error}", trace=trace)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    return text if text and text.isprintable() and not set(text) & set(' "=') else json.dumps(text)
