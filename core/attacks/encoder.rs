//! Encoders whose layout holds, but whose model or tokenizer does not.

use super::file::{ARRAY, BOOL, F32, FORMAT_F32, I32, STRING, U32, U64, array, string};
use super::model::Model;
use super::{Attack, Stage};

const WIDTH: u64 = 32;
const INNER: u64 = 48;
const VOCABULARY: [&str; 8] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "\u{2581}a", "\u{2581}ab", "b", "\u{2581},"];

/// What both architectures have: width 32, two heads, one layer, 8 tokens.
fn sound(architecture: &str) -> Model {
    let sizes = [
        ("block_count", 1),
        ("context_length", 16),
        ("embedding_length", WIDTH as u32),
        ("feed_forward_length", INNER as u32),
        ("attention.head_count", 2),
        ("pooling_type", 1),
    ];
    let tensors: [(&str, &[u64]); 12] = [
        ("token_embd.weight", &[WIDTH, 8]),
        ("token_types.weight", &[WIDTH, 2]),
        ("token_embd_norm.weight", &[WIDTH]),
        ("token_embd_norm.bias", &[WIDTH]),
        ("blk.0.attn_output.weight", &[WIDTH, WIDTH]),
        ("blk.0.attn_output_norm.weight", &[WIDTH]),
        ("blk.0.attn_output_norm.bias", &[WIDTH]),
        ("blk.0.ffn_up.weight", &[WIDTH, INNER]),
        ("blk.0.ffn_down.weight", &[INNER, WIDTH]),
        ("blk.0.layer_output_norm.weight", &[WIDTH]),
        ("blk.0.layer_output_norm.bias", &[WIDTH]),
        ("blk.0.attn_qkv.weight", &[WIDTH, 3 * WIDTH]),
    ];
    let add = |model: Model, (name, shape): (&str, &[u64])| model.tensor(name, shape, FORMAT_F32);
    let model = tensors.into_iter().fold(Model::empty(), add);
    let set =
        |model: Model, (key, size): (&str, u32)| model.set(&format!("{architecture}.{key}"), U32, size.to_le_bytes());
    let model = sizes.into_iter().fold(model, set);
    let kinds = [3, 3, 3, 3, 1, 1, 1, 1].map(i32::to_le_bytes).concat();
    model
        .set("general.architecture", STRING, string(architecture))
        .set(&format!("{architecture}.attention.layer_norm_epsilon"), F32, 1e-12f32.to_le_bytes())
        .set(&format!("{architecture}.attention.causal"), BOOL, [0])
        .set("tokenizer.ggml.model", STRING, string("bert"))
        .set("tokenizer.ggml.tokens", ARRAY, array(STRING, 8, VOCABULARY.map(string).concat()))
        .set("tokenizer.ggml.token_type", ARRAY, array(I32, 8, kinds))
        .set("tokenizer.ggml.unknown_token_id", U32, 1u32.to_le_bytes())
        .set("tokenizer.ggml.cls_token_id", U32, 2u32.to_le_bytes())
        .set("tokenizer.ggml.seperator_token_id", U32, 3u32.to_le_bytes())
}

fn bert() -> Model {
    let heads = ["attn_q", "attn_k", "attn_v"];
    let model =
        sound("bert").without_tensor("blk.0.attn_qkv.weight").tensor("position_embd.weight", &[WIDTH, 16], FORMAT_F32);
    heads.into_iter().fold(model, |model, name| {
        let model = model.tensor(&format!("blk.0.{name}.weight"), &[WIDTH, WIDTH], FORMAT_F32);
        model.tensor(&format!("blk.0.{name}.bias"), &[WIDTH], FORMAT_F32)
    })
}

fn nomic() -> Model {
    sound("nomic-bert").tensor("blk.0.ffn_gate.weight", &[WIDTH, INNER], FORMAT_F32)
}

/// The bytes of an encoder of each architecture: they load.
pub(crate) fn sound_files() -> [Vec<u8>; 2] {
    [bert().into(), nomic().into()]
}

fn attack(name: &'static str, must_name: &'static str, model: impl Into<Vec<u8>>) -> Attack {
    Attack { stage: Stage::Load, ..Attack::new(name, must_name, model) }
}

pub(super) fn attacks() -> Vec<Attack> {
    let mut attacks = metadata();
    attacks.extend(tensors());
    attacks
}

