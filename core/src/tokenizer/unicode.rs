//! Character classes as pre-tokenizers know them: Unicode 15.1 general categories and white space.

use super::unicode_table::RUNS;

pub(super) const LETTER: u8 = 1;
pub(super) const NUMBER: u8 = 2;
pub(super) const MARK: u8 = 4;
pub(super) const PUNCTUATION: u8 = 8;
pub(super) const SYMBOL: u8 = 16;
/// Control and format characters, and those for private use.
pub(super) const CONTROL: u8 = 32;
/// White space; its control characters carry both bits.
pub(super) const SPACE: u8 = 64;

/// Code points with a direct entry: the planes that text is written in.
const DIRECT: usize = 0x2_0000;

static CLASSES: [u8; DIRECT] = spread_runs();

#[allow(clippy::large_stack_arrays)] // runs in the compiler
const fn spread_runs() -> [u8; DIRECT] {
    let mut classes = [0; DIRECT];
    let mut run = 0;
    while run < RUNS.len() {
        let mut code = (RUNS[run] >> 8) as usize;
        while code < DIRECT && (run + 1 == RUNS.len() || code < (RUNS[run + 1] >> 8) as usize) {
            classes[code] = RUNS[run] as u8;
            code += 1;
        }
        run += 1;
    }
    classes
}

fn class(code: u32) -> u8 {
    match CLASSES.get(code as usize) {
        Some(&class) => class,
        None => RUNS[RUNS.partition_point(|run| run >> 8 <= code).saturating_sub(1)] as u8,
    }
}

/// A character with its class bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Symbol {
    pub(super) code: u32,
    class: u8,
}

impl Symbol {
    pub(super) fn new(character: char) -> Self {
        let code = character as u32;
        Self { code, class: class(code) }
    }

    /// Whether the character is in any of these classes.
    pub(super) fn is(self, classes: u8) -> bool {
        self.class & classes != 0
    }

    pub(super) fn is_char(self, character: char) -> bool {
        self.code == character as u32
    }

    pub(super) fn is_newline(self) -> bool {
        self.code == 10 || self.code == 13
    }

    /// The ASCII character, or NUL for any other.
    pub(super) fn ascii(self) -> u8 {
        if self.code < 128 { self.code as u8 } else { 0 }
    }

    /// Chinese characters: the blocks of unified and compatibility ideographs.
    pub(super) fn is_han(self) -> bool {
        matches!(self.code,
            0x4E00..=0x9FFF | 0x3400..=0x4DBF | 0x2_0000..=0x2_A6DF | 0x2_A700..=0x2_EBEF | 0xF900..=0xFAFF
            | 0x2_F800..=0x2_FA1F)
    }

    /// Bytes in UTF-8.
    pub(super) fn size(self) -> usize {
        match self.code {
            0..=0x7F => 1,
            0x80..=0x7FF => 2,
            0x800..=0xFFFF => 3,
            _ => 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(character: char) -> u8 {
        Symbol::new(character).class
    }

    #[test]
    fn characters_have_their_general_category() {
        for (character, class) in [
            ('a', LETTER),
            ('\u{4E2D}', LETTER),
            ('7', NUMBER),
            ('\u{BD}', NUMBER),
            ('\u{301}', MARK),
            ('!', PUNCTUATION),
            ('$', SYMBOL),
            ('\u{1F600}', SYMBOL),
            ('\0', CONTROL),
            ('\n', CONTROL | SPACE),
            ('\u{85}', CONTROL | SPACE),
            (' ', SPACE),
            ('\u{3000}', SPACE),
            ('\u{378}', 0),
            ('\u{2A6DF}', LETTER),
            ('\u{E0001}', CONTROL),
            ('\u{10FFFF}', 0),
        ] {
            assert_eq!(of(character), class, "{character:?}");
        }
    }

    #[test]
    fn size_is_the_length_in_utf8() {
        for character in ['a', '\u{7F}', '\u{80}', '\u{7FF}', '\u{800}', '\u{FFFF}', '\u{10000}', '\u{10FFFF}'] {
            assert_eq!(Symbol::new(character).size(), character.len_utf8());
        }
    }
}
