"""What GGUF metadata may hold."""

from __future__ import annotations

from typing import TypeAlias

Value: TypeAlias = bool | int | float | str | list[str] | list[int] | list[float] | list[bool]
"""Whole numbers become u32, those of lists i32; floats become f32."""

Metadata: TypeAlias = dict[str, Value]
