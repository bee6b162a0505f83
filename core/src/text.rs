//! Token bytes to text: whole UTF-8 characters, and stop strings across token borders.

/// Turns the bytes of generated tokens into text that is safe to show at once.
///
/// Text is cut at the stop string that completes first (of several that complete together, the longest). Until then
/// only what may still become a stop string, or is half a character, is held back. Bytes that are no UTF-8 become
/// U+FFFD, one for each maximal broken sequence.
#[derive(Clone, Debug, Default)]
pub struct TextStream {
    stops: Vec<String>,
    held: Vec<u8>,
    /// Bytes of `held` at which no stop string ends; only what follows needs a look.
    searched: usize,
    stopped: Option<usize>,
}

impl TextStream {
    /// A stream that ends at any of `stops`; empty strings never match.
    pub fn new(stops: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let stops = stops.into_iter().map(Into::into).filter(|stop: &String| !stop.is_empty()).collect();
        Self { stops, ..Self::default() }
    }

    /// Takes the bytes of one token; returns the text that can be shown now. Nothing after a stop string.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        if self.stopped.is_some() {
            return String::new();
        }
        self.held.extend_from_slice(bytes);
        if let Some((stop, start)) = self.first_stop() {
            self.stopped = Some(stop);
            let text = String::from_utf8_lossy(&self.held[..start]).into_owned();
            self.held.clear();
            return text;
        }
        let held_back = self.possible_stop();
        // A stop string starts with a whole character, so what precedes one in the making is complete or broken.
        let safe = if held_back > 0 { self.held.len() - held_back } else { whole_characters(&self.held) };
        let text = String::from_utf8_lossy(&self.held[..safe]).into_owned();
        self.held.drain(..safe);
        self.searched = self.held.len();
        text
    }

    /// Ends the stream: returns what was held back. Half a character becomes U+FFFD.
    pub fn finish(&mut self) -> String {
        self.searched = 0;
        let held = std::mem::take(&mut self.held);
        String::from_utf8_lossy(&held).into_owned()
    }

    /// The stop string that ended the text, if one did.
    pub fn stopped(&self) -> Option<&str> {
        self.stopped.map(|stop| self.stops[stop].as_str())
    }

    /// The stop string that completes first, and where it starts.
    fn first_stop(&self) -> Option<(usize, usize)> {
        (self.searched + 1..=self.held.len()).find_map(|end| {
            let seen = &self.held[..end];
            let ending = self.stops.iter().enumerate().filter(|(_, stop)| seen.ends_with(stop.as_bytes()));
            ending.max_by_key(|(_, stop)| stop.len()).map(|(index, stop)| (index, end - stop.len()))
        })
    }

    /// Length of the longest tail that may still become a stop string.
    fn possible_stop(&self) -> usize {
        let longest = |stop: &String| {
            let most = self.held.len().min(stop.len() - 1);
            (1..=most).rev().find(|&n| self.held.ends_with(&stop.as_bytes()[..n])).unwrap_or(0)
        };
        self.stops.iter().map(longest).max().unwrap_or(0)
    }
}

