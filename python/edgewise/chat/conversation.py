"""A conversation with an engine: messages in, answers out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewise.chat.rendering import ChatPrompts
from edgewise.chat.template import source_in
from edgewise.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgewise.chat.template import Message
    from edgewise.engine.protocol import Engine, GenerateOptions, Generation


class Conversation:
    """Asks an engine, with the file's own chat template where it has one.

    Args:
        engine: that answers.
        options: how answers are made.
        system: the system message.
        template: a Jinja template in place of the file's own.
        beginning: messages that every conversation begins with, after the system message.
        is_raw: give prompts to the model as they are; also what happens without a template.

    Raises:
        InvalidArgument: if there is a system message, but nothing to put it into.
        ModelFileError: if the file's chat template is no text.
        UnsupportedError: if it does not compile.
    """

    def __init__(
        self,
        engine: Engine,
        options: GenerateOptions,
        *,
        system: str | None = None,
        template: str | None = None,
        beginning: Sequence[Mapping[str, Any]] = (),
        is_raw: bool = False,
    ) -> None:
        self.engine = engine
        self.options = options
        has_template = not is_raw and (template is not None or source_in(engine.metadata) is not None)
        self._prompts = ChatPrompts(engine, template) if has_template else None
        if system is not None and self._prompts is None:
            what = "--raw leaves the chat template away" if is_raw else "this model has no chat template"
            raise InvalidArgument(f"a system message needs a chat template: {what}")
        self._system = system
        self._beginning = [dict(message) for message in beginning]
        self.messages: list[Message] = []
        self.clear()

    @property
    def has_template(self) -> bool:
        """Whether prompts become messages."""
        return self._prompts is not None

    def clear(self) -> None:
        """Forgets everything but the system message and what every conversation begins with."""
        self.messages = [] if self._system is None else [{"role": "system", "content": self._system}]
        self.messages += self._beginning

    def set_system(self, text: str) -> None:
        """Starts anew with this system message."""
        self._system = text
        self.clear()

    def ask(self, text: str) -> Generation:
        """The answer in the making. Tell the conversation what came of it with `answered`."""
        if self._prompts is None:
            return self.engine.generate(text, self.options)
        self.messages.append({"role": "user", "content": text})
        return self.engine.generate(self._prompts.render(self.messages).engine_prompt, self.options)

    def answered(self, text: str) -> None:
        """Keeps an answer as part of the conversation, also one that was stopped half-way."""
        if self._prompts is not None:
            self.messages.append({"role": "assistant", "content": text})

    def take_back(self) -> None:
        """Forgets the last question, which got no answer."""
        if self.messages and self.messages[-1]["role"] == "user":
            self.messages.pop()
