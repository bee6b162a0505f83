//! Models whose tokenizer cannot be made.

use super::file::{ARRAY, BOOL, F32, I32, STRING, U32, array, string};
use super::model::{Model, sound};
use super::{Attack, Stage};

fn attack(name: &'static str, must_name: &'static str, model: Model) -> Attack {
    Attack { stage: Stage::Vocabulary, ..Attack::new(name, must_name, model) }
}

fn strings(strings: &[&[u8]]) -> Vec<u8> {
    array(STRING, strings.len() as u64, strings.iter().map(string).collect::<Vec<_>>().concat())
}

fn of_tokens(tokens: &[&[u8]]) -> Model {
    sound().set("tokenizer.ggml.tokens", ARRAY, strings(tokens))
}

fn of_kinds(kinds: &[i32]) -> Model {
    let values: Vec<u8> = kinds.iter().flat_map(|kind| kind.to_le_bytes()).collect();
    sound().set("tokenizer.ggml.token_type", ARRAY, array(I32, kinds.len() as u64, values))
}

fn of_scores(scores: &[f32]) -> Model {
    let values: Vec<u8> = scores.iter().flat_map(|score| score.to_le_bytes()).collect();
    sound().set("tokenizer.ggml.scores", ARRAY, array(F32, scores.len() as u64, values))
}

fn of_id(name: &str, id: u32) -> Model {
    sound().set(&format!("tokenizer.ggml.{name}_token_id"), U32, id.to_le_bytes())
}

/// The same tokens as byte-level BPE with these merges.
fn of_merges(merges: &[&[u8]]) -> Model {
    sound().set("tokenizer.ggml.model", STRING, string("gpt2")).set("tokenizer.ggml.pre", STRING, string("gpt-2")).set(
        "tokenizer.ggml.merges",
        ARRAY,
        strings(merges),
    )
}

/// The bytes of a model with merges that loads.
pub(crate) fn sound_bytes() -> Vec<u8> {
    of_merges(&[b"a b"]).into()
}

pub(super) fn attacks() -> Vec<Attack> {
    let mut attacks = tokens();
    attacks.extend(ids());
    attacks.extend(merges());
    attacks
}

fn tokens() -> Vec<Attack> {
    let (model, tokens) = ("tokenizer.ggml.model", "tokenizer.ggml.tokens");
    let (kinds, scores) = ("tokenizer.ggml.token_type", "tokenizer.ggml.scores");
    vec![
        attack("tokenizer_missing", model, sound().without(model)),
        attack("tokenizer_as_number", model, sound().set(model, U32, [0; 4])),
        attack("tokenizer_not_utf8", model, sound().set(model, STRING, string(b"gpt\xff"))),
        attack("tokens_missing", tokens, sound().without(tokens)),
        attack("tokens_empty", tokens, of_tokens(&[])),
        attack("tokens_as_numbers", tokens, sound().set(tokens, ARRAY, array(U32, 8, [0; 32]))),
        attack("tokens_as_string", tokens, sound().set(tokens, STRING, string("<unk> <s> </s>"))),
        attack("tokens_as_nested_arrays", tokens, sound().set(tokens, ARRAY, array(ARRAY, 1, strings(&[b"a"])))),
        attack("token_twice", tokens, of_tokens(&[b"<unk>", b"<s>", b"</s>", b"a", b"b", b"c", b"d", b"a"])),
        attack("token_kinds_short", kinds, of_kinds(&[2, 3, 3, 1, 1, 1, 1])),
        attack("token_kinds_long", kinds, of_kinds(&[2, 3, 3, 1, 1, 1, 1, 1, 1])),
        attack("token_kind_7", kinds, of_kinds(&[2, 3, 3, 1, 1, 1, 1, 7])),
        attack("token_kind_negative", kinds, of_kinds(&[2, 3, 3, 1, 1, 1, 1, i32::MIN])),
        attack("token_kinds_as_floats", kinds, sound().set(kinds, ARRAY, array(F32, 8, [0; 32]))),
        attack("scores_short", scores, of_scores(&[0.0; 7])),
        attack("scores_long", scores, of_scores(&[0.0; 9])),
        attack("scores_nan", scores, of_scores(&[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, f32::NAN])),
        attack("scores_as_strings", scores, sound().set(scores, ARRAY, strings(&[b"0".as_slice(); 8]))),
    ]
}

fn ids() -> Vec<Attack> {
    let bos = "\"tokenizer.ggml.bos_token_id\"";
    let flag = |name: &str| sound().set(&format!("tokenizer.ggml.{name}"), U32, [1, 0, 0, 0]);
    vec![
        attack("bos_beyond_the_vocabulary", bos, of_id("bos", 8)),
        attack("bos_of_2_to_31", bos, of_id("bos", 1 << 31)),
        attack("bos_below_minus_one", bos, sound().set("tokenizer.ggml.bos_token_id", I32, (-2i32).to_le_bytes())),
        attack("bos_as_string", bos, sound().set("tokenizer.ggml.bos_token_id", STRING, string("<s>"))),
        attack("eos_beyond_the_vocabulary", "\"tokenizer.ggml.eos_token_id\"", of_id("eos", 8)),
        attack("eot_beyond_the_vocabulary", "\"tokenizer.ggml.eot_token_id\"", of_id("eot", 1000)),
        attack("unknown_beyond_the_vocabulary", "\"tokenizer.ggml.unknown_token_id\"", of_id("unknown", 8)),
        attack("padding_beyond_the_vocabulary", "\"tokenizer.ggml.padding_token_id\"", of_id("padding", 8)),
        attack("add_bos_as_number", "\"tokenizer.ggml.add_bos_token\"", flag("add_bos_token")),
        attack("add_eos_as_number", "\"tokenizer.ggml.add_eos_token\"", flag("add_eos_token")),
        attack("add_space_prefix_as_number", "\"tokenizer.ggml.add_space_prefix\"", flag("add_space_prefix")),
    ]
}

fn merges() -> Vec<Attack> {
    let (pre, merges) = ("tokenizer.ggml.pre", "tokenizer.ggml.merges");
    let sound = || of_merges(&[b"a b"]);
    vec![
        attack("pre_tokenizer_missing", pre, sound().without(pre)),
        attack("pre_tokenizer_as_bool", pre, sound().set(pre, BOOL, [1])),
        attack("merges_missing", merges, sound().without(merges)),
        attack("merges_as_numbers", merges, sound().set(merges, ARRAY, array(U32, 1, [0; 4]))),
        attack("merge_without_a_blank", merges, of_merges(&[b"ab"])),
        attack("merge_empty", merges, of_merges(&[b""])),
        attack("merge_of_a_blank", merges, of_merges(&[b" "])),
        attack("merge_of_an_unknown_first_part", merges, of_merges(&[b"a b", b"x b"])),
        attack("merge_of_an_unknown_second_part", merges, of_merges(&[b"a b", b"a x"])),
        attack("merge_into_no_token", merges, of_merges(&[b"a b", b"b a"])),
        attack("merge_not_utf8", merges, of_merges(&[b"\xff \xfe"])),
    ]
}
