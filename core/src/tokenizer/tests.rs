//! Claims about whole tokenizers, made from small vocabularies on the spot; and one test per malformed file.

use super::bytes::spell;
use super::*;
use crate::ErrorKind;
use crate::gguf::{Gguf, Writer, WriterValue};

fn load(writer: &Writer) -> Result<Tokenizer> {
    let gguf = Gguf::from_bytes(writer.to_bytes(|_, _| Ok(())).unwrap()).unwrap();
    Tokenizer::from_metadata(gguf.metadata())
}

fn strings(texts: &[&str]) -> WriterValue {
    texts.iter().collect()
}

/// Byte-level: every byte, some merges, some special tokens from 260 on.
fn byte_level() -> Writer {
    let mut tokens: Vec<String> = (0..=255).map(|byte| spell(&[byte])).collect();
    tokens.extend(["ab", "abc", "bc", "\u{120}a"].map(str::to_owned));
    tokens.extend(["<|im_end|>", "<|im_start|>", "<user>", "<user><x>"].map(str::to_owned));
    let mut kinds = [1; 264];
    (kinds[260], kinds[261], kinds[262], kinds[263]) = (3, 3, 4, 4);
    Writer::new()
        .set("tokenizer.ggml.model", "gpt2")
        .set("tokenizer.ggml.pre", "gpt-2")
        .set("tokenizer.ggml.tokens", tokens.iter().collect::<WriterValue>())
        .set("tokenizer.ggml.token_type", &kinds[..])
        .set("tokenizer.ggml.merges", strings(&["b c", "a b", "ab c", "\u{120} a"]))
        .set("tokenizer.ggml.bos_token_id", 261_u32)
        .set("tokenizer.ggml.eos_token_id", 260_u32)
}

const SPM_TOKENS: [&str; 12] =
    ["<unk>", "<s>", "</s>", "<0x41>", "<0x0A>", "▁", "a", "b", "ab", "▁a", "▁ab", "<|end|>"];

fn spm() -> Writer {
    let scores = [0.0, 0.0, 0.0, 0.0, 0.0, -5.0, -6.0, -7.0, -3.0, -2.0, -1.0, 0.0_f32];
    let kinds = [2, 3, 3, 6, 6, 1, 1, 1, 1, 1, 1, 4];
    Writer::new()
        .set("tokenizer.ggml.model", "llama")
        .set("tokenizer.ggml.tokens", strings(&SPM_TOKENS))
        .set("tokenizer.ggml.scores", &scores[..])
        .set("tokenizer.ggml.token_type", &kinds[..])
}

#[test]
fn the_best_merge_goes_first() {
    let tokenizer = load(&byte_level()).unwrap();
    // "b c" ranks before "a b".
    assert_eq!(tokenizer.encode("abc", false, false), [u32::from(b'a'), 258]);
    assert_eq!(tokenizer.encode("ab a", false, false), [256, 259]);
}

#[test]
fn long_words_merge_as_short_ones_do() {
    let tokenizer = load(&byte_level()).unwrap();
    let long = tokenizer.encode("abab".repeat(500), false, false);
    assert_eq!(long, [256; 1000]);
    let mixed = tokenizer.encode("abcxab".repeat(100), false, false);
    assert_eq!(mixed, tokenizer.encode("abcxab", false, false).repeat(100));
}

#[test]
fn whole_words_that_are_tokens_need_no_merges_where_the_rules_say_so() {
    let tokenizer = load(&byte_level().set("tokenizer.ggml.pre", "llama-bpe")).unwrap();
    assert_eq!(tokenizer.encode("abc", false, false), [257]);
    assert!(tokenizer.add_bos());
}

#[test]
fn control_tokens_are_read_only_when_asked_for_and_user_defined_ones_always() {
    let tokenizer = load(&byte_level()).unwrap();
    assert_eq!(tokenizer.encode("<user>ab", false, false), [262, 256]);
    assert_eq!(tokenizer.encode("ab<|im_end|>", false, true), [256, 260]);
    assert_eq!(tokenizer.encode("<|im_end|>", false, false).len(), 10);
    // The longer of two goes first.
    assert_eq!(tokenizer.encode("<user><x><user>", false, false), [263, 262]);
}

#[test]
fn bos_and_eos_are_added_as_the_file_says() {
    let writer = byte_level().set("tokenizer.ggml.add_bos_token", true).set("tokenizer.ggml.add_eos_token", true);
    let tokenizer = load(&writer).unwrap();
    assert_eq!(tokenizer.encode("ab", true, false), [261, 256, 260]);
    assert_eq!(tokenizer.encode("ab", false, false), [256]);
    assert_eq!(tokenizer.encode("", true, false), [261, 260]);
    assert_eq!(load(&byte_level()).unwrap().encode("ab", true, false), [256]);
}

