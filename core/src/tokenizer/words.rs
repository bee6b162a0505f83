//! One word of text under the regular expression of a pre-tokenizer, matched by hand.
//!
//! Every family of expressions has alternatives in the same order: contractions, letters, digits, other characters,
//! line ends, white space. [`Words`] says which form each alternative takes.

use super::unicode::{LETTER, MARK, NUMBER, PUNCTUATION, SPACE, SYMBOL, Symbol};

/// What a run of letters is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Letters {
    /// `\p{L}+`
    Plain,
    /// `[\p{L}\p{M}]+`
    WithMarks,
    /// Upper-case letters, then lower-case ones; only ASCII has a case, other letters fit both.
    Cased,
    /// As `Cased`, where marks fit both as well.
    CasedWithMarks,
    /// `\p{L}+` without Chinese characters, which form words of their own.
    NotChinese,
    /// `(\p{L}\p{M}*(?: \p{L}\p{M}*)*)+`: words with single spaces between them are one.
    Spaced,
}

/// Where 's 't 're 've 'm 'll 'd (of any case) belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contractions {
    /// Nowhere.
    None,
    /// They are words.
    Apart,
    /// To the letters before them.
    Attached,
}

/// Characters that form words of neither letters nor digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others {
    /// `[^\s\p{L}\p{N}]`
    NotAlphanumeric,
    /// `[^\s\p{L}\p{M}\p{N}]`
    NotAlphanumericOrMark,
    /// `[\p{P}\p{S}]`; ASCII punctuation leads ASCII letters, and neither leads other letters.
    PunctuationAndSymbols,
}

/// What may follow such characters in their word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing.
    None,
    /// `[\r\n]*`
    Newlines,
    /// `[\r\n/]*`
    NewlinesAndSlashes,
    /// `[\r\n/]?`
    OneNewlineOrSlash,
}

/// How white space with line ends in it is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Newlines {
    /// `\s*[\r\n]+`: after the last line end.
    AfterLast,
    /// `[\r\n]`: each for itself.
    Each,
}

/// The form of each alternative.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words {
    pub(super) contractions: Contractions,
    pub(super) letters: Letters,
    /// Digits in a word at most.
    pub(super) digits: usize,
    pub(super) others: Others,
    pub(super) tail: Tail,
    pub(super) newlines: Newlines,
}

impl Words {
    /// End of the word that starts at `at`; none if no alternative fits.
    pub(super) fn end(&self, text: &[Symbol], at: usize) -> Option<usize> {
        let first = *text.get(at)?;
        if self.contractions == Contractions::Apart
            && let Some(end) = contraction(text, at)
        {
            return Some(end);
        }
        if self.others == Others::PunctuationAndSymbols && first.ascii().is_ascii_punctuation() {
            let end = run(text, at + 1, |s| s.ascii().is_ascii_alphabetic());
            if end > at + 1 {
                return Some(end);
            }
        }
        if self.letters == Letters::NotChinese && first.is_han() {
            return Some(run(text, at, Symbol::is_han));
        }
        if let Some(end) = self.letters_end(text, at) {
            let attached = if self.contractions == Contractions::Attached { contraction(text, end) } else { None };
            return Some(attached.unwrap_or(end));
        }
        if first.is(NUMBER) && self.digits > 0 {
            let limit = text.len().min(at.saturating_add(self.digits));
            return Some(run(&text[..limit], at, |s| s.is(NUMBER)));
        }
        let start = at + usize::from(first.is_char(' '));
        let end = run(text, start, |s| self.is_other(s));
        if end > start {
            return Some(self.tail_end(text, end));
        }
        self.space_end(text, at)
    }

    /// `prefix? letters`: the prefix is taken if letters follow it.
    fn letters_end(&self, text: &[Symbol], at: usize) -> Option<usize> {
        let first = text[at];
        let barred =
            if self.others == Others::PunctuationAndSymbols { LETTER | PUNCTUATION | SYMBOL } else { LETTER | NUMBER };
        let prefixed = !first.is(barred) && !first.is_newline();
        let starts = [prefixed.then_some(at + 1), Some(at)];
        let mut starts = starts.into_iter().flatten();
        match self.letters {
            Letters::Plain => starts.find_map(|start| filled(start, run(text, start, |s| s.is(LETTER)))),
            Letters::WithMarks => starts.find_map(|start| filled(start, run(text, start, |s| s.is(LETTER | MARK)))),
            Letters::NotChinese => {
                starts.find_map(|start| filled(start, run(text, start, |s| s.is(LETTER) && !s.is_han())))
            }
            Letters::Spaced => starts.find_map(|start| spaced_letters(text, start)),
            Letters::Cased => cased_letters(text, starts, LETTER),
            Letters::CasedWithMarks => cased_letters(text, starts, LETTER | MARK),
        }
    }

