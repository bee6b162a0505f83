//! Tokenizers as GGUF files carry them.
//!
//! Three kinds run here: `llama` (`SentencePiece` BPE), `gpt2` (byte-level BPE, with the pre-tokenizer that the file names)
//! and `bert` (`WordPiece`). They give the tokens that llama.cpp gives; where it departs from what a BERT was trained with,
//! [`wordpiece`] does not follow. Where a file leaves something open:
//! * No pre-tokenizer is ever guessed: a missing or unknown `tokenizer.ggml.pre` is an error.
//! * Text is bytes. What is no UTF-8 becomes one U+FFFD per byte, except in `llama`, which has tokens for single bytes.
//! * An id of -1 names no token; any other id beyond the vocabulary is an error.
//! * Detokenizing never changes text: there is no "cleaning up" of blanks before punctuation.

mod accents;
mod accents_table;
mod bpe;
mod bytes;
mod cased;
mod merges;
mod partition;
mod pre_tokenizer;
mod seen;
mod special;
mod splitter;
mod spm;
mod texts;
mod unicode;
mod unicode_table;
mod vocabulary;
mod wordpiece;
mod words;

pub use special::SpecialTokens;

use crate::gguf::Metadata;
use crate::{Error, Result};
use bpe::Bpe;
use partition::{Fragment, SpecialTexts};
use pre_tokenizer::{PreTokenizer, WholeWords};
use spm::Spm;
use texts::Texts;
use vocabulary::{Spelling, Vocabulary, kind};
use wordpiece::WordPiece;

const BACKEND: &str = "the llama.cpp backend may know it: pip install edgewise[llamacpp], then engine=\"llamacpp\"";

#[derive(Clone, Debug)]
enum Model {
    Spm(Spm),
    Bpe(Bpe),
    WordPiece(WordPiece),
}

/// Text to tokens and back.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    model: Model,
    vocabulary: Vocabulary,
    pieces: Texts,
    special: SpecialTokens,
    special_texts: SpecialTexts,
    add_bos: bool,
    add_eos: bool,
    /// A blank goes before text at the start and after special tokens, and is taken away again.
    add_space_prefix: bool,
}

impl Tokenizer {
    /// The tokenizer of a model file.
    pub fn from_metadata(metadata: &Metadata) -> Result<Self> {
        match metadata.require_str("tokenizer.ggml.model")? {
            "llama" => Self::spm(metadata),
            "gpt2" => Self::bpe(metadata, metadata.str("tokenizer.ggml.pre")?),
            "gemma4" => Self::bpe(metadata, Some("gemma4")),
            "bert" => Self::wordpiece(metadata),
            other => Err(Error::unsupported(format!("tokenizer {other:?} (tokenizer.ggml.model) is not known here"))
                .with_hint(BACKEND)),
        }
    }

    fn spm(metadata: &Metadata) -> Result<Self> {
        let mut vocabulary = Vocabulary::from_metadata(metadata, Spelling::EscapedBlanks)?;
        let defaults = SpecialTokens { bos: Some(1), eos: Some(2), unk: Some(0), ..SpecialTokens::default() };
        let special = SpecialTokens::find(metadata, &mut vocabulary, defaults)?;
        let model = Model::Spm(Spm::from_metadata(metadata, &vocabulary, special.unk)?);
        let add_space_prefix = metadata.bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
        Ok(Self { add_space_prefix, ..Self::new(metadata, model, vocabulary, special, true)? })
    }

    fn bpe(metadata: &Metadata, pre: Option<&str>) -> Result<Self> {
        let Some(pre) = pre else {
            let rule = "byte-level BPE needs the name of its pre-tokenizer";
            return Err(Error::model_file(format!("metadata \"tokenizer.ggml.pre\" is missing; {rule}"))
                .with_hint("get a newer GGUF file of this model, or convert the original again"));
        };
        let Some(rules) = PreTokenizer::named(pre) else {
            let finding = format!("pre-tokenizer {pre:?} (tokenizer.ggml.pre) is not known here");
            return Err(Error::unsupported(finding).with_hint(BACKEND));
        };
        let mut vocabulary = Vocabulary::from_metadata(metadata, rules.spelling)?;
        let default = if pre == "gemma4" { None } else { Some(11) };
        let bos = default.filter(|_| rules.has_default_bos);
        let defaults = SpecialTokens { bos, eos: default, ..SpecialTokens::default() };
        let special = SpecialTokens::find(metadata, &mut vocabulary, defaults)?;
        let model = Model::Bpe(Bpe::from_metadata(metadata, rules, &vocabulary)?);
        let tokenizer = Self::new(metadata, model, vocabulary, special, rules.add_bos)?;
        // Files of Gemma 4 deny the BOS token that the model was trained with.
        let add_bos = tokenizer.add_bos || rules.whole_words == WholeWords::LineEnds;
        Ok(Self { add_bos, ..tokenizer })
    }

