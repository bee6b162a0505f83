//! The tokens of a vocabulary: their texts as they are matched, and as they are shown.

use super::bytes::{byte_token_value, spelled_bytes};
use super::texts::{TextIndex, Texts};
use crate::gguf::Metadata;
use crate::{Error, Result};

const TOKENS: &str = "tokenizer.ggml.tokens";
const KINDS: &str = "tokenizer.ggml.token_type";

/// What a token is, as bits: a token can be normal text and control at once.
pub(super) mod kind {
    pub(in super::super) const NORMAL: u8 = 1;
    pub(in super::super) const UNKNOWN: u8 = 2;
    pub(in super::super) const CONTROL: u8 = 4;
    pub(in super::super) const USER_DEFINED: u8 = 8;
    pub(in super::super) const BYTE: u8 = 16;
    /// White space before the token belongs to it.
    pub(in super::super) const STRIPS_LEFT: u8 = 32;
    /// White space after the token belongs to it.
    pub(in super::super) const STRIPS_RIGHT: u8 = 64;
    /// Not shown unless asked for.
    pub(in super::super) const HIDDEN: u8 = UNKNOWN | CONTROL;
    /// Split out of the text before all else.
    pub(in super::super) const SPECIAL: u8 = HIDDEN | USER_DEFINED;
}

/// How token texts spell what they stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// Bytes in the alphabet of GPT-2.
    Bytes,
    /// UTF-8, blanks as U+2581.
    EscapedBlanks,
    /// UTF-8 as it is.
    Plain,
}

/// The blank of vocabularies in the manner of `SentencePiece`.
pub(super) const ESCAPED_BLANK: &str = "\u{2581}";

/// All tokens.
#[derive(Clone, Debug)]
pub(super) struct Vocabulary {
    spelling: Spelling,
    /// Texts as in the file.
    texts: Texts,
    /// What text is compared with: bytes if tokens spell bytes, otherwise the text. Empty if no text can be it.
    keys: Texts,
    index: TextIndex,
    /// Tokens whose text is not in the alphabet of their spelling, such as "<｜User｜>" among byte-level tokens.
    foreign: Vec<u32>,
    kinds: Vec<u8>,
    longest: usize,
}

impl Vocabulary {
    pub(super) fn from_metadata(metadata: &Metadata, spelling: Spelling) -> Result<Self> {
        let tokens = metadata.require_strings(TOKENS)?;
        if tokens.is_empty() {
            return Err(Error::model_file(format!("metadata {TOKENS:?} is empty; a vocabulary has tokens")));
        }
        let kinds = match metadata.i32s(KINDS)? {
            None => vec![kind::NORMAL; tokens.len()],
            Some(kinds) => {
                same_length(KINDS, kinds.len(), tokens.len())?;
                kinds.iter().enumerate().map(|(token, &kind)| kind_of(token, kind)).collect::<Result<_>>()?
            }
        };
        Self::new(tokens.iter(), tokens.size_bytes(), kinds, spelling)
    }

