//! Decides how many tokens to guess.

use std::time::Duration;

use super::LONGEST_STEP;
use super::ngrams::LONGEST_LIKENESS;

/// How often guesses are taken to be right at first: with up to so many tokens alike before them.
const LIKELY: [(usize, f64); 4] = [(4, 0.5), (8, 0.75), (16, 0.9), (LONGEST_LIKENESS, 0.95)];
/// How fast estimates follow what is measured.
const RATE: f64 = 0.1;
/// What a step of one more token is taken to cost, in steps of one token, until it is measured.
const ASSUMED_COST: f64 = 0.1;
/// After so many steps the duration of a plain one is measured again.
const MEASURE_EVERY: usize = 64;
/// How much faster than plain decoding a guess must promise to be.
const MARGIN: f64 = 1.05;
/// Steps before guesses that cost something are tried again: at first, and at last.
const PAUSES: (usize, usize) = (8, 512);

/// Decides how many tokens to guess, from how often guesses are right and what steps cost.
#[derive(Clone, Debug)]
pub struct Controller {
    /// Per likeness, the probability that a guess is right if all before it were.
    right: [f64; LIKELY.len()],
    /// Seconds that a step of so many tokens takes, the first entry of one token; 0 while unknown.
    step_s: [f64; LONGEST_STEP],
    /// Seconds that it takes to guess one token.
    guess_s: f64,
    /// Steps since a plain one.
    since_plain: usize,
    /// Steps until guesses that cost something are tried again, and how many those will be the next time.
    pause: usize,
    next_pause: usize,
    is_eager: bool,
}

impl Default for Controller {
    fn default() -> Self {
        Self {
            right: LIKELY.map(|(_, probability)| probability),
            step_s: [0.0; LONGEST_STEP],
            guess_s: 0.0,
            since_plain: 0,
            pause: PAUSES.0,
            next_pause: 2 * PAUSES.0,
            is_eager: false,
        }
    }
}

impl Controller {
    /// Guesses as much as it may, whatever comes of it.
    pub fn eager() -> Self {
        Self { is_eager: true, ..Self::default() }
    }

    /// How many tokens to guess, at most `most`; 0 if none is fastest, or to measure a plain step.
    pub fn choose(&self, most: usize, likeness: usize) -> usize {
        if self.is_eager {
            return most;
        }
        if self.is_due_to_measure() {
            return 0;
        }
        let right = self.right[level(likeness)];
        let (mut best, mut best_rate) = (0, MARGIN / self.step_s[0]);
        let (mut expected, mut all_right) = (1.0, 1.0);
        for count in 1..=most.min(LONGEST_STEP - 1) {
            all_right *= right;
            expected += all_right;
            let rate = expected / (self.cost(count + 1) + count as f64 * self.guess_s);
            if rate > best_rate {
                (best, best_rate) = (count, rate);
            }
        }
        best
    }

    /// The same for guesses that cost something: they cannot be made just to see whether they would be right, so one is
    /// tried after pauses that get longer.
    pub fn choose_costly(&mut self, most: usize) -> usize {
        let best = self.choose(most, 0);
        if best > 0 || most == 0 || self.is_due_to_measure() {
            return best;
        }
        self.pause -= 1;
        if self.pause > 0 {
            return 0;
        }
        (self.pause, self.next_pause) = (self.next_pause, (2 * self.next_pause).min(PAUSES.1));
        1
    }

    /// Takes note that of so many guesses the first `right` were right.
    pub fn saw(&mut self, guessed: usize, right: usize, likeness: usize) {
        let estimate = &mut self.right[level(likeness)];
        for i in 0..guessed.min(right + 1) {
            *estimate += RATE * (if i < right { 1.0 } else { 0.0 } - *estimate);
        }
        if right > 0 && right == guessed {
            (self.pause, self.next_pause) = (PAUSES.0, 2 * PAUSES.0);
        }
    }

    /// Takes note of how long a step of so many tokens took, and guessing all but one of them.
    pub fn took(&mut self, tokens: usize, step: Duration, guessing: Duration) {
        let Some(known) = tokens.checked_sub(1).and_then(|index| self.step_s.get_mut(index)) else { return };
        let step_s = step.as_secs_f64();
        if *known == 0.0 {
            *known = step_s;
        } else {
            // A step that something else disturbed counts as one of twice the usual duration.
            *known += RATE * (step_s.min(2.0 * *known) - *known);
        }
        self.since_plain = if tokens == 1 { 0 } else { self.since_plain + 1 };
        if tokens > 1 {
            // The first guess of an answer may have to read its prompt, which later ones do not.
            let guess_s = guessing.as_secs_f64().min(step_s) / (tokens - 1) as f64;
            self.guess_s += RATE * (guess_s - self.guess_s);
        }
    }

    /// Whether the next step has to be a plain one, so that its duration is known.
    fn is_due_to_measure(&self) -> bool {
        self.step_s[0] == 0.0 || self.since_plain >= MEASURE_EVERY
    }

    /// Seconds of a step, as measured or in proportion to the nearest that was.
    fn cost(&self, tokens: usize) -> f64 {
        let known = (1..=LONGEST_STEP).filter(|&known| self.step_s[known - 1] > 0.0);
        let Some(nearest) = known.min_by_key(|known| known.abs_diff(tokens)) else { return 0.0 };
        let assumed = |tokens: usize| 1.0 + ASSUMED_COST * (tokens - 1) as f64;
        self.step_s[nearest - 1] * assumed(tokens) / assumed(nearest)
    }
}

fn level(likeness: usize) -> usize {
    LIKELY.iter().position(|&(most, _)| likeness <= most).unwrap_or(LIKELY.len() - 1)
}
