//! Files whose layout holds, but that are no adapters for the sound model: adding them must fail.

use super::file::{ARRAY, F32, FORMAT_F32, FORMAT_Q8_0, STRING, U32, array, string};
use super::model::Model;
use super::{Attack, Stage};

const QUERY: &str = "blk.0.attn_q.weight";

/// An adapter of rank 4 for two matrices of the sound model.
fn sound() -> Model {
    Model::empty()
        .set("general.type", STRING, string("adapter"))
        .set("general.architecture", STRING, string("llama"))
        .set("adapter.type", STRING, string("lora"))
        .set("adapter.lora.alpha", F32, 8f32.to_le_bytes())
        .tensor("blk.0.attn_q.weight.lora_a", &[32, 4], FORMAT_F32)
        .tensor("blk.0.attn_q.weight.lora_b", &[4, 32], FORMAT_F32)
        .tensor("blk.0.ffn_down.weight.lora_a", &[48, 4], FORMAT_F32)
        .tensor("blk.0.ffn_down.weight.lora_b", &[4, 32], FORMAT_F32)
}

/// The bytes of the adapter that attacks start from: it can be added.
pub(crate) fn sound_bytes() -> Vec<u8> {
    sound().into()
}

fn attack(name: &'static str, must_name: &'static str, adapter: impl Into<Vec<u8>>) -> Attack {
    Attack { stage: Stage::Adapter, ..Attack::new(name, must_name, adapter) }
}

pub(super) fn attacks() -> Vec<Attack> {
    let mut attacks = keys();
    attacks.extend(tensors());
    attacks
}

fn keys() -> Vec<Attack> {
    let (kind, architecture) = ("\"general.type\"", "\"general.architecture\"");
    let (lora, alpha) = ("\"adapter.type\"", "\"adapter.lora.alpha\"");
    let with_alpha = |value: f32| sound().set("adapter.lora.alpha", F32, value.to_le_bytes());
    vec![
        attack("adapter_that_is_a_model", kind, super::model::sound_bytes()),
        attack("adapter_of_no_type", kind, sound().without("general.type")),
        attack("adapter_type_as_number", kind, sound().set("general.type", U32, [1, 0, 0, 0])),
        attack("adapter_type_not_utf8", kind, sound().set("general.type", STRING, string(b"adapter\xff"))),
        attack("adapter_of_no_architecture", architecture, sound().without("general.architecture")),
        attack("adapter_of_another_architecture", architecture, {
            sound().set("general.architecture", STRING, string("qwen2"))
        }),
        attack("adapter_of_no_kind", lora, sound().without("adapter.type")),
        attack("adapter_of_an_unknown_kind", lora, sound().set("adapter.type", STRING, string("boft"))),
        attack("alpha_nan", alpha, with_alpha(f32::NAN)),
        attack("alpha_infinite", alpha, with_alpha(f32::INFINITY)),
        attack("alpha_as_number", alpha, sound().set("adapter.lora.alpha", U32, [8, 0, 0, 0])),
        attack("alpha_as_array", alpha, sound().set("adapter.lora.alpha", ARRAY, array(F32, 1, [0; 4]))),
    ]
}

fn tensors() -> Vec<Attack> {
    let (a, b) = ("\"blk.0.attn_q.weight.lora_a\"", "\"blk.0.attn_q.weight.lora_b\"");
    let shaped = |part: &str, shape: &[u64]| sound().tensor(&format!("{QUERY}.{part}"), shape, FORMAT_F32);
    let pair = |name: &str, down: &[u64], up: &[u64]| {
        sound().tensor(&format!("{name}.lora_a"), down, FORMAT_F32).tensor(&format!("{name}.lora_b"), up, FORMAT_F32)
    };
    let nothing = ["attn_q", "ffn_down"].into_iter().flat_map(|part| ["lora_a", "lora_b"].map(|half| (part, half)));
    let nothing =
        nothing.fold(sound(), |adapter, (part, half)| adapter.without_tensor(&format!("blk.0.{part}.weight.{half}")));
    let (embedding_a, embedding_b) = ("\"token_embd.weight.lora_a\"", "\"token_embd.weight.lora_b\"");
    vec![
        attack("adapter_of_nothing", "lora_a", nothing),
        attack("pair_without_its_a", a, sound().without_tensor("blk.0.attn_q.weight.lora_a")),
        attack("pair_without_its_b", b, sound().without_tensor("blk.0.attn_q.weight.lora_b")),
        attack("pair_a_for_fewer_inputs", a, shaped("lora_a", &[16, 4])),
        attack("pair_a_transposed", a, shaped("lora_a", &[4, 32])),
        attack("pair_a_of_three_dimensions", a, shaped("lora_a", &[32, 2, 2])),
        attack("pair_a_of_another_rank", b, shaped("lora_a", &[32, 8])),
        attack("pair_b_of_another_rank", b, shaped("lora_b", &[8, 32])),
        attack("pair_b_transposed", b, shaped("lora_b", &[32, 4])),
        attack("pair_b_for_more_outputs", b, shaped("lora_b", &[4, 33])),
        attack("pair_b_as_a_vector", b, shaped("lora_b", &[128])),
        attack("pair_a_long", a, sound().tensor("blk.0.attn_q.weight.lora_a", &[64, 4], FORMAT_Q8_0)),
        attack("pair_of_a_layer_that_is_not_there", "\"blk.1.attn_q.weight.lora_a\"", {
            pair("blk.1.attn_q.weight", &[32, 4], &[4, 32])
        }),
        attack("pair_of_a_norm", "\"blk.0.attn_norm.weight.lora_a\"", {
            pair("blk.0.attn_norm.weight", &[32, 4], &[4, 1])
        }),
        attack("pair_of_an_empty_name", "\".lora_a\"", pair("", &[32, 4], &[4, 32])),
        attack("embedding_pair_for_fewer_tokens", embedding_a, pair("token_embd.weight", &[4, 7], &[4, 32])),
        attack("embedding_pair_not_turned_around", embedding_a, pair("token_embd.weight", &[8, 4], &[4, 32])),
        attack("embedding_pair_of_two_ranks", embedding_b, pair("token_embd.weight", &[4, 8], &[8, 32])),
        attack("adapter_with_a_bias", "\"blk.0.attn_q.bias\"", {
            sound().tensor("blk.0.attn_q.bias", &[32], FORMAT_F32)
        }),
        attack("adapter_with_a_whole_matrix", "\"blk.0.attn_k.weight\"", {
            sound().tensor("blk.0.attn_k.weight", &[32, 16], FORMAT_F32)
        }),
        Attack::new("adapter_of_rank_0", "\"blk.0.attn_q.weight.lora_a\"", shaped("lora_a", &[32, 0])),
    ]
}