    fn is_other(&self, symbol: Symbol) -> bool {
        match self.others {
            Others::NotAlphanumeric => !symbol.is(SPACE | LETTER | NUMBER),
            Others::NotAlphanumericOrMark => !symbol.is(SPACE | LETTER | NUMBER | MARK),
            Others::PunctuationAndSymbols => symbol.is(PUNCTUATION | SYMBOL),
        }
    }

    fn tail_end(&self, text: &[Symbol], at: usize) -> usize {
        let slash = |s: Symbol| s.is_newline() || s.is_char('/');
        match self.tail {
            Tail::None => at,
            Tail::Newlines => run(text, at, Symbol::is_newline),
            Tail::NewlinesAndSlashes => run(text, at, slash),
            Tail::OneNewlineOrSlash => at + usize::from(text.get(at).is_some_and(|&s| slash(s))),
        }
    }

    fn space_end(&self, text: &[Symbol], at: usize) -> Option<usize> {
        if self.newlines == Newlines::Each && text[at].is_newline() {
            return Some(at + 1);
        }
        let end = run(text, at, |s| s.is(SPACE));
        let last = match self.newlines {
            Newlines::AfterLast => text[at..end].iter().rposition(|s| s.is_newline()),
            Newlines::Each => None,
        };
        match last {
            Some(last) => Some(at + last + 1),
            None => filled(at, end).map(|end| all_but_last(text, at, end)),
        }
    }
}

/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`: the words of GPT-2.
pub(super) fn gpt2_end(text: &[Symbol], at: usize) -> Option<usize> {
    let first = *text.get(at)?;
    if first.is_char('\'')
        && let Some(end) = contraction(text, at)
        && text[at + 1..end].iter().all(|s| s.ascii().is_ascii_lowercase())
    {
        return Some(end);
    }
    let start = at + usize::from(first.is_char(' '));
    let lead = text.get(start).copied().unwrap_or(first);
    let end = if lead.is(LETTER) {
        run(text, start, |s| s.is(LETTER))
    } else if lead.is(NUMBER) {
        run(text, start, |s| s.is(NUMBER))
    } else {
        run(text, start, |s| !s.is(SPACE | LETTER | NUMBER))
    };
    if end > start {
        return Some(end);
    }
    let end = run(text, at, |s| s.is(SPACE));
    filled(at, end).map(|end| all_but_last(text, at, end))
}

/// End of the run of symbols, from `at` on, that are all `wanted`.
pub(super) fn run(text: &[Symbol], at: usize, wanted: impl Fn(Symbol) -> bool) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().position(|&symbol| !wanted(symbol)).unwrap_or(rest.len())
}

fn filled(start: usize, end: usize) -> Option<usize> {
    (end > start).then_some(end)
}

/// `\s+(?!\S)|\s+` for white space that ends at `end`.
fn all_but_last(text: &[Symbol], at: usize, end: usize) -> usize {
    if end - at > 1 && end < text.len() { end - 1 } else { end }
}

/// End of 's 't 're 've 'm 'll 'd, of any case.
fn contraction(text: &[Symbol], at: usize) -> Option<usize> {
    let ascii = |i: usize| text.get(i).map_or(0, |s| s.ascii().to_ascii_lowercase());
    if ascii(at) != b'\'' {
        return None;
    }
    match (ascii(at + 1), ascii(at + 2)) {
        (b's' | b't' | b'm' | b'd', _) => Some(at + 2),
        (b'r' | b'v', b'e') | (b'l', b'l') => Some(at + 3),
        _ => None,
    }
}

/// `U*W+`, and if that fits nowhere `U+W*`: U are letters but a-z, W are letters but A-Z.
fn cased_letters(text: &[Symbol], starts: impl Iterator<Item = usize> + Clone, letters: u8) -> Option<usize> {
    let upper = |s: Symbol| s.is(letters) && !s.ascii().is_ascii_lowercase();
    let lower = |s: Symbol| s.is(letters) && !s.ascii().is_ascii_uppercase();
    let ends_lower = |start: usize| {
        let end = run(text, start, upper);
        // W+ begins where U* ends, or at the last character before that which fits both.
        let last = (start..=end).rev().find(|&i| text.get(i).is_some_and(|&s| lower(s)))?;
        Some(run(text, last, lower))
    };
    starts.clone().find_map(ends_lower).or_else(|| {
        let mut starts = starts;
        starts.find_map(|start| filled(start, run(text, start, upper)))
    })
}

fn spaced_letters(text: &[Symbol], at: usize) -> Option<usize> {
    let is_letter = |i: usize| text.get(i).is_some_and(|s| s.is(LETTER));
    let mut end = at;
    loop {
        let next = end + usize::from(end > at && text.get(end).is_some_and(|s| s.is_char(' ')));
        if !is_letter(next) {
            return filled(at, end);
        }
        end = run(text, next + 1, |s| s.is(MARK));
    }
}
