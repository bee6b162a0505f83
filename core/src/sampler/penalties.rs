//! Repeat, frequency and presence penalties over the last tokens.

use std::collections::{HashMap, VecDeque};

use super::SamplerOptions;
use super::candidates::Candidates;

/// The last tokens, counted, and what their logits lose.
#[derive(Clone, Debug)]
pub(super) struct Penalties {
    repeat: f32,
    frequency: f32,
    presence: f32,
    last_n: usize,
    window: VecDeque<u32>,
    counts: HashMap<u32, u32>,
}

impl Penalties {
    pub(super) fn new(options: &SamplerOptions) -> Self {
        let (repeat, frequency, presence) =
            (options.repeat_penalty, options.frequency_penalty, options.presence_penalty);
        let off = repeat == 1.0 && frequency == 0.0 && presence == 0.0;
        let last_n = if off { 0 } else { options.penalty_last_n };
        Self { repeat, frequency, presence, last_n, window: VecDeque::new(), counts: HashMap::new() }
    }

    pub(super) fn are_off(&self) -> bool {
        self.last_n == 0
    }

    pub(super) fn accept(&mut self, token: u32) {
        if self.last_n == 0 {
            return;
        }
        if self.window.len() == self.last_n
            && let Some(oldest) = self.window.pop_front()
            && let Some(count) = self.counts.get_mut(&oldest)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&oldest);
            }
        }
        self.window.push_back(token);
        *self.counts.entry(token).or_default() += 1;
    }

    pub(super) fn apply(&self, candidates: &mut Candidates) {
        for (&token, &count) in &self.counts {
            candidates.change(token, |logit| {
                let scaled = if logit <= 0.0 { logit * self.repeat } else { logit / self.repeat };
                scaled - count as f32 * self.frequency - self.presence
            });
        }
    }
}
