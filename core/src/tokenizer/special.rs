//! Tokens with a meaning beyond text: begin, end, fill in the middle; named by the file or known by their text.

use super::vocabulary::{Vocabulary, kind};
use crate::gguf::{Metadata, Value};
use crate::{Error, Result};

/// Ids of the tokens with a meaning, as far as the vocabulary has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Begins a text.
    pub bos: Option<u32>,
    /// Ends a text.
    pub eos: Option<u32>,
    /// Ends a turn of a conversation.
    pub eot: Option<u32>,
    /// Ends a message that a tool call follows.
    pub eom: Option<u32>,
    /// Stands for text that the vocabulary cannot express.
    pub unk: Option<u32>,
    /// Separates two texts.
    pub sep: Option<u32>,
    /// Fills up a batch.
    pub pad: Option<u32>,
    /// Stands for a word to be guessed.
    pub mask: Option<u32>,
    /// Before the code ahead of a gap.
    pub fim_pre: Option<u32>,
    /// Before the code behind a gap.
    pub fim_suf: Option<u32>,
    /// Before the code that fills the gap.
    pub fim_mid: Option<u32>,
    /// Fills up a batch of gaps.
    pub fim_pad: Option<u32>,
    /// Before the name of a repository.
    pub fim_rep: Option<u32>,
    /// Separates files.
    pub fim_sep: Option<u32>,
    /// Every token that ends a generation, ascending.
    pub end_of_generation: Vec<u32>,
}

/// Where a token is found: its field, the keys that may name it (newest first), and the texts that it may have.
type Role = (fn(&mut SpecialTokens) -> &mut Option<u32>, &'static [&'static str], &'static [&'static str]);

#[rustfmt::skip]
const ROLES: [Role; 14] = [
    (|t| &mut t.bos, &["bos_token_id"], &[]),
    (|t| &mut t.eos, &["eos_token_id"], &[]),
    (|t| &mut t.eot, &["eot_token_id"], &[
        "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "<EOT>", "_<EOT>",
        "[EOT]", "<｜end▁of▁sentence｜>", "<end_of_utterance>",
    ]),
    (|t| &mut t.eom, &["eom_token_id"], &["<|eom_id|>"]),
    (|t| &mut t.unk, &["unknown_token_id"], &[]),
    (|t| &mut t.sep, &["seperator_token_id"], &[]), // so spelled in the format
    (|t| &mut t.pad, &["padding_token_id"], &[]),
    (|t| &mut t.mask, &["mask_token_id"], &[]),
    (|t| &mut t.fim_pre, &["fim_pre_token_id", "prefix_token_id"], &[
        "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>", "<|code_prefix|>",
        "<|prefix|>",
    ]),
    (|t| &mut t.fim_suf, &["fim_suf_token_id", "suffix_token_id"], &[
        "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>", "<|code_suffix|>",
        "<|suffix|>",
    ]),
    (|t| &mut t.fim_mid, &["fim_mid_token_id", "middle_token_id"], &[
        "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>", "<|code_middle|>",
        "<|middle|>",
    ]),
    (|t| &mut t.fim_pad, &["fim_pad_token_id"], &["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"]),
    (|t| &mut t.fim_rep, &["fim_rep_token_id"], &[
        "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>",
    ]),
    (|t| &mut t.fim_sep, &["fim_sep_token_id"], &["<|file_sep|>"]),
];

/// Texts that end a generation wherever they are tokens.
#[rustfmt::skip]
const END: [&str; 22] = [
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>",
    "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>",
    "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>", "<｜end▁of▁sentence｜>", "[e~[",
];

/// Parts of a message in the gpt-oss format: always shown.
const SHOWN: [&str; 4] = ["<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"];

impl SpecialTokens {
    /// Reads the ids on top of the tokenizer's `defaults`, looks for known texts, and corrects the kinds of tokens that
    /// files often get wrong.
    ///
    /// Source: llama.cpp's vocabulary loader, which defined these rules; a key that names no token falls back to them.
    pub(super) fn find(metadata: &Metadata, vocabulary: &mut Vocabulary, defaults: Self) -> Result<Self> {
        let mut found = defaults;
        for (field, keys, texts) in ROLES {
            let id = field(&mut found);
            *id = id.filter(|&id| (id as usize) < vocabulary.len());
            for key in keys.iter().rev() {
                *id = named_id(metadata, key, vocabulary.len())?.or(*id);
            }
            if id.is_none() {
                *id = texts.iter().find_map(|text| vocabulary.find_text(text.as_bytes()));
                add_kind(vocabulary, *id, kind::CONTROL);
            }
        }
        found.end_of_generation = found.ends(vocabulary);
        Ok(found)
    }

