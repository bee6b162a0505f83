//! The table of pre-tokenizers: what each name in `tokenizer.ggml.pre` means.
//!
//! Source: the names, expressions and flags of llama.cpp's vocabulary loader, which defined this key.

use super::splitter::{Prefix, Rule};
use super::unicode::{LETTER, NUMBER, PUNCTUATION, SPACE, SYMBOL, Symbol};
use super::vocabulary::Spelling;
use super::words::{Contractions, Letters, Newlines, Others, Tail, Words};

/// Words that are one token if the vocabulary has it, whatever the merges say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WholeWords {
    None,
    All,
    /// Those of line ends alone.
    LineEnds,
}

/// How text becomes words, and what comes with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PreTokenizer {
    pub(super) rules: &'static [Rule],
    pub(super) spelling: Spelling,
    pub(super) whole_words: WholeWords,
    /// Begins with the BOS token unless the file says otherwise.
    pub(super) add_bos: bool,
    /// Whether there is a BOS token where the file names none.
    pub(super) has_default_bos: bool,
    /// The file may do without merges.
    pub(super) merges_optional: bool,
}

impl PreTokenizer {
    const fn new(rules: &'static [Rule]) -> Self {
        Self {
            rules,
            spelling: Spelling::Bytes,
            whole_words: WholeWords::None,
            add_bos: false,
            has_default_bos: true,
            merges_optional: false,
        }
    }

    const fn whole_words(rules: &'static [Rule]) -> Self {
        Self { whole_words: WholeWords::All, ..Self::new(rules) }
    }

    const fn spelled(spelling: Spelling, rules: &'static [Rule]) -> Self {
        Self { spelling, ..Self::new(rules) }
    }

