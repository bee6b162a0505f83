//! Chooses the next token from logits.
//!
//! The order of the steps is llama.cpp's default chain: logit bias, penalties, top-k, typical, top-p, min-p, temperature.
//! The same seed and logits give the same tokens on every platform.

mod candidates;
mod options;
mod penalties;
mod random;

pub use options::{Mirostat, SamplerOptions};

use crate::{Error, Result};
use candidates::{Candidates, best_allowed, best_of};
use penalties::Penalties;
use random::Random;

/// Log-probabilities that the model itself gave, before any sampling option.
#[derive(Clone, Debug, PartialEq)]
pub struct LogProbabilities {
    /// Natural logarithm of the probability of the chosen token.
    pub chosen: f32,
    /// The most likely tokens with theirs, best first.
    pub top: Vec<(u32, f32)>,
}

/// Draws tokens; holds the random state and the tokens that the penalties look back on.
#[derive(Clone, Debug)]
pub struct Sampler {
    options: SamplerOptions,
    random: Random,
    penalties: Penalties,
    candidates: Candidates,
    /// Mirostat's running bound on the surprise of a token, in bits.
    surprise_bound: f64,
}

impl Sampler {
    /// A sampler with these options; an error names the option that is out of its range.
    pub fn new(options: SamplerOptions) -> Result<Self> {
        options.check()?;
        Ok(Self {
            random: Random::new(options.seed),
            penalties: Penalties::new(&options),
            candidates: Candidates::default(),
            surprise_bound: options.mirostat.map_or(0.0, |mirostat| 2.0 * f64::from(mirostat.tau)),
            options,
        })
    }

    /// The options that this sampler was made with.
    pub fn options(&self) -> &SamplerOptions {
        &self.options
    }

    /// Takes a token into the history that the penalties look back on: every token of the prompt and every chosen one.
    pub fn accept(&mut self, token: u32) {
        self.penalties.accept(token);
    }

    /// Chooses a token; `logits` has one value per token of the vocabulary and is not empty. NaN is never chosen.
    pub fn sample(&mut self, logits: &[f32]) -> u32 {
        if self.is_greedy() {
            return best_of(logits);
        }
        self.candidates.set(logits);
        self.choose()
    }

    /// Chooses among the tokens of a mask, where token `i` has bit `i % 8` of byte `i / 8`; the others have no probability,
    /// whatever the options. An error if the mask has no token.
    pub fn sample_allowed(&mut self, logits: &[f32], allowed: &[u8]) -> Result<u32> {
        let none = || Error::invalid_argument("the mask allows no token");
        if self.is_greedy() {
            return best_allowed(logits, allowed).ok_or_else(none);
        }
        self.candidates.set_allowed(logits, allowed);
        if self.candidates.is_empty() { Err(none()) } else { Ok(self.choose()) }
    }

    /// Whether the likeliest token is all that the options ask for.
    fn is_greedy(&self) -> bool {
        self.options.temperature <= 0.0 && self.options.logit_bias.is_empty() && self.penalties.are_off()
    }

    /// Chooses among the candidates.
    fn choose(&mut self) -> u32 {
        let (options, candidates) = (&self.options, &mut self.candidates);
        for &(token, bias) in &options.logit_bias {
            candidates.change(token, |logit| logit + bias);
        }
        self.penalties.apply(candidates);
        if options.temperature <= 0.0 {
            return candidates.best();
        }
        if let Some(mirostat) = options.mirostat {
            candidates.scale(options.temperature);
            return candidates.mirostat(mirostat, &mut self.surprise_bound, &mut self.random);
        }
        candidates.top_k(options.top_k);
        candidates.typical(options.typical_p);
        candidates.top_p(options.top_p);
        candidates.min_p(options.min_p);
        candidates.scale(options.temperature);
        candidates.draw(&mut self.random)
    }
}

/// Log-probabilities of `chosen` and of the `top` most likely tokens under the model's own distribution.
pub fn log_probabilities(logits: &[f32], chosen: u32, top: usize) -> LogProbabilities {
    let mut candidates = Candidates::default();
    candidates.set(logits);
    candidates.log_probabilities(chosen, top)
}

#[cfg(test)]
mod tests;
