"""A model's own chat template, rendered the way the `transformers` library renders it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.utils

from edgewise.chat.sandbox import Sandbox
from edgewise.errors import InvalidArgument, ModelFileError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jinja2.parser import Parser

Message = dict[str, Any]

_WITHOUT = "the model works without it: `edgewise run --raw`, or `create_completion`"
_LITTLE = 20_000  # characters of what a template is given
# Stands at the end of a message that is to be continued, while the template renders it. Templates that trim a message
# trim its last blank too.
_CUT = "CONTINUE_FINAL_MESSAGE_TAG "


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


class _Generation(jinja2.ext.Extension):
    """Training frameworks mark the assistant's words with `{% generation %}`; here it means a scope and no more."""

    tags = {"generation"}  # noqa: RUF012  jinja2 declares it this way

    def parse(self, parser: Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_words"), [], [], body).set_lineno(line)

    def _words(self, caller: Callable[[], str]) -> str:
        return caller()


class _Dict:
    """`dict` for templates: it makes dicts, and has nothing else that a class has."""

    def __call__(self, *items: Any, **named: Any) -> dict[Any, Any]:
        return dict(*items, **named)

    def fromkeys(self, *items: Any) -> dict[Any, Any]:
        return dict.fromkeys(*items)


class _Namespace(jinja2.utils.Namespace):
    """Jinja's `namespace` without names that begin with an underscore, which could reach into Python."""

    def __init__(*items: Any, **named: Any) -> None:  # a template may say namespace(self=...)
        self, *rest = items
        attributes = dict(*rest, **named)
        for name in attributes:
            _refuse_underscore(name)
        jinja2.utils.Namespace.__init__(self, attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_underscore(name)
        super().__setitem__(name, value)


class ChatTemplate:
    """Turns messages into a prompt. The template comes from a file, so it runs in Jinja's sandbox.

    Args:
        source: the Jinja source.
        bos: text of the beginning-of-sequence token, empty if there is none.
        eos: text of the end-of-sequence token, empty if there is none.
        special: further special tokens that templates ask for by name, such as `pad_token`.
        now: the time that `strftime_now` tells.

    Raises:
        UnsupportedError: if the template does not compile.
    """

    def __init__(
        self,
        source: str,
        bos: str = "",
        eos: str = "",
        *,
        special: Mapping[str, str] | None = None,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._sandbox = environment = Sandbox(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = lambda pattern: now().strftime(pattern)
        environment.globals["dict"] = _Dict()
        environment.globals["namespace"] = _Namespace
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateSyntaxError as error:
            raise UnsupportedError(f"chat template, line {error.lineno}: {error.message}", hint=_WITHOUT) from error
        except Exception as error:  # the source is a stranger's: nothing that Jinja or Python makes of it may escape
            finding = f"{type(error).__name__}: {error}"
            raise UnsupportedError(f"chat template: it does not compile: {finding}", hint=_WITHOUT) from error
        self.source = source
        self._tokens = {"bos_token": bos, "eos_token": eos, **(special or {})}

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt for these messages, given to the template as they are (`messages.py` adapts them).

        Args:
            messages: dicts with at least `role` and `content`.
            add_generation_prompt: end with the words that open the assistant's answer.
            continue_final_message: end within the last message, which the answer goes on with.
            tools: functions that the answer may call, in OpenAI's form.
            documents: what the answer may draw on: dicts with `title` and `text`.
            variables: what else the template may ask for, such as `enable_thinking`.

        Raises:
            InvalidArgument: if the template refuses the messages or cannot use them, or the last message has nothing to
                continue, or the template drops it.
        """
        if continue_final_message:
            return self._cut(messages, tools=tools, documents=documents, variables=variables)
        given = {
            "messages": messages,
            "tools": tools,
            "documents": documents,
            "add_generation_prompt": add_generation_prompt,
        }
        try:
            self._sandbox.begin()
            return self._template.render({**self._tokens, **(variables or {}), **given})
        except jinja2.TemplateError as error:
            raise InvalidArgument(f"the model's chat template refused: {error}") from error
        except Exception as error:  # what a stranger's template does with the messages is not foreseen
            # Too slow for little is too slow for all; whoever sends much harms nobody but himself.
            if isinstance(error, TimeoutError) and len(repr((given, variables))) < _LITTLE:
                self._sandbox.is_too_slow = True
            finding = f"{type(error).__name__}: {error}"
            raise InvalidArgument(f"the model's chat template failed: {finding}", hint=_WITHOUT) from error

    def _cut(self, messages: Sequence[Mapping[str, Any]], **given: Any) -> str:
        """The prompt up to the last word of the last message."""
        words, tagged = _tagged(messages[-1].get("content") if messages else None)
        marked = [*messages[:-1], {**messages[-1], "content": tagged}]
        prompt = self.render(marked, add_generation_prompt=False, **given)
        place = prompt.rfind(_CUT.strip())
        if place < 0 or words.strip() not in prompt:
            raise InvalidArgument("continue_final_message: the chat template does not show the last message whole")
        return prompt[:place] if prompt.startswith(_CUT, place) else prompt[:place].rstrip()


def _tagged(content: Any) -> tuple[str, Any]:
    """The last words of a message's content, and the content with a tag behind them."""
    if isinstance(content, str):
        return content, content + _CUT
    parts = content if isinstance(content, list) else []
    for index in reversed(range(len(parts))):
        words = parts[index].get("text")
        if isinstance(words, str):
            return words, [*parts[:index], {**parts[index], "text": words + _CUT}, *parts[index + 1 :]]
    raise InvalidArgument("continue_final_message: the last message has no text to continue")


def _refuse_underscore(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(f"a namespace has no attribute {name!r}")


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
