"""What a model hears and says: prompts by its chat template, answers read back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgewise.chat.template import ChatTemplate, source_in
from edgewise.errors import ContextFull, InvalidArgument, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edgewise.engine.protocol import Engine
    from edgewise.server.ask import Ask
    from edgewise.server.catalog import Offer


@dataclass(frozen=True)
class TextDelta:
    """Words for the reader."""

    text: str


@dataclass(frozen=True)
class ReasoningDelta:
    """Words of the model to itself."""

    text: str


@dataclass(frozen=True)
class ToolCall:
    """A function that the model wants to be called."""

    index: int
    name: str
    arguments: dict[str, Any]


Event = TextDelta | ReasoningDelta | ToolCall


class AnswerReader:
    def push(self, text: str) -> list[Event]:
        return [TextDelta(text)] if text else []

    def finish(self) -> list[Event]:
        return []


@dataclass(frozen=True)
class Spoken:
    """A prompt, ready for the model.

    Args:
        text: as the template made it; empty if token ids were given.
        tokens: its token ids, or the text itself where the engine has its own tokenizer.
        prompt_tokens: how many there are; 0 if only the engine knows.
        reader: makes a reader for an answer.
        constraint: makes what holds an answer to its form, or None.
        truncated_tokens: how many were left away.
    """

    text: str
    tokens: str | Sequence[int]
    prompt_tokens: int
    reader: Callable[[], AnswerReader]
    constraint: Callable[[], object | None]
    truncated_tokens: int = 0


class Speech:
    """Speaks with a model. Its methods compute, so they belong into a thread.

    Args:
        engine: the model.
        offer: what its installation says.
    """

    def __init__(self, engine: Engine, offer: Offer) -> None:
        self._engine = engine
        self._offer = offer
        self._bos = _token_text(engine, "bos")
        self._eos = _token_text(engine, "eos")
        source = offer.template or source_in(engine.metadata)
        self._template = ChatTemplate(source, self._bos, self._eos) if source is not None else None

    def prompt(self, ask: Ask, max_tokens: int | None, context_length: int) -> Spoken:
        """The prompt of a request.

        Args:
            ask: the request.
            max_tokens: the longest answer that is wanted.
            context_length: tokens that prompt and answer may have together.

        Raises:
            ContextFull: if it is too long, and was not to be shortened, or can not be.
            InvalidArgument: if the template refuses the messages.
            UnsupportedError: if the model does not do what is asked.
        """
        longest = context_length - 1
        if ask.truncate:
            longest = context_length - max(1, min(max_tokens or context_length // 4, context_length // 2))
        if ask.messages is not None:
            text, tokens, dropped = self._chat(ask, longest)
        else:
            text, tokens, dropped = self._plain(ask, longest)
        count = len(tokens) if not isinstance(tokens, str) else 0
        if count > longest:
            raise ContextFull(
                f"the prompt has {count} tokens, the context window {context_length}, of which an answer needs one",
                hint='a longer context ("num_ctx"), a shorter prompt, or "truncate": true',
            )
        if not tokens:
            raise InvalidArgument("the prompt has no tokens")
        return Spoken(text, tokens, count, AnswerReader, lambda: None, dropped)

    def render(self, messages: Sequence[Mapping[str, Any]], ask: Ask) -> str:
        """Messages as the text of a prompt."""
        template = self._template
        if ask.template is not None:
            template = ChatTemplate(ask.template, self._bos, self._eos)
        if template is None:
            raise UnsupportedError(
                f"model '{self._offer.name}' has no chat template", hint="ask for a completion, or give a template"
            )
        return template.render(list(messages), variables=dict(ask.variables))

    def _chat(self, ask: Ask, longest: int) -> tuple[str, str | list[int], int]:
        assert ask.messages is not None
        messages = [*self._offer.messages, *ask.messages]
        if self._offer.system is not None and not any(one.get("role") == "system" for one in messages):
            messages.insert(0, {"role": "system", "content": self._offer.system})
        text = self.render(messages, ask)
        tokens = self._tokens(text)
        before = len(tokens)
        while ask.truncate and not isinstance(tokens, str) and len(tokens) > longest:
            oldest = next((i for i, one in enumerate(messages[:-1]) if one.get("role") != "system"), None)
            if oldest is None:
                break
            del messages[oldest]
            # A result of a tool says nothing without the call before it.
            while oldest < len(messages) - 1 and messages[oldest].get("role") == "tool":
                del messages[oldest]
            text = self.render(messages, ask)
            tokens = self._tokens(text)
        return text, tokens, before - len(tokens) if not isinstance(tokens, str) else 0

    def _plain(self, ask: Ask, longest: int) -> tuple[str, str | list[int], int]:
        assert ask.prompt is not None
        if not isinstance(ask.prompt, str):
            tokens: str | list[int] = list(ask.prompt)
        elif ask.suffix is not None:
            tokens = self._infill(ask.prompt, ask.suffix)
        else:
            try:
                tokens = self._engine.tokenize(ask.prompt, parse_special=True)
            except UnsupportedError:
                tokens = ask.prompt
        text = ask.prompt if isinstance(ask.prompt, str) else ""
        if isinstance(tokens, str) or len(tokens) <= longest or not ask.truncate:
            return text, tokens, 0
        bos = self._engine.metadata.get("tokenizer.ggml.bos_token_id")
        kept = 1 if tokens[0] == bos else 0
        shorter = tokens[:kept] + tokens[len(tokens) - longest + kept :]
        return text, shorter, len(tokens) - len(shorter)

    def _infill(self, prefix: str, suffix: str) -> list[int]:
        """A prompt that asks for what is missing between two texts."""
        marks = [self._mark(name) for name in ("prefix", "suffix", "middle")]
        if None in marks:
            raise UnsupportedError(f"model '{self._offer.name}' does not support insert")
        before, after = (self._engine.tokenize(text, add_special=False) for text in (prefix, suffix))
        bos = self._engine.tokenize("")
        return [*bos[:1], marks[0] or 0, *before, marks[1] or 0, *after, marks[2] or 0]

    def _mark(self, name: str) -> int | None:
        short = {"prefix": "pre", "suffix": "suf", "middle": "mid"}[name]
        for key in (f"tokenizer.ggml.fim_{short}_token_id", f"tokenizer.ggml.{name}_token_id"):
            token = self._engine.metadata.get(key)
            if isinstance(token, int):
                return token
        return None

    def _tokens(self, text: str) -> str | list[int]:
        try:
            return self._engine.tokenize(text, add_special=False, parse_special=True)
        except UnsupportedError:
            # The engine has its own tokenizer and puts its special tokens first.
            return text.removeprefix(self._bos) if self._bos else text


def _token_text(engine: Engine, name: str) -> str:
    token = engine.metadata.get(f"tokenizer.ggml.{name}_token_id")
    if not isinstance(token, int):
        return ""
    try:
        return engine.detokenize([token], special=True).decode(errors="replace")
    except UnsupportedError:
        return ""
