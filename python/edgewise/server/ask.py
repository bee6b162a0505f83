"""A request for an answer, as every surface puts it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from edgewise.server.images import images_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgewise.server.images import GivenImage

FormatKind = Literal["json_object", "json_schema", "regex", "lark", "gbnf"]


@dataclass(frozen=True)
class Format:
    """The form that an answer must have.

    Args:
        kind: which language says it.
        value: a schema as an object, or a grammar as text; None for any JSON object.
    """

    kind: FormatKind
    value: Any = None


@dataclass(frozen=True)
class Ask:
    """What is asked of a model, whatever the protocol.

    Either there are messages, which go through the model's chat template, or a prompt, which the model gets as it is.

    Args:
        model: its name.
        messages: in OpenAI's form.
        prompt: text, whose special tokens are read as such, or token ids.
        images: seen before the prompt; those of messages are parts of their content.
        suffix: what comes after the answer, for models that fill in the middle; needs a prompt that is text.
        tools: in OpenAI's form.
        tool_choice: which of them the answer has to call, in OpenAI's form; None for any or none.
        has_parallel_calls: it may call several at once.
        template: a chat template in place of the model's own.
        variables: what else the template may ask for.
        think: whether to reason first, or how hard; None for what the model does by itself.
        insists_on_thinking: refuse where the model can not reason, in place of going without.
        format: the form of the answer.
        sampling: options of the request, by the names of `GenerateOptions`.
        defaults: options of the surface, where neither the request nor the model has any.
        context_length: how many tokens of context are wanted; None for what the model has.
        truncate: shorten a conversation or prompt that is too long, in place of refusing it.
        remedy: what helps against a prompt that is too long, by the names of the protocol.
        keep_alive_s: how long the model stays loaded; None for the server's setting.
        namespace: whose prompts these are.
        deadline_s: how long it may take; None for the server's setting.
        arrived_s: when it came, on `time.perf_counter`.
        continues: the last message is the assistant's, and the answer goes on with it.
    """

    model: str
    messages: Sequence[Mapping[str, Any]] | None = None
    prompt: str | Sequence[int] | None = None
    images: tuple[GivenImage, ...] = ()
    suffix: str | None = None
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: Any = None
    has_parallel_calls: bool = True
    template: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    think: bool | str | None = None
    insists_on_thinking: bool = True
    format: Format | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    context_length: int | None = None
    truncate: bool = False
    remedy: str = "a shorter prompt"
    keep_alive_s: float | None = None
    namespace: str = ""
    deadline_s: float | None = None
    arrived_s: float = 0.0
    continues: bool = False

    @property
    def has_images(self) -> bool:
        """Whether there is something to see."""
        return bool(self.images or images_in(self.messages or ()))
