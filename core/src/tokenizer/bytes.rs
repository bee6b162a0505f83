//! The byte alphabet of GPT-2, in which byte-level vocabularies spell their tokens, and byte tokens as <0x0A>.

/// The byte that a character of the alphabet stands for.
///
/// Printable Latin-1 characters stand for themselves; the other 68 bytes, in order, are U+0100 to U+0143.
fn byte_of(character: char) -> Option<u8> {
    match character {
        '!'..='~' | '\u{A1}'..='\u{AC}' | '\u{AE}'..='\u{FF}' => Some(character as u8),
        '\u{100}'..='\u{120}' => Some((character as u32 - 0x100) as u8),
        '\u{121}'..='\u{142}' => Some((character as u32 - 0x121 + 0x7F) as u8),
        '\u{143}' => Some(0xAD),
        _ => None,
    }
}

/// Appends the bytes that a token of a byte-level vocabulary spells; none if it is not in the alphabet throughout.
pub(super) fn spelled_bytes(text: &[u8], bytes: &mut Vec<u8>) -> Option<()> {
    let start = bytes.len();
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        // The alphabet is ASCII and characters of two bytes, which start with 0xC2 to 0xC5.
        let (byte, tail) = match (first, tail) {
            (b'!'..=b'~', tail) => (Some(*first), tail),
            (0xC2..=0xC5, [second @ 0x80..=0xBF, tail @ ..]) => {
                let code = u32::from(first & 0x1F) << 6 | u32::from(second & 0x3F);
                (char::from_u32(code).and_then(byte_of), tail)
            }
            _ => (None, tail),
        };
        let Some(byte) = byte else {
            bytes.truncate(start);
            return None;
        };
        bytes.push(byte);
        rest = tail;
    }
    Some(())
}

/// The text of a byte token: <0x00> to <0xFF>.
pub(super) fn byte_token_text(byte: u8) -> [u8; 6] {
    let digit = |value: u8| b"0123456789ABCDEF"[usize::from(value)];
    [b'<', b'0', b'x', digit(byte >> 4), digit(byte & 15), b'>']
}

/// The byte of a byte token, from its text.
pub(super) fn byte_token_value(text: &[u8]) -> Option<u8> {
    let digits = text.strip_prefix(b"<0x")?.strip_suffix(b">")?;
    let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.len() == 2 && !digits.starts_with('+'))?;
    u8::from_str_radix(digits, 16).ok()
}

/// The text with one U+FFFD in place of each byte that is no UTF-8.
pub(super) fn replace_broken(text: &[u8]) -> std::borrow::Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(text) {
        return text.into();
    }
    let mut clean = String::with_capacity(text.len() + 16);
    for chunk in text.utf8_chunks() {
        clean += chunk.valid();
        clean.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    clean.into()
}

/// A text in the alphabet of GPT-2, as byte-level vocabularies hold it.
#[cfg(test)]
pub(super) fn spell(text: &[u8]) -> String {
    let character = |byte: u8| ('!'..='\u{143}').find(|&c| byte_of(c) == Some(byte)).unwrap();
    text.iter().map(|&byte| character(byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_covers_every_byte_once() {
        let mut bytes: Vec<u8> = ('\0'..='\u{FFFF}').filter_map(byte_of).collect();
        assert_eq!(bytes.len(), 256);
        bytes.sort_unstable();
        assert!((0..=255).eq(bytes));
    }

    #[test]
    fn spelled_tokens_become_bytes_and_others_stay_out() {
        let mut bytes = b"kept".to_vec();
        assert_eq!(spelled_bytes("\u{120}a\u{10A}\u{E9}".as_bytes(), &mut bytes), Some(()));
        assert_eq!(bytes, b"kept a\n\xE9");
        assert_eq!(spelled_bytes("ab c".as_bytes(), &mut bytes), None);
        assert_eq!(spelled_bytes(b"\xFF", &mut bytes), None);
        assert_eq!(bytes, b"kept a\n\xE9");
    }

    #[test]
    fn byte_tokens_have_two_hexadecimal_digits() {
        assert!((0..=255).all(|byte| byte_token_value(&byte_token_text(byte)) == Some(byte)));
        for text in ["<0x>", "<0x1>", "<0x+1>", "<0x123>", "0x12", "<0xGG>"] {
            assert_eq!(byte_token_value(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn each_broken_byte_becomes_one_replacement_character() {
        assert_eq!(replace_broken(b"a\xE4\xBDb\xFF"), "a\u{FFFD}\u{FFFD}b\u{FFFD}");
        assert_eq!(replace_broken("ab\u{E9}".as_bytes()), "ab\u{E9}");
    }
}
