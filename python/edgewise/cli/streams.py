"""The standard streams, prepared before the verb and given up after it. Loaded at every start, so it imports little."""

from __future__ import annotations

import io
import os
import sys


def prepare() -> None:
    """Lets stdout show `?` for what it cannot write, and stdin replace what is no text. Windows pipes get UTF-8."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and os.name == "nt" and not stream.isatty():
            stream.reconfigure(encoding="utf-8")
    for stream in (sys.stdin, sys.stdout):  # stderr always escapes what it cannot write
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def finish() -> None:
    """Writes what is still held back.

    Raises:
        OSError: if that fails, as on a full disk.
    """
    if sys.stdout is not None:
        sys.stdout.flush()


def give_up() -> None:
    """Writes what can be written; the rest goes nowhere, for Python must not complain about it at exit."""
    try:
        finish()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def try_to_say(text: str) -> None:
    """To stderr, which may be on the same full disk."""
    try:
        print(text, file=sys.stderr)
    except OSError:
        return
