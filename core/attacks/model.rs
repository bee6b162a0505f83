//! Files whose layout holds, but whose model does not: loading must fail.

use super::file::{ARRAY, F32, FORMAT_F32, FORMAT_Q8_0, File, I32, STRING, U32, U64, array, pair, string, tensor};
use super::{Attack, Stage};

/// A llama model of one layer whose weights are all zero, or what else has keys and tensors for an attack to change.
pub(super) struct Model {
    pairs: Vec<(String, u32, Vec<u8>)>,
    tensors: Vec<(String, Vec<u64>, u32)>,
}

/// Width 32, two heads of 16, one of them for keys; 48 inner values; 8 tokens.
pub(super) fn sound() -> Model {
    let sizes = [
        ("block_count", 1),
        ("context_length", 32),
        ("embedding_length", 32),
        ("feed_forward_length", 48),
        ("attention.head_count", 2),
        ("attention.head_count_kv", 1),
    ];
    let tensors: [(&str, &[u64]); 12] = [
        ("token_embd.weight", &[32, 8]),
        ("blk.0.attn_norm.weight", &[32]),
        ("blk.0.attn_q.weight", &[32, 32]),
        ("blk.0.attn_k.weight", &[32, 16]),
        ("blk.0.attn_v.weight", &[32, 16]),
        ("blk.0.attn_output.weight", &[32, 32]),
        ("blk.0.ffn_norm.weight", &[32]),
        ("blk.0.ffn_gate.weight", &[32, 48]),
        ("blk.0.ffn_up.weight", &[32, 48]),
        ("blk.0.ffn_down.weight", &[48, 32]),
        ("output_norm.weight", &[32]),
        ("output.weight", &[32, 8]),
    ];
    let vocabulary = ["<unk>", "<s>", "</s>", "\u{2581}", "a", "b", "ab", "\u{2581}a"];
    let add = |model: Model, (name, shape): (&str, &[u64])| model.tensor(name, shape, FORMAT_F32);
    let model = tensors.into_iter().fold(Model::empty(), add);
    let model = sizes.into_iter().fold(model, |model, (key, size)| model.size(key, size));
    model
        .set("general.architecture", STRING, string("llama"))
        .set("llama.attention.layer_norm_rms_epsilon", F32, 1e-5f32.to_le_bytes())
        .set("tokenizer.ggml.model", STRING, string("llama"))
        .set("tokenizer.ggml.tokens", ARRAY, array(STRING, 8, vocabulary.map(string).concat()))
        .set("tokenizer.ggml.scores", ARRAY, array(F32, 8, [0; 32]))
        .set("tokenizer.ggml.token_type", ARRAY, array(I32, 8, [2, 3, 3, 1, 1, 1, 1, 1].map(i32::to_le_bytes).concat()))
        .set("tokenizer.ggml.bos_token_id", U32, 1u32.to_le_bytes())
        .set("tokenizer.ggml.eos_token_id", U32, 2u32.to_le_bytes())
}

/// The bytes of the model that attacks start from: it loads.
pub(crate) fn sound_bytes() -> Vec<u8> {
    sound().into()
}

impl Model {
    /// Neither pairs nor tensors.
    pub(super) fn empty() -> Self {
        Self { pairs: Vec::new(), tensors: Vec::new() }
    }

    pub(super) fn without(mut self, key: &str) -> Self {
        let count = self.pairs.len();
        self.pairs.retain(|(known, ..)| known != key);
        assert!(self.pairs.len() < count, "{key} is not there");
        self
    }

    pub(super) fn set(mut self, key: &str, kind: u32, value: impl AsRef<[u8]>) -> Self {
        self.pairs.retain(|(known, ..)| known != key);
        self.pairs.push((key.to_owned(), kind, value.as_ref().to_vec()));
        self
    }

    fn size(self, key: &str, size: u32) -> Self {
        self.set(&format!("llama.{key}"), U32, size.to_le_bytes())
    }

    fn float(self, key: &str, value: f32) -> Self {
        self.set(&format!("llama.{key}"), F32, value.to_le_bytes())
    }

    pub(super) fn without_tensor(mut self, name: &str) -> Self {
        let count = self.tensors.len();
        self.tensors.retain(|(known, ..)| known != name);
        assert!(self.tensors.len() < count, "{name} is not there");
        self
    }

    pub(super) fn tensor(mut self, name: &str, shape: &[u64], format: u32) -> Self {
        self.tensors.retain(|(known, ..)| known != name);
        self.tensors.push((name.to_owned(), shape.to_vec(), format));
        self
    }
}

impl From<Model> for Vec<u8> {
    fn from(model: Model) -> Self {
        let mut offset = 0;
        let mut entries = Vec::new();
        for (name, shape, format) in &model.tensors {
            entries.push(tensor(name, shape, *format, offset));
            let values: u64 = shape.iter().product();
            let size = if *format == FORMAT_Q8_0 { values / 32 * 34 } else { values * 4 };
            offset = (offset + size).next_multiple_of(32);
        }
        let pairs = model.pairs.iter().map(|(key, kind, value)| pair(key, *kind, value)).collect();
        File { version: 3, tensor_count: None, key_count: None, pairs, tensors: entries, data: offset as usize }.bytes()
    }
}

