"""JSON files of a model folder, and their fields with the types they must have."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from edgewise.errors import ModelFileError, SystemRefused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MOST = 2**31 - 1


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file.

    Raises:
        SystemRefused: if the file cannot be read.
        ModelFileError: if it holds anything else.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise SystemRefused(f"{path} cannot be read: {error.strerror or error}") from error
    return json_object(text, str(path))


def read_json_if_there(path: Path) -> dict[str, Any]:
    """The object in a file, or an empty one if there is no such file."""
    return read_json(path) if path.exists() else {}


def json_object(text: bytes, source: str) -> dict[str, Any]:
    """The object that a JSON text is.

    Raises:
        ModelFileError: if it is anything else; `source` says what is.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{source} is no sound JSON: {error}") from error
    if not isinstance(value, dict):
        raise ModelFileError(f"{source} is no JSON object")
    return value


class Fields:
    """Typed access to the fields of an object.

    Args:
        values: the object.
        source: the file that it is from, for messages.
        defaults: what fields that are absent or null mean.
    """

    def __init__(self, values: Mapping[str, Any], source: str, defaults: Mapping[str, Any] | None = None) -> None:
        self._values = values
        self.source = source
        self._defaults = defaults or {}

    def get(self, name: str) -> Any:
        """The value as it is; None if absent and without a default."""
        value = self._values.get(name)
        return self._defaults.get(name) if value is None else value

    def is_null(self, name: str) -> bool:
        """Whether the field is there and says that there is nothing."""
        return name in self._values and self._values[name] is None

    def whole(self, name: str, default: int | None = None, *, least: int = 1) -> int:
        """A whole number from `least` to 2^31 - 1."""
        value = self._required(name, default)
        if type(value) is not int or not least <= value <= _MOST:
            raise self.wrong(name, f"a whole number of at least {least} is needed")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """A finite number above zero."""
        value = self._required(name, default)
        if type(value) not in (int, float) or not math.isfinite(value) or value <= 0:
            raise self.wrong(name, "a number above 0 is needed")
        return float(value)

    def text(self, name: str, default: str | None = None) -> str:
        """A string."""
        value = self._required(name, default)
        if not isinstance(value, str):
            raise self.wrong(name, "a string is needed")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self._required(name, default)
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false is needed")
        return value

    def fields(self, name: str) -> Fields:
        """An object within; empty if absent."""
        value = self._required(name, {})
        if not isinstance(value, dict):
            raise self.wrong(name, "an object is needed")
        return Fields(value, f"{self.source}, {name}")

    def wrong(self, name: str, rule: str) -> ModelFileError:
        """The error that a field breaks a rule."""
        return ModelFileError(f'{self.source}: "{name}" is {json.dumps(self.get(name)):.80}; {rule}')

    def _required(self, name: str, default: object) -> Any:
        value = self.get(name)
        if value is None:
            value = default
        if value is None:
            raise ModelFileError(f'{self.source}: "{name}" is missing')
        return value
