//! Names from a file, made fit for an error message.

/// Longest part of a name that a message shows, in characters.
const SHOWN: usize = 80;

/// The name in double quotes, with control characters and broken UTF-8 escaped, and its middle left out if it is long.
pub fn quoted(name: impl AsRef<[u8]>) -> String {
    let name = name.as_ref();
    let mut shown = String::from("\"");
    let mut count = 0;
    'chunks: for chunk in name.utf8_chunks() {
        let valid = chunk.valid().chars().map(|c| if c == '\'' { c.to_string() } else { c.escape_debug().to_string() });
        let invalid = chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}"));
        for piece in valid.chain(invalid) {
            if count == SHOWN {
                shown.push_str("...");
                break 'chunks;
            }
            shown.push_str(&piece);
            count += 1;
        }
    }
    shown.push('"');
    shown
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_name_can_neither_break_the_line_nor_fill_the_screen() {
        assert_eq!(quoted("blk.0.attn_q.weight"), "\"blk.0.attn_q.weight\"");
        assert_eq!(quoted("a\n\u{1b}[2J\"'é"), "\"a\\n\\u{1b}[2J\\\"'é\"");
        assert_eq!(quoted(b"\xff\xfea"), "\"\\xff\\xfea\"");
        assert_eq!(quoted("x".repeat(1000)).len(), 80 + 5);
    }
}
