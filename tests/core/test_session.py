"""What the binding offers for several sequences: chosen, guessed, measured and embedded apart from each other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edgewise import EngineConfig, GenerateOptions, _core
from edgewise.engine.models import DEMO
from edgewise.engine.native import NativeEngine
from edgewise.errors import InvalidArgument

PROMPT = [5, 9, 40, 7, 81]


@pytest.fixture
def engine() -> Iterator[NativeEngine]:
    with NativeEngine(DEMO, EngineConfig(context_length=128, sequences=4, prompt_cache_bytes=0)) as engine:
        yield engine


@pytest.fixture
def session(engine: NativeEngine) -> _core.Session:
    return engine.session


def sampler(**options: float) -> _core.Sampler:
    return GenerateOptions(**options).sampler()  # type: ignore[arg-type]


def only(*tokens: int) -> bytes:
    return b"".join(bytes([sum(1 << t % 8 for t in tokens if t // 8 == i)]) for i in range(max(tokens) // 8 + 1))


def test_a_token_is_chosen_among_those_allowed_and_its_probability_is_the_models(session: _core.Session) -> None:
    session.evaluate(PROMPT)
    free, logprob, _ = session.sample(sampler(temperature=0), top_logprobs=0)
    chosen, held, top = session.sample(sampler(temperature=0), top_logprobs=1, allowed=only(3, 300))
    assert chosen in (3, 300)
    assert held is not None
    assert logprob is not None
    assert held < logprob
    assert top == [(free, logprob)]
    for seed in range(20):
        assert session.sample(sampler(seed=seed, temperature=9.0), allowed=only(3, 300))[0] in (3, 300)
    with pytest.raises(InvalidArgument, match="allows no token"):
        session.sample(sampler(), allowed=b"\0" * 99)


def test_adjusted_logits_and_a_mask_go_together(session: _core.Session) -> None:
    session.evaluate(PROMPT)
    flat = bytes(len(session.logits()))
    assert session.sample(sampler(temperature=0), logits=flat, allowed=only(70, 71))[0] == 70


def test_several_sequences_are_sampled_at_once_as_one_by_one(session: _core.Session) -> None:
    sequences = [session.begin([5 + i])[0] for i in range(4)]
    session.step([(sequence, [5 + i], "last") for i, sequence in enumerate(sequences)])
    masks = [None, only(3, 4), b"\0", only(9)]
    options: list[dict[str, float]] = [{"temperature": 0}, {"seed": 1}, {"seed": 2}, {"seed": 3, "repeat_penalty": 1.5}]
    apart = [
        None if mask == b"\0" else session.sample(sampler(**one), top_logprobs=2, sequence=sequence, allowed=mask)
        for sequence, one, mask in zip(sequences, options, masks, strict=True)
    ]
    together = session.sample_each(
        [(sequence, sampler(**one), 2, mask) for sequence, one, mask in zip(sequences, options, masks, strict=True)]
    )
    assert together == apart
    assert session.sample_each([]) == []
    with pytest.raises(InvalidArgument, match="no logits"):
        session.sample_each([(0, sampler(), None, None)])


def test_guesses_are_checked_in_any_sequence(engine: NativeEngine, session: _core.Session) -> None:
    plain = [piece.token for piece in engine.generate(PROMPT, GenerateOptions(temperature=0, max_tokens=12))]
    session.evaluate(PROMPT[session.reuse(PROMPT) :])
    sequence, held = session.begin(PROMPT)
    session.step([(sequence, PROMPT[held:], "last")])
    speculation = _core.Speculation(_core.Controller(eager=True), engine.tokenizer, PROMPT)
    text = [session.sample(sampler(temperature=0), sequence=sequence)[0]]
    speculation.read(text)
    while len(text) < 12:
        guesses = plain[len(text) : len(text) + 3]
        found = session.advance(text[-1:], sampler(temperature=0), None, speculation, 3, guesses, sequence)
        assert len(found) == len(guesses) + 1
        text.extend(token for token, _, _ in found)
        assert session.tokens_of(sequence) == [*PROMPT, *text[:-1]]
    assert text[:12] == plain
    assert session.tokens == PROMPT


def test_the_surprise_is_that_of_the_sequence(session: _core.Session) -> None:
    one, other = session.begin([5])[0], session.begin([6])[0]
    session.step([(one, [5, 6, 7], "all"), (other, [9, 8], "all")])
    for sequence, targets in ((one, [6, 7, 8]), (other, [8, 7])):
        found = session.surprises(targets, sequence=sequence)
        assert found == pytest.approx(
            [-session.logprobs(row, token, 0, sequence=sequence)[0] for row, token in enumerate(targets)], abs=1e-4
        )


def test_portions_of_a_text_are_embedded_behind_each_other(session: _core.Session) -> None:
    (whole,) = session.embed(PROMPT, "last")
    sequence, _ = session.begin([])
    session.embed_more(sequence, PROMPT[:2], "last")
    found = session.embed_more(sequence, PROMPT[2:], "last")
    assert found == whole  # few tokens: the same bits
    assert session.tokens_of(sequence) == PROMPT
    with pytest.raises(InvalidArgument, match="pooling"):
        session.embed_more(sequence, [5], "none")  # type: ignore[arg-type]


def test_what_ended_makes_room(session: _core.Session) -> None:
    assert session.room == 4 * 128
    sequence, _ = session.begin([])
    session.step([(sequence, [5] * 40, "none")])
    assert session.room == 4 * 128 - 64
    session.end(sequence)
    assert session.room == 4 * 128
