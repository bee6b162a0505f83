"""A model's own chat template, rendered the way the `transformers` library renders it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from edgewise.errors import InvalidArgument, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2.parser import Parser

Message = dict[str, Any]


class _Generation(jinja2.ext.Extension):
    """Training frameworks mark the assistant's words with `{% generation %}`; here the tag means nothing."""

    tags = {"generation"}  # noqa: RUF012  jinja2 declares it this way

    def parse(self, parser: Parser) -> list[jinja2.nodes.Node]:
        parser.stream.skip(1)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class ChatTemplate:
    """Turns messages into a prompt. The template comes from a file, so it runs in Jinja's sandbox.

    Args:
        source: the Jinja source.
        bos: text of the beginning-of-sequence token, empty if there is none.
        eos: text of the end-of-sequence token, empty if there is none.

    Raises:
        UnsupportedError: if the template is not valid Jinja.
    """

    def __init__(self, source: str, bos: str = "", eos: str = "") -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = _strftime_now
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateSyntaxError as error:
            raise UnsupportedError(
                f"chat template, line {error.lineno}: {error.message}",
                hint="the model works without it: `edgewise run --raw`, or `create_completion`",
            ) from error
        self._tokens = {"bos_token": bos, "eos_token": eos}

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt for these messages.

        Args:
            messages: dicts with at least `role` and `content`.
            add_generation_prompt: end with the words that open the assistant's answer.
            variables: what else the template may ask for, such as `enable_thinking`.

        Raises:
            InvalidArgument: if the template refuses the messages or cannot use them.
        """
        given = {"messages": messages, "add_generation_prompt": add_generation_prompt, "tools": None}
        try:
            return self._template.render({**self._tokens, **given, **(variables or {})})
        except jinja2.TemplateError as error:
            raise InvalidArgument(f"the model's chat template refused: {error}") from error
        except (TypeError, ValueError, KeyError, RecursionError, OverflowError, ZeroDivisionError) as error:
            raise InvalidArgument(f"the model's chat template failed: {type(error).__name__}: {error}") from error


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(pattern: str) -> str:
    return datetime.now().strftime(pattern)


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
