"""Shapes of requests: declared once, checked on arrival, published in the OpenAPI document.

A shape is a JSON schema of the few words below. Unknown fields are ignored, as clients newer than this server expect; a
field of a wrong type is refused by name. `null` in an optional field means that it is not given.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgewise.errors import InvalidArgument

Schema = Mapping[str, Any]

ANYTHING: Schema = {}
FLAG: Schema = {"type": "boolean"}
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
WHOLE: Schema = {"type": "integer"}

MOST_ITEMS = 2**20  # of a list, and of all lists and objects of a request: more than any context has tokens
_MOST_PARTS = {"lists and objects": (b"[{", 2**16), "fields": (b":", 2**17), "values": (b",", MOST_ITEMS)}
_MOST_DIGITS = 400  # of a whole number in a long body; a float holds 308
_LONG_BYTES = 16 * 1024  # what is shorter holds nobody up

_LARGEST_BITS = 1023  # of a whole number that a float can hold
_NAMES = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "object": "an object",
    "string": "a text",
}
_PLAIN: Mapping[str, set[type]] = {"string": {str}, "boolean": {bool}}
_PORTION = 2**16  # characters that are gone through before others get a turn
_BACKSLASH = ord("\\")
_DEEPEST = 128  # levels of lists and objects in a request, far below what the interpreter's stack holds


class WrongField(InvalidArgument):
    """A field of a request is missing, or not what it must be.

    Args:
        field: where it is, such as `messages[0].role`; empty for the body as a whole.
        message: see `EdgewiseError`.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def text(description: str = "", **more: Any) -> Schema:
    """A text, with more words of JSON schema."""
    return _described({"type": "string", **more}, description)


def whole(least: int | None = None, most: int | None = None, description: str = "") -> Schema:
    """A whole number in a range."""
    return _described({"type": "integer", **_range(least, most)}, description)


def number(least: float | None = None, most: float | None = None, description: str = "") -> Schema:
    """A number in a range."""
    return _described({"type": "number", **_range(least, most)}, description)


def one_of(*values: str) -> Schema:
    """One of these texts."""
    return {"type": "string", "enum": list(values)}


def listing(items: Schema, least: int = 0, most: int = MOST_ITEMS) -> Schema:
    """A list of so many items."""
    return {"type": "array", "items": items, **({"minItems": least} if least else {}), "maxItems": most}


def fields(required: Mapping[str, Schema] | None = None, /, **optional: Schema) -> Schema:
    """An object with fields that must be there, and others that may be null or absent."""
    required = required or {}
    may_be_null = {name: either(shape, {"type": "null"}) for name, shape in optional.items()}
    needs = {"required": list(required)} if required else {}
    return {"type": "object", "properties": {**required, **may_be_null}, **needs}


def mapping(values: Schema) -> Schema:
    """An object whose fields may have any name."""
    return {"type": "object", "additionalProperties": values}


def either(*shapes: Schema) -> Schema:
    """Any of several shapes."""
    return {"anyOf": list(shapes)} if all(shapes) else ANYTHING


def is_long(data: bytes) -> bool:
    """Whether it may take more than some milliseconds to parse and check a body."""
    return len(data) > _LONG_BYTES


def parse(data: bytes) -> Any:
    """The JSON value in a request's body.

    The interpreter does nothing else while a text becomes a value, so that what it may hold is bounded. Texts in it may
    be as long as they like.

    Raises:
        InvalidArgument: if it is no JSON, holds numbers that JSON has not, is nested too deeply or has too many parts.
    """
    if is_long(data):
        _check_parts(data)
    try:
        value = json.loads(
            data.decode("utf-8-sig"), parse_constant=_refuse_constant, parse_int=_whole if is_long(data) else None
        )
    except (ValueError, RecursionError) as error:
        finding = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InvalidArgument(f"the request's body is no valid JSON: {finding}") from None
    if data.count(b"[") + data.count(b"{") > _DEEPEST and _depth(value) > _DEEPEST:
        raise InvalidArgument(f"the request's body is nested more than {_DEEPEST} levels deep")
    # An escape can spell half of a surrogate pair, which is no character; a few requests in a million have one.
    return _whole_characters(value) if b"\\u" in data else value


def check(value: Any, shape: Schema, where: str = "") -> None:
    """Checks that a value has a shape.

    Raises:
        WrongField: naming the field, what it must be and what it is.
    """
    _check(value, shape, where)


def _check(value: Any, shape: Schema, where: str) -> None:
    if "anyOf" in shape:
        fitting = [one for one in shape["anyOf"] if _has_type(value, one)]
        if not fitting:
            raise _refusal(value, shape, where)
        _check_any(value, fitting, where)
        return
    if not _has_type(value, shape):
        raise _refusal(value, shape, where)
    if "enum" in shape and value not in shape["enum"]:
        raise _refusal(value, shape, where)
    kind = shape.get("type")
    if kind in ("integer", "number"):
        _check_range(value, shape, where)
    elif kind == "string":
        if len(value) < shape.get("minLength", 0):
            raise WrongField(where, f"{where or 'the body'} must not be empty")
    elif kind == "array":
        _check_items(value, shape, where)
    elif kind == "object":
        _check_fields(value, shape, where)


def _check_any(value: Any, shapes: Sequence[Schema], where: str) -> None:
    """One of several shapes of the value's type must fit; the error is the last one's."""
    for index, shape in enumerate(shapes):
        try:
            _check(value, shape, where)
            return
        except WrongField:
            if index == len(shapes) - 1:
                raise


