"""Tokens, single steps, states, embeddings. Expected values were made with llama-cpp-python 0.3.36."""

from __future__ import annotations

import pickle
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from edgewise import Llama
from edgewise.errors import ContextFull, InvalidArgument
from edgewise.llama import LogitsProcessorList, StoppingCriteriaList

np = pytest.importorskip("numpy", reason="logits as arrays need numpy")

ONCE = b"Once upon a time"


def test_tokenize_and_detokenize_work_with_bytes(llm: Llama) -> None:
    assert llm.tokenize(ONCE) == [1, 403, 407, 261, 378]
    assert llm.tokenize(b"Once upon", add_bos=False) == [403, 407]
    assert llm.tokenize(b"<s>Once", special=True) == [1, 1, 403]
    assert llm.tokenize(b"") == [1]
    assert llm.detokenize([1, 403, 407, 261, 378]) == ONCE
    assert llm.detokenize([403]) == b" Once"
    assert llm.detokenize([1, 403], special=True) == b"<s> Once"


def test_the_numbers_of_the_model(llm: Llama) -> None:
    assert (llm.n_ctx(), llm.n_vocab(), llm.n_embd(), llm.n_batch) == (512, 512, 64, 512)
    assert (llm.token_bos(), llm.token_eos(), llm.token_nl()) == (1, 2, 13)
    assert llm.metadata["llama.attention.layer_norm_rms_epsilon"] == "0.000010"
    assert llm.metadata["tokenizer.ggml.add_bos_token"] == "true"
    assert "tokenizer.ggml.tokens" not in llm.metadata


def test_a_vocabulary_alone_can_be_opened(vocabularies: Path) -> None:
    path = vocabularies / "ggml-vocab-llama-bpe.gguf"
    with Llama(model_path=str(path), vocab_only=True, verbose=False) as llm:
        assert llm.tokenize(b"Hello world") == [128000, 9906, 1917]
        assert (llm.n_vocab(), llm.token_bos(), llm.token_eos(), llm.token_nl()) == (128256, 128000, 128001, 198)
        with pytest.raises(InvalidArgument, match="vocab_only"):
            llm("Hello")


def test_eval_and_sample_step_through_the_story(llm: Llama) -> None:
    llm.eval(llm.tokenize(ONCE))
    tokens = [llm.sample(temp=0)]
    for _ in range(4):
        llm.eval(tokens[-1:])
        tokens.append(llm.sample(temp=0))
    assert tokens == [432, 383, 286, 261, 376]
    assert llm.n_tokens == 9
    llm.reset()
    assert llm.n_tokens == 0


@pytest.mark.parametrize("length", [-1, 513, "all"])
def test_a_number_of_tokens_that_cannot_be_is_refused(llm: Llama, length: Any) -> None:
    llm.eval(llm.tokenize(ONCE))
    with pytest.raises(InvalidArgument, match="n_tokens"):
        llm.n_tokens = length
    assert llm.n_tokens == 5


def test_sampling_from_nothing_is_refused(llm: Llama) -> None:
    with pytest.raises(InvalidArgument, match="eval"):
        llm.sample()


def test_evaluating_beyond_the_context_is_refused_and_changes_nothing(llm: Llama) -> None:
    llm.eval([5] * 500)
    with pytest.raises(ContextFull, match="Requested tokens"):
        llm.eval([5] * 13)
    assert llm.n_tokens == 500


def test_a_token_that_is_none_is_refused(llm: Llama) -> None:
    with pytest.raises(InvalidArgument, match="512"):
        llm.eval([512])


def test_generate_yields_tokens_and_takes_more(llm: Llama) -> None:
    assert list(islice(llm.generate(llm.tokenize(ONCE), temp=0.0), 6)) == [432, 383, 286, 261, 376, 298]
    steps = llm.generate(llm.tokenize(b"Once"), temp=0.0)
    assert next(steps) == 407
    assert steps.send([261]) == 378


def test_n_tokens_can_be_set_back(llm: Llama) -> None:
    llm.eval(llm.tokenize(ONCE))
    llm.n_tokens = 2
    assert list(llm.eval_tokens) == [1, 403]


def test_a_state_can_be_come_back_to(llm: Llama) -> None:
    llm.eval(llm.tokenize(b"Once upon a time, there was"))
    state = pickle.loads(pickle.dumps(llm.save_state()))  # noqa: S301  our own bytes
    llm.reset()
    llm.eval(llm.tokenize(b"Tom"))
    llm.load_state(state)
    assert llm.n_tokens == state.n_tokens == 8
    llm.eval([261])
    assert llm.sample(temp=0) == 376


