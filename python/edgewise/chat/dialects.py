"""How models write calls of tools: one table, from which a template's own text picks a line."""

# ruff: noqa: RUF001  DeepSeek's marks have wide bars

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from edgewise.chat.call_readers import (
    BareListReader,
    CallReader,
    EitherReader,
    JsonReader,
    NamedReader,
    UntilReader,
    python_calls,
)
from edgewise.chat.tagged_calls import deepseek_calls, quoted_calls, xml_calls
from edgewise.chat.tools import Tool

if TYPE_CHECKING:
    from edgewise.chat.calls import Call

Tools = Mapping[str, Tool]
MakeReader = Callable[[Tools], CallReader]


@dataclass(frozen=True)
class Layout:
    """How a call looks that is written out: for constrained answers, and where a template shows none.

    Args:
        opening: before the call, or before the list of them.
        closing: after it.
        is_list: calls stand in a JSON list; otherwise each has marks of its own, with `between` between them.
        between: see there.
        arguments: under which key JSON holds them.
        after_name: what stands between a name and its arguments, where the call itself is no JSON.
    """

    opening: str = ""
    closing: str = ""
    is_list: bool = False
    between: str = "\n"
    arguments: Literal["arguments", "parameters"] = "arguments"
    after_name: str | None = None


@dataclass(frozen=True)
class Dialect:
    """How a family of models writes calls.

    Args:
        name: of the dialect.
        signs: groups of texts; a template that holds all of one group belongs to the family.
        openings: marks that open a call, and what reads on; wherever they stand in an answer.
        bare: the same for texts that only open a call where an answer begins, or right behind another call. The reader
            gets the opening, too.
        layout: how a call is written.
        marks: further marks, which may be special tokens: they have to be shown as text, so that calls can be read.
    """

    name: str
    signs: tuple[tuple[str, ...], ...]
    openings: Mapping[str, MakeReader]
    bare: Mapping[str, MakeReader]
    layout: Layout
    marks: tuple[str, ...] = ()

    def write(self, calls: Sequence[Call]) -> str:
        """Calls as the model would write them."""
        layout = self.layout
        texts = [self._write_one(name, arguments) for name, arguments in calls]
        if layout.is_list:
            return f"{layout.opening}[{', '.join(texts)}]{layout.closing}"
        return layout.between.join(f"{layout.opening}{text}{layout.closing}" for text in texts)

    def _write_one(self, name: str, arguments: dict[str, Any]) -> str:
        before, after = self.around(name)
        return f"{before}{_json(arguments)}{after}"

    def around(self, name: str) -> tuple[str, str]:
        """What stands before the arguments of a call, and what behind them."""
        if self.layout.after_name is not None:
            return name + self.layout.after_name, ""
        return f'{{"name": {_json(name)}, "{self.layout.arguments}": ', "}"


def dialect_of(template: str | None) -> Dialect:
    """The dialect of a chat template's source; generic JSON if nothing in it tells."""
    for dialect in DIALECTS:
        if template is not None and any(all(sign in template for sign in group) for group in dialect.signs):
            return dialect
    return GENERIC


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _json_until(*closing: str) -> MakeReader:
    return lambda tools: JsonReader(tools, closing)


def _json_or_xml(tools: Tools) -> CallReader:
    return EitherReader(JsonReader(tools, ("</tool_call>",)), UntilReader("</tool_call>", xml_calls(tools)))


def _fence(tools: Tools) -> CallReader:
    return UntilReader("```", python_calls(tools))


def _json_fence(tools: Tools) -> CallReader:
    return JsonReader(tools, ("```",), is_bare=True)


def _function(tools: Tools) -> CallReader:
    read = xml_calls(tools)
    return UntilReader("</function>", lambda text: read(f"<function={text}"))


def _list_or_named(tools: Tools) -> CallReader:
    return EitherReader(JsonReader(tools), NamedReader())