def _check_range(value: float, shape: Schema, where: str) -> None:
    if isinstance(value, int) and value.bit_length() > _LARGEST_BITS:
        raise WrongField(where, f"{where} must be a number that a float can hold")
    least, most = shape.get("minimum"), shape.get("maximum")
    if (least is None or value >= least) and (most is None or value <= most):
        return
    if most is None:
        raise WrongField(where, f"{where} must be at least {least}, got {value}")
    if least is None:
        raise WrongField(where, f"{where} must be at most {most}, got {value}")
    raise WrongField(where, f"{where} must be between {least} and {most}, got {value}")


def _check_items(value: Sequence[Any], shape: Schema, where: str) -> None:
    least, most = shape.get("minItems", 0), shape.get("maxItems")
    if len(value) < least:
        raise WrongField(where, f"{where} must have at least {least} items, got {len(value)}")
    if most is not None and len(value) > most:
        raise WrongField(where, f"{where} must have at most {most} items, got {len(value)}")
    items = shape["items"]
    if items and not _are_plain(value, items):
        for index, item in enumerate(value):
            _check(item, items, f"{where}[{index}]")


def _are_plain(value: Sequence[Any], shape: Schema) -> bool:
    """Whether all items are of a plain type, and fit; found out at once, as there may be a million."""
    kinds = set(map(type, value))
    if shape.keys() == {"type"}:
        return kinds <= _PLAIN.get(shape["type"], set())
    if kinds == {int} and shape.get("type") == "integer" and not shape.keys() - {"type", "minimum", "maximum"}:
        least, most = min(value), max(value)
        return bool(shape.get("minimum", least) <= least and most <= shape.get("maximum", most)) and (
            max(-least, most).bit_length() <= _LARGEST_BITS
        )
    return False


def _check_fields(value: Mapping[str, Any], shape: Schema, where: str) -> None:
    prefix = f"{where}." if where else ""
    for name in shape.get("required", ()):
        if value.get(name) is None:
            raise WrongField(f"{prefix}{name}", f"{prefix}{name} is required")
    properties = shape.get("properties", {})
    others = shape.get("additionalProperties")
    for name, field in value.items():
        known = properties.get(name, others)
        if known:
            _check(field, known, f"{prefix}{name}")


def _has_type(value: Any, shape: Schema) -> bool:
    if "anyOf" in shape:
        return any(_has_type(value, one) for one in shape["anyOf"])
    kind = shape.get("type")
    if kind is None:
        return True
    if kind == "integer":
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and (isinstance(value, int) or value.is_integer())
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    types: Mapping[str, type] = {"string": str, "boolean": bool, "array": list, "object": dict, "null": type(None)}
    return isinstance(value, types[kind])


def _refusal(value: Any, shape: Schema, where: str) -> WrongField:
    got = ""
    for part in json.JSONEncoder(ensure_ascii=False).iterencode(value[:41] if isinstance(value, str) else value):
        got += part
        if len(got) > 40:  # the rest may be long
            got = f"{got[:40]}..."
            break
    return WrongField(where, f"{where or 'the body'} must be {_description(shape)}, got {got}")


def _description(shape: Schema) -> str:
    if "anyOf" in shape:
        names = [_description(one) for one in shape["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(names))
    if "enum" in shape:
        return "one of " + ", ".join(json.dumps(value) for value in shape["enum"])
    if shape.get("type") == "array" and shape.get("items"):
        return f"a list, each item {_description(shape['items'])}"
    return _NAMES[shape["type"]]


def _described(shape: dict[str, Any], description: str) -> Schema:
    return {**shape, "description": description} if description else shape


def _range(least: float | None, most: float | None) -> dict[str, float]:
    return {name: value for name, value in (("minimum", least), ("maximum", most)) if value is not None}


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:  # what it takes to read them grows with their square
        raise ValueError(f"a whole number has {len(digits)} digits, of which no more than {_MOST_DIGITS} can be held")
    return int(digits)


def _check_parts(data: bytes) -> None:
    """Checks that a body has not too many parts, before they are made."""
    if all(_count(data, marks, 0, len(data)) < most for marks, most in _MOST_PARTS.values()):
        return  # also if those in texts are counted
    found = dict.fromkeys(_MOST_PARTS, 0)
    for start, end in _outside_of_texts(data):
        for name, (marks, most) in _MOST_PARTS.items():
            found[name] += _count(data, marks, start, end)
            if found[name] >= most:
                raise InvalidArgument(f"the request's body has more than {most} {name}")


def _count(data: bytes, marks: bytes, start: int, end: int) -> int:
    return sum(data.count(mark, start, end) for mark in marks)


def _outside_of_texts(data: bytes) -> Iterator[tuple[int, int]]:
    """Where the parts of a JSON text begin and end that are outside of its texts."""
    start = 0
    while (quote := data.find(b'"', start)) >= 0:
        yield start, quote
        end = data.find(b'"', quote + 1)
        while end >= 0 and _is_escaped(data, end):
            end = data.find(b'"', end + 1)
        if end < 0:
            return
        start = end + 1
    yield start, len(data)


def _is_escaped(data: bytes, index: int) -> bool:
    before = index - 1
    while data[before] == _BACKSLASH:
        before -= 1
    return (index - before) % 2 == 0


def _depth(value: Any) -> int:
    """Levels of lists and objects."""
    depth, level = 0, [value]
    while level := [one for one in level if isinstance(one, list | dict)]:
        depth += 1
        level = [item for one in level for item in (one.values() if isinstance(one, dict) else one)]
    return depth


def _whole_characters(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            parts = (value[start : start + _PORTION] for start in range(0, len(value), _PORTION))
            return "".join(part.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace") for part in parts)
        return value
    if isinstance(value, list):
        return [_whole_characters(item) for item in value]
    if isinstance(value, dict):
        return {_whole_characters(name): _whole_characters(item) for name, item in value.items()}
    return value
