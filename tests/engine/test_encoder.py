"""Encoders as engines: they embed, and refuse what needs a next token."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgewise import EngineConfig, Llama
from edgewise import open as open_model
from edgewise.engine.batching import Batch, batch_of
from edgewise.engine.batching.encoding import portions
from edgewise.engine.native import NativeEngine
from edgewise.errors import Closed, ContextFull, DeadlineExceeded, InvalidArgument, UnsupportedError

pytest.importorskip("gguf")

from gguf import PoolingType

from random_model.encoder import EncoderShape, write_encoder

SHAPES = {"bert": EncoderShape("bert"), "nomic-bert": EncoderShape("nomic-bert", has_fused_heads=True)}
TEXTS = ["hello there", "a", "tea at nine, not ten!", "rain " * 40, ""]


@pytest.fixture(scope="module", params=SHAPES)
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder") / f"{request.param}.gguf"
    write_encoder(path, SHAPES[request.param], "q8_0", 1)
    return path


@pytest.fixture
def engine(path: Path) -> Iterator[NativeEngine]:
    with open_model(path, engine="native") as engine:
        assert isinstance(engine, NativeEngine)
        yield engine


def likeness(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def test_texts_stand_between_their_special_tokens(engine: NativeEngine) -> None:
    assert engine.detokenize(engine.tokenize("Hello, tea"), special=True) == b"[CLS]hello , tea[SEP]"
    assert engine.detokenize(engine.tokenize(""), special=True) == b"[CLS][SEP]"


def test_generating_is_refused_in_words_that_say_why(engine: NativeEngine) -> None:
    for attempt in (
        lambda: engine.generate("hello"),
        lambda: engine.session,
        lambda: engine.begin([2, 3], ""),
        lambda: engine.check_prompt([]),
    ):
        with pytest.raises(UnsupportedError, match="makes embeddings only"):
            attempt()


def test_several_texts_get_the_vectors_that_each_gets_alone(engine: NativeEngine) -> None:
    tokens = [engine.tokenize(text) for text in TEXTS]
    together = engine.embed(tokens)
    for text, rows in zip(tokens, together, strict=True):
        alone = engine.embed([text])[0]
        assert len(rows) == 1
        assert likeness(rows[0], alone[0]) > 0.9999


def test_the_file_says_how_states_are_pooled(tmp_path: Path) -> None:
    text = [2, 40, 50, 60, 3]
    names = {"mean": PoolingType.MEAN, "first": PoolingType.CLS, "last": PoolingType.LAST, "none": PoolingType.NONE}
    for name, pooling in names.items():
        path = tmp_path / f"{name}.gguf"
        write_encoder(path, replace(SHAPES["bert"], pooling=pooling), "f32", 1)
        with open_model(path, engine="native") as engine:
            assert isinstance(engine, NativeEngine)
            assert engine.default_pooling == name
            assert engine.embed([text]) == engine.embed([text], name)
            with Batch(engine) as batch:  # without pooling a text has no one vector: the mean
                expected = engine.embed([text], "mean" if name == "none" else name)
                assert batch.embed([text]).result(60) == expected[0]


def test_a_text_that_is_too_long_is_refused_with_both_numbers(engine: NativeEngine) -> None:
    assert engine.context_length == 512
    with pytest.raises(ContextFull, match=r"513.*512"):
        engine.embed([[7] * 513])
    with Batch(engine) as batch, pytest.raises(ContextFull, match=r"513.*512"):
        batch.embed([[7] * 513])


def test_the_context_can_be_shorter_and_not_longer(path: Path) -> None:
    for asked, found in ((100, 100), (0, 512), (9000, 512)):
        with NativeEngine(path, EngineConfig(context_length=asked)) as engine:
            assert engine.context_length == found


def test_adapters_are_refused(path: Path) -> None:
    with pytest.raises(UnsupportedError, match="adapters"):
        NativeEngine(path, EngineConfig(lora=[(path, 1.0)]))


def test_a_closed_engine_says_so(path: Path) -> None:
    engine = NativeEngine(path, EngineConfig())
    engine.close()
    engine.close()
    with pytest.raises(InvalidArgument, match="closed"):
        engine.embed([[2, 3]])


def test_a_batch_embeds_and_does_nothing_else(engine: NativeEngine) -> None:
    tokens = [engine.tokenize(text) for text in TEXTS]
    with batch_of(engine) as batch:
        first, second = batch.embed(tokens * 30), batch.embed(tokens, "first")
        called = batch.run(lambda engine: engine.name)
        mean = [rows[0] for rows in engine.embed(tokens, "mean")]
        for found, expected in zip(first.result(60), mean * 30, strict=True):
            assert likeness(found, expected) > 0.9999
        for found, rows in zip(second.result(60), engine.embed(tokens, "first"), strict=True):
            assert likeness(found, rows[0]) > 0.9999
        assert called.result(60) == "native"
        with pytest.raises(UnsupportedError, match="makes embeddings only"):
            batch.submit([2, 3])
        with pytest.raises(UnsupportedError, match="makes embeddings only"):
            batch.score([2], [[3]])
        for texts in ([], [[2], []], [[-1]]):
            with pytest.raises(InvalidArgument):
                batch.embed(texts)
        assert batch.drain(60)
    with pytest.raises(Closed):
        batch.embed(tokens)


def test_late_and_cancelled_requests_leave_the_others_alone(engine: NativeEngine) -> None:
    with Batch(engine, parallel=2) as batch:
        late = batch.embed([[7] * 500] * 200, deadline_s=0.0)
        cancelled = batch.embed([[7] * 500] * 200)
        cancelled.cancel()
        found = batch.embed([[2, 3]])
        assert len(found.result(60)) == 1
        with pytest.raises(DeadlineExceeded):
            late.result(60)
        assert cancelled.cancelled()


def test_closing_a_batch_ends_what_waits(engine: NativeEngine) -> None:
    batch = Batch(engine, parallel=1)
    tickets = [batch.embed([[7] * 500] * 100) for _ in range(3)]
    batch.close()
    for ticket in tickets:
        with pytest.raises(Closed):
            ticket.result(60)


def test_requests_take_turns_in_a_pass() -> None:
    assert portions([[10] * 8, [10], [10] * 2], 60) == [3, 1, 2]
    assert portions([[10] * 8, [100, 10]], 50) == [5, 0]
    assert portions([[600, 600], [1]], 512) == [1, 0]
    assert portions([[1]], 512) == [1]


def test_the_drop_in_embeds_as_the_file_says(path: Path, engine: NativeEngine) -> None:
    llm = Llama(model_path=str(path), embedding=True, verbose=False)
    assert llm.pooling_type() == 1
    assert llm.n_embd() == 128
    vectors = llm.embed(["hello there", "a"], normalize=True)
    for vector, text in zip(vectors, ("hello there", "a"), strict=True):
        assert math.hypot(*vector) == pytest.approx(1)
        assert likeness(vector, engine.embed([engine.tokenize(text)])[0][0]) > 0.9999
    answer = llm.create_embedding("hello there")
    assert len(answer["data"][0]["embedding"]) == 128
    assert answer["usage"]["prompt_tokens"] == len(engine.tokenize("hello there"))
    with pytest.raises(UnsupportedError, match="makes embeddings only"):
        llm("hello")
    rows = Llama(model_path=str(path), embedding=True, pooling_type=0, verbose=False).embed("hello there")
    assert len(rows) == len(engine.tokenize("hello there"))