def test_a_state_of_nonsense_is_refused_and_changes_nothing(llm: Llama) -> None:
    llm.eval(llm.tokenize(ONCE))
    state = llm.save_state()
    for broken in (b"", b"nonsense", state.llama_state[:-1], state.llama_state + b"x"):
        with pytest.raises(InvalidArgument):
            llm.load_state(type(state)(state.input_ids, state.n_tokens, broken, len(broken), state.seed))
    assert llm.n_tokens == 5


def test_scores_are_the_logits_of_every_token(story_model: Path) -> None:
    with Llama(model_path=str(story_model), n_ctx=64, logits_all=True, verbose=False) as llm:
        llm.eval(llm.tokenize(ONCE))
        scores = llm.scores
        assert scores.shape == (64, 512)
        assert [int(row.argmax()) for row in scores[:5]] == [403, 407, 261, 378, 432]
        assert not scores[5:].any()
        assert len(llm.eval_logits) == 5


def test_scores_need_logits_all(llm: Llama) -> None:
    with pytest.raises(InvalidArgument, match="logits_all"):
        llm.scores  # noqa: B018  reading it is the test


def test_logits_processors_and_stopping_criteria_see_arrays(llm: Llama) -> None:
    def favour(tokens: Any, logits: Any) -> Any:
        assert tokens.dtype == np.intc
        assert logits.dtype == np.single
        logits[403] += 100
        return logits

    favoured: Any = llm("Once", max_tokens=3, temperature=0, logits_processor=LogitsProcessorList([favour]))
    assert favoured["choices"][0]["text"] == " Once Once Once"
    stopped: Any = llm(
        ONCE.decode(),
        max_tokens=50,
        temperature=0,
        stopping_criteria=StoppingCriteriaList([lambda tokens, _: len(tokens) >= 12]),
    )
    assert stopped["choices"][0]["text"] == ", there was a little gir"
    assert stopped["choices"][0]["finish_reason"] == "stop"
    assert stopped["usage"]["completion_tokens"] == 7


def test_embed_needs_to_be_asked_for(llm: Llama) -> None:
    with pytest.raises(RuntimeError, match="Llama model must be created with embedding=True to call this method"):
        llm.embed("x")


def test_embeddings_come_per_token_or_pooled(story_model: Path) -> None:
    def opened(pooling_type: int) -> Llama:
        return Llama(model_path=str(story_model), embedding=True, pooling_type=pooling_type, verbose=False)

    with opened(0) as llm:
        rows = llm.embed("Once upon")
        assert np.shape(rows) == (3, 64)
        assert rows[0][:4] == pytest.approx([1.029, -1.327, 0.18, -1.721], abs=5e-3)
        assert np.linalg.norm(llm.embed("Once upon", normalize=True), axis=1) == pytest.approx([1, 1, 1])
        assert [len(rows) for rows in llm.embed(["Once upon", "a"])] == [3, 2]
    with opened(1) as llm:
        assert llm.embed("Once upon")[:4] == pytest.approx([0.875, -1.741, -0.173, -1.658], abs=5e-3)
        response = llm.create_embedding(["Once upon", "a"])
        assert [len(entry["embedding"]) for entry in response["data"]] == [64, 64]
        assert response["usage"] == {"prompt_tokens": 5, "total_tokens": 5}
    with opened(3) as llm:
        assert llm.embed("Once upon", normalize=True)[:4] == pytest.approx([0.023, -0.099, 0.017, -0.111], abs=5e-3)


def test_pickling_opens_the_model_again(llm: Llama) -> None:
    with pickle.loads(pickle.dumps(llm)) as copy:  # noqa: S301  our own bytes
        assert copy("Once upon a time", max_tokens=3, temperature=0)["choices"][0]["text"] == ", there was"


def test_a_closed_llama_says_so(llm: Llama) -> None:
    llm.close()
    llm.close()
    with pytest.raises(InvalidArgument, match="closed"):
        llm("Once")


def test_verbose_speaks_on_stderr_alone(story_model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Llama(model_path=str(story_model)) as llm:
        llm("Once", max_tokens=2)
    output = capfd.readouterr()
    assert output.out == ""
    assert all(line.startswith("edgewise: ") for line in output.err.splitlines())
    assert len(output.err.splitlines()) == 2
