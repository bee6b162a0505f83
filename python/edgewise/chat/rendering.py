"""Prompts from conversations, as the model file's own chat template writes them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from edgewise.chat import reasoning
from edgewise.chat.dialects import Dialect, dialect_of
from edgewise.chat.messages import adapt, plain
from edgewise.chat.reader import AnswerReader
from edgewise.chat.template import ChatTemplate, source_in
from edgewise.chat.tools import Tool, tools_from
from edgewise.chat.traits import Traits, find_traits
from edgewise.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgewise.chat.template import Message
    from edgewise.engine.protocol import Engine

TEMPLATE = "tokenizer.chat_template"
TOOL_TEMPLATE = "tokenizer.chat_template.tool_use"
# Names that templates have for special tokens, and GGUF's for them.
_SPECIAL = {
    "unk_token": "unknown",
    "sep_token": "seperator",
    "pad_token": "padding",
    "cls_token": "cls",
    "mask_token": "mask",
}


@dataclass(frozen=True)
class ChatPrompt:
    """A conversation as a prompt, and what is needed to read the answer.

    Args:
        text: of the prompt; it begins with the special tokens that the template writes.
        tokens: the same as token ids; None where the engine has a tokenizer of its own, for which `engine_prompt` is.
        engine_prompt: what to give to the engine's `generate`; such an engine puts its special tokens first.
        is_thinking: the prompt opened the model's reasoning, so that the answer begins within it.
        dialect: how the model writes calls.
        tags: what opens and closes its reasoning.
        tools: those that were offered.
        shown_tokens: special tokens that have to be part of the answer's text, so that calls and reasoning are found.
    """

    text: str
    tokens: list[int] | None
    engine_prompt: str | list[int] = field(repr=False)
    is_thinking: bool
    dialect: Dialect
    tags: tuple[str, str]
    tools: tuple[Tool, ...] = ()
    shown_tokens: frozenset[int] = frozenset()

    def reader(self, *, splits_reasoning: bool = True) -> AnswerReader:
        """Reads the answer to this prompt."""
        tags = self.tags if splits_reasoning else None
        return AnswerReader(self.dialect, self.tools, tags=tags, is_thinking=self.is_thinking)


class _Variant:
    """One of a file's templates, with what is known of it."""

    def __init__(self, source: str, bos: str, eos: str, special: Mapping[str, str]) -> None:
        self.template = ChatTemplate(source, bos, eos, special=special)
        self.dialect = dialect_of(source)
        self.tags = reasoning.tags_of(source)

    @cached_property
    def traits(self) -> Traits:
        return find_traits(self.template)


