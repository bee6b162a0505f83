"""What GGUF metadata may hold."""

from __future__ import annotations

from typing import TypeAlias

Value: TypeAlias = bool | int | float | str | list[str] | list[int] | list[float] | list[bool]
"""Whole numbers become u32, those of lists i32; floats become f32."""

Metadata: TypeAlias = dict[str, Value]


def typed(metadata: Metadata) -> list[tuple[str, str, Value]]:
    """(key, type, value), as `_core.GgufWriter` takes them."""
    return [(key, _type_of(value), value) for key, value in metadata.items()]


def _type_of(value: Value) -> str:
    if isinstance(value, list):
        kind = _type_of(value[0]) if value else "i32"
        return f"[{'i32' if kind == 'u32' else kind}]"
    if isinstance(value, bool):
        return "bool"
    return {int: "u32", float: "f32", str: "string"}[type(value)]