/// Bytes that come before an unfinished character at the end.
fn whole_characters(bytes: &[u8]) -> usize {
    let start = bytes.len().saturating_sub(3);
    // Any unfinished character lies in the last three bytes, and begins at its lead byte.
    let lead = (start..bytes.len()).rev().find(|&i| bytes[i] & 0xC0 != 0x80);
    match lead.map(|i| (i, std::str::from_utf8(&bytes[i..]))) {
        Some((i, Err(error))) if error.error_len().is_none() => i + error.valid_up_to(),
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(pieces: &[&[u8]], stops: &[&str]) -> (Vec<String>, String, Option<String>) {
        let mut stream = TextStream::new(stops.iter().copied());
        let shown = pieces.iter().map(|piece| stream.push(piece)).collect();
        let rest = stream.finish();
        (shown, rest, stream.stopped().map(str::to_owned))
    }

    #[test]
    fn half_a_character_waits_for_its_other_half() {
        let (shown, rest, _) = stream(&[b"a\xE2", b"\x82", b"\xACb"], &[]);
        assert_eq!(shown, ["a", "", "\u{20AC}b"]);
        assert_eq!(rest, "");
    }

    #[test]
    fn an_unfinished_character_at_the_end_becomes_the_replacement_character() {
        let (shown, rest, _) = stream(&[b"a\xF0\x9F\x98"], &[]);
        assert_eq!(shown, ["a"]);
        assert_eq!(rest, "\u{FFFD}");
    }

    #[test]
    fn broken_bytes_do_not_hold_the_text_back() {
        let (shown, rest, _) = stream(&[b"a\xFF", b"\x80\x80b\xC0", b"c"], &[]);
        assert_eq!(shown, ["a\u{FFFD}", "\u{FFFD}\u{FFFD}b\u{FFFD}", "c"]);
        assert_eq!(rest, "");
    }

    #[test]
    fn a_stop_string_across_token_borders_ends_the_text() {
        let (shown, rest, stopped) = stream(&[b"one <|e", b"nd", b"|> two", b"three"], &["<|end|>"]);
        assert_eq!(shown, ["one ", "", "", ""]);
        assert_eq!((rest.as_str(), stopped.as_deref()), ("", Some("<|end|>")));
    }

    #[test]
    fn a_prefix_of_a_stop_string_is_released_when_it_turns_out_to_be_none() {
        let (shown, rest, stopped) = stream(&[b"a##", b"b#"], &["###"]);
        assert_eq!(shown, ["a", "##b"]);
        assert_eq!((rest.as_str(), stopped), ("#", None));
    }

    #[test]
    fn the_stop_string_that_completes_first_wins_and_of_those_the_longest() {
        let (shown, _, stopped) = stream(&[b"xxabcd"], &["abcd", "c"]);
        assert_eq!((shown[0].as_str(), stopped.as_deref()), ("xxab", Some("c")));
        let (shown, _, stopped) = stream(&[b"xxabc"], &["c", "abc", "bc"]);
        assert_eq!((shown[0].as_str(), stopped.as_deref()), ("xx", Some("abc")));
    }

    #[test]
    fn an_empty_stop_string_never_matches() {
        let (shown, _, stopped) = stream(&[b"abc"], &[""]);
        assert_eq!((shown[0].as_str(), stopped), ("abc", None));
    }

    /// The whole text, cut where a stop string first completes.
    fn expected(bytes: &[u8], stops: &[&str]) -> String {
        for end in 1..=bytes.len() {
            let longest = stops.iter().filter(|s| !s.is_empty() && bytes[..end].ends_with(s.as_bytes()));
            if let Some(stop) = longest.max_by_key(|stop| stop.len()) {
                return String::from_utf8_lossy(&bytes[..end - stop.len()]).into_owned();
            }
        }
        String::from_utf8_lossy(bytes).into_owned()
    }

    #[test]
    fn any_split_of_any_bytes_gives_the_whole_text_cut_at_the_first_stop_string() {
        let alphabet: [&[u8]; 12] = [
            b"a",
            b"b",
            b"ab",
            b"\xC3",
            b"\xC3\xA9",
            b"\xE2\x82\xAC",
            b"\xE2",
            b"\x82",
            b"\xF0\x9F",
            b"\xFF",
            b"#",
            b"##",
        ];
        let stops: [&[&str]; 5] = [&[], &["ab#"], &["##a", "#b"], &["\u{20AC}", "\u{E9}a"], &["aab", "a\u{E9}", "b"]];
        let mut state = 7_u64;
        let mut next = |bound: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % bound
        };
        for _ in 0..4000 {
            let bytes: Vec<u8> = (0..next(12)).flat_map(|_| alphabet[next(alphabet.len())]).copied().collect();
            let stops = stops[next(stops.len())];
            let mut stream = TextStream::new(stops.iter().copied());
            let mut text = String::new();
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let (piece, tail) = rest.split_at(next(rest.len() + 1));
                text += &stream.push(piece);
                rest = tail;
            }
            text += &stream.finish();
            assert_eq!(text, expected(&bytes, stops), "{bytes:?} {stops:?}");
        }
    }
}
