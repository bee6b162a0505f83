"""What of JSON schemas cannot be served, told before it costs time: each rule names what it found.

The compiler of grammars refuses most of what it cannot do by itself. What it would not survive is refused here: chains
that overflow its stack, and intersections and remainders that take it minutes.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from edgewise.chat.json_text import shown
from edgewise.errors import InvalidArgument

_MOST_BYTES = 256 * 1024
_MOST_SCHEMAS = 10_000
_MOST_PROPERTIES = 1_000  # of one object
_MOST_PATTERN_PROPERTIES = 20  # of one object: each is compared with each
_LONGEST_CHAIN = 150  # schemas inside each other, references followed
_MOST_CONJUNCTS = 12  # schemas that one value has to satisfy all together
_LARGEST_DIVISORS = 50_000  # of all multipleOf together, in units of their last decimal

_TOO_DEEP = f"JSON schema: more than {_LONGEST_CHAIN} schemas inside each other, references followed"
# Keywords whose values are schemas, by how they hold them.
_ONE = (
    "items",
    "additionalProperties",
    "contains",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
    "unevaluatedProperties",
)
_LIST = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("properties", "patternProperties", "dependentSchemas")
_SHELVES = ("$defs", "definitions")
# Keywords that restrict nothing.
_SILENT = {*_SHELVES, "allOf", "$ref", "description", "title", "default", "examples", "$schema", "$id", "$comment"}


def check(schema: Any) -> str:
    """The text of a schema that the compiler of grammars may get.

    Raises:
        InvalidArgument: if it is no schema, or exceeds a limit.
    """
    if not isinstance(schema, dict | bool):
        raise InvalidArgument(f"JSON schema: an object or a boolean is expected, got {shown(schema)}")
    try:
        text = json.dumps(schema, ensure_ascii=False, allow_nan=False)
    except RecursionError:
        raise InvalidArgument(_TOO_DEEP) from None
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"JSON schema: it is not JSON: {error}") from None
    if len(text) > _MOST_BYTES:
        raise InvalidArgument(f"JSON schema: {len(text)} characters; the limit is {_MOST_BYTES}")
    try:
        _Check(schema).run()
    except RecursionError:
        raise InvalidArgument(_TOO_DEEP) from None
    return text


class _Check:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._count = 0
        self._divisors = 0
        self._heights: dict[int, int] = {}  # by identity; the root keeps all of them alive
        self._conjuncts: dict[int, int] = {}
        self._factors: dict[int, int] = {}

    def run(self) -> None:
        self._look_at(self._root)
        if self._height(self._root) > _LONGEST_CHAIN:
            raise InvalidArgument(_TOO_DEEP)
        self._meet(self._root, 1)

    def _look_at(self, schema: Any) -> None:
        """Checks each schema on its own."""
        if not isinstance(schema, dict):
            return
        self._count += 1
        if self._count > _MOST_SCHEMAS:
            raise InvalidArgument(f"JSON schema: more than {_MOST_SCHEMAS} schemas in it")
        for key, most in (("properties", _MOST_PROPERTIES), ("patternProperties", _MOST_PATTERN_PROPERTIES)):
            if isinstance(schema.get(key), dict) and len(schema[key]) > most:
                raise InvalidArgument(f"JSON schema: {len(schema[key])} {key} in one object; the limit is {most}")
        self._look_at_divisor(schema.get("multipleOf"))
        _look_at_counts(schema)
        for child in (*_children(schema), *_shelved(schema)):
            self._look_at(child)

    def _look_at_divisor(self, divisor: Any) -> None:
        if not isinstance(divisor, int | float) or isinstance(divisor, bool):
            return
        sign_and_digits = Decimal(str(divisor)).normalize().as_tuple()
        self._divisors += int("".join(map(str, sign_and_digits.digits)))
        if self._divisors > _LARGEST_DIVISORS:
            raise InvalidArgument(
                f"JSON schema: multipleOf {divisor}: remainders of so large a number are not supported"
            )

    def _height(self, schema: Any) -> int:
        """The longest way down, through references too; one that leads back adds nothing."""
        if not isinstance(schema, dict):
            return 0
        known = self._heights.get(id(schema))
        if known is None:
            self._heights[id(schema)] = 0  # while it is being measured
            below = [self._height(child) for child in (*_children(schema), self._target(schema))]
            known = self._heights[id(schema)] = 1 + max(below, default=0)
        return known

    def _conjunct_count(self, schema: Any) -> int:
        """How many schemas a value has to satisfy at once if it satisfies this one."""
        if not isinstance(schema, dict):
            return 0
        known = self._conjuncts.get(id(schema))
        if known is None:
            self._conjuncts[id(schema)] = 0
            own = 1 if schema.keys() - _SILENT else 0
            members = schema.get("allOf")
            together = [*(members if isinstance(members, list) else ()), self._target(schema)]
            known = self._conjuncts[id(schema)] = own + sum(self._conjunct_count(one) for one in together)
        return known

    def _meet(self, schema: Any, factor: int) -> None:
        """Multiplies on the way down: schemas of one property meet as often as those around them do."""
        if not isinstance(schema, dict):
            return
        factor *= max(self._conjunct_count(schema), 1)
        if factor > _MOST_CONJUNCTS:
            raise InvalidArgument(
                f"JSON schema: by allOf and $ref more than {_MOST_CONJUNCTS} schemas would hold for one value"
            )
        if self._factors.get(id(schema), 0) >= factor:
            return
        self._factors[id(schema)] = factor
        for child in (*_children(schema), self._target(schema)):
            self._meet(child, factor)

    def _target(self, schema: dict[str, Any]) -> Any:
        """What a reference inside of the schema points at; the compiler refuses others."""
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#"):
            return None
        target = self._root
        for part in reference[1:].split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(target, list) and key.isdecimal() and int(key) < len(target):
                target = target[int(key)]
            elif isinstance(target, dict) and key in target:
                target = target[key]
            else:
                raise InvalidArgument(f"JSON schema: {shown(reference)} leads nowhere")
        return target


def _look_at_counts(schema: dict[str, Any]) -> None:
    """Keys that a schema does not name may come twice, and twice the same key is one property."""
    least, required = schema.get("minProperties"), schema.get("required")
    is_open = schema.get("additionalProperties") is not False or bool(schema.get("patternProperties"))
    if isinstance(least, int) and is_open and least > max(1, len(required) if isinstance(required, list) else 0):
        raise InvalidArgument(
            f"JSON schema: minProperties {least} is not supported for keys that the schema does not name",
            hint="name the properties and require them",
        )


def _children(schema: dict[str, Any]) -> list[Any]:
    found: list[Any] = []
    for key in _ONE:
        if key in schema:
            found += schema[key] if isinstance(schema[key], list) else [schema[key]]
    for key in _LIST:
        if isinstance(schema.get(key), list):
            found += schema[key]
    for key in _NAMED:
        if isinstance(schema.get(key), dict):
            found += schema[key].values()
    return found


def _shelved(schema: dict[str, Any]) -> list[Any]:
    return [one for key in _SHELVES if isinstance(schema.get(key), dict) for one in schema[key].values()]