#[test]
fn decoding_hides_control_tokens_unless_they_are_asked_for() {
    let tokenizer = load(&byte_level()).unwrap();
    assert_eq!(tokenizer.decode(&[261, 256, 262, 260], false), b"ab<user>");
    assert_eq!(tokenizer.decode(&[261, 256, 262, 260], true), b"<|im_start|>ab<user><|im_end|>");
    assert_eq!(tokenizer.decode(&[999, u32::MAX], true), b"");
    assert_eq!((tokenizer.piece(259), tokenizer.piece(0xE9)), (&b" a"[..], &b"\xE9"[..]));
}

#[test]
fn bytes_that_are_no_utf8_become_replacement_characters_in_byte_level_text() {
    let tokenizer = load(&byte_level()).unwrap();
    let tokens = tokenizer.encode(b"a\xFFb\xE4\xBD", false, false);
    assert_eq!(tokenizer.decode(&tokens, false), "a\u{FFFD}b\u{FFFD}\u{FFFD}".as_bytes());
}

#[test]
fn the_best_score_merges_first_and_a_blank_goes_before_the_text() {
    let tokenizer = load(&spm()).unwrap();
    assert_eq!(tokenizer.encode("ab ab", false, false), [10, 10]);
    assert_eq!(tokenizer.encode("ab", true, false), [1, 10]);
    assert_eq!(tokenizer.encode("", true, false), [1]);
    assert_eq!(tokenizer.decode(&[1, 10, 10], false), b"ab ab");
    assert_eq!(tokenizer.decode(&[10, 9], false), b"ab a");
    // After a special token there is a blank again.
    assert_eq!(tokenizer.encode("ab<|end|>ab", false, true), [10, 11, 10]);
    let plain = load(&spm().set("tokenizer.ggml.add_space_prefix", false)).unwrap();
    assert_eq!(plain.encode("ab", false, false), [8]);
    assert_eq!(plain.decode(&[9], false), b" a");
}

#[test]
fn unknown_characters_fall_back_to_bytes_and_then_to_the_unknown_token() {
    let tokenizer = load(&spm()).unwrap();
    assert_eq!(tokenizer.encode("aA\nZ", false, false), [9, 3, 4, 0]);
    assert_eq!(tokenizer.decode(&[3, 4, 0], false), b"A\n");
}

#[test]
fn phi_3_drops_white_space_after_its_special_tokens() {
    let tokenizer = load(&spm().set("general.name", "Phi-3-mini")).unwrap();
    assert_eq!(tokenizer.encode("<|end|>\n a", false, true), [11, 9]);
    assert_eq!(load(&spm()).unwrap().encode("<|end|>\na", false, true), [11, 5, 4, 6]);
}

#[test]
fn tokens_that_end_a_generation_are_known_by_id_and_by_text() {
    let tokenizer = load(&byte_level()).unwrap();
    assert_eq!(tokenizer.special().end_of_generation, [260]);
    assert_eq!((tokenizer.eot(), tokenizer.bos(), tokenizer.eos()), (Some(260), Some(261), Some(260)));
    let tokenizer = load(&spm()).unwrap();
    // "<|end|>" was user-defined; as a token that ends a turn it is control.
    assert_eq!(tokenizer.special().end_of_generation, [2, 11]);
    assert!(tokenizer.is_special(11) && tokenizer.is_end(11) && !tokenizer.is_end(10));
}

#[test]
fn the_end_of_a_message_does_not_end_a_generation_where_calls_and_returns_do() {
    let tokens = strings(&["<unk>", "<s>", "</s>", "<|end|>", "<|return|>", "<|call|>"]);
    let writer = Writer::new().set("tokenizer.ggml.model", "llama").set("tokenizer.ggml.tokens", tokens);
    let tokenizer = load(&writer).unwrap();
    assert_eq!(tokenizer.special().end_of_generation, [2, 4, 5]);
    assert!(!tokenizer.is_special(3));
}

#[test]
fn an_id_of_minus_one_names_no_token() {
    for none in [WriterValue::from(u32::MAX), WriterValue::from(-1_i32)] {
        let tokenizer = load(&byte_level().set("tokenizer.ggml.padding_token_id", none)).unwrap();
        assert_eq!(tokenizer.special().pad, None);
    }
}

#[test]
fn an_unnamed_token_is_accepted_and_never_matches() {
    let mut tokens = SPM_TOKENS;
    tokens[7] = "";
    let tokenizer = load(&spm().set("tokenizer.ggml.tokens", strings(&tokens))).unwrap();
    assert_eq!(tokenizer.encode("b", false, false), [5, 0]);
}

fn refused(writer: &Writer, kind: ErrorKind, named: &[&str]) {
    let error = load(writer).map(|_| "a tokenizer").unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    for name in named {
        assert!(error.to_string().contains(name), "{name:?} is not in: {error}");
    }
}