def _json_or_python(tools: Tools) -> CallReader:
    return EitherReader(JsonReader(tools, (";",)), UntilReader("<|eom_id|>", python_calls(tools)))


def _bare(tools: Tools) -> CallReader:
    return JsonReader(tools, (";",), is_bare=True)


_OBJECT: dict[str, MakeReader] = {"{": _bare}
_OBJECT_OR_LIST: dict[str, MakeReader] = {**_OBJECT, "[": BareListReader}
_TOOL_CALL: dict[str, MakeReader] = {"<tool_call>": _json_or_xml}
_JSON_FENCE: dict[str, MakeReader] = {"```json": _json_fence}

GENERIC = Dialect("generic", (), {**_TOOL_CALL, **_JSON_FENCE}, _OBJECT_OR_LIST, Layout())

# The first line that fits is taken.
DIALECTS: tuple[Dialect, ...] = (
    Dialect(
        "mistral-named",
        (("[TOOL_CALLS]", "[ARGS]"),),
        {"[TOOL_CALLS]": _list_or_named},
        _OBJECT,
        Layout("[TOOL_CALLS]", between="", after_name="[ARGS]"),
        marks=("[ARGS]", "[CALL_ID]"),
    ),
    Dialect(
        "mistral",
        (("[TOOL_CALLS]",),),
        {"[TOOL_CALLS]": _list_or_named},
        _OBJECT,
        Layout("[TOOL_CALLS]", is_list=True),
        marks=("[ARGS]", "[CALL_ID]"),
    ),
    Dialect(
        "deepseek",
        (("<｜tool▁calls▁begin｜>",),),
        {"<｜tool▁calls▁begin｜>": lambda tools: UntilReader("<｜tool▁calls▁end｜>", deepseek_calls)},
        _OBJECT,
        Layout(
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>",
            "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            after_name="<｜tool▁sep｜>",
        ),
        marks=("<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>"),
    ),
    Dialect(
        "gemma-4",
        (("<|tool_call>", "<tool_call|>"),),
        {"<|tool_call>": lambda tools: UntilReader("<tool_call|>", quoted_calls('<|"|>'))},
        _OBJECT,
        Layout(),
        marks=("<tool_call|>", '<|"|>'),
    ),
    Dialect(
        "function-gemma",
        (("<start_function_call>",),),
        {"<start_function_call>": lambda tools: UntilReader("<end_function_call>", quoted_calls("<escape>"))},
        _OBJECT,
        Layout(),
        marks=("<end_function_call>", "<escape>"),
    ),
    Dialect(
        "hermes",
        (("<tool_call>",),),
        {**_TOOL_CALL, **_JSON_FENCE, "<function=": _function},
        _OBJECT,
        Layout("<tool_call>\n", "\n</tool_call>"),
        marks=("</tool_call>",),
    ),
    Dialect(
        "phi-4-mini",
        (("<|tool_call|>",), ("<|tool|>",)),
        {
            "<|tool_call|>": _json_until("<|/tool_call|>", "<|tool_call|>"),
            "functools": _json_until(),
        },
        _OBJECT,
        Layout("<|tool_call|>", "<|/tool_call|>", is_list=True),
        marks=("<|/tool_call|>",),
    ),
    Dialect(
        "functools",
        (("functools[",),),
        {"functools": _json_until()},
        _OBJECT,
        Layout("functools", is_list=True),
    ),
    Dialect(
        "llama-3",
        (("<|python_tag|>",), ("<|start_header_id|>", "ipython")),
        {
            "<|python_tag|>": _json_or_python,
            **_JSON_FENCE,
        },
        _OBJECT_OR_LIST,
        Layout(arguments="parameters", between="; "),
    ),
    Dialect(
        "gemma",
        (("<start_of_turn>",), ("```tool_code",)),
        {"```tool_code": _fence, "```tool_call": _json_fence, **_JSON_FENCE},
        _OBJECT_OR_LIST,
        Layout("```json\n", "\n```", arguments="parameters"),
    ),
)
