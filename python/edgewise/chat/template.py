"""A model's own chat template, rendered the way the `transformers` library renders it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from edgewise.errors import InvalidArgument, ModelFileError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2.parser import Parser
    from jinja2.runtime import Context

Message = dict[str, Any]

_WITHOUT = "the model works without it: `edgewise run --raw`, or `create_completion`"
# The longest text or list that a template may make by repeating one, and the largest power.
_LONGEST_REPETITION = 1_000_000
_LARGEST_EXPONENT = 1_000


def source_in(metadata: Mapping[str, object], key: str = "tokenizer.chat_template") -> str | None:
    """The template that a file carries under this key; None if it has none.

    Raises:
        ModelFileError: if what stands there is no text.
    """
    source = metadata.get(key)
    if source is not None and not isinstance(source, str):
        raise ModelFileError(
            f'metadata key "{key}": a chat template must be a text, this is {type(source).__name__} {source!r:.40}',
            hint=_WITHOUT,
        )
    return source


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox bounds `range`; this bounds `*` and `**` too, which could ask for any memory and time."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Does a product or a power, if its result is not too large."""
        if operator == "**" and (not isinstance(right, int | float) or abs(right) > _LARGEST_EXPONENT):
            raise OverflowError(f"a power with exponent {right!r:.20}; the limit is {_LARGEST_EXPONENT}")
        for text, count in ((left, right), (right, left)):
            is_repetition = operator == "*" and isinstance(text, str | list | tuple) and isinstance(count, int)
            if is_repetition and len(text) * count > _LONGEST_REPETITION:
                raise OverflowError(f"a repetition of {len(text) * count} items; the limit is {_LONGEST_REPETITION}")
        return super().call_binop(context, operator, left, right)


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
        UnsupportedError: if the template does not compile.
    """

    def __init__(self, source: str, bos: str = "", eos: str = "") -> None:
        environment = _Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols])
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = _strftime_now
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateSyntaxError as error:
            raise UnsupportedError(f"chat template, line {error.lineno}: {error.message}", hint=_WITHOUT) from error
        except Exception as error:  # the source is a stranger's: nothing that Jinja or Python makes of it may escape
            finding = f"{type(error).__name__}: {error}"
            raise UnsupportedError(f"chat template: it does not compile: {finding}", hint=_WITHOUT) from error
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
        except Exception as error:  # what a stranger's template does with the messages is not foreseen
            finding = f"{type(error).__name__}: {error}"
            raise InvalidArgument(f"the model's chat template failed: {finding}", hint=_WITHOUT) from error


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