    /// The pre-tokenizer of this name, if it is known.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "gpt-2" | "phi-2" | "jina-es" | "jina-de" | "jina-v2-es" | "jina-v2-de" | "jina-v1-en" | "jina-v2-code"
            | "roberta-bpe" | "gigachat" | "a.x-4.0" | "mellum" | "modern-bert" | "mpt" | "olmo" | "jais"
            | "trillion" | "granite-docling" | "exaone4" => Self::new(&[Rule::Gpt2]),
            "starcoder" | "refact" | "command-r" | "smollm" | "codeshell" | "exaone" | "minerva-7b" | "mellum2" => {
                Self::new(&[DIGIT, Rule::Gpt2])
            }
            "llama3" | "llama-v3" | "llama-bpe" | "falcon3" | "falcon-h1" | "pixtral" | "midm-2.0" | "lfm2"
            | "jina-v5-nano" => Self { add_bos: true, ..Self::whole_words(&[Rule::Words(LLAMA3)]) },
            "dbrx" | "smaug-bpe" => Self::new(&[Rule::Words(LLAMA3)]),
            "chatglm-bpe" => Self { has_default_bos: false, ..Self::new(&[Rule::Words(LLAMA3)]) },
            "glm4" | "glm5" => Self { has_default_bos: false, ..Self::whole_words(&[Rule::Words(LLAMA3)]) },
            "jais-2" => Self::new(&[Rule::Words(LLAMA3), Rule::SpacesInPowers]),
            "minicpm5" => Self::whole_words(&[DIGITS_BY_3, Rule::Words(Words { digits: usize::MAX, ..LLAMA3 })]),
            "qwen2" | "deepseek-r1-qwen" | "kormo" | "f2llmv2" | "megrez" | "stablelm2" | "hunyuan" | "solar-open"
            | "grok-2" | "bailingmoe" | "bailingmoe2" | "llada-moe" => Self::new(&[Rule::Words(QWEN2)]),
            "qwen35" => Self::new(&[Rule::Words(Words {
                letters: Letters::WithMarks,
                others: Others::NotAlphanumericOrMark,
                ..QWEN2
            })]),
            "laguna" => Self::new(&[NOT_NEWLINE, Rule::Words(QWEN2)]),
            "ufakzeka" => Self::new(&[Rule::Words(Words { contractions: Contractions::None, ..QWEN2 })]),
            "seed-coder" => Self::new(&[Rule::Words(Words { tail: Tail::None, ..QWEN2 })]),
            "exaone-moe" => {
                Self::new(&[Rule::Words(Words { letters: Letters::Spaced, tail: Tail::OneNewlineOrSlash, ..QWEN2 })])
            }
            "tekken" => Self {
                add_bos: true,
                ..Self::whole_words(&[Rule::Words(Words { contractions: Contractions::None, digits: 1, ..GPT4O })])
            },
            "gpt-4o" | "llama4" | "kanana2" | "talkie" | "minimax-m2" => Self::new(&[Rule::Words(GPT4O)]),
            "granite-embed-multi-97m" => {
                Self::whole_words(&[Rule::Words(Words { letters: Letters::CasedWithMarks, ..GPT4O })])
            }
            "tiny_aya" | "cohere2moe" => {
                Self::new(&[Rule::DigitsFromRight, Rule::Words(Words { letters: Letters::WithMarks, ..GPT4O })])
            }
            "youtu" => Self::whole_words(&[
                Rule::Match(east_asian_run),
                Rule::Words(Words { letters: Letters::WithMarks, digits: 1, ..GPT4O }),
            ]),
            "kimi-k2" => Self {
                merges_optional: true,
                ..Self::new(&[Rule::Words(Words { letters: Letters::NotChinese, tail: Tail::Newlines, ..GPT4O })])
            },
            "deepseek-llm" => Self::new(&[
                NEWLINE,
                Rule::Run(Prefix::Space, super::cased::is_cased),
                Rule::Run(Prefix::Space, is_deepseek_punctuation),
                Rule::SpaceAtEnd,
                DEEPSEEK_EAST_ASIAN,
                Rule::Run(Prefix::None, |s| s.is(NUMBER)),
            ]),
            "deepseek-coder" => Self::new(&[
                NEWLINE,
                Rule::Run(Prefix::Space, |s| s.is(LETTER)),
                Rule::Run(Prefix::Space, |s| s.is(PUNCTUATION)),
                DEEPSEEK_EAST_ASIAN,
                DIGIT,
            ]),
            "deepseek-v3" | "hunyuan-dense" | "joyai-llm" | "hy_v4" => {
                Self::new(&[DIGITS_BY_3, CHINESE_OR_JAPANESE, Rule::Words(DEEPSEEK3)])
            }
            "spark2_5" => Self::new(&[
                DIGIT,
                CHINESE_OR_JAPANESE,
                Rule::Words(Words { tail: Tail::None, newlines: Newlines::Each, ..DEEPSEEK3 }),
            ]),
            "afmoe" => {
                Self::new(&[Rule::DigitsFromRight, Rule::Run(Prefix::None, is_afmoe_asian), Rule::Words(DEEPSEEK3)])
            }
            "falcon" => Self::new(&[Rule::Run(Prefix::None, is_falcon_punctuation), Rule::Gpt2, THREE_DIGITS]),
            "default" => Self::new(&[
                Rule::Run(Prefix::None, |s| is_falcon_punctuation(s) && !s.is_char('`')),
                Rule::Gpt2,
                Rule::Run(Prefix::None, |s| s.is(NUMBER)),
                THREE_DIGITS,
            ]),
            "bloom" | "poro-chat" | "gpt3-finnish" => Self::new(&[BLOOM]),
            "viking" => Self::new(&[BLOOM, DIGIT]),
            "superbpe" => Self::new(&[Rule::Run(Prefix::None, |s| s.is(NUMBER)), Rule::CutsFromRight]),
            "chameleon" => Self {
                add_bos: true,
                ..Self::new(&[
                    Rule::Match(sentinel),
                    Rule::Match(image),
                    Rule::Match(code_space),
                    DIGIT,
                    Rule::Match(|text, at| {
                        let symbol = text[at];
                        (symbol.is(PUNCTUATION) || symbol.ascii().is_ascii_punctuation()).then_some(at + 1)
                    }),
                    Rule::Gpt2,
                ])
            },
            "gemma4" | "granite-embed-multi-311m" => Self {
                whole_words: WholeWords::LineEnds,
                add_bos: true,
                ..Self::spelled(Spelling::EscapedBlanks, &[NOT_NEWLINE])
            },
            "sarvam-moe" => Self::spelled(Spelling::EscapedBlanks, &[NOT_NEWLINE]),
            "whitespace" => Self::spelled(Spelling::Plain, &[Rule::Run(Prefix::None, |s| !s.is(SPACE))]),
            _ => return None,
        })
    }
}

const LLAMA3: Words = Words {
    contractions: Contractions::Apart,
    letters: Letters::Plain,
    digits: 3,
    others: Others::NotAlphanumeric,
    tail: Tail::Newlines,
    newlines: Newlines::AfterLast,
};
const QWEN2: Words = Words { digits: 1, ..LLAMA3 };
const GPT4O: Words =
    Words { contractions: Contractions::Attached, letters: Letters::Cased, tail: Tail::NewlinesAndSlashes, ..LLAMA3 };
const DEEPSEEK3: Words = Words {
    contractions: Contractions::None,
    letters: Letters::WithMarks,
    digits: 0,
    others: Others::PunctuationAndSymbols,
    ..LLAMA3
};