fn attack(name: &'static str, must_name: &'static str, model: impl Into<Vec<u8>>) -> Attack {
    Attack { stage: Stage::Load, ..Attack::new(name, must_name, model) }
}

pub(super) fn attacks() -> Vec<Attack> {
    let mut attacks = sizes();
    attacks.extend(heads());
    attacks.extend(numbers());
    attacks.extend(tensors());
    attacks
}

fn sizes() -> Vec<Attack> {
    let architecture = "\"general.architecture\"";
    let (blocks, context) = ("\"llama.block_count\"", "\"llama.context_length\"");
    let (width, inner) = ("\"llama.embedding_length\"", "\"llama.feed_forward_length\"");
    vec![
        attack("architecture_missing", architecture, sound().without("general.architecture")),
        attack("architecture_as_number", architecture, sound().set("general.architecture", U32, [1, 0, 0, 0])),
        attack("architecture_not_utf8", architecture, sound().set("general.architecture", STRING, string(b"\xff"))),
        attack("block_count_missing", blocks, sound().without("llama.block_count")),
        attack("block_count_0", blocks, sound().size("block_count", 0)),
        attack("block_count_of_2_to_32", blocks, sound().set("llama.block_count", U64, (1u64 << 32).to_le_bytes())),
        attack("block_count_of_all_ones", blocks, sound().set("llama.block_count", U64, u64::MAX.to_le_bytes())),
        attack("block_count_negative", blocks, sound().set("llama.block_count", I32, (-1i32).to_le_bytes())),
        attack("block_count_as_string", blocks, sound().set("llama.block_count", STRING, string("1"))),
        attack("block_count_as_float", blocks, sound().float("block_count", 1.0)),
        attack("one_block_too_many", "\"blk.1.", sound().size("block_count", 2)),
        attack("context_length_missing", context, sound().without("llama.context_length")),
        attack("context_length_0", context, sound().size("context_length", 0)),
        attack("context_length_of_all_ones", context, sound().size("context_length", u32::MAX)),
        attack("context_length_negative", context, sound().set("llama.context_length", I32, (-64i32).to_le_bytes())),
        attack("embedding_length_missing", width, sound().without("llama.embedding_length")),
        attack("embedding_length_0", width, sound().size("embedding_length", 0)),
        attack("embedding_length_of_2_to_31", width, sound().size("embedding_length", 1 << 31)),
        attack("embedding_length_not_the_tensors", "\"token_embd.weight\"", sound().size("embedding_length", 64)),
        attack("feed_forward_length_missing", inner, sound().without("llama.feed_forward_length")),
        attack("feed_forward_length_0", inner, sound().size("feed_forward_length", 0)),
        attack("feed_forward_length_not_the_tensors", "\"blk.0.ffn_", sound().size("feed_forward_length", 32)),
        attack("feed_forward_length_of_no_blocks", inner, {
            sound().set("llama.feed_forward_length", ARRAY, array(U32, 0, []))
        }),
    ]
}

fn heads() -> Vec<Attack> {
    let (heads, key_heads) = ("\"llama.attention.head_count\"", "\"llama.attention.head_count_kv\"");
    let (key_length, rotated) = ("\"llama.attention.key_length\"", "\"llama.rope.dimension_count\"");
    vec![
        attack("head_count_missing", heads, sound().without("llama.attention.head_count")),
        attack("head_count_0", heads, sound().size("attention.head_count", 0)),
        attack("head_count_of_all_ones", heads, sound().size("attention.head_count", u32::MAX)),
        attack("head_count_3_of_width_32", heads, sound().size("attention.head_count", 3)),
        attack("head_count_of_the_whole_width", rotated, sound().size("attention.head_count", 32)),
        attack("head_count_kv_0", key_heads, sound().size("attention.head_count_kv", 0)),
        attack("head_count_kv_above_head_count", key_heads, sound().size("attention.head_count_kv", 4)),
        attack("head_count_kv_of_all_ones", key_heads, sound().size("attention.head_count_kv", u32::MAX)),
        attack("head_count_kv_as_empty_array", key_heads, {
            sound().set("llama.attention.head_count_kv", ARRAY, array(U32, 0, []))
        }),
        attack("head_count_kv_as_strings", key_heads, {
            sound().set("llama.attention.head_count_kv", ARRAY, array(STRING, 1, string("1")))
        }),
        attack("head_count_kv_as_array_of_0", key_heads, {
            sound().set("llama.attention.head_count_kv", ARRAY, array(U32, 1, [0; 4]))
        }),
        attack("head_count_kv_not_the_tensors", "\"blk.0.attn_k.weight\"", {
            sound().size("attention.head_count_kv", 2)
        }),
        attack("key_length_0", "attention.", sound().size("attention.key_length", 0)),
        attack("key_length_of_all_ones", key_length, sound().size("attention.key_length", u32::MAX)),
        attack("rotated_0", rotated, sound().size("rope.dimension_count", 0)),
        attack("rotated_odd", rotated, sound().size("rope.dimension_count", 15)),
        attack("rotated_beyond_the_head", rotated, sound().size("rope.dimension_count", 32)),
    ]
}

