//! Speculative decoding: guess the next tokens, evaluate all guesses in one step, keep those that are right.
//!
//! The text is exactly that of plain decoding. Every token is chosen from the model's own logits; a guess only decides
//! whether the logits behind it are there already. A step of up to eight tokens gives each of them the logits, bit for bit,
//! that it has alone.
//!
//! Source: Leviathan et al. 2023, arXiv 2211.17192, with guesses that are certain; prompt lookup: Saxena 2023.

mod controller;
mod ngrams;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::session::{SequenceId, Session};
use ngrams::NGrams;

pub use controller::Controller;

/// Tokens of a step, the certain one included: with more, the kernels sum in another order.
pub const LONGEST_STEP: usize = 8;

/// What one answer guesses, and how well.
///
/// Guesses come from the text so far ([`Self::look_up`]) or from elsewhere ([`Self::take`]); the next [`Self::step`] evaluates
/// them.
pub struct Speculation {
    controller: Arc<Mutex<Controller>>,
    ends: Vec<u32>,
    text: NGrams,
    guesses: Vec<u32>,
    /// How many of the guesses are evaluated; the rest is only compared with what comes.
    evaluated: usize,
    /// How many tokens are alike before the guesses and before what they were taken from; 0 where that means nothing.
    likeness: usize,
    asked: Option<Instant>,
    guessing: Duration,
    drafted: usize,
    accepted: usize,
}

impl Speculation {
    /// Guesses for an answer to `text`.
    ///
    /// `controller` decides how much; the answers of an engine share it, and learn from each other. Nothing follows the
    /// tokens `ends`, so that they are not worth a guess.
    pub fn new(controller: Arc<Mutex<Controller>>, ends: &[u32], text: &[u32]) -> Self {
        let mut ngrams = NGrams::default();
        ngrams.read(text);
        Self {
            controller,
            ends: ends.to_vec(),
            text: ngrams,
            guesses: Vec::new(),
            evaluated: 0,
            likeness: 0,
            asked: None,
            guessing: Duration::ZERO,
            drafted: 0,
            accepted: 0,
        }
    }

    /// Guesses, from the text so far, as many tokens as are fastest, at most `most`. Where that is none, one guess is kept
    /// to be compared with what comes, so that guessing starts again as soon as it would pay.
    pub fn look_up(&mut self, most: usize) {
        let started = Instant::now();
        self.guesses.clear();
        self.likeness = self.text.propose(most.min(LONGEST_STEP - 1), &mut self.guesses);
        let ends = &self.ends;
        cut_at_first(&mut self.guesses, |token| ends.contains(&token));
        let found = self.guesses.len();
        self.evaluated = if found == 0 { 0 } else { self.controller().choose(found, self.likeness) };
        self.guesses.truncate(self.evaluated.max(1));
        self.guessing = started.elapsed();
    }

    /// How many tokens, at most `most`, it is best to guess where a guess costs something. [`Self::take`] follows.
    pub fn ask(&mut self, most: usize) -> usize {
        self.asked = Some(Instant::now());
        self.controller().choose_costly(most.min(LONGEST_STEP - 1))
    }

    /// Takes guesses from elsewhere, at most `most`, up to the first that is not one of so many tokens.
    pub fn take(&mut self, guesses: &[u32], most: usize, vocabulary_size: usize) {
        self.guesses.clear();
        self.guesses.extend(guesses.iter().take(most.min(LONGEST_STEP - 1)));
        let ends = &self.ends;
        cut_at_first(&mut self.guesses, |token| token as usize >= vocabulary_size || ends.contains(&token));
        (self.evaluated, self.likeness) = (self.guesses.len(), 0);
        self.guessing = self.asked.take().map_or(Duration::ZERO, |asked| asked.elapsed());
    }

    /// Evaluates a token of a sequence and the guesses behind it, and gives the tokens that follow: one, and one
    /// more for each guess that was right; see [`Session::verify`].
    pub fn step(
        &mut self,
        session: &mut Session,
        sequence: SequenceId,
        token: u32,
        interrupted: &(dyn Fn() -> bool + Sync),
        choose: impl FnMut(&[f32]) -> u32,
    ) -> Result<Vec<u32>> {
        let started = Instant::now();
        let guesses = &self.guesses[..self.evaluated];
        let chosen = session.verify(sequence, &[token], guesses, interrupted, choose)?;
        let duration = started.elapsed();
        let right = self.guesses.iter().zip(&chosen).take_while(|(guess, token)| guess == token).count();
        {
            let mut controller = self.controller();
            controller.took(1 + self.evaluated, duration, self.guessing);
            controller.saw(self.guesses.len(), right, self.likeness);
        }
        self.drafted += self.evaluated;
        self.accepted += right.min(self.evaluated);
        self.guesses.clear();
        self.evaluated = 0;
        self.read(&chosen);
        Ok(chosen)
    }

    /// Takes tokens of the text that came without a [`Self::step`].
    pub fn read(&mut self, tokens: &[u32]) {
        self.text.read(tokens);
    }

    /// How many guesses were evaluated.
    pub fn drafted(&self) -> usize {
        self.drafted
    }

    /// How many of those were right.
    pub fn accepted(&self) -> usize {
        self.accepted
    }

    fn controller(&self) -> MutexGuard<'_, Controller> {
        self.controller.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leaves away the first token that is not wanted, and what follows it.
fn cut_at_first(tokens: &mut Vec<u32>, is_unwanted: impl Fn(u32) -> bool) {
    let wanted = tokens.iter().position(|&token| is_unwanted(token));
    tokens.truncate(wanted.unwrap_or(usize::MAX));
}

#[cfg(test)]
mod tests;
