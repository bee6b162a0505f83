"""Calls as models write them: values and Python expressions as (name, arguments)."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from edgewise.chat.json_text import load

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Call = tuple[str, dict[str, Any]]

_LONGEST_EXPRESSION = 20_000  # characters
# The words under which JSON names a function and what it gets.
NAMES = ("name", "function")
ARGUMENTS = ("arguments", "parameters")
WRAPPERS = ("tool_calls", "tool_call", "function_call")


def calls_in(value: Any) -> list[Call] | None:
    """The calls that a JSON value is: an object of name and arguments, or a list of such; None if it is neither."""
    if isinstance(value, list):
        lists = [calls_in(item) for item in value if isinstance(item, dict)]
        if not lists or len(lists) < len(value) or any(one is None for one in lists):
            return None
        return [call for one in lists for call in one or []]
    if not isinstance(value, dict):
        return None
    for wrapper in WRAPPERS:
        if wrapper in value:
            return calls_in(value[wrapper])
    if isinstance(value.get("function"), dict):
        return calls_in(value["function"])
    name = next((value[key] for key in NAMES if isinstance(value.get(key), str)), "")
    arguments: Any = next((value[key] for key in ARGUMENTS if value.get(key) is not None), {})
    if isinstance(arguments, str):
        try:
            arguments = load(arguments) if arguments.strip() else {}
        except ValueError:
            return None
    return [(name, arguments)] if name and isinstance(arguments, dict) else None


def calls_in_python(text: str, parameters: Mapping[str, Sequence[str]]) -> list[Call] | None:
    """The calls that a Python expression is: `f(a=1)`, `[f(a=1), g()]`, `print(f(1))`; None if it is anything else.

    Args:
        text: the expression; it is read, never run.
        parameters: the names of each function's parameters, for arguments that have none.
    """
    if len(text) > _LONGEST_EXPRESSION:
        return None
    try:
        expression = ast.parse(text.strip(), mode="eval").body
        nodes = expression.elts if isinstance(expression, ast.List) else [expression]
        calls = [_python_call(node, parameters) for node in nodes]
    except (SyntaxError, ValueError, RecursionError, MemoryError, TypeError):
        return None
    return calls or None


def _python_call(node: ast.expr, parameters: Mapping[str, Sequence[str]]) -> Call:
    if not isinstance(node, ast.Call):
        raise ValueError("not a call")
    name = ast.unparse(node.func)
    if name == "print" and len(node.args) == 1 and not node.keywords:
        return _python_call(node.args[0], parameters)
    name = name.removesuffix(".call") if name not in parameters else name
    if not all(part.isidentifier() for part in name.split(".")):
        raise ValueError("not a name")
    known = parameters.get(name, ())
    if len(node.args) > len(known):
        raise ValueError("more arguments than parameters")
    arguments = {key: ast.literal_eval(value) for key, value in zip(known, node.args, strict=False)}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in arguments:
            raise ValueError("not an argument by name")
        arguments[keyword.arg] = ast.literal_eval(keyword.value)
    return name, _as_json(arguments)


def _as_json(value: Any) -> Any:
    """Tuples become lists.

    Raises:
        ValueError: if JSON has no such value.
    """
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("a key that is no text")
        return {key: _as_json(item) for key, item in value.items()}
    is_number = isinstance(value, int | float) and value == value and abs(value) != float("inf")
    if value is None or isinstance(value, str | bool) or is_number:
        return value
    raise ValueError("not a value of JSON")
