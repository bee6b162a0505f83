//! Words that came up before in the same text: most of a text is made of few words.

use std::collections::HashMap;
use std::ops::Range;

/// Longer words rarely come up twice, and a text has only so many that do.
const LONGEST: usize = 64;
const MOST: usize = 1 << 16;

/// Where the tokens of each word are in the output.
#[derive(Debug, Default)]
pub(super) struct Seen<'t> {
    words: HashMap<&'t [u8], Range<usize>>,
}

impl<'t> Seen<'t> {
    /// Appends the tokens of `word`: those from before, or what `encode` makes of it.
    pub(super) fn append(&mut self, word: &'t [u8], tokens: &mut Vec<u32>, encode: impl FnOnce(&mut Vec<u32>)) {
        if let Some(range) = self.words.get(word) {
            tokens.extend_from_within(range.clone());
            return;
        }
        let start = tokens.len();
        encode(tokens);
        if word.len() <= LONGEST && self.words.len() < MOST {
            self.words.insert(word, start..tokens.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_encoded_once_and_a_long_one_each_time() {
        let long = [b'a'; LONGEST + 1];
        let (mut seen, mut tokens, mut calls) = (Seen::default(), vec![9], 0);
        for word in [&b"a"[..], b"b", b"a", &long, &long] {
            seen.append(word, &mut tokens, |tokens| {
                calls += 1;
                tokens.extend([word[0].into(), calls]);
            });
        }
        assert_eq!(tokens, [9, 97, 1, 98, 2, 97, 1, 97, 3, 97, 4]);
    }
}