    /// All tokens that end a generation.
    fn ends(&self, vocabulary: &mut Vocabulary) -> Vec<u32> {
        let mut ends: Vec<u32> = [self.fim_pad, self.fim_rep, self.fim_sep].into_iter().flatten().collect();
        for text in END {
            let id = vocabulary.find_text(text.as_bytes());
            add_kind(vocabulary, id, kind::CONTROL);
            ends.extend(id);
        }
        for text in SHOWN {
            set_kind(vocabulary, vocabulary.find_text(text.as_bytes()), kind::USER_DEFINED);
        }
        ends.extend([self.eos, self.eot, self.eom].into_iter().flatten());
        // Where calls and returns end a generation, "<|end|>" only ends one of several messages.
        let has = |ends: &[u32], text: &str| ends.iter().any(|&id| vocabulary.text(id) == text.as_bytes());
        let calls = has(&ends, "<|call|>") || has(&ends, "<|calls|>");
        let messages = calls && (has(&ends, "<|return|>") || has(&ends, "<|flush|>"));
        // Where these end a turn, "</s>" is plain text.
        let marked_up = has(&ends, "<|tool_response>") || has(&ends, "<|plamo:eos|>");
        for (wrong, text, kind) in [(messages, "<|end|>", kind::USER_DEFINED), (marked_up, "</s>", kind::NORMAL)] {
            let id = vocabulary.find_text(text.as_bytes()).filter(|id| wrong && ends.contains(id));
            set_kind(vocabulary, id, kind);
            ends.retain(|&end| Some(end) != id);
        }
        ends.sort_unstable();
        ends.dedup();
        ends
    }
}

/// The id that a key names; -1, as some converters write, names none.
pub(super) fn named_id(metadata: &Metadata, name: &str, tokens: usize) -> Result<Option<u32>> {
    let key = format!("tokenizer.ggml.{name}");
    let minus_one = |value: i128| value == -1 || value == i128::from(u32::MAX);
    if metadata.get(&key).and_then(Value::integer).is_some_and(minus_one) {
        return Ok(None);
    }
    match metadata.u32(&key)? {
        Some(id) if id as usize >= tokens => {
            Err(Error::model_file(format!("metadata {key:?} is {id}; the vocabulary has {tokens} tokens")))
        }
        id => Ok(id),
    }
}

fn add_kind(vocabulary: &mut Vocabulary, token: Option<u32>, kind: u8) {
    if let Some(kinds) = token.and_then(|token| vocabulary.kind_mut(token)) {
        *kinds |= kind;
    }
}

fn set_kind(vocabulary: &mut Vocabulary, token: Option<u32>, kind: u8) {
    if let Some(kinds) = token.and_then(|token| vocabulary.kind_mut(token)) {
        *kinds = kind;
    }
}

/// Marks the tokens that take in the white space beside them; the file does not say, so the model's name has to.
pub(super) fn mark_strips(metadata: &Metadata, vocabulary: &mut Vocabulary) -> Result<()> {
    let text = |key| Ok::<_, Error>(metadata.str(key)?.unwrap_or_default().to_lowercase());
    let any = |text: &str, parts: &[&str]| parts.iter().any(|part| text.contains(part));
    let model = text("general.name")?;
    if any(&text("tokenizer.ggml.pre")?, &["jina-v2-de", "jina-v2-es", "jina-v2-code"])
        || any(&text("general.architecture")?, &["nomic-bert-moe", "jina-bert-v3"])
    {
        add_kind(vocabulary, vocabulary.find_text(b"<mask>"), kind::STRIPS_LEFT);
    } else if any(&model, &["phi-3", "phi3"]) {
        let keep = ["<unk>", "<s>", "<|endoftext|>"].map(|text| vocabulary.find_text(text.as_bytes()));
        let mut strips: Vec<u32> = vocabulary.of_kinds(kind::SPECIAL).collect();
        strips.extend(vocabulary.find_text(b"</s>"));
        for token in strips.into_iter().filter(|&token| !keep.contains(&Some(token))) {
            add_kind(vocabulary, Some(token), kind::STRIPS_RIGHT);
        }
    } else if any(&model, &["modern-bert"]) {
        add_kind(vocabulary, vocabulary.find_text(b"[MASK]"), kind::STRIPS_LEFT);
    }
    Ok(())
}
