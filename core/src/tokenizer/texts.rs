//! Many byte strings in one block of memory, and a hash index over them.

use std::hash::{BuildHasher, Hasher, RandomState};

use crate::{Error, Result};

/// Byte strings numbered from 0.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Texts {
    /// Room for `count` strings of `bytes` together.
    pub(super) fn with_capacity(count: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(count) }
    }

    /// Adds a string that `write` appends.
    pub(super) fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        write(&mut self.bytes);
        let end = u32::try_from(self.bytes.len());
        self.ends.push(end.map_err(|_| Error::model_file("tokenizer.ggml.tokens holds more than 4 GiB of text"))?);
        Ok(())
    }

    pub(super) fn push(&mut self, text: &[u8]) -> Result<()> {
        self.push_with(|bytes| bytes.extend_from_slice(text))
    }

    /// The string of this number; empty beyond the last.
    pub(super) fn get(&self, index: u32) -> &[u8] {
        let index = index as usize;
        let Some(&end) = self.ends.get(index) else { return &[] };
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start as usize..end as usize]
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &[u8])> {
        (0..self.len() as u32).map(|index| (index, self.get(index)))
    }
}

const FREE: u32 = u32::MAX;

/// Finds the number of a string: open addressing, at most half full.
#[derive(Clone, Debug)]
pub(super) struct TextIndex {
    /// Upper half of the hash, number of the string.
    slots: Vec<(u32, u32)>,
    /// Differs from run to run, so that no file can be made to collide.
    seed: u64,
}

impl TextIndex {
    /// Room for `count` strings.
    pub(super) fn with_capacity(count: usize) -> Self {
        let slots = vec![(0, FREE); (count.max(1) * 2).next_power_of_two()];
        Self { slots, seed: RandomState::new().build_hasher().finish() | 1 }
    }

    /// Enters string `index` of `texts`; if the same string is there already, its number.
    pub(super) fn insert(&mut self, texts: &Texts, index: u32) -> Option<u32> {
        let text = texts.get(index);
        let hash = self.hash(text);
        let slot = self.slot(texts, text, hash);
        match self.slots[slot].1 {
            FREE => {
                self.slots[slot] = ((hash >> 32) as u32, index);
                None
            }
            twin => Some(twin),
        }
    }

    /// The number of a string.
    pub(super) fn find(&self, texts: &Texts, text: &[u8]) -> Option<u32> {
        let found = self.slots[self.slot(texts, text, self.hash(text))].1;
        (found != FREE).then_some(found)
    }

    /// The slot that holds the string, or the free one where it belongs.
    fn slot(&self, texts: &Texts, text: &[u8], hash: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let (tag, index) = self.slots[at];
            if index == FREE || (tag == (hash >> 32) as u32 && texts.get(index) == text) {
                return at;
            }
            at = (at + 1) & mask;
        }
    }

    fn hash(&self, text: &[u8]) -> u64 {
        let (words, tail) = text.as_chunks::<8>();
        let mut last = [0; 8];
        last[..tail.len()].copy_from_slice(tail);
        let start = mix(self.seed, text.len() as u64 ^ u64::from_le_bytes(last));
        let hash = words.iter().fold(start, |hash, word| mix(hash ^ self.seed, u64::from_le_bytes(*word)));
        mix(hash, self.seed)
    }
}

/// Both halves of a 128-bit product, folded.
pub(super) fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ 0x9E37_79B9_7F4A_7C15) * u128::from(b ^ 0xD1B5_4A32_D192_ED03);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_string_is_found_and_no_other() {
        let mut texts = Texts::default();
        let words: Vec<String> = (0..3000).map(|i| format!("{}{i}", "x".repeat(i % 19))).collect();
        words.iter().for_each(|word| texts.push(word.as_bytes()).unwrap());
        let mut index = TextIndex::with_capacity(texts.len());
        assert!((0..3000).all(|i| index.insert(&texts, i).is_none()));
        assert!((0..).zip(&words).all(|(i, word)| index.find(&texts, word.as_bytes()) == Some(i)));
        assert_eq!(index.find(&texts, b"xy"), None);
        assert_eq!(index.find(&texts, b""), None);
    }

    #[test]
    fn a_twin_is_reported_and_the_first_stays() {
        let mut texts = Texts::default();
        ["a", "b", "a"].iter().for_each(|word| texts.push(word.as_bytes()).unwrap());
        let mut index = TextIndex::with_capacity(3);
        assert_eq!([0, 1, 2].map(|i| index.insert(&texts, i)), [None, None, Some(0)]);
        assert_eq!(index.find(&texts, b"a"), Some(0));
    }

    #[test]
    fn numbers_beyond_the_last_are_empty_strings() {
        let mut texts = Texts::default();
        texts.push(b"a").unwrap();
        assert_eq!((texts.get(0), texts.get(1), texts.get(u32::MAX)), (&b"a"[..], &b""[..], &b""[..]));
    }
}