const DIGIT: Rule = Rule::Exactly(1, |s| s.is(NUMBER));
/// `\p{N}{1,3}`
const DIGITS_BY_3: Rule = Rule::Match(|text, at| {
    let limit = text.len().min(at + 3);
    Some(super::words::run(&text[..limit], at, |s| s.is(NUMBER))).filter(|&end| end > at)
});
const THREE_DIGITS: Rule = Rule::Exactly(3, |s| s.ascii().is_ascii_digit());
const NEWLINE: Rule = Rule::Exactly(1, Symbol::is_newline);
/// `[^\n]+|[\n]+`: a cut at each change between lines and line ends.
const NOT_NEWLINE: Rule = Rule::Run(Prefix::None, |s| s.code != 10);
/// `[一-龥぀-ゟ゠-ヿ]+`
const CHINESE_OR_JAPANESE: Rule = Rule::Run(Prefix::None, |s| matches!(s.code, 0x4E00..=0x9FA5 | 0x3040..=0x30FF));
/// `[一-龥ࠀ-一가-퟿]+`, which takes in most of the world's scripts; white space never.
const DEEPSEEK_EAST_ASIAN: Rule =
    Rule::Run(Prefix::None, |s| matches!(s.code, 0x800..=0x9FA5 | 0xAC00..=0xD7FF) && !s.is(SPACE));
const BLOOM: Rule = Rule::Run(Prefix::Blank, |s| {
    !s.is(SPACE)
        && !['(', '|', '.', ',', '!', '?', '…', '。', '，', '、', '।', '۔', '،', ')'].iter().any(|&c| s.is_char(c))
});

/// `[!-/:-~！-／：-～‘-‟　-。]`
fn is_deepseek_punctuation(s: Symbol) -> bool {
    matches!(s.code, 0x21..=0x2F | 0x3A..=0x7E | 0xFF01..=0xFF0F | 0xFF1A..=0xFF5E | 0x2018..=0x201F | 0x3001..=0x3002)
}

/// Punctuation, and the symbols of ASCII.
fn is_falcon_punctuation(s: Symbol) -> bool {
    s.is(PUNCTUATION) || (s.is(SYMBOL) && s.code < 128)
}

/// The scripts that `afmoe` lists: Chinese, Japanese, Thai, Lao, Khmer, Burmese, Korean. The reference spells its block of
/// compatibility ideographs with a normalized character, so that everything from U+8C48 to U+FAFF belongs.
fn is_afmoe_asian(s: Symbol) -> bool {
    matches!(s.code,
        0x3040..=0x30FF | 0x3400..=0x4DBF | 0x4E00..=0xFAFF | 0xFF65..=0xFF9F | 0x2F00..=0x2FDF | 0x0E40..=0x0EFF
        | 0x1000..=0x109F | 0x1100..=0x11FF | 0x1780..=0x17FF)
}

/// A run of Korean, of East Asian punctuation, of Bopomofo, or of Chinese and Japanese: each a word of its own.
fn east_asian_run(text: &[Symbol], at: usize) -> Option<usize> {
    let classes: [fn(Symbol) -> bool; 4] = [
        |s| matches!(s.code, 0xAC00..=0xD7A3 | 0x3131..=0x318E),
        |s| {
            ['！', '…', '“', '”', '‘', '’', '—', '：', '；', '，'].iter().any(|&c| s.is_char(c))
                || matches!(s.code, 0x3001..=0x303F | 0xFE30..=0xFE4F)
        },
        |s| matches!(s.code, 0x3105..=0x312F),
        |s| matches!(s.code, 0x4E00..=0x9FA5 | 0x3040..=0x30FF),
    ];
    classes.iter().map(|class| super::words::run(text, at, class)).find(|&end| end > at)
}

/// `<sentinel:[0-9]+>`
fn sentinel(text: &[Symbol], at: usize) -> Option<usize> {
    let digits = at + starts_with(text, at, "<sentinel:")?;
    let end = super::words::run(text, digits, |s| s.ascii().is_ascii_digit());
    (end > digits && text.get(end).is_some_and(|s| s.is_char('>'))).then_some(end + 1)
}

/// `(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z`
fn image(text: &[Symbol], at: usize) -> Option<usize> {
    let letters = at + starts_with(text, at, "IMGIMG")?;
    let end = super::words::run(text, letters, |s| (b'A'..=b'I').contains(&s.ascii()));
    ((1..=4).contains(&(end - letters)) && text.get(end).is_some_and(|s| s.is_char('Z'))).then_some(end + 1)
}

/// `([\t\n]|    |  )`
fn code_space(text: &[Symbol], at: usize) -> Option<usize> {
    match text[at].code {
        9 | 10 => Some(at + 1),
        _ => starts_with(text, at, "    ").or_else(|| starts_with(text, at, "  ")).map(|length| at + length),
    }
}

/// Length of the ASCII text that starts at `at`, if it does.
fn starts_with(text: &[Symbol], at: usize, wanted: &str) -> Option<usize> {
    let found = text.get(at..at + wanted.len())?;
    found.iter().zip(wanted.bytes()).all(|(symbol, byte)| symbol.code == u32::from(byte)).then_some(wanted.len())
}
