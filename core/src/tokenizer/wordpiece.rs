//! `WordPiece`, the tokenizer of BERT: words in plain letters, each cut from its front into the longest tokens there are.
//!
//! GGUF marks tokens that begin a word with U+2581 and leaves the others bare, where the original marks the others with
//! "##". Text is prepared as the models were trained with it (`BertNormalizer` and `BertPreTokenizer` of the library
//! `tokenizers`). llama.cpp departs from that in three places: it leaves the vowels of Hangul away, all marks and not only
//! the nonspacing ones, and knows no limit to the length of a word.
//!
//! Source: Devlin et al. 2019, arXiv 1810.04805; Schuster and Nakajima 2012.

use super::accents::without_accents;
use super::bytes::replace_broken;
use super::seen::Seen;
use super::unicode::{CONTROL, PUNCTUATION, Symbol};
use super::vocabulary::{ESCAPED_BLANK, Vocabulary};
use crate::Result;
use crate::gguf::Metadata;

/// Words of more characters are unknown.
const LONGEST_WORD: usize = 100;

/// How text becomes words.
#[derive(Clone, Debug)]
pub(super) struct WordPiece {
    lowercases: bool,
    strips_accents: bool,
    unknown: Option<u32>,
}

impl WordPiece {
    pub(super) fn from_metadata(metadata: &Metadata, unknown: Option<u32>) -> Result<Self> {
        let lowercases = metadata.bool("tokenizer.ggml.normalizer.lowercase")?.unwrap_or(true);
        let strips_accents = metadata.bool("tokenizer.ggml.normalizer.strip_accents")?.unwrap_or(lowercases);
        Ok(Self { lowercases, strips_accents, unknown })
    }

    /// Appends the tokens of `text`.
    pub(super) fn encode(&self, vocabulary: &Vocabulary, text: &[u8], tokens: &mut Vec<u32>) {
        let words = self.words(&replace_broken(text));
        let mut seen = Seen::default();
        for word in words.split_terminator(' ') {
            seen.append(word.as_bytes(), tokens, |tokens| self.encode_word(vocabulary, word, tokens));
        }
    }

    /// The words of a text, each with the mark of a word's beginning in front and a blank behind.
    fn words(&self, text: &str) -> String {
        let mut words = Words { text: String::with_capacity(2 * text.len() + 8), is_open: false };
        for character in text.chars() {
            match character {
                '\t' | '\n' | '\r' => words.close(),
                '\0' | char::REPLACEMENT_CHARACTER => {}
                _ if Symbol::new(character).is(CONTROL) => {}
                _ if character.is_whitespace() => words.close(),
                _ if is_ideograph(character) => {
                    words.close();
                    self.add(&mut words, character);
                    words.close();
                }
                _ => self.add(&mut words, character),
            }
        }
        words.close();
        words.text
    }

    /// Adds a character, in plain letters.
    fn add(&self, words: &mut Words, character: char) {
        if self.strips_accents {
            without_accents(character).for_each(|plain| self.add_plain(words, plain));
        } else {
            self.add_plain(words, character);
        }
    }

    fn add_plain(&self, words: &mut Words, character: char) {
        if self.lowercases {
            character.to_lowercase().for_each(|lower| words.add(lower));
        } else {
            words.add(character);
        }
    }

    /// The tokens of one word; the unknown one if it cannot be cut into tokens throughout.
    fn encode_word(&self, vocabulary: &Vocabulary, word: &str, tokens: &mut Vec<u32>) {
        let start = tokens.len();
        let is_short = word.chars().count() <= LONGEST_WORD + 1; // with the mark
        let mut rest = word;
        while is_short && !rest.is_empty() {
            let Some((token, size)) = longest(vocabulary, rest) else { break };
            // A mark in the middle was in the text itself, and begins no word.
            if rest.len() < word.len() && size > ESCAPED_BLANK.len() && rest.starts_with(ESCAPED_BLANK) {
                break;
            }
            tokens.push(token);
            rest = &rest[size..];
        }
        if !rest.is_empty() {
            tokens.truncate(start);
            tokens.extend(self.unknown);
        }
    }
}

/// The longest token that `text` begins with, and how many bytes it has.
fn longest(vocabulary: &Vocabulary, text: &str) -> Option<(u32, usize)> {
    let most = text.len().min(vocabulary.longest());
    (1..=most).rev().filter(|&size| text.is_char_boundary(size)).find_map(|size| {
        let token = vocabulary.find(&text.as_bytes()[..size])?;
        Some((token, size))
    })
}

/// Words in the making.
struct Words {
    text: String,
    /// Whether the last word goes on.
    is_open: bool,
}

impl Words {
    /// Adds a character; punctuation is a word of its own.
    fn add(&mut self, character: char) {
        let stands_alone = character.is_ascii_punctuation() || Symbol::new(character).is(PUNCTUATION);
        if stands_alone {
            self.close();
        }
        if !self.is_open {
            self.text += ESCAPED_BLANK;
            self.is_open = true;
        }
        self.text.push(character);
        if stands_alone {
            self.close();
        }
    }

    fn close(&mut self) {
        if self.is_open {
            self.text.push(' ');
            self.is_open = false;
        }
    }
}

/// Chinese characters, each of which is a word. The last but two of the blocks begins at U+2B920, as in `tokenizers`.
fn is_ideograph(character: char) -> bool {
    matches!(character as u32,
        0x4E00..=0x9FFF | 0x3400..=0x4DBF | 0x2_0000..=0x2_A6DF | 0x2_A700..=0x2_B73F | 0x2_B740..=0x2_B81F
        | 0x2_B920..=0x2_CEAF | 0xF900..=0xFAFF | 0x2_F800..=0x2_FA1F)
}

#[cfg(test)]
mod tests;
