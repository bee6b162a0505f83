"""What a model hears and says: prompts by its chat template, and how their answers are read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from edgewise.chat.capabilities import capabilities
from edgewise.chat.events import TextDelta
from edgewise.chat.formats import text_of
from edgewise.chat.grammar import Grammars
from edgewise.chat.infill import gap_tokens, infill_prompt
from edgewise.chat.reader import AnswerReader
from edgewise.chat.rendering import ChatPrompts
from edgewise.chat.template import source_in
from edgewise.errors import ContextFull, InvalidArgument, UnsupportedError
from edgewise.server.forms import constraint_of
from edgewise.server.images import Marks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edgewise.chat.capabilities import Capability
    from edgewise.chat.events import Event
    from edgewise.chat.rendering import ChatPrompt
    from edgewise.engine.images import ImagePrompt
    from edgewise.engine.protocol import Constraint, Engine
    from edgewise.server.ask import Ask
    from edgewise.store.installed import InstalledModel


# For models without a template: the words of the messages alone, as such a model goes on with any text.
_WORDS = "{% for message in messages %}{{ message.content }}{{ '' if loop.last else '\\n\\n' }}{% endfor %}"


class PlainReader:
    """Reads an answer that is text and nothing else."""

    def push(self, text: str) -> list[Event]:
        """Takes more of the answer."""
        return [TextDelta(text)] if text else []

    def finish(self) -> list[Event]:
        """Gives what was held back: nothing."""
        return []


class CallsReader:
    """Reads an answer that has to be calls: what is no whole call is the beginning of one, and no words for anybody.

    Args:
        reader: tells calls from the rest.
    """

    def __init__(self, reader: AnswerReader) -> None:
        self._reader = reader

    def push(self, text: str) -> list[Event]:
        """Takes more of the answer."""
        return [event for event in self._reader.push(text) if not isinstance(event, TextDelta)]

    def finish(self) -> list[Event]:
        """Gives what was held back, but for a call that was cut short."""
        return [event for event in self._reader.finish() if not isinstance(event, TextDelta)]


@dataclass(frozen=True)
class Spoken:
    """A prompt, ready for the model.

    Args:
        tokens: its token ids.
        chat: the conversation that it was made of; None for a plain prompt.
        reads_calls: the answer is searched for calls of tools; one that has a form of its own is not.
        has_to_call: the answer is held to calls, beside reasoning.
        constraint: makes what holds an answer to its form.
        truncated_tokens: how many were left away.
        illustrated: the prompt with its images, which are no tokens; None if there are none.
    """

    tokens: Sequence[int]
    chat: ChatPrompt | None = None
    reads_calls: bool = True
    has_to_call: bool = False
    constraint: Callable[[], Constraint | None] = lambda: None
    truncated_tokens: int = 0
    illustrated: ImagePrompt | None = None

    @property
    def prompt(self) -> Sequence[int] | ImagePrompt:
        """What the engine gets."""
        return self.tokens if self.illustrated is None else self.illustrated

    def reader(self) -> AnswerReader | CallsReader | PlainReader:
        """A reader for an answer."""
        chat = self.chat
        if chat is None:
            return PlainReader()
        if self.has_to_call:
            return CallsReader(chat.reader())
        if self.reads_calls:
            return chat.reader()
        return AnswerReader(chat.dialect, (), tags=chat.tags, is_thinking=chat.is_thinking)

    @property
    def shown_tokens(self) -> frozenset[int]:
        """Special tokens that the reader has to see."""
        return frozenset() if self.chat is None else self.chat.shown_tokens


class Speech:
    """Speaks with a model. Its methods compute, so they belong into a thread.

    Args:
        engine: the model.
        installed: what its installation says.

    Raises:
        UnsupportedError: if its template can not be used.
    """

    def __init__(self, engine: Engine, installed: InstalledModel) -> None:
        self._engine = engine
        self._installed = installed
        own = source_in(engine.metadata)
        self._template = installed.chat_template(own)
        self.has_template = self._template is not None or own is not None

    @cached_property
    def capabilities(self) -> tuple[Capability, ...]:
        """What the model can do."""
        return capabilities(self._engine.metadata, template=self._template, has_infill=self._has_gaps)

    @cached_property
    def _has_gaps(self) -> bool:
        return gap_tokens(self._engine) is not None

    @cached_property
    def _prompts(self) -> ChatPrompts:
        return ChatPrompts(self._engine, self._template if self.has_template else self._words_alone())

    @cached_property
    def _grammars(self) -> Grammars:
        return Grammars(self._engine)

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
        self._require_abilities(ask)
        longest = context_length - 1
        if ask.truncate:
            longest = context_length - max(1, min(max_tokens or context_length // 4, context_length // 2))
        spoken = self._plain(ask, longest) if ask.messages is None else self._chat(ask, longest)
        if not spoken.tokens and spoken.illustrated is None:
            raise InvalidArgument("the prompt has no tokens")
        if len(spoken.tokens) > longest:
            raise ContextFull(
                f"the prompt has {len(spoken.tokens)} tokens, the context window {context_length}, "
                "of which the answer needs one at least",
                hint="a shorter system message or last message" if ask.truncate else ask.remedy,
            )
        chat = spoken.chat
        spoken = replace(
            spoken,
            reads_calls=ask.format is None and ask.tool_choice != "none",
            has_to_call=ask.format is None and ask.tool_choice not in (None, "auto", "none"),
            constraint=lambda: constraint_of(ask, chat, self._engine, lambda: self._grammars),
        )
        spoken.constraint()  # what can not be served is refused before the answer waits for its turn
        return spoken

    def render(self, messages: Sequence[Mapping[str, Any]], ask: Ask) -> ChatPrompt:
        """Messages as a prompt."""
        prompts = self._prompts if ask.template is None else ChatPrompts(self._engine, ask.template)
        return prompts.render(
            messages,
            tools=ask.tools or None,
            thinking=ask.think,
            add_generation_prompt=not ask.continues,
            continue_final_message=ask.continues,
            variables=ask.variables,
        )

    def messages(self, ask: Ask) -> list[Mapping[str, Any]]:
        """The messages of a request, and what the model's installation puts before them."""
        messages = [*self._installed.messages, *(ask.messages or ())]
        if self._installed.system and not any(one.get("role") == "system" for one in messages):
            messages.insert(0, {"role": "system", "content": self._installed.system})
        return messages

    def _words_alone(self) -> str:
        """A template for a model that has none; it begins as all of the model's texts do."""
        begins = self._engine.tokenize("")[:1] == [self._engine.metadata.get("tokenizer.ggml.bos_token_id")]
        return ("{{ bos_token }}" if begins else "") + _WORDS

    def _require_abilities(self, ask: Ask) -> None:
        name = self._installed.name
        if "embedding" in self.capabilities:
            raise UnsupportedError(f'"{name}" does not support generate: it makes embeddings')
        if ask.think and ask.insists_on_thinking and "thinking" not in self.capabilities:
            raise UnsupportedError(f'"{name}" does not support thinking')
        if ask.suffix is not None and ask.has_images:
            raise UnsupportedError("images: a gap in a text has no place for them")
        if ask.suffix is not None and not self._has_gaps:
            raise UnsupportedError(f'"{name}" does not support insert')
        if ask.has_images and (ask.format is not None or ask.tool_choice not in (None, "auto", "none")):
            raise UnsupportedError(
                "answers to images can not be held to a form or a call: the llama.cpp backend does not do that",
                hint="ask for the form in words, without format or tool_choice",
            )

    def _chat(self, ask: Ask, longest: int) -> Spoken:
        marks = Marks()
        messages = marks.put(self.messages(ask))
        prompt = self.render(messages, ask)
        if prompt.tokens is None:
            raise UnsupportedError(f"model '{self._installed.name}' has a tokenizer that only its own engine knows")
        before = len(prompt.tokens)
        while ask.truncate and len(prompt.tokens or ()) > longest:
            oldest = next((i for i, one in enumerate(messages[:-1]) if one.get("role") != "system"), None)
            if oldest is None:
                break
            del messages[oldest]
            # A result of a tool says nothing without the call before it.
            while oldest < len(messages) - 1 and messages[oldest].get("role") == "tool":
                del messages[oldest]
            prompt = self.render(messages, ask)
        if ask.truncate and len(prompt.tokens or ()) > longest and not ask.has_images:
            prompt = self._shortened(messages, prompt, ask, longest)
        tokens = prompt.tokens or []
        spoken = Spoken(tokens, prompt, truncated_tokens=before - len(tokens))
        return self._illustrated(spoken, marks, prompt.text) if ask.has_images else spoken

    def _shortened(
        self, messages: Sequence[Mapping[str, Any]], prompt: ChatPrompt, ask: Ask, longest: int
    ) -> ChatPrompt:
        """The prompt with the end alone of the last message's words; too long still, if what is around them is."""
        words = self._engine.tokenize(text_of(messages[-1]), add_special=False, parse_special=True)
        while words and len(prompt.tokens or ()) > longest:
            del words[: len(prompt.tokens or ()) - longest]
            text = self._engine.detokenize(words, special=True).decode(errors="ignore")
            prompt = self.render([*messages[:-1], {**messages[-1], "content": text}], ask)
        return prompt

    def _illustrated(self, spoken: Spoken, marks: Marks, text: str) -> Spoken:
        """A prompt with images. Its engine puts the special tokens first that the model expects; there is no second."""
        tokens = [
            token
            for part in marks.texts(text)
            for token in self._engine.tokenize(part, add_special=False, parse_special=True)
        ]
        first = self._engine.tokenize("")[:1]
        if first == [self._engine.metadata.get("tokenizer.ggml.bos_token_id")]:
            text = text.removeprefix(self._engine.detokenize(first, special=True).decode(errors="replace"))
        return replace(spoken, tokens=tokens, illustrated=marks.prompt(text))

    def _plain(self, ask: Ask, longest: int) -> Spoken:
        prompt = ask.prompt or ""
        if ask.images and isinstance(prompt, str):
            marks = Marks()
            parts = [*({"image": image} for image in ask.images), {"text": prompt}]
            return self._illustrated(Spoken(()), marks, str(marks.put([{"content": parts}])[0]["content"]))
        if not isinstance(prompt, str):
            tokens = self._checked(prompt)
        elif ask.suffix is not None:
            tokens = infill_prompt(self._engine, prompt, ask.suffix)
        else:
            tokens = self._engine.tokenize(prompt, parse_special=True)
        if len(tokens) <= longest or not ask.truncate:
            return Spoken(tokens)
        kept = int(tokens[0] == self._engine.metadata.get("tokenizer.ggml.bos_token_id"))
        shorter = tokens[:kept] + tokens[len(tokens) - longest + kept :]
        return Spoken(shorter, truncated_tokens=len(tokens) - len(shorter))

    def _checked(self, tokens: Sequence[int]) -> list[int]:
        size = self._engine.vocabulary_size
        unknown = next((token for token in tokens if not 0 <= token < size), None)
        if unknown is not None:
            raise InvalidArgument(f"token {unknown} is not one of the {size} of this model")
        return list(tokens)