fn numbers() -> Vec<Attack> {
    let epsilon = "\"llama.attention.layer_norm_rms_epsilon\"";
    let (base, factor) = ("\"llama.rope.freq_base\"", "\"llama.rope.scaling.factor\"");
    vec![
        attack("epsilon_missing", epsilon, sound().without("llama.attention.layer_norm_rms_epsilon")),
        attack("epsilon_nan", epsilon, sound().float("attention.layer_norm_rms_epsilon", f32::NAN)),
        attack("epsilon_negative", epsilon, sound().float("attention.layer_norm_rms_epsilon", -1e-5)),
        attack("epsilon_infinite", epsilon, sound().float("attention.layer_norm_rms_epsilon", f32::INFINITY)),
        attack("epsilon_as_number", epsilon, sound().size("attention.layer_norm_rms_epsilon", 0)),
        attack("rope_base_0", base, sound().float("rope.freq_base", 0.0)),
        attack("rope_base_negative", base, sound().float("rope.freq_base", -10_000.0)),
        attack("rope_base_nan", base, sound().float("rope.freq_base", f32::NAN)),
        attack("rope_factor_negative", factor, sound().float("rope.scaling.factor", -2.0)),
        attack("rope_factor_nan", factor, sound().float("rope.scaling.factor", f32::NAN)),
        attack("rope_scaling_type_as_number", "\"llama.rope.scaling.type\"", sound().size("rope.scaling.type", 1)),
        attack("rope_original_length_of_all_ones", "\"llama.rope.scaling.original_context_length\"", {
            sound().size("rope.scaling.original_context_length", u32::MAX)
        }),
        attack("attention_factor_0", "\"llama.rope.scaling.attn_factor\"", {
            sound().float("rope.scaling.attn_factor", 0.0)
        }),
    ]
}

fn tensors() -> Vec<Attack> {
    let embedding = "\"token_embd.weight\"";
    let without = |name| sound().without_tensor(name);
    let shaped = |name, shape: &[u64]| sound().tensor(name, shape, FORMAT_F32);
    let (query, norm) = ("blk.0.attn_q.weight", "blk.0.attn_norm.weight");
    vec![
        attack("embedding_missing", embedding, without("token_embd.weight")),
        attack("embedding_transposed", embedding, shaped("token_embd.weight", &[8, 32])),
        attack("embedding_of_three_dimensions", embedding, shaped("token_embd.weight", &[32, 4, 2])),
        attack("embedding_of_one_token_too_few", embedding, shaped("token_embd.weight", &[32, 7])),
        attack("embedding_of_one_token_too_many", embedding, shaped("token_embd.weight", &[32, 9])),
        attack("output_of_one_token_too_few", "\"output.weight\"", shaped("output.weight", &[32, 7])),
        attack("output_norm_missing", "\"output_norm.weight\"", without("output_norm.weight")),
        attack("output_norm_short", "\"output_norm.weight\"", shaped("output_norm.weight", &[16])),
        attack("query_missing", "\"blk.0.attn_q.weight\"", without(query)),
        attack("query_of_one_row_too_few", "\"blk.0.attn_q.weight\"", shaped(query, &[32, 31])),
        attack("query_as_a_vector", "\"blk.0.attn_q.weight\"", shaped(query, &[1024])),
        attack("query_bias_short", "\"blk.0.attn_q.bias\"", shaped("blk.0.attn_q.bias", &[16])),
        attack("value_missing", "\"blk.0.attn_v.weight\"", without("blk.0.attn_v.weight")),
        attack("norm_missing", "\"blk.0.attn_norm.weight\"", without(norm)),
        attack("norm_as_a_matrix", "\"blk.0.attn_norm.weight\"", shaped(norm, &[16, 2])),
        attack("norm_long", "\"blk.0.attn_norm.weight\"", sound().tensor(norm, &[64], FORMAT_Q8_0)),
        attack("down_transposed", "\"blk.0.ffn_down.weight\"", shaped("blk.0.ffn_down.weight", &[32, 48])),
        attack("gate_missing", "\"blk.0.ffn_gate.weight\"", without("blk.0.ffn_gate.weight")),
        attack("rope_factors_short", "\"rope_freqs.weight\"", shaped("rope_freqs.weight", &[4])),
        attack("rope_factors_of_zero", "\"rope_freqs.weight\"", shaped("rope_freqs.weight", &[8])),
    ]
}
