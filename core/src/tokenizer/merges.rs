//! The merges of byte-pair encoding: which pairs of tokens become one, and in what order.

use super::texts::mix;
use super::vocabulary::Vocabulary;
use crate::{Error, Result};

pub(super) const MERGES: &str = "tokenizer.ggml.merges";
/// No token: the text of a part is not in the vocabulary, or the part is gone. Also the rank of what does not merge.
pub(super) const NONE: u32 = u32::MAX;

const FREE: u64 = u64::MAX;
/// Merges whose tokens are looked up together.
const BATCH: usize = 16;

/// Ranks of the pairs that merge, and what they become.
#[derive(Clone, Debug)]
pub(super) struct Merges {
    /// Open addressing, at most two thirds full: both tokens of a pair, then its rank.
    pairs: Vec<u64>,
    /// Bits of a token, and of a rank.
    token_bits: u32,
    rank_bits: u32,
    /// The token that each rank makes.
    merged: Vec<u32>,
}

impl Default for Merges {
    /// No merges.
    fn default() -> Self {
        Self { pairs: vec![FREE], token_bits: 32, rank_bits: 0, merged: Vec::new() }
    }
}

impl Merges {
    /// Reads "left right" lines, best first; every part and every result has to be a token.
    pub(super) fn read<'a>(
        mut lines: impl ExactSizeIterator<Item = &'a [u8]>,
        vocabulary: &Vocabulary,
    ) -> Result<Self> {
        let count = lines.len();
        let token_bits = usize::BITS - vocabulary.len().leading_zeros();
        let rank_bits = 64_u32.saturating_sub(2 * token_bits).min(31);
        if count >= 1 << rank_bits {
            let tokens = vocabulary.len();
            return Err(Error::unsupported(format!("{MERGES}: {count} merges of {tokens} tokens are too many")));
        }
        let pairs = vec![FREE; (count + count / 2 + 1).next_power_of_two()];
        let mut merges = Self { pairs, token_bits, rank_bits, merged: Vec::with_capacity(count) };
        let mut keys = Vec::new();
        let mut batch = Vec::with_capacity(BATCH);
        while merges.merged.len() < count {
            keys.clear();
            batch.clear();
            for (rank, line) in (merges.merged.len()..).zip(lines.by_ref().take(BATCH)) {
                batch.push(Line::parse(rank, line, vocabulary, &mut keys)?);
            }
            let part = |i: usize| match batch.get(i / 2) {
                Some(line) if i.is_multiple_of(2) => &keys[line.start..line.middle],
                Some(line) => &keys[line.middle..line.end],
                None => &[],
            };
            let found: [Option<u32>; 2 * BATCH] = vocabulary.find_all(std::array::from_fn(part));
            let parts = found.as_chunks::<2>().0;
            // Fetched together as well: where each pair belongs, unless another one is there.
            let slots: [u64; BATCH] = std::array::from_fn(|i| {
                let [left, right] = parts[i].map(Option::unwrap_or_default);
                merges.pairs[merges.home(merges.pair(left, right))]
            });
            for ((line, parts), slot) in batch.iter().zip(parts).zip(slots) {
                let [left, right] = *parts;
                let left = left.ok_or_else(|| line.wrong("has a first part that is not a token"))?;
                let right = right.ok_or_else(|| line.wrong("has a second part that is not a token"))?;
                let key = &keys[line.start..line.end];
                let merged = merges.result(vocabulary, key);
                let merged = merged.ok_or_else(|| line.wrong("makes a text that is not a token"))?;
                merges.insert(merges.pair(left, right), slot == FREE);
                merges.merged.push(merged);
            }
        }
        Ok(merges)
    }

    /// The token of a merged text: mostly that of the merge before, or the one after it.
    fn result(&self, vocabulary: &Vocabulary, key: &[u8]) -> Option<u32> {
        let last = self.merged.last().copied().unwrap_or(0);
        let near = [last, last.saturating_add(1)].into_iter().find(|&token| vocabulary.key(token) == key);
        near.or_else(|| vocabulary.find(key))
    }

    /// Enters a pair with the next rank; of twins the first stays. `at_home` if its home was free a moment ago.
    fn insert(&mut self, pair: u64, at_home: bool) {
        let home = self.home(pair);
        let at = if at_home && self.pairs[home] == FREE { home } else { self.slot(pair) };
        if self.pairs[at] == FREE {
            self.pairs[at] = pair << self.rank_bits | self.merged.len() as u64;
        }
    }

    fn pair(&self, left: u32, right: u32) -> u64 {
        u64::from(left) << self.token_bits | u64::from(right)
    }

    /// The slot where the search for a pair starts.
    fn home(&self, pair: u64) -> usize {
        mix(pair, 0) as usize & (self.pairs.len() - 1)
    }

    /// Rank of a pair; `NONE` if it does not merge.
    pub(super) fn rank(&self, left: u32, right: u32) -> u32 {
        if left == NONE || right == NONE {
            return NONE;
        }
        let found = self.pairs[self.slot(self.pair(left, right))];
        if found == FREE { NONE } else { (found & ((1 << self.rank_bits) - 1)) as u32 }
    }

    /// The token that a merge makes.
    pub(super) fn merged(&self, rank: u32) -> u32 {
        self.merged.get(rank as usize).copied().unwrap_or(NONE)
    }

    /// The slot that holds the pair, or the free one where it belongs.
    fn slot(&self, pair: u64) -> usize {
        let mask = self.pairs.len() - 1;
        let mut at = self.home(pair);
        while self.pairs[at] != FREE && self.pairs[at] >> self.rank_bits != pair {
            at = (at + 1) & mask;
        }
        at
    }
}

/// A merge in the file, and where the keys of its parts are.
struct Line<'a> {
    rank: usize,
    text: &'a [u8],
    start: usize,
    middle: usize,
    end: usize,
}

impl<'a> Line<'a> {
    /// Appends the keys of both parts to `keys`.
    fn parse(rank: usize, text: &'a [u8], vocabulary: &Vocabulary, keys: &mut Vec<u8>) -> Result<Self> {
        let mut line = Self { rank, text, start: keys.len(), middle: 0, end: 0 };
        // The first part has at least one character, which may be a blank.
        let Some(blank) = text.iter().skip(1).position(|&byte| byte == b' ') else {
            return Err(line.wrong("is not two parts with a blank between them"));
        };
        let (left, right) = (&text[..=blank], &text[blank + 2..]);
        vocabulary.write_key(left, keys).ok_or_else(|| line.wrong("has a first part that is not a token"))?;
        line.middle = keys.len();
        vocabulary.write_key(right, keys).ok_or_else(|| line.wrong("has a second part that is not a token"))?;
        line.end = keys.len();
        Ok(line)
    }

    fn wrong(&self, finding: &str) -> Error {
        let text = String::from_utf8_lossy(self.text);
        Error::model_file(format!("{MERGES}: merge {}, {text:?}, {finding}", self.rank))
    }
}
