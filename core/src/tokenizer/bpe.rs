//! Byte-pair encoding with merges: within each word the best-ranked pair merges first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::bytes::{byte_token_text, replace_broken};
use super::merges::{MERGES, Merges, NONE};
use super::pre_tokenizer::{PreTokenizer, WholeWords};
use super::seen::Seen;
use super::splitter::split;
use super::unicode::Symbol;
use super::vocabulary::{ESCAPED_BLANK, Spelling, Vocabulary};
use crate::Result;
use crate::gguf::Metadata;

/// Words of up to so many parts look for the best pair one by one; a heap pays off beyond.
const SHORT: usize = 24;

/// The merges and the rules that cut text into words.
#[derive(Clone, Debug)]
pub(super) struct Bpe {
    rules: PreTokenizer,
    merges: Merges,
    /// Token of each single byte; `NONE` where there is none.
    byte_tokens: Box<[u32; 256]>,
}

impl Bpe {
    pub(super) fn from_metadata(metadata: &Metadata, rules: PreTokenizer, vocabulary: &Vocabulary) -> Result<Self> {
        let merges = match metadata.strings(MERGES)? {
            None if rules.merges_optional => Merges::default(),
            _ => Merges::read(metadata.require_strings(MERGES)?.iter(), vocabulary)?,
        };
        Ok(Self::new(rules, merges, vocabulary))
    }

    pub(super) fn new(rules: PreTokenizer, merges: Merges, vocabulary: &Vocabulary) -> Self {
        let token = |byte: u8| {
            if rules.spelling == Spelling::Bytes {
                vocabulary.find(&[byte])
            } else {
                vocabulary.find(&byte_token_text(byte))
            }
        };
        let byte_tokens = Box::new(std::array::from_fn(|byte| token(byte as u8).unwrap_or(NONE)));
        Self { rules, merges, byte_tokens }
    }

    /// Appends the tokens of `text`. A byte that the vocabulary cannot express is left out.
    pub(super) fn encode(&self, vocabulary: &Vocabulary, text: &[u8], tokens: &mut Vec<u32>) {
        let text = replace_broken(text);
        let text =
            if self.rules.spelling == Spelling::EscapedBlanks { text.replace(' ', ESCAPED_BLANK).into() } else { text };
        let symbols: Vec<Symbol> = text.chars().map(Symbol::new).collect();
        let mut parts = Parts::default();
        let mut seen = Seen::default();
        let (mut start, mut from) = (0, 0);
        for end in split(&symbols, self.rules.rules) {
            let to = from + symbols[start..end].iter().map(|symbol| symbol.size()).sum::<usize>();
            let word = &text[from..to];
            seen.append(word.as_bytes(), tokens, |tokens| self.encode_word(vocabulary, word, &mut parts, tokens));
            (start, from) = (end, to);
        }
    }

    fn encode_word(&self, vocabulary: &Vocabulary, word: &str, parts: &mut Parts, tokens: &mut Vec<u32>) {
        let whole = match self.rules.whole_words {
            WholeWords::None => false,
            WholeWords::All => true,
            WholeWords::LineEnds => word.bytes().all(|byte| byte == b'\n'),
        };
        if whole && let Some(token) = vocabulary.find(word.as_bytes()) {
            tokens.push(token);
            return;
        }
        parts.clear();
        if self.rules.spelling == Spelling::Bytes {
            word.bytes().for_each(|byte| parts.push(self.byte_tokens[usize::from(byte)]));
            parts.merge(&self.merges);
            tokens.extend(parts.tokens().filter(|&token| token != NONE));
        } else {
            let character = |(at, c): (usize, char)| &word.as_bytes()[at..at + c.len_utf8()];
            word.char_indices().for_each(|c| parts.push(vocabulary.find(character(c)).unwrap_or(NONE)));
            parts.merge(&self.merges);
            // A part without a token is still the single character that it began as.
            let characters: Vec<&[u8]> = word.char_indices().map(character).collect();
            for (place, token) in parts.places() {
                if token == NONE {
                    let bytes = characters[place].iter().map(|&byte| self.byte_tokens[usize::from(byte)]);
                    tokens.extend(bytes.filter(|&token| token != NONE));
                } else {
                    tokens.push(token);
                }
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Part {
    token: u32,
    previous: u32,
    next: u32,
    /// Rank of the merge with the next part.
    rank: u32,
}

/// The parts of one word, linked; reused from word to word.
#[derive(Debug, Default)]
struct Parts {
    parts: Vec<Part>,
    heap: BinaryHeap<Reverse<(u32, u32)>>,
}

impl Parts {
    fn clear(&mut self) {
        self.parts.clear();
    }

    fn push(&mut self, token: u32) {
        let place = self.parts.len() as u32;
        self.parts.push(Part { token, previous: place.wrapping_sub(1), next: place + 1, rank: NONE });
    }

    /// Merges until no pair is left that merges: the lowest rank first, of equals the leftmost.
    fn merge(&mut self, merges: &Merges) {
        let count = self.parts.len();
        if let Some(last) = self.parts.last_mut() {
            last.next = NONE;
        }
        for place in 1..count {
            self.parts[place - 1].rank = merges.rank(self.parts[place - 1].token, self.parts[place].token);
        }
        if count <= SHORT {
            while let Some(best) = self.best() {
                self.join(best, merges, |_, _| {});
            }
            return;
        }
        self.heap.clear();
        let ranked = (0..).zip(&self.parts).filter(|(_, part)| part.rank != NONE);
        self.heap.extend(ranked.map(|(place, part)| Reverse((part.rank, place))));
        let mut heap = std::mem::take(&mut self.heap);
        while let Some(Reverse((rank, place))) = heap.pop() {
            // A pair whose rank has changed since is entered anew.
            if self.parts[place as usize].rank == rank {
                self.join(place as usize, merges, |rank, place| heap.push(Reverse((rank, place))));
            }
        }
        self.heap = heap;
    }

    fn best(&self) -> Option<usize> {
        let (place, part) = self.parts.iter().enumerate().min_by_key(|(_, part)| part.rank)?;
        (part.rank != NONE).then_some(place)
    }

    /// Merges a part with the next; `changed` takes the new ranks of the pairs at its sides.
    fn join(&mut self, place: usize, merges: &Merges, mut changed: impl FnMut(u32, u32)) {
        let Part { previous, next, rank, .. } = self.parts[place];
        let token = merges.merged(rank);
        let after = self.parts[next as usize].next;
        self.parts[next as usize] = Part { token: NONE, previous: NONE, next: NONE, rank: NONE };
        let right = self.parts.get(after as usize).map_or(NONE, |part| part.token);
        let rank = merges.rank(token, right);
        self.parts[place] = Part { token, previous, next: after, rank };
        if rank != NONE {
            changed(rank, place as u32);
        }
        if let Some(part) = self.parts.get_mut(after as usize) {
            part.previous = place as u32;
        }
        if let Some(part) = self.parts.get_mut(previous as usize) {
            part.rank = merges.rank(part.token, token);
            if part.rank != NONE {
                changed(part.rank, previous);
            }
        }
    }

    /// Place and token of each part that is left.
    fn places(&self) -> impl Iterator<Item = (usize, u32)> {
        let next = |place: &usize| self.parts.get(*place).map(|part| part.next as usize);
        let first = (!self.parts.is_empty()).then_some(0);
        std::iter::successors(first, next).map_while(|place| self.parts.get(place).map(|part| (place, part.token)))
    }

    fn tokens(&self) -> impl Iterator<Item = u32> {
        self.places().map(|(_, token)| token)
    }
}
