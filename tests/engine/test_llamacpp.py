"""The llama.cpp backend behind the same protocol."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgewise
from edgewise import Engine, EngineConfig, GenerateOptions, Llama
from edgewise.engine.batching import batch_of
from edgewise.engine.models import DEMO
from edgewise.errors import ContextFull, InvalidArgument, ModelFileError, SystemRefused, UnsupportedError

gguf = pytest.importorskip("gguf")
pytest.importorskip("xllamacpp", reason="pip install 'edgewise[llamacpp]'")

GREEDY = GenerateOptions(temperature=0, max_tokens=16)
ONCE = "Once upon a time"
SMALL = EngineConfig(context_length=128)


def bytes_as_characters() -> list[str]:
    """The 256 characters that byte-level vocabularies write bytes with."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(byte) if byte in shown else chr(256 + hidden.index(byte)) for byte in range(256)]


@pytest.fixture(scope="module")
def gpt2_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of an architecture that the core does not have."""
    path = tmp_path_factory.mktemp("gpt2") / "gpt2.gguf"
    width, random = 64, np.random.default_rng(1)
    tokens = [*bytes_as_characters(), "<|endoftext|>", "ab"]
    writer: Any = gguf.GGUFWriter(path, "gpt2")
    writer.add_context_length(256)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(4 * width)
    writer.add_head_count(4)
    writer.add_layer_norm_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * 256 + [3, 1])
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(256)

    def tensor(name: str, *shape: int) -> None:
        writer.add_tensor(name, random.normal(0, 0.05, shape).astype(np.float32))

    tensor("token_embd.weight", len(tokens), width)
    tensor("position_embd.weight", 256, width)
    for name, rows, columns in (
        ("attn_qkv", 3 * width, width),
        ("attn_output", width, width),
        ("ffn_up", 4 * width, width),
        ("ffn_down", width, 4 * width),
    ):
        tensor(f"blk.0.{name}.weight", rows, columns)
        tensor(f"blk.0.{name}.bias", rows)
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        tensor(f"{name}.weight", width)
        tensor(f"{name}.bias", width)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def tell(engine: Engine, options: GenerateOptions = GREEDY) -> str:
    return "".join(piece.text for piece in engine.generate(ONCE, options))


def test_both_engines_tell_the_same_story(story_model: Path) -> None:
    with edgewise.open(story_model, SMALL, engine="llamacpp") as llamacpp, edgewise.open(story_model, SMALL) as native:
        assert isinstance(llamacpp, Engine)
        assert (llamacpp.name, native.name) == ("llamacpp", "native")
        assert tell(llamacpp) == tell(native) == ", there was a little girl named Lily. She loved to play"
        assert llamacpp.tokenize(ONCE) == native.tokenize(ONCE)
        assert llamacpp.vocabulary_size == native.vocabulary_size == 512
        ours, theirs = (list(engine.generate(ONCE, replace(GREEDY, top_logprobs=2))) for engine in (native, llamacpp))
    assert [piece.token for piece in ours] == [piece.token for piece in theirs if piece.token >= 0]
    assert ours[0].logprob == pytest.approx(theirs[0].logprob, abs=2e-3)


def test_adapters_are_handed_on_and_change_the_story_alike(demo_adapters: tuple[Path, Path]) -> None:
    first, second = demo_adapters
    stories = []
    for adapters in ([], [(first, 0.5)], [(first, 0.5), (second, -0.5)]):
        config = replace(SMALL, lora=adapters)
        with edgewise.open("demo", config, engine="llamacpp") as llamacpp, edgewise.open("demo", config) as native:
            stories.append(tell(llamacpp))
            assert tell(native) == stories[-1]
    assert len(set(stories)) == 3
    for wrong, kind in (("nowhere.gguf", SystemRefused), (DEMO, ModelFileError)):
        with pytest.raises(kind):
            edgewise.open("demo", replace(SMALL, lora=[(wrong, 1.0)]), engine="llamacpp")


def test_timings_tell_cached_tokens_from_evaluated_ones(story_model: Path) -> None:
    with edgewise.open(story_model, SMALL, engine="llamacpp") as engine:
        tell(engine)
        answer = engine.generate(ONCE + ", there was", GREEDY)
        list(answer)
        timings = answer.timings
    assert timings.cached_tokens >= 5
    assert timings.cached_tokens + timings.evaluated_tokens == answer.prompt_tokens == 8
    assert timings.generated_tokens == 16
    assert timings.decode_tokens_per_second > 0


def cached(engine: Engine, namespace: str, prompt: str = ONCE, **more: Any) -> int:
    """How many tokens of a prompt were found in the cache."""
    answer = engine.generate(prompt, replace(GREEDY, max_tokens=2, cache_namespace=namespace, **more))
    list(answer)
    return answer.timings.cached_tokens


def test_prompts_of_one_namespace_are_never_found_from_another(story_model: Path) -> None:
    with edgewise.open(story_model, SMALL, engine="llamacpp") as engine:
        assert [cached(engine, name) for name in ("", "a", "b", "a", "")] == [0] * 5
        # What was said in another namespace long ago is not kept anywhere else.
        assert cached(engine, "b", "The dog said hello to the cat") == 0
        assert [cached(engine, name) for name in ("b", "b", "a", "a")] == [1, 4, 0, 4]


def test_namespaces_hold_where_answers_are_left_and_threads_ask_at_once(story_model: Path) -> None:
    with edgewise.open(story_model, EngineConfig(context_length=512), engine="llamacpp") as engine:
        for wait in (True, False):
            assert cached(engine, "a") == 0
            left = engine.generate(ONCE, replace(GREEDY, max_tokens=400, cache_namespace="b"))
            if wait:
                next(left)
            left.close()
            assert cached(engine, "c") == 0
            assert cached(engine, "b") == 0
            assert cached(engine, "b") > 0
        answers = [
            engine.generate(ONCE, replace(GREEDY, max_tokens=2, cache_namespace=f"{number}")) for number in range(8)
        ]
        for answer in answers:
            list(answer)
        assert [answer.timings.cached_tokens for answer in answers] == [0] * 8


def test_old_prompts_take_no_memory_beside_the_context(story_model: Path) -> None:
    with edgewise.open(story_model, SMALL, engine="llamacpp") as engine:
        first, second = "Once upon a time there was a dog", "The cat said hello to the bird"
        assert cached(engine, "", first) == 0
        cached(engine, "", second)
        assert cached(engine, "", first) <= 1  # what begins all prompts


def test_auto_takes_llama_cpp_for_what_the_core_does_not_run(gpt2_model: Path) -> None:
    with edgewise.open(gpt2_model) as engine:
        assert engine.name == "llamacpp"
        assert len(list(engine.generate("Hello", replace(GREEDY, max_tokens=5)))) >= 1
    with pytest.raises(UnsupportedError, match="gpt2") as caught:
        edgewise.open(gpt2_model, engine="native")
    assert "llamacpp" in (caught.value.hint or "")


def test_the_drop_in_falls_back_too(gpt2_model: Path) -> None:
    with Llama(model_path=str(gpt2_model), n_gpu_layers=-1, verbose=False) as llm:
        completion: Any = llm("Hello", max_tokens=4, temperature=0)
        assert completion["usage"] == {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}
        assert llm.detokenize(llm.tokenize(b"Hi", add_bos=False)) == b"Hi"
        assert (llm.n_vocab(), llm.token_eos()) == (258, 256)
        with pytest.raises(UnsupportedError, match="llamacpp"):
            llm.eval([1])


def test_stop_texts_end_the_answer(story_model: Path) -> None:
    with edgewise.open(story_model, SMALL, engine="llamacpp") as engine:
        answer = engine.generate(ONCE, replace(GREEDY, stop=(" girl",)))
        assert "".join(piece.text for piece in answer) == ", there was a little"
        assert answer.finish_reason == "stop"


def test_an_answer_closed_early_frees_the_engine(story_model: Path) -> None:
    with edgewise.open(story_model, SMALL, engine="llamacpp") as engine:
        answer = engine.generate(ONCE, replace(GREEDY, max_tokens=100))
        next(answer)
        answer.close()
        assert list(answer) == []
        assert tell(engine).startswith(", there was")


def test_errors_are_those_of_the_other_engine(story_model: Path) -> None:
    with edgewise.open(story_model, SMALL, engine="llamacpp") as engine:
        with pytest.raises(ContextFull, match="exceed context window of 128"):
            engine.generate([5] * 200)
        with pytest.raises(ContextFull, match="Requested tokens"):
            list(engine.generate("word " * 500))
        with pytest.raises(InvalidArgument):
            list(engine.generate([99999], GREEDY))
        with pytest.raises(InvalidArgument, match="repeat_penalty"):
            engine.generate(ONCE, replace(GREEDY, repeat_penalty=0.0))
    with pytest.raises(InvalidArgument, match="closed"):
        engine.generate(ONCE)


def test_layers_on_a_gpu_that_is_not_there_are_refused_with_the_way_out(story_model: Path) -> None:
    from edgewise.engine.llamacpp import has_gpu

    if has_gpu():
        pytest.skip("this machine has a GPU")
    with pytest.raises(UnsupportedError, match="gpu_layers=-1") as caught:
        edgewise.open(story_model, EngineConfig(gpu_layers=-1))
    assert "CUDA" in (caught.value.hint or "")


def test_nobody_else_can_reach_the_server(story_model: Path) -> None:
    engine: Any = edgewise.open(story_model, SMALL, engine="llamacpp")
    address = str(engine.server.listening_address)
    assert address.startswith("unix://")
    folder = Path(address.removeprefix("unix://")).parent
    assert folder.stat().st_mode & 0o077 == 0
    engine.close()
    gc.collect()
    assert not folder.exists()


def test_nothing_is_printed(story_model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with edgewise.open(story_model, SMALL, engine="llamacpp") as engine:
        tell(engine)
    assert capfd.readouterr() == ("", "")


def test_a_batch_answers_one_request_after_the_other() -> None:
    with edgewise.open(DEMO, SMALL, engine="llamacpp") as engine, batch_of(engine) as batch:
        prompt = engine.tokenize(ONCE)
        expected = "".join(piece.text for piece in engine.generate(prompt, GREEDY))
        first, closed, last = (batch.submit(prompt, GREEDY) for _ in range(3))
        closed.close()
        for stream in (first, last):
            assert "".join(piece.text for piece in stream) == expected
            assert stream.finish_reason == "length"
        assert last.timings.queue_s > first.timings.queue_s
        refused = batch.submit(prompt, replace(GREEDY, context_shift=True))
        with pytest.raises(UnsupportedError, match="context_shift"):
            list(refused)
        with pytest.raises(UnsupportedError, match="score"):
            batch.score(prompt, [prompt])
        assert batch.drain(60)
