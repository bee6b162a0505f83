"""What an answer has to be, as llama-cpp-python's callers say it: a grammar, a response format, a choice of tools."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgewise.chat.tool_choice import chosen_tools, constraint_for
from edgewise.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from edgewise.chat.grammar import Grammars
    from edgewise.chat.rendering import ChatPrompt
    from edgewise.engine.protocol import Constraint


class LlamaGrammar:
    """A grammar for `Llama`'s answers. It is checked when an answer is asked for, as it depends on the model's tokens.

    Args:
        _grammar: in GBNF.
    """

    def __init__(self, _grammar: str) -> None:
        self._grammar = _grammar
        self._kind: Literal["gbnf", "schema"] = "gbnf"

    @classmethod
    def from_string(cls, grammar: str, verbose: bool = True) -> Self:
        """A grammar in GBNF, or in llguidance's Lark where it begins with `%llguidance`."""
        return cls(grammar)

    @classmethod
    def from_file(cls, file: str | Path, verbose: bool = True) -> Self:
        """A grammar from a file.

        Raises:
            OSError: if the file cannot be read.
            ValueError: if it is empty.
        """
        text = Path(file).read_text(encoding="utf-8")
        if not text:
            raise InvalidArgument(f"error parsing grammar file: {file} is empty")
        return cls(text)

    @classmethod
    def from_json_schema(cls, json_schema: str, verbose: bool = True) -> Self:
        """A grammar for JSON that satisfies a schema, which is given as a JSON text."""
        made = cls(json_schema)
        made._kind = "schema"
        return made

    def constraint(self, grammars: Grammars) -> Constraint:
        """What an answer of this grammar may say.

        Raises:
            InvalidArgument: with the reason, if the grammar cannot be served.
        """
        if self._kind == "schema":
            return grammars.json_schema(self._grammar)
        is_lark = isinstance(self._grammar, str) and self._grammar.lstrip().startswith("%llguidance")
        return grammars.lark(self._grammar) if is_lark else grammars.gbnf(self._grammar)


@dataclass(frozen=True)
class Demands:
    """What a chat asks of the completion that answers it.

    Args:
        made: the constraint; None lets the answer say anything.
        shown_tokens: special tokens that are part of the answer's text.
    """

    made: Constraint | None
    shown_tokens: frozenset[int] = frozenset()

    def constraint(self, grammars: Grammars) -> Constraint | None:
        """The constraint; the grammars have done their part."""
        return self.made


def check_grammar(grammar: object) -> LlamaGrammar | Demands | None:
    """A `grammar` argument.

    Raises:
        InvalidArgument: if it is something else.
    """
    if grammar is None or isinstance(grammar, LlamaGrammar | Demands):
        return grammar
    raise InvalidArgument(
        f"grammar must be a LlamaGrammar, got {grammar!r:.80}", hint="LlamaGrammar.from_string(...) makes one of a text"
    )


def format_grammar(response_format: Any) -> LlamaGrammar | None:
    """The grammar of a `response_format`: `{"type": "json_object", "schema": ...}`, or OpenAI's `json_schema`.

    Raises:
        InvalidArgument: if it is neither, nor `text`.
    """
    if response_format is None:
        return None
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":
        schema = response_format.get("schema", {"type": "object"})
    elif kind == "json_schema":
        about = response_format.get("json_schema")
        schema = about.get("schema", {"type": "object"}) if isinstance(about, dict) else None
    else:
        raise InvalidArgument(f"response_format has type text, json_object or json_schema, got {response_format!r:.80}")
    if not isinstance(schema, dict):
        raise InvalidArgument(f"response_format: the schema must be an object, got {schema!r:.80}")
    return LlamaGrammar.from_json_schema(json.dumps(schema))


def openai_tools(tools: Any, tool_choice: Any, functions: Any, function_call: Any) -> tuple[list[Any], Any]:
    """Tools and the choice among them, from either of OpenAI's ways to say so.

    Raises:
        InvalidArgument: if they are no lists.
    """
    if functions and not tools:
        tools = [{"type": "function", "function": function} for function in _list("functions", functions)]
        if function_call is not None:
            tool_choice = function_call if isinstance(function_call, str) else {"function": function_call}
    offered = _list("tools", tools or [])
    return ([] if tool_choice == "none" else offered), tool_choice


def demands_of(
    grammars: Callable[[], Grammars], prompt: ChatPrompt, tool_choice: Any, grammar: LlamaGrammar | Demands | None
) -> Demands:
    """What the answer to a prompt with tools has to be; the choice of a tool comes before a grammar.

    Args:
        grammars: makes constraints; asked for where one is needed.
        prompt: with the tools.
        tool_choice: OpenAI's.
        grammar: what the caller asked for otherwise.
    """
    if chosen_tools(prompt.tools, tool_choice) is not None:
        return Demands(constraint_for(grammars(), prompt, tool_choice, is_parallel=False), prompt.shown_tokens)
    return Demands(None if grammar is None else grammar.constraint(grammars()), prompt.shown_tokens)


def _list(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise InvalidArgument(f"{name} must be a list, got {value!r:.80}")
    return list(value)
