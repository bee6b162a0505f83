"""Random models have the weights and the vocabularies that were asked for."""

import numpy as np
import pytest
from gguf.quants import dequantize

from random_model.blocks import FORMATS, QUANTIZED_FORMATS, RandomBytes, format_type, random_rows
from random_model.known_shapes import KNOWN_SHAPES
from random_model.recipe import mix
from random_model.vocabulary import VocabularyKind, make_vocabulary


@pytest.mark.parametrize("name", FORMATS)
def test_random_weights_are_centred_and_have_the_deviation(name: str) -> None:
    values = dequantize(random_rows(RandomBytes(1, name), name, 256, 1024, 0.1), format_type(name))
    assert np.isfinite(values).all()
    assert abs(values.mean()) < 0.002
    assert values.std() == pytest.approx(0.1, rel=0.5 if name == "mxfp4" else 0.05)


@pytest.mark.parametrize("name", FORMATS)
def test_another_seed_or_name_gives_other_weights(name: str) -> None:
    streams = [RandomBytes(1, "a"), RandomBytes(2, "a"), RandomBytes(1, "b"), RandomBytes(1, "a")]
    first, seed, tensor, again = (random_rows(stream, name, 2, 256, 0.1).tobytes() for stream in streams)
    assert len({first, seed, tensor}) == 3
    assert first == again


@pytest.mark.parametrize("name", QUANTIZED_FORMATS)
def test_rows_that_are_not_whole_blocks_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        random_rows(RandomBytes(1, "a"), name, 1, 255, 0.1)


@pytest.mark.parametrize(("kind", "size"), [("bpe", 320), ("bpe", 128256), ("spm", 320), ("spm", 262144)])
def test_vocabularies_have_their_size_and_no_token_twice(kind: VocabularyKind, size: int) -> None:
    vocabulary = make_vocabulary(kind, size)
    assert len(vocabulary.tokens) == len(set(vocabulary.tokens)) == len(vocabulary.types) == size
    known = set(vocabulary.tokens)
    assert all(part in known for merge in vocabulary.merges for part in merge.split(" "))


def test_a_vocabulary_without_room_for_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="no room"):
        make_vocabulary("bpe", 256)


def test_q4_k_m_gives_more_bits_where_llama_cpp_does() -> None:
    choose = mix("q4_k_m", KNOWN_SHAPES["llama3.2-1b"])
    fine = [block for block in range(16) if choose(f"blk.{block}.ffn_down.weight") == "q6_k"]
    assert fine == [0, 1, 4, 7, 10, 13, 14, 15]
    assert fine == [block for block in range(16) if choose(f"blk.{block}.attn_v.weight") == "q6_k"]
    assert {choose(f"blk.{block}.attn_q.weight") for block in range(16)} == {"q4_k"}
