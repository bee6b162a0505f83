//! Characters without their accents: canonical decompositions, of which nonspacing marks are left away.

use super::accents_table::{BASES, MARKS, SEVERAL};

/// The first syllable of Hangul and the last; they are decomposed by arithmetic. Source: Unicode 15, section 3.12.
const SYLLABLES: (u32, u32) = (0xAC00, 0xD7A3);
const LEADS: u32 = 0x1100;
const VOWELS: u32 = 0x1161;
const VOWEL_COUNT: u32 = 21;
/// One before the first: a syllable may have none.
const TRAILS: u32 = 0x11A7;
const TRAIL_COUNT: u32 = 28;

/// What is left of a character without its accents: none for an accent, up to three for letters that are several.
pub(super) fn without_accents(character: char) -> impl Iterator<Item = char> {
    parts(character as u32).into_iter().filter(|&code| code != 0).filter_map(char::from_u32)
}

/// Up to three code points, and zeros.
fn parts(code: u32) -> [u32; 3] {
    if code < 0xC0 {
        return [code, 0, 0]; // the first that is decomposed is U+00C0
    }
    if (SYLLABLES.0..=SYLLABLES.1).contains(&code) {
        let index = code - SYLLABLES.0;
        let (lead, vowel) = (index / (VOWEL_COUNT * TRAIL_COUNT), index / TRAIL_COUNT % VOWEL_COUNT);
        let trail = index % TRAIL_COUNT;
        return [LEADS + lead, VOWELS + vowel, if trail == 0 { 0 } else { TRAILS + trail }];
    }
    let run = MARKS.partition_point(|(first, _)| *first <= code);
    if run > 0 && code <= MARKS[run - 1].1 {
        return [0; 3];
    }
    let at = BASES.partition_point(|entry| entry >> 32 < u64::from(code));
    if let Some(&entry) = BASES.get(at)
        && entry >> 32 == u64::from(code)
    {
        return [entry as u32, 0, 0];
    }
    SEVERAL.binary_search_by_key(&code, |(code, _)| *code).map_or([code, 0, 0], |at| SEVERAL[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(text: &str) -> String {
        text.chars().flat_map(without_accents).collect()
    }

    #[test]
    fn accents_go_whether_they_are_written_with_their_letter_or_behind_it() {
        assert_eq!(stripped("caf\u{E9} cafe\u{301} \u{1EA5} \u{C5} \u{C4}\u{327}"), "cafe cafe a A A");
        assert_eq!(stripped("\u{915}\u{93C} \u{958}"), "\u{915} \u{915}");
    }

    #[test]
    fn letters_that_are_several_become_those() {
        assert_eq!(stripped("\u{AC01}\u{AC00}"), "\u{1100}\u{1161}\u{11A8}\u{1100}\u{1161}");
        assert_eq!(stripped("\u{9CB}"), "\u{9C7}\u{9BE}");
        assert_eq!(stripped("\u{F900}\u{212B}"), "\u{8C48}A");
    }

    #[test]
    fn what_has_no_accent_stays() {
        let text = "a\u{DF} \u{F8}\u{131} \u{65E5}\u{672C} \u{1F600} \u{93E} \u{20DD}";
        assert_eq!(stripped(text), text);
    }

    #[test]
    fn the_tables_are_sorted_and_hold_characters() {
        assert!(MARKS.windows(2).all(|pair| pair[0].0 <= pair[0].1 && pair[0].1 < pair[1].0));
        assert!(BASES.windows(2).all(|pair| pair[0] >> 32 < pair[1] >> 32));
        assert!(SEVERAL.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(BASES.iter().all(|&entry| char::from_u32(entry as u32).is_some()));
        assert!(SEVERAL.iter().flat_map(|(_, parts)| parts).all(|&code| char::from_u32(code).is_some()));
    }
}
