//! Cuts text into the words that byte-pair merges stay within: rules applied one after another, each to the pieces
//! that the one before left.

use std::ops::Range;

use super::unicode::{NUMBER, SPACE, Symbol};
use super::words::{Words, gpt2_end, run};

/// One rule: a regular expression whose matches become pieces, and so does what lies between two matches.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// The words of GPT-2.
    Gpt2,
    /// The words of later models.
    Words(Words),
    /// `prefix? class+`
    Run(Prefix, fn(Symbol) -> bool),
    /// Exactly this many of a class.
    Exactly(usize, fn(Symbol) -> bool),
    /// `\s+$`: white space at the end.
    SpaceAtEnd,
    /// White space without line ends in pieces of 512, 256, 128, 64, 32, 16, 8, 4, 2 and 1; nothing else is cut.
    SpacesInPowers,
    /// Digits in threes counted from the right, the rest of them with the text before.
    DigitsFromRight,
    /// A cut before every three ASCII digits, counted from the right.
    CutsFromRight,
    /// Any other expression: the end of its match at a place.
    Match(fn(&[Symbol], usize) -> Option<usize>),
}

/// What may come before the characters of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prefix {
    /// Nothing.
    None,
    /// One blank.
    Blank,
    /// One white-space character.
    Space,
}

impl Rule {
    /// Gives the end of each piece of `text` in order; the last is the end of the text.
    fn cut(&self, text: &[Symbol], mut piece: impl FnMut(usize)) {
        match self {
            Self::Gpt2 => cut_matches(text, gpt2_end, piece),
            Self::Words(words) => cut_matches(text, |text, at| words.end(text, at), piece),
            Self::Run(prefix, class) => cut_matches(text, |text, at| run_end(text, at, *prefix, *class), piece),
            Self::Exactly(count, class) => {
                let end = |text: &[Symbol], at: usize| {
                    let taken = text.get(at..at.checked_add(*count)?)?;
                    taken.iter().all(|&symbol| class(symbol)).then_some(at + count)
                };
                cut_matches(text, end, piece);
            }
            Self::SpaceAtEnd => {
                let space = text.iter().rev().take_while(|s| s.is(SPACE)).count();
                let start = text.len() - space;
                if start > 0 && space > 0 {
                    piece(start);
                }
                piece(text.len());
            }
            Self::SpacesInPowers => {
                let blank = text.iter().all(|s| s.is(SPACE) && !s.is_newline());
                let mut at = 0;
                while blank && at < text.len() {
                    let powers = [512, 256, 128, 64, 32, 16, 8, 4, 2];
                    at += powers.into_iter().find(|&power| power <= text.len() - at).unwrap_or(1);
                    piece(at);
                }
                if !blank {
                    piece(text.len());
                }
            }
            Self::DigitsFromRight => {
                cut_digits(text, |s| s.is(NUMBER), |start, end| start + 1..end + 1, &mut piece);
            }
            Self::CutsFromRight => {
                cut_digits(text, |s| s.ascii().is_ascii_digit(), |start, end| start.max(1)..end, &mut piece);
            }
            Self::Match(end) => cut_matches(text, end, piece),
        }
    }
}

/// Cuts around matches; `end` gives the end of the match at a place, which is never empty.
fn cut_matches(text: &[Symbol], end: impl Fn(&[Symbol], usize) -> Option<usize>, mut piece: impl FnMut(usize)) {
    let (mut at, mut last) = (0, 0);
    while at < text.len() {
        match end(text, at) {
            Some(end) => {
                if at > last {
                    piece(at);
                }
                piece(end);
                (at, last) = (end, end);
            }
            None => at += 1,
        }
    }
    if at > last {
        piece(at);
    }
}

fn run_end(text: &[Symbol], at: usize, prefix: Prefix, class: fn(Symbol) -> bool) -> Option<usize> {
    let prefixed = match prefix {
        Prefix::None => false,
        Prefix::Blank => text[at].is_char(' '),
        Prefix::Space => text[at].is(SPACE),
    };
    [prefixed.then_some(at + 1), Some(at)].into_iter().flatten().find_map(|start| {
        let end = run(text, start, class);
        (end > start).then_some(end)
    })
}

/// Cuts each run of digits at the places, of those in `places(start, end)`, from which whole threes follow.
fn cut_digits(
    text: &[Symbol],
    digit: impl Fn(Symbol) -> bool,
    places: impl Fn(usize, usize) -> Range<usize>,
    piece: &mut impl FnMut(usize),
) {
    let (mut at, mut last) = (0, 0);
    while at < text.len() {
        let end = run(text, at, &digit);
        if end > at {
            for place in places(at, end).filter(|place| (end - place).is_multiple_of(3)) {
                piece(place);
                last = place;
            }
        }
        at = end.max(at + 1);
    }
    if text.len() > last {
        piece(text.len());
    }
}

/// The words of `text` under all rules, as their ends.
pub(super) fn split(text: &[Symbol], rules: &[Rule]) -> Vec<usize> {
    let mut ends = if text.is_empty() { vec![] } else { vec![text.len()] };
    for rule in rules {
        let mut next = Vec::with_capacity(ends.len().max(text.len() / 4));
        let mut start = 0;
        for &end in &ends {
            rule.cut(&text[start..end], |piece| next.push(start + piece));
            start = end;
        }
        ends = next;
    }
    ends
}

#[cfg(test)]
mod tests;