    /// A text of BERT is `[CLS] text [SEP]`, whatever the file says of other tokens.
    fn wordpiece(metadata: &Metadata) -> Result<Self> {
        let mut vocabulary = Vocabulary::from_metadata(metadata, Spelling::EscapedBlanks)?;
        let cls = special::named_id(metadata, "cls_token_id", vocabulary.len())?.or(Some(101));
        let defaults = SpecialTokens {
            bos: cls,
            unk: Some(100),
            sep: Some(102),
            pad: Some(0),
            mask: Some(103),
            ..SpecialTokens::default()
        };
        let special = SpecialTokens::find(metadata, &mut vocabulary, defaults)?;
        let ends = [("tokenizer.ggml.cls_token_id", special.bos), ("tokenizer.ggml.seperator_token_id", special.sep)];
        if let Some((key, _)) = ends.into_iter().find(|(_, token)| token.is_none()) {
            let rule = "texts are put between that token and another";
            return Err(Error::model_file(format!("metadata {key:?} is missing; {rule}")));
        }
        let model = Model::WordPiece(WordPiece::from_metadata(metadata, special.unk)?);
        let tokenizer = Self::new(metadata, model, vocabulary, special, true)?;
        Ok(Self { add_bos: true, add_eos: false, add_space_prefix: true, ..tokenizer })
    }

    fn new(
        metadata: &Metadata,
        model: Model,
        mut vocabulary: Vocabulary,
        special: SpecialTokens,
        add_bos: bool,
    ) -> Result<Self> {
        special::mark_strips(metadata, &mut vocabulary)?;
        Ok(Self {
            add_bos: metadata.bool("tokenizer.ggml.add_bos_token")?.unwrap_or(add_bos),
            add_eos: metadata.bool("tokenizer.ggml.add_eos_token")?.unwrap_or(false),
            add_space_prefix: false,
            pieces: vocabulary.pieces()?,
            special_texts: SpecialTexts::new(&vocabulary),
            model,
            vocabulary,
            special,
        })
    }

    /// Tokens of `text`.
    ///
    /// `add_special` adds the tokens around a text as the model wants them; `parse_special` reads control tokens that are
    /// spelled out in the text, such as `<|im_start|>`. User-defined tokens are always read.
    pub fn encode(&self, text: impl AsRef<[u8]>, add_special: bool, parse_special: bool) -> Vec<u32> {
        let text = text.as_ref();
        let mut tokens = Vec::with_capacity(text.len() / 3 + 2);
        if add_special && self.add_bos {
            tokens.extend(self.special.bos);
        }
        let mut after_special = true;
        for fragment in self.special_texts.partition(&self.vocabulary, text, parse_special) {
            match fragment {
                Fragment::Token(token) => tokens.push(token),
                Fragment::Text(text) => match &self.model {
                    Model::Spm(spm) => {
                        let blank_first = self.add_space_prefix && after_special;
                        spm.encode(&self.vocabulary, text, blank_first, &mut tokens);
                    }
                    Model::Bpe(bpe) => bpe.encode(&self.vocabulary, text, &mut tokens),
                    Model::WordPiece(wordpiece) => wordpiece.encode(&self.vocabulary, text, &mut tokens),
                },
            }
            after_special = matches!(fragment, Fragment::Token(_));
        }
        if add_special {
            tokens.extend(self.last());
        }
        tokens
    }

    /// The token that goes behind a text.
    fn last(&self) -> Option<u32> {
        match self.model {
            Model::WordPiece(_) => self.special.sep,
            _ => self.special.eos.filter(|_| self.add_eos),
        }
    }

    /// Text of `tokens`, as bytes. Control tokens show only if `special`; the blank that encoding put first is taken away.
    pub fn decode(&self, tokens: &[u32], special: bool) -> Vec<u8> {
        let mut text = Vec::with_capacity(tokens.len() * 4);
        let mut starts = self.add_space_prefix;
        for &token in tokens {
            let piece = self.visible_piece(token, special);
            let is_text = !self.vocabulary.is(token, kind::SPECIAL);
            text.extend_from_slice(if starts && is_text { piece.strip_prefix(b" ").unwrap_or(piece) } else { piece });
            starts = starts && Some(token) == self.special.bos;
        }
        text
    }

    /// Bytes of one token as text, control tokens spelled out; empty beyond the vocabulary.
    pub fn piece(&self, token: u32) -> &[u8] {
        self.pieces.get(token)
    }

    /// As [`Self::piece`], but control tokens are empty unless `special`.
    pub fn visible_piece(&self, token: u32, special: bool) -> &[u8] {
        if !special && self.is_special(token) { &[] } else { self.piece(token) }
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.vocabulary.len()
    }

    /// Never: a vocabulary has tokens.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tokens with a meaning, by name.
    pub fn special(&self) -> &SpecialTokens {
        &self.special
    }

    /// The token that begins a text.
    pub fn bos(&self) -> Option<u32> {
        self.special.bos
    }

    /// The token that ends a text.
    pub fn eos(&self) -> Option<u32> {
        self.special.eos
    }

    /// The token that ends a turn of a conversation.
    pub fn eot(&self) -> Option<u32> {
        self.special.eot
    }

    /// Whether the token ends a generation.
    pub fn is_end(&self, token: u32) -> bool {
        self.special.end_of_generation.binary_search(&token).is_ok()
    }

    /// The tokens that end a generation, in order.
    pub fn ends(&self) -> &[u32] {
        &self.special.end_of_generation
    }

    /// Whether the token is control or unknown: shown only when asked for.
    pub fn is_special(&self, token: u32) -> bool {
        self.vocabulary.is(token, kind::HIDDEN)
    }

    /// Whether encoding with `add_special` begins with the BOS token.
    pub fn add_bos(&self) -> bool {
        self.add_bos
    }

    /// Whether encoding with `add_special` ends with the EOS token.
    pub fn add_eos(&self) -> bool {
        self.add_eos
    }

    /// The token whose text in the file is this, such as `<|im_end|>`.
    pub fn find(&self, text: impl AsRef<[u8]>) -> Option<u32> {
        self.vocabulary.find_text(text.as_ref())
    }
}

#[cfg(test)]
mod tests;