class ChatPrompts:
    """Makes prompts for an engine.

    Args:
        engine: whose tokens and whose file's templates are used.
        template: a Jinja template in place of the file's.

    Raises:
        ModelFileError: if the file's template is no text.
        UnsupportedError: if there is no template, or it does not compile.
    """

    def __init__(self, engine: Engine, template: str | None = None) -> None:
        self._engine = engine
        metadata = engine.metadata
        self._bos = token_text(engine, "bos")
        tokens = {name: token_text(engine, key) for name, key in _SPECIAL.items()}
        special = {name: text for name, text in tokens.items() if text}
        source = template if template is not None else source_in(metadata, TEMPLATE)
        with_tools = None if template is not None else source_in(metadata, TOOL_TEMPLATE)
        if source is None:
            raise UnsupportedError(
                "this model has no chat template",
                hint="it completes text: /api/generate, /v1/completions, `edgewise run`",
            )
        eos = token_text(engine, "eos")
        self._plain = _Variant(source, self._bos, eos, special)
        self._with_tools = self._plain if with_tools is None else _Variant(with_tools, self._bos, eos, special)

    @property
    def dialect(self) -> Dialect:
        """How the model writes calls."""
        return self._with_tools.dialect

    @property
    def tags(self) -> tuple[str, str]:
        """What opens and closes the model's reasoning."""
        return self._plain.tags

    @property
    def takes_tools(self) -> bool:
        """Whether the template shows tools. Where it does not, a system message does."""
        return self._with_tools.traits.takes_tools

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        thinking: bool | str | None = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        variables: Mapping[str, Any] | None = None,
    ) -> ChatPrompt:
        """The prompt for a conversation.

        Args:
            messages: dicts with `role` and `content`, in OpenAI's form; see `messages.adapt`.
            tools: functions that the answer may call, in OpenAI's form.
            documents: what the answer may draw on: dicts with `title` and `text`.
            thinking: whether the model is to reason first, or how much (`low`, `medium`, `high`); None leaves it to the
                template.
            add_generation_prompt: end with the words that open the assistant's answer.
            continue_final_message: end within the last message, which the answer goes on with.
            variables: what else the template may ask for.

        Raises:
            InvalidArgument: if a message or a tool is not of its form, or the template refuses them.
        """
        offered = tools_from(tools)
        variant = self._with_tools if offered else self._plain
        traits = variant.traits
        adapted = adapt(messages, traits, variant.dialect)
        if offered and not traits.takes_tools:
            adapted = adapt([_explained(offered, variant.dialect), *messages], traits, variant.dialect)
        text = variant.template.render(
            adapted,
            tools=[plain(tool) for tool in tools or ()] or None,
            documents=None if documents is None else [plain(document) for document in documents],
            add_generation_prompt=add_generation_prompt,
            continue_final_message=continue_final_message,
            variables={**_switches(thinking), **plain(variables or {})},
        )
        is_thinking = reasoning.is_opened_by(text, variant.tags)
        if thinking is False and is_thinking:
            text, is_thinking = f"{text}\n{variant.tags[1]}\n\n", False
        tokens = self._tokens(text)
        return ChatPrompt(
            text=text,
            tokens=tokens,
            engine_prompt=text.removeprefix(self._bos) if tokens is None else tokens,
            is_thinking=is_thinking,
            dialect=variant.dialect,
            tags=variant.tags,
            tools=offered,
            shown_tokens=self._shown(variant, has_tools=bool(offered)),
        )

    def _tokens(self, text: str) -> list[int] | None:
        try:
            return self._engine.tokenize(text, add_special=False, parse_special=True)
        except UnsupportedError:
            return None

    def _shown(self, variant: _Variant, *, has_tools: bool) -> frozenset[int]:
        dialect = variant.dialect
        marks = [*variant.tags, *([*dialect.openings, *dialect.marks] if has_tools else [])]
        return frozenset(token for mark in marks for token in special_tokens(self._engine, mark))


def special_tokens(engine: Engine, mark: str) -> list[int]:
    """The special token that a mark is; nothing if it is written as text."""
    try:
        tokens = engine.tokenize(mark, add_special=False, parse_special=True)
        is_special = len(tokens) == 1 and not engine.detokenize(tokens)
    except UnsupportedError:
        return []
    return tokens if is_special else []


def token_text(engine: Engine, name: str) -> str:
    """The text of a special token by GGUF's name for it, such as `bos`; empty if there is none."""
    token = engine.metadata.get(f"tokenizer.ggml.{name}_token_id")
    if not isinstance(token, int):
        return ""
    try:
        return engine.detokenize([token], special=True).decode(errors="replace")
    except UnsupportedError:
        return ""


def _switches(thinking: bool | str | None) -> dict[str, Any]:
    """The variables by which templates switch reasoning on and off."""
    if thinking is None:
        return {}
    switches: dict[str, Any] = {"enable_thinking": bool(thinking), "thinking": bool(thinking)}
    return {**switches, "reasoning_effort": thinking} if isinstance(thinking, str) else switches


def _explained(tools: Sequence[Tool], dialect: Dialect) -> Message:
    """A system message that offers tools, for templates that do not."""
    functions = [{"name": tool.name, "description": tool.description, "parameters": tool.schema} for tool in tools]
    lines = "\n".join(json.dumps(function, ensure_ascii=False) for function in functions)
    form = dialect.write([("name of the function", {"name of the argument": "value"})])
    words = f"You may call these functions:\n{lines}\n\nTo call one, answer with nothing but JSON of this form:\n{form}"
    return {"role": "system", "content": words}
