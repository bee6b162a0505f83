"""The token-by-token half of `Llama`: eval, sample, generate, and the state of the session."""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgewise import _core
from edgewise.config import require_number, require_whole
from edgewise.dropin.arguments import NOT_IN_SINGLE_STEPS, mirostat, refuse
from edgewise.dropin.hooks import adjuster, require_numpy, stopper
from edgewise.engine.native import NativeEngine
from edgewise.engine.protocol import ANY_SEED, GenerateOptions
from edgewise.errors import ContextFull, InvalidArgument, UnsupportedError

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Generator, Sequence

    from edgewise.dropin.hooks import Scores
    from edgewise.engine.protocol import Engine

RANDOM_SEED = 0xFFFFFFFF


@dataclass(frozen=True)
class LlamaState:
    """What `save_state` gives and `load_state` takes.

    Args:
        input_ids: the tokens.
        n_tokens: how many they are.
        llama_state: the KV cache.
        llama_state_size: its size in bytes.
        seed: of the sampler.
    """

    input_ids: list[int]
    n_tokens: int
    llama_state: bytes
    llama_state_size: int
    seed: int


class LowLevel:
    """What `Llama` does with single tokens. Each call has the session to itself."""

    _engine: Engine | None
    _seed: int
    _logits_all: bool
    last_n_tokens_size: int

    @property
    def _native(self) -> NativeEngine:
        if self._engine is None:
            raise InvalidArgument("this Llama has no weights to compute with: it is closed, or vocab_only=True")
        if not isinstance(self._engine, NativeEngine):
            raise UnsupportedError(f"the {self._engine.name} engine gives text, not single steps or hidden states")
        return self._engine

    @property
    def n_tokens(self) -> int:
        """Tokens in the KV cache. Setting it to less forgets the later ones."""
        if not isinstance(self._engine, NativeEngine):
            return 0
        with self._engine.exclusive() as session:
            return len(session)

    @n_tokens.setter
    def n_tokens(self, length: int) -> None:
        with self._native.exclusive() as session:
            require_whole("n_tokens", length, 0, session.context_length)
            session.truncate(length)

    @property
    def eval_tokens(self) -> deque[int]:
        """The tokens in the KV cache."""
        from collections import deque

        with self._native.exclusive() as session:
            return deque(session.tokens, maxlen=session.context_length)

    @property
    def eval_logits(self) -> deque[list[float]]:
        """The logits after every token in the KV cache; needs logits_all=True. Computed when asked for."""
        from collections import deque

        return deque(self._scores.tolist(), maxlen=self._native.context_length)

    @property
    def scores(self) -> Scores:
        """`eval_logits` as an array of the context's length, zero after the tokens: (n_ctx, n_vocab)."""
        np = require_numpy("scores")
        known = self._scores
        every = np.zeros((self._native.context_length, known.shape[1]), dtype=np.single)
        every[: len(known)] = known
        result: Scores = every
        return result

    @property
    def _scores(self) -> Scores:
        np = require_numpy("scores")
        if not self._logits_all:
            raise InvalidArgument("scores are not kept by models created with logits_all=False")
        vocabulary = self._native.model.vocabulary_size
        with self._native.exclusive() as session:
            rows: list[Any] = [np.zeros((0, vocabulary), dtype=np.single)]
            for _ in _all_logits(session, session.tokens):
                rows.append(np.frombuffer(session.logits(), dtype=np.single).reshape(-1, vocabulary))
        result: Scores = np.concatenate(rows)
        return result

    def set_seed(self, seed: int) -> None:
        """Sets where the seeds of completions that name none go on; -1 and 0xFFFFFFFF anywhere.

        Raises:
            InvalidArgument: if it is no whole number.
        """
        require_whole("seed", seed, None, None)
        self._seed = secrets.randbits(32) if seed in ANY_SEED else seed

    def reset(self) -> None:
        """Forgets all tokens."""
        self.n_tokens = 0

    def eval(self, tokens: Sequence[int]) -> None:
        """Evaluates tokens after those already there.

        Raises:
            ContextFull: if they do not fit.
        """
        with self._native.exclusive() as session:
            if len(session) + len(tokens) > session.context_length:
                wanted = len(session) + len(tokens)
                raise ContextFull(f"Requested tokens ({wanted}) exceed context window of {session.context_length}")
            session.evaluate(tokens)

    def sample(
        self,
        top_k: int = 40,
        top_p: float = 0.95,
        min_p: float = 0.05,
        typical_p: float = 1.0,
        temp: float = 0.80,
        repeat_penalty: float = 1.0,
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        tfs_z: float = 1.0,
        mirostat_mode: int = 0,
        mirostat_eta: float = 0.1,
        mirostat_tau: float = 5.0,
        penalize_nl: bool = True,
        logits_processor: Any = None,
        grammar: object = None,
        idx: int | None = None,
    ) -> int:
        """Chooses a token to follow those evaluated; it is not evaluated yet.

        Raises:
            InvalidArgument: if nothing was evaluated.
            UnsupportedError: for grammar, and for idx other than None.
        """
        refuse({"grammar": grammar, "idx": idx}, {**NOT_IN_SINGLE_STEPS, "idx": (None,)})
        options = self._sampling(
            temperature=temp,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            typical_p=typical_p,
            repeat_penalty=repeat_penalty,
            frequency_penalty=frequency_penalty,
            presence_penalty=presence_penalty,
            mirostat=mirostat(mirostat_mode, mirostat_tau, mirostat_eta),
            seed=self._next_seed(None),
        )
        sampler = options.sampler()
        adjust = adjuster(logits_processor)
        with self._native.exclusive() as session:
            if len(session) == 0:
                raise InvalidArgument("nothing to sample from: eval some tokens first")
            return _choose(session, sampler, adjust)

    def generate(
        self,
        tokens: Sequence[int],
        top_k: int = 40,
        top_p: float = 0.95,
        min_p: float = 0.05,
        typical_p: float = 1.0,
        temp: float = 0.80,
        repeat_penalty: float = 1.0,
        reset: bool = True,
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        tfs_z: float = 1.0,
        mirostat_mode: int = 0,
        mirostat_tau: float = 5.0,
        mirostat_eta: float = 0.1,
        penalize_nl: bool = True,
        logits_processor: Any = None,
        stopping_criteria: Any = None,
        grammar: object = None,
    ) -> Generator[int, Sequence[int] | None, None]:
        """Yields token after token, end tokens included, until the context is full or the caller stops.

        Args:
            tokens: the prompt; what the KV cache shares with it is not evaluated again.
            reset: False appends the prompt to what is there.
            top_k, top_p, min_p, typical_p, temp: see `create_completion`.
            repeat_penalty, frequency_penalty, presence_penalty: see `create_completion`.
            tfs_z, mirostat_mode, mirostat_tau, mirostat_eta, penalize_nl: see `create_completion`.
            logits_processor, stopping_criteria, grammar: see `create_completion`.
        """
        refuse({"grammar": grammar}, NOT_IN_SINGLE_STEPS)
        options = self._sampling(
            temperature=temp,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            typical_p=typical_p,
            repeat_penalty=repeat_penalty,
            frequency_penalty=frequency_penalty,
            presence_penalty=presence_penalty,
            mirostat=mirostat(mirostat_mode, mirostat_tau, mirostat_eta),
            seed=self._next_seed(None),
        )
        sampler = options.sampler()
        adjust, should_stop = adjuster(logits_processor), stopper(stopping_criteria)
        history = list(tokens) if reset else [*self.eval_tokens, *tokens]
        if not history:
            raise InvalidArgument("generate needs at least one token")
        while len(history) <= self._native.context_length:
            with self._native.exclusive() as session:
                session.evaluate(history[session.reuse(history) :])
                if should_stop is not None and should_stop(history, session.logits()):
                    return
                token = _choose(session, sampler, adjust)
            history.append(token)
            more = yield token
            history.extend(more or ())

    def save_state(self) -> LlamaState:
        """The tokens and the KV cache, to come back to with `load_state`."""
        with self._native.exclusive() as session:
            state, tokens = session.save(), session.tokens
        return LlamaState(tokens, len(tokens), state, len(state), self._seed)

    def load_state(self, state: LlamaState) -> None:
        """Takes up a state of the same model.

        Raises:
            InvalidArgument: if the state is not one of this model, or does not fit the context.
        """
        with self._native.exclusive() as session:
            session.restore(state.llama_state)
        self._seed = state.seed

    def _prompt_logprobs(self, tokens: list[int], top: int) -> list[tuple[float, tuple[tuple[int, float], ...]]]:
        """Log-probability of every token but the first, and the likeliest in its place."""
        result: list[tuple[float, tuple[tuple[int, float], ...]]] = []
        with self._native.exclusive() as session:
            for rows in _all_logits(session, tokens):
                for row, position in enumerate(rows):
                    if position + 1 < len(tokens):
                        logprob, likeliest = session.logprobs(row, tokens[position + 1], top)
                        result.append((logprob, tuple(likeliest)))
        return result

    def _sampling(self, **given: Any) -> GenerateOptions:
        require_number("temperature", given["temperature"])
        if given["temperature"] < 0:  # llama.cpp: the plain distribution, no filter at all
            given.update(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, typical_p=1.0, mirostat=None)
        return GenerateOptions(penalty_last_n=self.last_n_tokens_size, **given)

    def _next_seed(self, seed: int | None) -> int:
        """The seed of a completion: as given, or the next of the sequence that the last one started."""
        if seed is None:
            self._seed = random.Random(self._seed).randint(0, 2**32)  # noqa: S311  as there
        else:
            self.set_seed(seed)
        return self._seed


def first_seed(seed: int) -> int:
    """Where an instance's sequence of seeds starts: 0 is the default, as there."""
    return secrets.randbits(32) if seed == -1 else seed or RANDOM_SEED


def _all_logits(session: _core.Session, tokens: list[int]) -> Generator[range, None, None]:
    """Evaluates tokens from the start, in steps that leave the logits of the positions yielded in the session."""
    step = 64
    session.truncate(0)
    for start in range(0, len(tokens), step):
        session.evaluate(tokens[start : start + step], all_logits=True)
        yield range(start, min(start + step, len(tokens)))


def _choose(session: _core.Session, sampler: _core.Sampler, adjust: Callable[[list[int], bytes], bytes] | None) -> int:
    logits = None if adjust is None else adjust(session.tokens, session.logits())
    token, _, _ = session.sample(sampler, logits=logits)
    return token