fn metadata() -> Vec<Attack> {
    let size = |key: &str, size: u32| bert().set(&format!("bert.{key}"), U32, size.to_le_bytes());
    let (epsilon, pooling) = ("\"bert.attention.layer_norm_epsilon\"", "\"bert.pooling_type\"");
    let (heads, context) = ("\"bert.attention.head_count\"", "\"bert.context_length\"");
    let cls = "\"tokenizer.ggml.cls_token_id\"";
    let tokenizer =
        |name, must_name, model: Model| Attack { stage: Stage::Vocabulary, ..Attack::new(name, must_name, model) };
    vec![
        attack("encoder_blocks_missing", "\"bert.block_count\"", bert().without("bert.block_count")),
        attack("encoder_blocks_of_all_ones", "\"bert.block_count\"", {
            bert().set("bert.block_count", U64, u64::MAX.to_le_bytes())
        }),
        attack("encoder_one_block_too_many", "\"blk.1.", size("block_count", 2)),
        attack("encoder_context_0", context, size("context_length", 0)),
        attack("encoder_context_of_all_ones", context, size("context_length", u32::MAX)),
        attack("encoder_context_not_the_tensors", "\"position_embd.weight\"", size("context_length", 17)),
        attack("encoder_width_0", "\"bert.embedding_length\"", size("embedding_length", 0)),
        attack("encoder_width_not_the_tensors", "\"token_embd.weight\"", size("embedding_length", 64)),
        attack(
            "encoder_inner_width_missing",
            "\"bert.feed_forward_length\"",
            bert().without("bert.feed_forward_length"),
        ),
        attack("encoder_heads_0", heads, size("attention.head_count", 0)),
        attack("encoder_heads_3_of_width_32", heads, size("attention.head_count", 3)),
        attack("encoder_heads_beyond_the_width", heads, size("attention.head_count", 64)),
        attack("encoder_heads_of_all_ones", heads, size("attention.head_count", u32::MAX)),
        attack("encoder_epsilon_missing", epsilon, bert().without("bert.attention.layer_norm_epsilon")),
        attack("encoder_epsilon_nan", epsilon, {
            bert().set("bert.attention.layer_norm_epsilon", F32, f32::NAN.to_le_bytes())
        }),
        attack("encoder_causal_as_number", "\"bert.attention.causal\"", size("attention.causal", 0)),
        attack("encoder_pooling_9", pooling, size("pooling_type", 9)),
        attack("encoder_pooling_as_string", pooling, bert().set("bert.pooling_type", STRING, string("mean"))),
        attack("encoder_rotated_odd", "\"nomic-bert.rope.dimension_count\"", {
            nomic().set("nomic-bert.rope.dimension_count", U32, 15u32.to_le_bytes())
        }),
        tokenizer("cls_beyond_the_vocabulary", cls, {
            bert().set("tokenizer.ggml.cls_token_id", U32, 8u32.to_le_bytes())
        }),
        tokenizer("cls_missing", cls, bert().without("tokenizer.ggml.cls_token_id")),
        tokenizer("lowercase_as_number", "\"tokenizer.ggml.normalizer.lowercase\"", {
            bert().set("tokenizer.ggml.normalizer.lowercase", U32, [1, 0, 0, 0])
        }),
    ]
}

fn tensors() -> Vec<Attack> {
    let without = |name| bert().without_tensor(name);
    let shaped = |name, shape: &[u64]| bert().tensor(name, shape, FORMAT_F32);
    vec![
        attack("encoder_embedding_missing", "\"token_embd.weight\"", without("token_embd.weight")),
        attack("encoder_embedding_of_one_token_too_few", "\"token_embd.weight\"", {
            shaped("token_embd.weight", &[WIDTH, 7])
        }),
        attack("encoder_positions_missing", "\"position_embd.weight\"", without("position_embd.weight")),
        attack("encoder_positions_short", "\"position_embd.weight\"", shaped("position_embd.weight", &[WIDTH, 15])),
        attack("encoder_types_narrow", "\"token_types.weight\"", shaped("token_types.weight", &[16, 2])),
        attack("encoder_types_of_three_dimensions", "\"token_types.weight\"", {
            shaped("token_types.weight", &[WIDTH, 1, 2])
        }),
        attack("encoder_norm_without_bias", "\"token_embd_norm.bias\"", without("token_embd_norm.bias")),
        attack("encoder_norm_short", "\"blk.0.attn_output_norm.weight\"", {
            shaped("blk.0.attn_output_norm.weight", &[16])
        }),
        attack("encoder_last_norm_missing", "\"blk.0.layer_output_norm.weight\"", {
            without("blk.0.layer_output_norm.weight")
        }),
        attack("encoder_key_missing", "\"blk.0.attn_k.weight\"", without("blk.0.attn_k.weight")),
        attack("encoder_query_bias_short", "\"blk.0.attn_q.bias\"", shaped("blk.0.attn_q.bias", &[16])),
        attack("encoder_down_transposed", "\"blk.0.ffn_down.weight\"", {
            shaped("blk.0.ffn_down.weight", &[WIDTH, INNER])
        }),
        attack("encoder_fused_heads_short", "\"blk.0.attn_qkv.weight\"", {
            nomic().tensor("blk.0.attn_qkv.weight", &[WIDTH, 2 * WIDTH], FORMAT_F32)
        }),
        attack("encoder_gate_missing", "\"blk.0.ffn_gate.weight\"", nomic().without_tensor("blk.0.ffn_gate.weight")),
    ]
}
