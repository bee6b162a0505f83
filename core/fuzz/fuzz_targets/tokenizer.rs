//! Any vocabulary of any kind with any text: every token is in the vocabulary, and where the vocabulary has all bytes,
//! decoding gives the text back.

#![no_main]

use std::collections::HashSet;

use edgewise_core::gguf::{Gguf, Writer, WriterValue};
use edgewise_core::tokenizer::Tokenizer;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

const PRE_TOKENIZERS: [&str; 20] = [
    "gpt-2",
    "llama-bpe",
    "qwen2",
    "smollm",
    "tekken",
    "gpt-4o",
    "deepseek-llm",
    "deepseek-v3",
    "deepseek-coder",
    "falcon",
    "starcoder",
    "chatglm-bpe",
    "kimi-k2",
    "gemma4",
    "bloom",
    "poro-chat",
    "viking",
    "jais-2",
    "youtu",
    "tiny_aya",
];

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    is_byte_level: bool,
    is_word_piece: bool,
    has_all_bytes: bool,
    pre_tokenizer: u8,
    tokens: Vec<(&'a [u8], i8, u8)>,
    merges: Vec<(u16, u16)>,
    add_space_prefix: bool,
    add_bos: bool,
    add_special: bool,
    parse_special: bool,
    text: &'a [u8],
    any_tokens: Vec<u32>,
}

fuzz_target!(|input: Input| {
    let vocabulary = if input.is_byte_level { byte_level(&input) } else { sentence_piece(&input) };
    let file = writer(&input, &vocabulary).to_bytes(|_, _| Ok(())).expect("no tensors");
    let gguf = Gguf::from_bytes(file).expect("sound syntax");
    let Ok(tokenizer) = Tokenizer::from_metadata(gguf.metadata()) else { return };
    tokenizer.decode(&input.any_tokens, true);
    let tokens = tokenizer.encode(input.text, input.add_special, input.parse_special);
    assert!(tokens.iter().all(|&token| (token as usize) < tokenizer.len()));
    let text = tokenizer.decode(&tokens, false);
    assert!(tokenizer.decode(&tokens, true).len() >= text.len());
    if input.has_all_bytes && is_plain(&input, &vocabulary) {
        assert_eq!(tokenizer.decode(&tokenizer.encode(input.text, false, false), true), input.text);
    }
});

/// Tokens with their scores and kinds, each text once, and merges.
#[derive(Default)]
struct Vocabulary {
    known: HashSet<Vec<u8>>,
    texts: Vec<Vec<u8>>,
    scores: Vec<f32>,
    kinds: Vec<i32>,
    merges: Vec<Vec<u8>>,
}

impl Vocabulary {
    fn push(&mut self, text: Vec<u8>, score: i8, kind: i32) {
        if self.known.insert(text.clone()) {
            self.texts.push(text);
            self.scores.push(f32::from(score));
            self.kinds.push(kind);
        }
    }
}

fn sentence_piece(input: &Input) -> Vocabulary {
    let mut vocabulary = Vocabulary::default();
    for (text, kind) in [("<unk>", 2), ("<s>", 3), ("</s>", 3)] {
        vocabulary.push(text.into(), 0, kind);
    }
    if input.has_all_bytes {
        (0..=255).for_each(|byte: u8| vocabulary.push(format!("<0x{byte:02X}>").into(), 0, 6));
        vocabulary.push("\u{2581}".into(), 0, 1); // a blank
    }
    for (text, score, kind) in &input.tokens {
        vocabulary.push(text.to_vec(), *score, i32::from(kind % 8));
    }
    vocabulary
}

fn byte_level(input: &Input) -> Vocabulary {
    let mut vocabulary = Vocabulary::default();
    if input.has_all_bytes {
        (0..=255).for_each(|byte: u8| vocabulary.push(spell(&[byte]), 0, 1));
    }
    for (text, score, kind) in &input.tokens {
        let text = if kind & 8 == 0 { spell(text) } else { text.to_vec() };
        vocabulary.push(text, *score, i32::from(kind % 8));
    }
    for (left, right) in &input.merges {
        let pick = |index: &u16| vocabulary.texts.get(usize::from(*index) % vocabulary.texts.len().max(1)).cloned();
        let (Some(left), Some(right)) = (pick(left), pick(right)) else { continue };
        if left.len() + right.len() < 64 {
            vocabulary.merges.push([&left[..], b" ", &right].concat());
            vocabulary.push([left, right].concat(), 0, 1);
        }
    }
    vocabulary
}

/// Bytes in the printable alphabet of GPT-2.
fn spell(bytes: &[u8]) -> Vec<u8> {
    let is_printable = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let spell = |byte: u8| {
        let unprintable = (0..byte).filter(|&byte| !is_printable(byte)).count() as u32;
        char::from_u32(if is_printable(byte) { u32::from(byte) } else { 256 + unprintable })
            .expect("below the surrogates")
    };
    bytes.iter().map(|&byte| spell(byte)).collect::<String>().into_bytes()
}

fn writer(input: &Input, vocabulary: &Vocabulary) -> Writer {
    let model = match (input.is_word_piece, input.is_byte_level) {
        (true, _) => "bert",
        (false, true) => "gpt2",
        (false, false) => "llama",
    };
    Writer::new()
        .set("tokenizer.ggml.model", model)
        .set("tokenizer.ggml.pre", pre_tokenizer(input))
        .set("tokenizer.ggml.tokens", vocabulary.texts.iter().collect::<WriterValue>())
        .set("tokenizer.ggml.scores", &vocabulary.scores[..])
        .set("tokenizer.ggml.token_type", &vocabulary.kinds[..])
        .set("tokenizer.ggml.merges", vocabulary.merges.iter().collect::<WriterValue>())
        .set("tokenizer.ggml.unknown_token_id", 0_u32)
        .set("tokenizer.ggml.cls_token_id", 0_u32)
        .set("tokenizer.ggml.seperator_token_id", 0_u32)
        .set("tokenizer.ggml.add_space_prefix", input.add_space_prefix)
        .set("tokenizer.ggml.add_bos_token", input.add_bos)
}

fn pre_tokenizer(input: &Input) -> &'static str {
    PRE_TOKENIZERS[usize::from(input.pre_tokenizer) % PRE_TOKENIZERS.len()]
}

/// Whether the text survives by rule: it is UTF-8, holds no sign that means a blank, and all tokens are plain text.
fn is_plain(input: &Input, vocabulary: &Vocabulary) -> bool {
    !input.is_word_piece
        && std::str::from_utf8(input.text).is_ok_and(|text| !text.contains('\u{2581}'))
        && vocabulary.kinds.iter().all(|kind| matches!(kind, 1 | 2 | 3 | 6))
        && input.tokens.iter().all(|(_, _, kind)| kind % 8 == 1 && kind & 8 == 0)
        && if input.is_byte_level { pre_tokenizer(input) != "gemma4" } else { !input.add_space_prefix } // spells otherwise
}
