"""Modelfiles: what a model is made from, as a text.

```
FROM llama3.2:1b
PARAMETER temperature 0.7
PARAMETER stop "User:"
SYSTEM \"\"\"You are a pirate.
You answer in one sentence.\"\"\"
MESSAGE user Who are you?
MESSAGE assistant A pirate, matey.
```

Source: Ollama's parser/parser.go.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgewise.errors import InvalidArgument
from edgewise.store import parameters

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROLES = ("system", "user", "assistant")
"""Who may speak in a MESSAGE."""

_COMMANDS = ("FROM", "PARAMETER", "TEMPLATE", "SYSTEM", "ADAPTER", "LICENSE", "MESSAGE")
_REFUSED = {
    "REQUIRES": "it names a version of Ollama; leave it out",
    "DRAFT": "name the small model when the model is run: --draft",
    "RENDERER": "the chat template of the model's file is used; leave it out",
    "PARSER": "answers are read as the chat template of the model's file says; leave it out",
}
_NAMED = ("PARAMETER", "MESSAGE")  # a name comes before the value
_QUOTES = '"""'


@dataclass(frozen=True)
class Modelfile:
    """What a Modelfile says.

    Args:
        sources: what comes after FROM: a name or a path each; models with a projector have two.
        parameters: options by name, typed.
        template: a chat template; None if there is none.
        system: the system message; None if there is none.
        adapters: paths.
        licenses: texts.
        messages: role and words of each.
    """

    sources: tuple[str, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    template: str | None = None
    system: str | None = None
    adapters: tuple[str, ...] = ()
    licenses: tuple[str, ...] = ()
    messages: tuple[tuple[str, str], ...] = ()

    @staticmethod
    def parse(text: str) -> Modelfile:
        """Reads one.

        Raises:
            InvalidArgument: naming the line, if it cannot be read, or nothing says what the model is made from.
        """
        found: dict[str, list[tuple[str, str]]] = {command: [] for command in _COMMANDS}
        for number, command, name, value in _commands(text):
            try:
                _check(command, name, value)
            except InvalidArgument as error:
                raise InvalidArgument(f"Modelfile, line {number}: {error.message}", hint=error.hint) from error
            found[command].append((name, value))
        if not found["FROM"]:
            hint = "FROM names the model, or the file, that it is made from"
            raise InvalidArgument("Modelfile: no FROM line", hint=hint)
        values = {command: tuple(value for _, value in pairs) for command, pairs in found.items()}
        return Modelfile(
            sources=values["FROM"],
            parameters=parameters.parsed((name.lower(), value) for name, value in found["PARAMETER"]),
            template=values["TEMPLATE"][-1] if values["TEMPLATE"] else None,
            system=values["SYSTEM"][-1] if values["SYSTEM"] else None,
            adapters=values["ADAPTER"],
            licenses=values["LICENSE"],
            messages=tuple((role.lower(), words) for role, words in found["MESSAGE"]),
        )

    def __str__(self) -> str:
        """A text that `parse` reads as this; a comment stands for what no Modelfile can hold."""
        lines = [_line("FROM", source) for source in self.sources]
        if self.template is not None:
            lines.append(_line("TEMPLATE", self.template))
        if self.system is not None:
            lines.append(_line("SYSTEM", self.system))
        lines += [_line(f"PARAMETER {name}", value) for name, value in parameters.written(self.parameters)]
        lines += [_line("ADAPTER", path) for path in self.adapters]
        lines += [_line("LICENSE", text) for text in self.licenses]
        lines += [_line(f"MESSAGE {role}", words) for role, words in self.messages]
        return "\n".join(lines) + "\n"


def _commands(text: str) -> Iterator[tuple[int, str, str, str]]:
    """Number of the line, command in capitals, name if the command has one, and value without its quotes."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    index = 0
    while index < len(lines):
        number, line = index + 1, lines[index].lstrip()
        index += 1
        if not line or line.startswith("#"):
            continue
        command, value = _first_word(line)
        command, name = command.upper(), ""
        if command in _NAMED:
            name, value = _first_word(value)
        if not value.startswith(_QUOTES):
            yield number, command, name, _unquoted(value.strip())
            continue
        value = value.removeprefix(_QUOTES)
        while _QUOTES not in value:
            if index == len(lines):
                raise InvalidArgument(f"Modelfile, line {number}: {_QUOTES} is opened and never closed")
            value += "\n" + lines[index]
            index += 1
        value, _, rest = value.partition(_QUOTES)
        if rest.strip():
            raise InvalidArgument(f"Modelfile, line {index}: {rest.strip()!r:.40} stands behind the closing {_QUOTES}")
        yield number, command, name, value


def _first_word(text: str) -> tuple[str, str]:
    word, *rest = text.split(None, 1)[:2] or [""]
    return word, "".join(rest)


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value


def _check(command: str, name: str, value: str) -> None:
    if command in _REFUSED:
        raise InvalidArgument(f"{command} is not supported", hint=_REFUSED[command])
    if command not in _COMMANDS:
        raise InvalidArgument(f"unknown command {command!r:.40}", hint=f"known: {', '.join(_COMMANDS)}")
    if command in _NAMED and not name:
        raise InvalidArgument(f"{command} needs a name and a value")
    if command == "PARAMETER":
        parameters.parsed([(name.lower(), value)])
    if command == "MESSAGE" and name.lower() not in ROLES:
        raise InvalidArgument(f"{name!r:.40} is no role", hint=f"known: {', '.join(ROLES)}")
    if not value and command in ("FROM", "ADAPTER"):
        raise InvalidArgument(f"{command} needs a value")


def _line(beginning: str, text: str) -> str:
    """One command; its value is in quotes where it would be read as something else without."""
    is_plain = text == text.strip() and "\n" not in text and not text.startswith('"') and text
    if is_plain:
        return f"{beginning} {text}"
    if _QUOTES in text or text.endswith('"'):
        return f"# {beginning}: a text with quotes that a Modelfile cannot hold"
    return f"{beginning} {_QUOTES}{text}{_QUOTES}"
