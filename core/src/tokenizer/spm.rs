//! `SentencePiece` BPE: whatever two neighbours make the token with the best score merges first; bytes are the last
//! resort.

use std::collections::BinaryHeap;

use super::bytes::byte_token_text;
use super::seen::Seen;
use super::vocabulary::{ESCAPED_BLANK, Vocabulary, same_length};
use crate::gguf::Metadata;
use crate::{Error, Result};

const SCORES: &str = "tokenizer.ggml.scores";
const NONE: u32 = u32::MAX;

/// Scores, and the tokens of single bytes.
#[derive(Clone, Debug)]
pub(super) struct Spm {
    /// Score of each token as a number that sorts the same way.
    ranks: Vec<u32>,
    byte_tokens: Box<[u32; 256]>,
    /// Whether no token goes on into the next word, so that words can be taken one by one.
    words_apart: bool,
}

impl Spm {
    pub(super) fn from_metadata(metadata: &Metadata, vocabulary: &Vocabulary, unknown: Option<u32>) -> Result<Self> {
        let scores = match metadata.f32s(SCORES) {
            Ok(scores) => scores,
            // Some converters write whole numbers.
            Err(error) => match metadata.i32s(SCORES) {
                Ok(scores) => scores.map(|scores| scores.into_iter().map(|score| score as f32).collect()),
                Err(_) => return Err(error),
            },
        };
        let scores: Vec<f32> = scores.unwrap_or_else(|| vec![0.0; vocabulary.len()]);
        same_length(SCORES, scores.len(), vocabulary.len())?;
        if let Some(token) = scores.iter().position(|score| score.is_nan()) {
            return Err(Error::model_file(format!("{SCORES}: the score of token {token} is not a number")));
        }
        Ok(Self::new(&scores, vocabulary, unknown))
    }

    pub(super) fn new(scores: &[f32], vocabulary: &Vocabulary, unknown: Option<u32>) -> Self {
        let token = |byte: u8| vocabulary.find(&byte_token_text(byte)).or_else(|| vocabulary.find(&[byte])).or(unknown);
        let byte_tokens = Box::new(std::array::from_fn(|byte| token(byte as u8).unwrap_or(NONE)));
        let words_apart = vocabulary.keys().all(|(_, key)| word_end(key) == key.len());
        Self { ranks: scores.iter().map(|&score| rank(score)).collect(), byte_tokens, words_apart }
    }

    /// Appends the tokens of `text`, after a blank if `blank_first`.
    pub(super) fn encode(&self, vocabulary: &Vocabulary, text: &[u8], blank_first: bool, tokens: &mut Vec<u32>) {
        let mut escaped = Vec::with_capacity(text.len() + text.len() / 2 + 3);
        if blank_first {
            escaped.extend_from_slice(ESCAPED_BLANK.as_bytes());
        }
        for &byte in text {
            match byte {
                b' ' => escaped.extend_from_slice(ESCAPED_BLANK.as_bytes()),
                byte => escaped.push(byte),
            }
        }
        let mut parts = Parts::default();
        let mut seen = Seen::default();
        let mut rest = escaped.as_slice();
        while !rest.is_empty() {
            let (word, tail) = rest.split_at(if self.words_apart { word_end(rest) } else { rest.len() });
            seen.append(word, tokens, |tokens| self.encode_word(vocabulary, word, &mut parts, tokens));
            rest = tail;
        }
    }

    fn encode_word(&self, vocabulary: &Vocabulary, word: &[u8], parts: &mut Parts, tokens: &mut Vec<u32>) {
        parts.set(word);
        parts.merge(self, vocabulary, word);
        for text in parts.texts(word) {
            if let Some(token) = vocabulary.find(text) {
                tokens.push(token);
            } else {
                let bytes = text.iter().map(|&byte| self.byte_tokens[usize::from(byte)]);
                tokens.extend(bytes.filter(|&token| token != NONE));
            }
        }
    }
}

/// Where the first word ends: before a blank that follows something else.
fn word_end(text: &[u8]) -> usize {
    let blank = ESCAPED_BLANK.as_bytes();
    let mut at = 0;
    while text[at..].starts_with(blank) {
        at += blank.len();
    }
    while at < text.len() && !text[at..].starts_with(blank) {
        at += 1;
    }
    at
}

/// A number that sorts as the score does.
fn rank(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// Length of a character by its first byte; bytes that start none stand alone.
fn character_size(first: u8) -> usize {
    [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4][usize::from(first >> 4)]
}

/// Part of a word; of length 0 once it has merged into another.
#[derive(Clone, Copy, Debug)]
struct Part {
    start: u32,
    length: u32,
    previous: u32,
    next: u32,
}

/// A pair that makes a token; sorts by score, and of equals the leftmost is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    rank: u32,
    left: std::cmp::Reverse<u32>,
    right: u32,
    length: u32,
}

#[derive(Debug, Default)]
struct Parts {
    parts: Vec<Part>,
    heap: BinaryHeap<Pair>,
}

impl Parts {
    fn set(&mut self, word: &[u8]) {
        self.parts.clear();
        self.heap.clear();
        let mut at = 0;
        while at < word.len() {
            let length = character_size(word[at]).min(word.len() - at);
            let place = self.parts.len() as u32;
            let part =
                Part { start: at as u32, length: length as u32, previous: place.wrapping_sub(1), next: place + 1 };
            self.parts.push(part);
            at += length;
        }
    }

    fn merge(&mut self, spm: &Spm, vocabulary: &Vocabulary, word: &[u8]) {
        for place in 1..self.parts.len() as u32 {
            self.try_pair(spm, vocabulary, word, place - 1, place);
        }
        while let Some(Pair { left: std::cmp::Reverse(left), right, length, .. }) = self.heap.pop() {
            let (first, second) = (self.parts[left as usize], self.parts[right as usize]);
            if first.length == 0 || second.length == 0 || first.length + second.length != length {
                continue;
            }
            self.parts[left as usize].length = length;
            self.parts[left as usize].next = second.next;
            self.parts[right as usize].length = 0;
            if let Some(after) = self.parts.get_mut(second.next as usize) {
                after.previous = left;
            }
            self.try_pair(spm, vocabulary, word, first.previous, left);
            self.try_pair(spm, vocabulary, word, left, second.next);
        }
    }

    fn try_pair(&mut self, spm: &Spm, vocabulary: &Vocabulary, word: &[u8], left: u32, right: u32) {
        let (Some(first), Some(second)) = (self.parts.get(left as usize), self.parts.get(right as usize)) else {
            return;
        };
        let length = first.length + second.length;
        let start = first.start as usize;
        if let Some(token) = vocabulary.find(&word[start..start + length as usize]) {
            let rank = spm.ranks[token as usize];
            self.heap.push(Pair { rank, left: std::cmp::Reverse(left), right, length });
        }
    }

    fn texts<'w>(&self, word: &'w [u8]) -> impl Iterator<Item = &'w [u8]> {
        let left = self.parts.iter().filter(|part| part.length > 0);
        left.map(|part| &word[part.start as usize..(part.start + part.length) as usize])
    }
}
