//! Splits special tokens out of text before anything else looks at it.

use super::vocabulary::{Vocabulary, kind};

/// A special token, or text between two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fragment<'t> {
    Token(u32),
    Text(&'t [u8]),
}

/// Special tokens in the order of their texts, so that all that start at a place are found in one walk.
#[derive(Clone, Debug)]
pub(super) struct SpecialTexts {
    sorted: Vec<u32>,
    /// First and last + 1 in `sorted` of the tokens that start with each byte.
    by_first: Box<[(u32, u32); 256]>,
}

impl SpecialTexts {
    pub(super) fn new(vocabulary: &Vocabulary) -> Self {
        let mut sorted: Vec<u32> = vocabulary.of_kinds(kind::SPECIAL).collect();
        sorted.sort_by_key(|&token| vocabulary.text(token));
        let mut by_first = Box::new([(0, 0); 256]);
        for (place, &token) in (0..).zip(&sorted) {
            let Some(&first) = vocabulary.text(token).first() else { continue };
            let range = &mut by_first[usize::from(first)];
            *range = if range.1 == 0 { (place, place + 1) } else { (range.0, place + 1) };
        }
        Self { sorted, by_first }
    }

    /// The fragments of `text` in order, none of them empty. Longer tokens go first, wherever they are; control tokens
    /// count only if `parse` says so.
    pub(super) fn partition<'t>(&self, vocabulary: &Vocabulary, text: &'t [u8], parse: bool) -> Vec<Fragment<'t>> {
        let mut fragments = if text.is_empty() { vec![] } else { vec![Fragment::Text(text)] };
        let mut present = self.present(vocabulary, text);
        present.retain(|&token| parse || !vocabulary.is(token, kind::HIDDEN));
        present.sort_by_key(|&token| (std::cmp::Reverse(vocabulary.text(token).len()), token));
        for token in present {
            let mut next = Vec::with_capacity(fragments.len() + 2);
            for fragment in fragments {
                match fragment {
                    Fragment::Text(text) => cut_out(vocabulary, token, text, &mut next),
                    Fragment::Token(_) => next.push(fragment),
                }
            }
            fragments = next;
        }
        fragments
    }

    /// Tokens that occur somewhere in `text`.
    fn present(&self, vocabulary: &Vocabulary, text: &[u8]) -> Vec<u32> {
        let mut found = vec![false; self.sorted.len()];
        let mut missing = self.by_first.map(|(start, end)| end - start);
        for (at, &first) in text.iter().enumerate() {
            if missing[usize::from(first)] == 0 {
                continue;
            }
            let (start, end) = self.by_first[usize::from(first)];
            let mut range = &self.sorted[start as usize..end as usize];
            let mut place = start as usize;
            // Narrow down to the tokens that share one byte more with the text.
            let mut depth = 1;
            while let Some(&shortest) = range.first() {
                let token = vocabulary.text(shortest);
                if token.len() == depth {
                    missing[usize::from(first)] -= u32::from(!found[place]);
                    found[place] = true;
                    range = &range[1..];
                    place += 1;
                    continue;
                }
                let Some(&next) = text.get(at + depth) else { break };
                let lower = range.partition_point(|&token| vocabulary.text(token)[depth] < next);
                let upper = range.partition_point(|&token| vocabulary.text(token)[depth] <= next);
                range = &range[lower..upper];
                place += lower;
                depth += 1;
            }
        }
        self.sorted.iter().zip(found).filter(|(_, found)| *found).map(|(&token, _)| token).collect()
    }
}

/// Cuts every occurrence of a token out of `text`, with the white space that belongs to it.
fn cut_out<'t>(vocabulary: &Vocabulary, token: u32, mut text: &'t [u8], fragments: &mut Vec<Fragment<'t>>) {
    let wanted = vocabulary.text(token);
    while let Some(at) = find(text, wanted) {
        let (mut before, mut after) = (&text[..at], &text[at + wanted.len()..]);
        if vocabulary.is(token, kind::STRIPS_LEFT) {
            before = &before[..before.len() - before.iter().rev().take_while(|byte| is_space(**byte)).count()];
        }
        if vocabulary.is(token, kind::STRIPS_RIGHT) {
            after = &after[after.iter().take_while(|byte| is_space(**byte)).count()..];
        }
        if !before.is_empty() {
            fragments.push(Fragment::Text(before));
        }
        fragments.push(Fragment::Token(token));
        text = after;
    }
    if !text.is_empty() {
        fragments.push(Fragment::Text(text));
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    loop {
        from += text.get(from..)?.iter().position(|&byte| byte == first)?;
        if text[from..].starts_with(wanted) {
            return Some(from);
        }
        from += 1;
    }
}

/// White space of the C language.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0B
}
