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
/// Strings up to this long are their own tag.
const SHORT: usize = 7;
const LONG: u64 = 0xFF << 56;

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Length and bytes of a short string, or `LONG` and the hash of a long one.
    tag: u64,
    index: u32,
}

/// Finds the number of a string: open addressing, at most two thirds full.
#[derive(Clone, Debug)]
pub(super) struct TextIndex {
    slots: Vec<Slot>,
    /// Differs from run to run, so that no file can be made to collide.
    seed: u64,
}

impl TextIndex {
    /// Room for `count` strings.
    pub(super) fn with_capacity(count: usize) -> Self {
        let slots = vec![Slot { tag: 0, index: FREE }; (count + count / 2 + 1).next_power_of_two()];
        Self { slots, seed: RandomState::new().build_hasher().finish() }
    }

    /// Enters string `index` of `texts`; if the same string is there already, its number.
    pub(super) fn insert(&mut self, texts: &Texts, index: u32) -> Option<u32> {
        let text = texts.get(index);
        let tag = self.tag(text);
        let at = self.slot(texts, text, tag);
        let slot = &mut self.slots[at];
        if slot.index != FREE {
            return Some(slot.index);
        }
        *slot = Slot { tag, index };
        None
    }

    /// The number of a string.
    pub(super) fn find(&self, texts: &Texts, text: &[u8]) -> Option<u32> {
        let found = self.slots[self.slot(texts, text, self.tag(text))].index;
        (found != FREE).then_some(found)
    }

    /// The numbers of several strings at once: their slots are fetched together, which hides most of the wait for memory.
    pub(super) fn find_all<const N: usize>(&self, texts: &Texts, wanted: [&[u8]; N]) -> [Option<u32>; N] {
        let mask = self.slots.len() - 1;
        let tags = wanted.map(|text| self.tag(text));
        let slots = tags.map(|tag| self.slots[mix(tag, self.seed) as usize & mask]);
        std::array::from_fn(|i| {
            let at_once = slots[i].tag == tags[i] && tags[i] < LONG && slots[i].index != FREE;
            if at_once { Some(slots[i].index) } else { self.find(texts, wanted[i]) }
        })
    }

    /// The slot that holds the string, or the free one where it belongs.
    fn slot(&self, texts: &Texts, text: &[u8], tag: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = mix(tag, self.seed) as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot.index == FREE || (slot.tag == tag && (tag < LONG || texts.get(slot.index) == text)) {
                return at;
            }
            at = (at + 1) & mask;
        }
    }

    fn tag(&self, text: &[u8]) -> u64 {
        let (words, tail) = text.as_chunks::<8>();
        let last = tail.iter().rev().fold(0, |last, &byte| last << 8 | u64::from(byte));
        if text.len() <= SHORT {
            return (text.len() as u64) << 56 | last;
        }
        let start = mix(self.seed, last ^ (text.len() as u64) << 56);
        LONG | words.iter().fold(start, |hash, word| mix(hash, u64::from_le_bytes(*word)))
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
        for word in &words {
            texts.push(word.as_bytes()).unwrap();
        }
        let mut index = TextIndex::with_capacity(texts.len());
        assert!((0..3000).all(|i| index.insert(&texts, i).is_none()));
        assert!((0..).zip(&words).all(|(i, word)| index.find(&texts, word.as_bytes()) == Some(i)));
        let several = ["0", "xy", "x1", "xxxxxxxxxxxxxxxxxx18"].map(str::as_bytes);
        assert_eq!(index.find_all(&texts, several), [Some(0), None, Some(1), Some(18)]);
        assert_eq!(index.find(&texts, b"xy"), None);
        assert_eq!(index.find(&texts, b""), None);
        assert_eq!(index.find(&texts, b"x1\0"), None);
    }

    #[test]
    fn a_twin_is_reported_and_the_first_stays() {
        let mut texts = Texts::default();
        for text in [&b"a"[..], b"a longer text", b"a", b"a longer text", b"a\0", b""] {
            texts.push(text).unwrap();
        }
        let mut index = TextIndex::with_capacity(6);
        assert_eq!([0, 1, 2, 3, 4, 5].map(|i| index.insert(&texts, i)), [None, None, Some(0), Some(1), None, None]);
        assert_eq!(index.find(&texts, b"a"), Some(0));
    }

    #[test]
    fn numbers_beyond_the_last_are_empty_strings() {
        let mut texts = Texts::default();
        texts.push(b"a").unwrap();
        assert_eq!((texts.get(0), texts.get(1), texts.get(u32::MAX)), (&b"a"[..], &b""[..], &b""[..]));
    }
}
