//! Sampling options: names, defaults and ranges.

use crate::{Error, Result};

/// Mirostat version 2: keeps the surprise of the text near a target (Basu et al., 2020).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mirostat {
    /// Target surprise, in bits per token.
    pub tau: f32,
    /// How fast the bound follows, in (0, 1].
    pub eta: f32,
}

/// How to choose tokens. The default is the model's own distribution.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplerOptions {
    /// Divides the logits; 0 or less takes the most likely token.
    pub temperature: f32,
    /// Keeps the k most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Keeps the most likely tokens up to this share of the probability; 1 keeps all.
    pub top_p: f32,
    /// Keeps tokens with at least this share of the best token's probability; 0 keeps all.
    pub min_p: f32,
    /// Keeps the tokens whose surprise is nearest to the expected one, up to this share; 1 keeps all.
    pub typical_p: f32,
    /// Divides positive logits, and multiplies negative ones, of tokens in the last `penalty_last_n`; 1 is off.
    pub repeat_penalty: f32,
    /// Taken from the logit for each occurrence in the last `penalty_last_n`.
    pub frequency_penalty: f32,
    /// Taken from the logit once if the token occurs in the last `penalty_last_n`.
    pub presence_penalty: f32,
    /// Tokens that the penalties look back on; 0 is off, `usize::MAX` is all.
    pub penalty_last_n: usize,
    /// Added to the logits of these tokens; minus infinity forbids one.
    pub logit_bias: Vec<(u32, f32)>,
    /// Takes the place of top-k, typical, top-p and min-p.
    pub mirostat: Option<Mirostat>,
    /// The same seed gives the same tokens.
    pub seed: u64,
}

impl Default for SamplerOptions {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            typical_p: 1.0,
            repeat_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            penalty_last_n: 64,
            logit_bias: Vec::new(),
            mirostat: None,
            seed: 0,
        }
    }
}

impl SamplerOptions {
    /// The most likely token, always.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, ..Self::default() }
    }

    pub(super) fn check(&self) -> Result<()> {
        let finite = [
            ("temperature", self.temperature),
            ("top_p", self.top_p),
            ("min_p", self.min_p),
            ("typical_p", self.typical_p),
            ("frequency_penalty", self.frequency_penalty),
            ("presence_penalty", self.presence_penalty),
            ("repeat_penalty", self.repeat_penalty),
        ];
        if let Some((name, value)) = finite.iter().find(|(_, value)| !value.is_finite()) {
            return Err(Error::invalid_argument(format!("{name} is {value}, it must be a finite number")));
        }
        if self.repeat_penalty <= 0.0 {
            let found = self.repeat_penalty;
            return Err(Error::invalid_argument(format!("repeat_penalty is {found}, it must be above 0 (1 is off)")));
        }
        if let Some((token, _)) = self.logit_bias.iter().find(|(_, bias)| bias.is_nan()) {
            return Err(Error::invalid_argument(format!("logit_bias of token {token} is not a number")));
        }
        match self.mirostat {
            Some(Mirostat { tau, eta }) if !(tau.is_finite() && tau >= 0.0 && eta > 0.0 && eta <= 1.0) => {
                let rule = "tau must be 0 or more and eta in (0, 1]";
                Err(Error::invalid_argument(format!("mirostat has tau {tau} and eta {eta}: {rule}")))
            }
            _ => Ok(()),
        }
    }
}