#[test]
fn malformed_vocabularies_are_refused_with_the_key_named() {
    let tokens = "tokenizer.ggml.tokens";
    let merges = "tokenizer.ggml.merges";
    let twins = [&SPM_TOKENS[..11], &["ab"]].concat();
    let cases: Vec<(Writer, Vec<&str>)> = vec![
        (Writer::new(), vec!["tokenizer.ggml.model"]),
        (Writer::new().set("tokenizer.ggml.model", "llama"), vec![tokens]),
        (spm().set(tokens, strings(&[])), vec![tokens, "empty"]),
        (spm().set(tokens, 7_u32), vec![tokens]),
        (spm().set(tokens, strings(&twins)), vec![tokens, "8 and 11", "ab"]),
        (spm().set("tokenizer.ggml.scores", &[0.0_f32; 11][..]), vec!["tokenizer.ggml.scores", "11", "12"]),
        (spm().set("tokenizer.ggml.scores", &[f32::NAN; 12][..]), vec!["tokenizer.ggml.scores", "not a number"]),
        (spm().set("tokenizer.ggml.scores", strings(&["x"; 12])), vec!["tokenizer.ggml.scores"]),
        (spm().set("tokenizer.ggml.token_type", &[1_i32; 13][..]), vec!["tokenizer.ggml.token_type", "13"]),
        (spm().set("tokenizer.ggml.token_type", &[7_i32; 12][..]), vec!["tokenizer.ggml.token_type", "type 7"]),
        (spm().set("tokenizer.ggml.token_type", &[-1_i32; 12][..]), vec!["tokenizer.ggml.token_type"]),
        (spm().set("tokenizer.ggml.bos_token_id", 12_u32), vec!["tokenizer.ggml.bos_token_id", "12"]),
        (spm().set("tokenizer.ggml.eos_token_id", "2"), vec!["tokenizer.ggml.eos_token_id"]),
        (spm().set("tokenizer.ggml.eot_token_id", u64::MAX), vec!["tokenizer.ggml.eot_token_id"]),
        (spm().set("tokenizer.ggml.add_bos_token", 1_u32), vec!["tokenizer.ggml.add_bos_token"]),
        (spm().set("tokenizer.ggml.model", "gpt2"), vec!["tokenizer.ggml.pre"]),
        (spm().set("tokenizer.ggml.model", "gpt2").set("tokenizer.ggml.pre", "gpt-2"), vec![merges, "missing"]),
        (byte_level().set(merges, strings(&["b c", "abc"])), vec![merges, "merge 1", "abc"]),
        (byte_level().set(merges, strings(&[""])), vec![merges, "merge 0"]),
        (byte_level().set(merges, strings(&["xyz a"])), vec![merges, "first part"]),
        (byte_level().set(merges, strings(&["a xyz"])), vec![merges, "second part"]),
        (byte_level().set(merges, strings(&["a "])), vec![merges, "second part"]),
        (byte_level().set(merges, strings(&["\u{FFFD} a"])), vec![merges, "first part"]),
        (byte_level().set(merges, strings(&["a x"])), vec![merges, "makes"]),
        (byte_level().set(merges, 3_u32), vec![merges]),
    ];
    for (writer, named) in cases {
        refused(&writer, ErrorKind::ModelFile, &named);
    }
}

#[test]
fn unknown_tokenizers_are_refused_by_name_with_the_backend_that_may_know_them() {
    for model in ["t5", "rwkv", "plamo2", "no_vocab", "bogus"] {
        let writer = byte_level().set("tokenizer.ggml.model", model);
        refused(&writer, ErrorKind::Unsupported, &[model, "tokenizer.ggml.model", "llama.cpp"]);
    }
    let writer = byte_level().set("tokenizer.ggml.pre", "my-own");
    refused(&writer, ErrorKind::Unsupported, &["my-own", "tokenizer.ggml.pre", "llama.cpp"]);
}

#[test]
fn merges_over_plain_text_fall_back_to_byte_tokens() {
    let tokens = ["<pad>", "▁", "a", "b", "▁a", "<0xC3>", "<0xA9>", "\n", "\n\n"];
    let writer = Writer::new()
        .set("tokenizer.ggml.model", "gemma4")
        .set("tokenizer.ggml.tokens", strings(&tokens))
        .set("tokenizer.ggml.token_type", &[3, 1, 1, 1, 1, 6, 6, 1, 1][..])
        .set("tokenizer.ggml.merges", strings(&["▁ a"]));
    let tokenizer = load(&writer).unwrap();
    let tokens = tokenizer.encode(" ab\u{E9}\n\nz", false, false);
    // "z" is in neither form there: it is left out.
    assert_eq!(tokens, [4, 3, 5, 6, 8]);
    assert_eq!(tokenizer.decode(&tokens, false), " ab\u{E9}\n\n".as_bytes());
}
