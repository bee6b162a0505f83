"""The shapes of what `Llama` returns: those of llama-cpp-python, which are OpenAI's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from typing_extensions import NotRequired

FinishReason = Literal["stop", "length", "tool_calls"]


class Usage(TypedDict):
    """Tokens counted."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Logprobs(TypedDict):
    """Log-probabilities of a completion's tokens."""

    tokens: list[str]
    text_offset: list[int]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]


class Choice(TypedDict):
    """One continuation, or one piece of it."""

    text: str
    index: int
    logprobs: Logprobs | None
    finish_reason: FinishReason | None


class Completion(TypedDict):
    """A whole completion, or one chunk of a streamed one, which has no usage."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: NotRequired[Usage]


class ChatMessage(TypedDict):
    """What the assistant said."""

    role: Literal["assistant"]
    content: str | None
    reasoning_content: NotRequired[str]
    tool_calls: NotRequired[list[dict[str, Any]]]


class ChatChoice(TypedDict):
    """One answer."""

    index: int
    message: ChatMessage
    logprobs: dict[str, Any] | None
    finish_reason: FinishReason | None


class ChatCompletion(TypedDict):
    """A whole answer."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage


class ChatDelta(TypedDict):
    """What a chunk adds to the answer."""

    role: NotRequired[Literal["assistant"]]
    content: NotRequired[str]
    reasoning_content: NotRequired[str]
    tool_calls: NotRequired[list[dict[str, Any]]]


class ChatChunkChoice(TypedDict):
    """One piece of an answer."""

    index: int
    delta: ChatDelta
    logprobs: dict[str, Any] | None
    finish_reason: FinishReason | None


class ChatCompletionChunk(TypedDict):
    """One chunk of a streamed answer."""

    id: str
    model: str
    created: int
    object: Literal["chat.completion.chunk"]
    choices: list[ChatChunkChoice]


class EmbeddingData(TypedDict):
    """The embedding of one input: a vector, or one vector per token where nothing pools them."""

    object: Literal["embedding"]
    embedding: list[float] | list[list[float]]
    index: int


class EmbeddingUsage(TypedDict):
    """Tokens counted."""

    prompt_tokens: int
    total_tokens: int


class Embeddings(TypedDict):
    """Embeddings of all inputs."""

    object: Literal["list"]
    data: list[EmbeddingData]
    model: str
    usage: EmbeddingUsage
