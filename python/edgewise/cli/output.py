"""What verbs write and read: no terminal escapes from files, sound JSON, stdin as UTF-8."""

from __future__ import annotations

import json
import re
import sys

from edgewise.json_values import finite

# Control characters but tab and newline, marks that turn the direction of text, and halves of surrogate pairs.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(text: str) -> str:
    """Text from a file, fit for a terminal: what would steer the terminal is escaped."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def exact(text: str) -> str:
    """Text for stdout as it is; at a terminal, what would steer it is escaped."""
    return shown(text) if sys.stdout is not None and sys.stdout.isatty() else text


def print_json(value: object) -> None:
    """Prints one JSON object. JSON has no NaN and no infinities: they become null."""
    is_utf8 = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
    print(shown(json.dumps(finite(value), ensure_ascii=not is_utf8, allow_nan=False)))


def size(size_bytes: int) -> str:
    """A number of bytes for people, in powers of 1000."""
    for power, unit in ((4, "TB"), (3, "GB"), (2, "MB"), (1, "kB")):
        if size_bytes >= 1000**power:
            return f"{size_bytes / 1000**power:.1f} {unit}"
    return f"{size_bytes} B"


def read_stdin() -> str:
    """All of stdin as UTF-8, with a replacement character for what is not."""
    if sys.stdin is None:
        return ""
    return sys.stdin.buffer.read().decode("utf-8-sig", errors="replace").replace("\r\n", "\n")
