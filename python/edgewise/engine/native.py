"""The engine of this package: the Rust core."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgewise import _core
from edgewise.background import Background
from edgewise.config import LARGEST
from edgewise.engine.answer import Answer
from edgewise.engine.draft_model import DraftModel, open_draft_model
from edgewise.engine.encoder import open_encoder
from edgewise.engine.images import NO_IMAGES, ImagePrompt
from edgewise.engine.prompt_cache import PromptCache
from edgewise.engine.protocol import Engine, GenerateOptions
from edgewise.engine.turns import Turns
from edgewise.errors import ContextFull, InvalidArgument, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self

    from edgewise.config import EngineConfig
    from edgewise.engine.draft_model import Drafter
    from edgewise.engine.protocol import Constraint


class NativeEngine(Engine):
    """A model in the core. One that makes embeddings only, an encoder, has no session: what needs one is refused.

    Args:
        path: a GGUF file.
        config: how to open it.

    Raises:
        ModelFileError: if the file is malformed, or an adapter is, or does not fit the model.
        UnsupportedError: if the core does not run its architecture, formats or tokenizer.
        SystemRefused: if the file cannot be read or the memory is not there.
    """

    def __init__(self, path: Path, config: EngineConfig) -> None:
        started = time.perf_counter()
        self._path = path
        self._file = _core.ModelFile(str(path))
        tokenizer = Background(lambda: _core.Tokenizer(self._file))
        self._encoder = open_encoder(self._file, config)
        self._session: _core.Session | None = None
        self.model: _core.Model | _core.Encoder
        if self._encoder is None:
            self.model = _core.Model(self._file, adapters=[(path, float(scale)) for path, scale in config.lora])
            self._session = _open_session(self.model, config)
        else:
            self.model = self._encoder
        self.is_encoder = self._encoder is not None
        self.tokenizer = tokenizer.result()
        self._prompt_cache: PromptCache | None = None
        if config.prompt_cache_bytes != 0 and not self.is_encoder:
            self.cache_prompts(config.prompt_folder(), config.prompt_cache_bytes)
        self._turns = Turns()
        self._controller: _core.Controller | None = None
        self._make_drafter: Callable[[], Drafter] | None = None
        self._draft_engine: NativeEngine | None = None
        if self.is_encoder:
            pass  # nothing to guess
        elif config.draft == "ngram":
            self._controller = _core.Controller()
        elif config.draft != "off":
            draft_engine = self._draft_engine = open_draft_model(config.draft, self, config)
            self.draft_with(lambda: DraftModel(draft_engine))
        self.load_s = time.perf_counter() - started

    @property
    def name(self) -> str:
        """`native`."""
        return "native"

    @property
    def path(self) -> Path:
        """The model file."""
        return self._path

    @cached_property
    def metadata(self) -> Mapping[str, object]:
        """The file's metadata, without its arrays."""
        return self._file.metadata()

    @property
    def context_length(self) -> int:
        """Tokens that prompt and answer may have together, or a text that is embedded."""
        return self.model.context_length if self.is_encoder else self.session.context_length

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens that the model knows."""
        return self.model.vocabulary_size

    @property
    def session(self) -> _core.Session:
        """The core's session; use it inside `exclusive` alone.

        Raises:
            InvalidArgument: if the engine is closed.
            UnsupportedError: if the model is an encoder.
        """
        self.check_generates()
        if self._session is None:
            raise InvalidArgument("the engine is closed")
        return self._session

    def check_generates(self) -> None:
        """Raises UnsupportedError if the model is an encoder."""
        if self.is_encoder:
            raise UnsupportedError(
                f"{self._path.name} makes embeddings only: architecture {self.model.architecture} generates no text",
                hint="embed texts with it, or open a model that generates",
            )

    @property
    def default_pooling(self) -> Literal["none", "mean", "first", "last"] | None:
        """How the file wants the states of a text pooled, if it says so."""
        return None if self._encoder is None else self._encoder.pooling

    def embed(self, texts: Sequence[Sequence[int]], pooling: str | None = None) -> list[list[list[float]]]:
        """The final hidden states of each text, not normalized; an encoder takes many short texts at once.

        Args:
            texts: token ids; at least one each.
            pooling: `mean` of all tokens, the `first` or the `last` alone, or `none` for a row per token; None for what
                the file says, and for the mean if it does not.

        Returns:
            For each text its rows: one, or with `none` as many as tokens.

        Raises:
            ContextFull: if a text has more tokens than the context.
            InvalidArgument: if a text is empty, a token not in the vocabulary, or the pooling unknown.
        """
        pooling = pooling or self.default_pooling or "mean"
        who = object()
        self._turns.take(who)
        try:
            if not self.is_encoder:
                return [self.session.embed(text, pooling) for text in texts]
            if self._encoder is None:
                raise InvalidArgument("the engine is closed")
            return self._encoder.embed(texts, pooling)
        finally:
            self._turns.leave(who)

    @property
    def turns(self) -> Turns:
        """Who may use the session now."""
        return self._turns

    def speculation(self, prompt: Sequence[int]) -> _core.Speculation | None:
        """What guesses the next tokens of an answer; none if that is off."""
        return None if self._controller is None else _core.Speculation(self._controller, self.tokenizer, prompt)

    def drafter(self) -> Drafter | None:
        """Where an answer's guesses come from; None if the text itself is all."""
        return None if self._make_drafter is None else self._make_drafter()

    def draft_with(self, make: Callable[[], Drafter]) -> None:
        """Lets a drafter guess; `make` is called for each answer."""
        self._controller, self._make_drafter = _core.Controller(), make

    def cache_prompts(self, folder: Path | None, size_bytes: int | None = None) -> None:
        """Keeps prompts on disk from now on, in a folder that is made where it is not there, or no longer if None.

        Args:
            folder: see `PromptCache`.
            size_bytes: see `PromptCache`.
        """
        if self._prompt_cache is not None:
            self._prompt_cache.close()
            self._prompt_cache = None
        if folder is not None:
            status = self._path.stat()
            self._prompt_cache = PromptCache(folder, size_bytes, f"{status.st_size}-{status.st_mtime_ns}")

    def begin(self, tokens: Sequence[int], namespace: str) -> int:
        """Lets the session begin a prompt with what memory or disk have of it, and says how many tokens that are."""
        held, cache = self.session.reuse(tokens, namespace), self._prompt_cache
        return held if cache is None else cache.extend(self.session, tokens, held, namespace)

    def begin_sequence(self, tokens: Sequence[int], namespace: str) -> tuple[int, int]:
        """The same with a new sequence: its number, and how many tokens it holds."""
        session, cache = self.session, self._prompt_cache
        sequence, held = session.begin(tokens, namespace)
        if cache is not None:
            held = cache.extend(session, tokens, held, namespace, sequence=sequence)
        return sequence, held

    def keep(self, tokens: Sequence[int], namespace: str, *, sequence: int = 0) -> None:
        """Writes a sequence's prompt to disk in the background, if that is worth it."""
        cache = self._prompt_cache
        if cache is not None:
            cache.keep(self.session, tokens, namespace, sequence=sequence)

    def tokenize(self, text: str | bytes, *, add_special: bool = True, parse_special: bool = False) -> list[int]:
        """Text to token ids; see `Engine.tokenize`."""
        data = text.encode("utf-8", errors="surrogatepass") if isinstance(text, str) else text
        return self.tokenizer.encode(data, add_special=add_special, parse_special=parse_special)

    def detokenize(self, tokens: Sequence[int], *, special: bool = False) -> bytes:
        """Token ids to the bytes of their text; see `Engine.detokenize`."""
        return self.tokenizer.decode(tokens, special=special)

    def generate(
        self,
        prompt: str | Sequence[int] | ImagePrompt,
        options: GenerateOptions | None = None,
        *,
        constraint: Constraint | None = None,
        adjust: Callable[[list[int], bytes], bytes] | None = None,
        should_stop: Callable[[list[int], bytes], bool] | None = None,
    ) -> Answer:
        """Continues a prompt; see `Engine.generate`.

        Args:
            prompt: text, which gets the special tokens that the model expects, or token ids as they are.
            options: how the answer is made.
            constraint: what the answer may say; used up by it.
            adjust: gets the tokens so far and the logits as native float32 bytes, gives the logits to sample from.
            should_stop: gets the same before each token; True ends the answer.

        Raises:
            ContextFull: if the prompt leaves no room for an answer.
            InvalidArgument: if the prompt is empty or a token id is not in the vocabulary.
            UnsupportedError: if the model is an encoder, or there are images in the prompt.
        """
        if isinstance(prompt, ImagePrompt):
            raise UnsupportedError(NO_IMAGES, hint="a model opened by llama.cpp with its projector does")
        options = options or GenerateOptions()
        tokens = self.tokenize(prompt, parse_special=True) if isinstance(prompt, str) else list(prompt)
        self.check_prompt(tokens)
        return Answer(self, tokens, options, constraint=constraint, adjust=adjust, should_stop=should_stop)

    def check_prompt(self, tokens: Sequence[int]) -> None:
        """Checks that a prompt has tokens, and leaves room for an answer.

        Raises:
            ContextFull: if it does not.
            InvalidArgument: if it is empty.
            UnsupportedError: if the model is an encoder, which continues nothing.
        """
        longest = self.session.context_length
        if not tokens:
            raise InvalidArgument("the prompt has no tokens", hint="this model adds none of its own to an empty text")
        if len(tokens) >= longest:
            raise ContextFull(f"Requested tokens ({len(tokens)}) exceed context window of {longest}")

    @contextmanager
    def exclusive(self) -> Iterator[_core.Session]:
        """The session, for as long as the block runs; other threads wait."""
        who = object()
        self._turns.take(who)
        try:
            yield self.session
        finally:
            self._turns.leave(who)

    def close(self) -> None:
        """Gives the memory back once no answer is being computed."""
        if self._encoder is not None:
            who = object()
            self._turns.take(who)
            self._encoder = None
            self._turns.leave(who)
        elif self._session is not None:
            with self.exclusive():
                self._session = None
            if self._prompt_cache is not None:
                self._prompt_cache.close()
            if self._draft_engine is not None:
                self._draft_engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _open_session(model: _core.Model, config: EngineConfig) -> _core.Session:
    return _core.Session(
        model,
        context_length=config.context_for(model.context_length),
        batch=config.batch,
        key_format=config.key_format,
        value_format=config.value_format,
        isa=config.isa,
        threads=min(config.threads, LARGEST),
        sequences=config.sequences,
    )
