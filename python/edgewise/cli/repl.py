"""A chat at the terminal. Nothing is written to disk but the cache of prompts."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from edgewise.cli import MORE_CONTEXT, speeds
from edgewise.cli.output import exact, shown
from edgewise.errors import ContextFull, EdgewiseError

if TYPE_CHECKING:
    from edgewise.chat.conversation import Conversation

HELP = """\
/clear           forget the conversation
/system TEXT     start anew with this system message
/help            this text
/exit            leave; Ctrl-D too
\"\"\"              begins and ends a message of several lines; so does a \\ at the end of a line
Ctrl-C           stops an answer, clears a line"""

QUOTES = '"""'


class Repl:
    """Reads messages, prints answers.

    Args:
        conversation: that is held.
        is_quiet: no speeds after an answer.
    """

    def __init__(self, conversation: Conversation, *, is_quiet: bool) -> None:
        self._conversation = conversation
        self._is_quiet = is_quiet
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  gives input() line editing and history

    def run(self) -> int:
        """Until the user leaves."""
        self._tell(f"{shown(self._conversation.engine.path.name)}: /help says more, /exit leaves")
        if not self._conversation.has_template:
            self._tell("this model gets your text as it is (no chat template): it continues, it does not answer")
        while True:
            try:
                message = self._read()
            except EOFError:
                print()
                return 0
            except KeyboardInterrupt:
                print()
                continue
            if message.startswith("/"):
                if not self._obey(message):
                    return 0
            elif message.strip():
                self._answer(message)

    def _read(self) -> str:
        """One message, of several lines if it is quoted or lines end in a backslash."""
        line = input(">>> ")
        if line.lstrip().startswith(QUOTES):
            lines = [line.lstrip().removeprefix(QUOTES)]
            while not lines[-1].rstrip().endswith(QUOTES):
                lines.append(input("... "))
            lines[-1] = lines[-1].rstrip().removesuffix(QUOTES)
            return "\n".join(lines).strip("\n")
        lines = [line]
        while lines[-1].endswith("\\"):
            lines[-1] = lines[-1][:-1]
            lines.append(input("... "))
        return "\n".join(lines)

    def _obey(self, message: str) -> bool:
        """Does what a command says; False to leave."""
        command, _, text = message.strip().partition(" ")
        if command in ("/exit", "/quit", "/bye"):
            return False
        if command == "/clear":
            self._conversation.clear()
            self._tell("forgotten")
        elif command == "/system" and text and self._conversation.has_template:
            self._conversation.set_system(text)
            self._tell("a new conversation with this system message")
        elif command == "/system":
            self._tell("/system needs a text, and a model with a chat template")
        elif command in ("/help", "/?"):
            self._tell(HELP)
        else:
            self._tell(f"{command} is no command; /help lists them")
        return True

    def _answer(self, message: str) -> None:
        text = ""
        try:
            generation = self._conversation.ask(message)
        except EdgewiseError as error:
            self._conversation.take_back()
            self._tell(f"error: {shown(str(error))}")
            if isinstance(error, ContextFull):
                self._tell(f"hint: /clear makes room; at the start, {MORE_CONTEXT}")
            return
        try:
            for piece in generation:
                text += piece.text
                print(exact(piece.text), end="", flush=True)
        except KeyboardInterrupt:
            generation.close()
        if text:
            self._conversation.answered(text)
        else:
            self._conversation.take_back()
        print(flush=True)
        note = speeds.note(generation.timings)
        if note is not None:
            self._tell(note)
        if not self._is_quiet:
            self._tell(speeds.line(generation.timings))

    def _tell(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)
