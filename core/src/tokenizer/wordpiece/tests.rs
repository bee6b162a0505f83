//! Claims about `WordPiece`, made with a small vocabulary; `tests/tokenizer_vocab.rs` has a real one.

use crate::gguf::{Gguf, Writer, WriterValue};
use crate::tokenizer::Tokenizer;
use crate::{ErrorKind, Result};

const TOKENS: [&str; 19] = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "▁a",
    "▁ab",
    "b",
    "bc",
    "c",
    "▁,",
    "▁\u{65E5}",
    "▁A",
    "\u{DC}",
    "u",
    "▁cafe",
    "▁\u{1100}",
    "\u{1161}",
    "\u{93F}",
    "▁\u{928}",
];

fn writer() -> Writer {
    let mut kinds = [1; TOKENS.len()];
    kinds[..4].fill(3);
    Writer::new()
        .set("tokenizer.ggml.model", "bert")
        .set("tokenizer.ggml.tokens", TOKENS.iter().collect::<WriterValue>())
        .set("tokenizer.ggml.token_type", &kinds[..])
        .set("tokenizer.ggml.cls_token_id", 2_u32)
        .set("tokenizer.ggml.seperator_token_id", 3_u32)
        .set("tokenizer.ggml.unknown_token_id", 1_u32)
}

fn load(writer: &Writer) -> Result<Tokenizer> {
    let gguf = Gguf::from_bytes(writer.to_bytes(|_, _| Ok(())).unwrap()).unwrap();
    Tokenizer::from_metadata(gguf.metadata())
}

fn encoded(text: impl AsRef<[u8]>) -> Vec<u32> {
    load(&writer()).unwrap().encode(text, false, false)
}

#[test]
fn words_are_cut_from_their_front_into_the_longest_tokens() {
    assert_eq!(encoded("a ab abc abbc"), [4, 5, 5, 8, 5, 7]);
    assert_eq!(encoded("  A\tB\n"), [4, 1]); // "b" begins no word
}

#[test]
fn a_word_that_cannot_be_cut_throughout_is_unknown_as_a_whole() {
    assert_eq!(encoded("abx a"), [1, 4]);
    let long = "b".repeat(99);
    assert_eq!(encoded(format!("a{long}")).len(), 99);
    assert_eq!(encoded(format!("a{long}b a")), [1, 4]);
}

#[test]
fn punctuation_and_chinese_characters_are_words() {
    assert_eq!(encoded("a,ab\u{65E5}a"), [4, 9, 5, 10, 4]);
    assert_eq!(encoded("a.a"), [4, 1, 4]);
}

#[test]
fn accents_go_and_letters_of_several_parts_are_taken_apart() {
    assert_eq!(encoded("Caf\u{C9} cafe\u{301}"), [14, 14]);
    assert_eq!(encoded("\u{AC00} \u{928}\u{93F}\u{94D}"), [15, 16, 18, 17]);
}

#[test]
fn control_characters_and_what_is_no_text_are_left_away() {
    assert_eq!(encoded("a\u{B}b\0\u{200B}\u{FFFD}c"), [5, 8]);
    assert_eq!(encoded(b"a\xFFb"), [5]);
    assert_eq!(encoded("a\u{3000}a\u{A0}a\u{2028}a"), [4; 4]);
    assert!(encoded("").is_empty() && encoded(" \u{200B}").is_empty());
}

#[test]
fn case_and_accents_stay_where_the_file_says_so() {
    let cased = load(&writer().set("tokenizer.ggml.normalizer.lowercase", false)).unwrap();
    assert_eq!(cased.encode("A\u{DC}", false, false), [11, 12]);
    let plain = load(&writer().set("tokenizer.ggml.normalizer.strip_accents", true)).unwrap();
    assert_eq!(plain.encode("A\u{DC}", false, false), [4, 13]);
}

#[test]
fn a_mark_of_a_beginning_within_the_text_begins_no_word() {
    assert_eq!(encoded("a\u{2581}ab \u{2581}a"), [1, 1]);
}

#[test]
fn texts_stand_between_two_tokens_and_special_ones_are_read_when_asked_for() {
    let tokenizer = load(&writer().set("tokenizer.ggml.add_bos_token", false)).unwrap();
    assert_eq!(tokenizer.encode("ab", true, false), [2, 5, 3]);
    assert_eq!(tokenizer.encode("", true, false), [2, 3]);
    assert_eq!(tokenizer.encode("a[SEP] ab", false, true), [4, 3, 5]);
    assert_eq!(tokenizer.encode("[SEP]", false, false), [1, 1, 1]);
    assert_eq!(tokenizer.decode(&[2, 5, 8, 9, 4, 3], false), b"abc , a");
    assert_eq!(tokenizer.decode(&[2, 5, 3], true), b"[CLS]ab[SEP]");
}

#[test]
fn a_vocabulary_without_the_tokens_around_a_text_is_refused() {
    for key in ["cls_token_id", "seperator_token_id"] {
        let key = format!("tokenizer.ggml.{key}");
        let error = load(&writer().set(&key, -1_i32)).map(|_| "a tokenizer").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelFile);
        assert!(error.message().contains(&key), "{error}");
        assert!(load(&writer().set(&key, 99_u32)).is_err());
    }
}