    /// Takes the texts, of `size` bytes together, and one kind for each.
    pub(super) fn new<'a>(
        tokens: impl ExactSizeIterator<Item = &'a [u8]>,
        size: usize,
        kinds: Vec<u8>,
        spelling: Spelling,
    ) -> Result<Self> {
        let count = tokens.len();
        let mut texts = Texts::with_capacity(count, size);
        let mut keys = Texts::with_capacity(count, size);
        let mut index = TextIndex::with_capacity(count);
        let mut foreign = Vec::new();
        let mut longest = 0;
        for (token, text) in (0..).zip(tokens) {
            // As other engines do: an unnamed token gets a name that tells it from the rest.
            let unnamed = text.is_empty().then(|| format!("[EMPTY_{token}]"));
            let text = unnamed.as_ref().map_or(text, |name| name.as_bytes());
            texts.push(text)?;
            longest = longest.max(text.len());
            let mut matches = true;
            keys.push_with(|key| matches = write_key(spelling, text, key).is_some())?;
            if !matches {
                foreign.push(token);
            } else if let Some(twin) = index.insert(&keys, token) {
                let text = String::from_utf8_lossy(text);
                let rule = "every token has a text of its own";
                return Err(Error::model_file(format!("{TOKENS}: {twin} and {token} are both {text:?}; {rule}")));
            }
        }
        Ok(Self { spelling, texts, keys, index, foreign, kinds, longest })
    }

    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    /// Bytes of the longest text.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// The token that exactly these bytes of text are.
    pub(super) fn find(&self, key: &[u8]) -> Option<u32> {
        if key.len() > self.longest { None } else { self.index.find(&self.keys, key) }
    }

    /// As [`Self::find`], for several at once.
    pub(super) fn find_all<const N: usize>(&self, keys: [&[u8]; N]) -> [Option<u32>; N] {
        self.index.find_all(&self.keys, keys)
    }

    /// The token with this text in the file.
    pub(super) fn find_text(&self, text: &[u8]) -> Option<u32> {
        let mut key = Vec::new();
        match self.write_key(text, &mut key) {
            Some(()) => self.find(&key),
            None => self.foreign.iter().copied().find(|&token| self.texts.get(token) == text),
        }
    }

    /// Appends what a token of this text is matched as; none if no text can be it.
    pub(super) fn write_key(&self, text: &[u8], key: &mut Vec<u8>) -> Option<()> {
        write_key(self.spelling, text, key)
    }

    /// The text in the file.
    pub(super) fn text(&self, token: u32) -> &[u8] {
        self.texts.get(token)
    }

    /// What the token is matched as.
    pub(super) fn key(&self, token: u32) -> &[u8] {
        self.keys.get(token)
    }

    pub(super) fn kind(&self, token: u32) -> u8 {
        self.kinds.get(token as usize).copied().unwrap_or(0)
    }

    pub(super) fn is(&self, token: u32, kinds: u8) -> bool {
        self.kind(token) & kinds != 0
    }

    pub(super) fn kind_mut(&mut self, token: u32) -> Option<&mut u8> {
        self.kinds.get_mut(token as usize)
    }

    /// Tokens of any of these kinds, ascending.
    pub(super) fn of_kinds(&self, kinds: u8) -> impl Iterator<Item = u32> {
        (0..).zip(&self.kinds).filter(move |(_, kind)| *kind & kinds != 0).map(|(token, _)| token)
    }

    /// All keys, in the order of their tokens.
    pub(super) fn keys(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.keys.iter()
    }

    /// What each token is shown as.
    pub(super) fn pieces(&self) -> Result<Texts> {
        let mut pieces = Texts::with_capacity(self.len(), self.len() * 8);
        for (token, text) in self.texts.iter() {
            let kinds = self.kind(token);
            pieces.push_with(|bytes| {
                if kinds & kind::SPECIAL != 0 {
                    bytes.extend_from_slice(text);
                } else if kinds & kind::NORMAL != 0 {
                    self.write_normal(token, text, bytes);
                } else if kinds & kind::BYTE != 0 {
                    bytes.extend(byte_token_value(text));
                }
            })?;
        }
        Ok(pieces)
    }

    fn write_normal(&self, token: u32, text: &[u8], bytes: &mut Vec<u8>) {
        match self.spelling {
            Spelling::Bytes if self.key(token).is_empty() => bytes.extend_from_slice(text),
            Spelling::Bytes | Spelling::Plain => bytes.extend_from_slice(self.key(token)),
            Spelling::EscapedBlanks => {
                let mut rest = text;
                while let Some((&first, tail)) = rest.split_first() {
                    rest = rest.strip_prefix(ESCAPED_BLANK.as_bytes()).map_or(tail, |tail| {
                        bytes.push(b' ');
                        tail
                    });
                    if rest.len() == tail.len() {
                        bytes.push(first);
                    }
                }
            }
        }
    }
}

fn write_key(spelling: Spelling, text: &[u8], key: &mut Vec<u8>) -> Option<()> {
    match spelling {
        Spelling::Bytes => spelled_bytes(text, key)?,
        Spelling::EscapedBlanks | Spelling::Plain => key.extend_from_slice(text),
    }
    Some(())
}

/// An array that goes with the tokens has as many values.
pub(super) fn same_length(key: &str, found: usize, tokens: usize) -> Result<()> {
    if found == tokens {
        return Ok(());
    }
    Err(Error::model_file(format!("metadata {key:?} has {found} values for {tokens} tokens; each token needs one")))
}

/// Bits of a kind as the file numbers them.
fn kind_of(token: usize, number: i32) -> Result<u8> {
    match number {
        1 => Ok(kind::NORMAL),
        2 => Ok(kind::UNKNOWN),
        3 => Ok(kind::CONTROL),
        4 => Ok(kind::USER_DEFINED),
        6 => Ok(kind::BYTE),
        // Undefined and unused tokens are never shown.
        0 | 5 => Ok(0),
        _ => Err(Error::model_file(format!("{KINDS}: token {token} is of type {number}; types are 0 to 6"))),
    }
}
