"""What holds an answer to the form that the request wants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewise.chat.tool_choice import constraint_for
from edgewise.engine.native import NativeEngine

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgewise.chat.grammar import Grammars
    from edgewise.chat.rendering import ChatPrompt
    from edgewise.engine.protocol import Constraint, Engine
    from edgewise.server.ask import Ask, Format


def constraint_of(
    ask: Ask, chat: ChatPrompt | None, engine: Engine, grammars: Callable[[], Grammars]
) -> Constraint | None:
    """What an answer may say; None if anything.

    Args:
        ask: the request.
        chat: its conversation as a prompt, if it has one.
        engine: that answers.
        grammars: of that engine; made when they are needed.

    Raises:
        InvalidArgument: with the reason, if a schema, a grammar or the choice of tools can not be served.
        UnsupportedError: if answers of this engine can not be held to a form.
    """
    if ask.format is not None:
        closing = chat.tags[1] if chat is not None and chat.is_thinking else None
        return _form(grammars(), ask.format, engine, closing)
    if chat is None or ask.tool_choice in (None, "auto", "none"):
        return None
    return constraint_for(grammars(), chat, ask.tool_choice, is_parallel=ask.has_parallel_calls)


def _form(grammars: Grammars, wanted: Format, engine: Engine, closing: str | None) -> Constraint:
    """What a form allows; where the prompt opened the model's reasoning, behind the tag that closes it."""
    if wanted.kind == "json_object":
        return grammars.json_object(after=closing)
    if wanted.kind == "json_schema":
        return grammars.json_schema(wanted.value, after=closing)
    make = {"regex": grammars.regex, "lark": grammars.lark, "gbnf": grammars.gbnf}[wanted.kind]
    form = make(wanted.value)
    return form if closing is None else AfterThinking(form, engine, closing)


class AfterThinking:
    """Lets a model reason freely, and holds it to a form once it closed its reasoning.

    Args:
        form: what the answer may say.
        engine: whose tokens it is made of; the native one, as the form's grammar needs that too.
        closing: what closes the reasoning.
    """

    def __init__(self, form: Constraint, engine: Engine, closing: str) -> None:
        if not isinstance(engine, NativeEngine):
            raise TypeError("only answers of the native engine have a form")
        self._form = form
        self._tokenizer = engine.tokenizer
        self._closing = closing.encode()
        self._is_thinking = True
        self._tail = b""
        size = engine.vocabulary_size
        mask = bytearray(b"\xff" * ((size + 7) // 8))
        for token in range(size):  # who ends while reasoning has not answered
            if self._tokenizer.is_end(token):
                mask[token // 8] &= ~(1 << token % 8)
        self._all_but_ends = bytes(mask)

    def allowed(self) -> bytes | None:
        """See `Constraint.allowed`."""
        return self._all_but_ends if self._is_thinking else self._form.allowed()

    def accept(self, token: int) -> None:
        """See `Constraint.accept`."""
        if not self._is_thinking:
            self._form.accept(token)
            return
        self._tail = (self._tail + self._tokenizer.pieces([token], special=True))[-4 * len(self._closing) :]
        self._is_thinking = self._closing not in self._tail

    @property
    def is_complete(self) -> bool:
        """See `Constraint.is_complete`."""
        return not self._is_thinking and self._form.is_complete
