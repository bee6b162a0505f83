//! Tokens that may still be chosen, and the filters that narrow them down.
//!
//! No filter sorts the whole vocabulary: the best candidates are selected and sorted only as far as a filter looks.

use std::cmp::Ordering;

use super::random::{Random, exp};
use super::{LogProbabilities, Mirostat};

/// Candidates sorted at first; each further step sorts this many times more.
const FIRST_SORTED: usize = 64;
const GROWTH: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Candidate {
    logit: f32,
    token: u32,
}

/// Higher logits first; of equal ones the smaller token, so that the choice never depends on the algorithm.
fn best_first(a: &Candidate, b: &Candidate) -> Ordering {
    b.logit.total_cmp(&a.logit).then(a.token.cmp(&b.token))
}

/// Sorts `all[from..to]` to what a full sort would put there, given that `all[..from]` is so already.
fn sort_up_to<T>(all: &mut [T], from: usize, to: usize, order: impl Fn(&T, &T) -> Ordering) {
    let rest = &mut all[from..];
    let count = to - from;
    if count < rest.len() {
        rest.select_nth_unstable_by(count, &order);
    }
    rest[..count].sort_unstable_by(order);
}

/// Length of the shortest prefix, in the order of `order`, that satisfies `enough`; the prefix is left sorted.
fn sorted_prefix<T>(
    all: &mut [T],
    order: impl Fn(&T, &T) -> Ordering,
    mut enough: impl FnMut(&T) -> bool,
) -> Option<usize> {
    let mut sorted = 0;
    while sorted < all.len() {
        let to = (sorted.max(FIRST_SORTED / GROWTH) * GROWTH).min(all.len());
        sort_up_to(all, sorted, to, &order);
        if let Some(i) = all[sorted..to].iter().position(&mut enough) {
            return Some(sorted + i + 1);
        }
        sorted = to;
    }
    None
}

/// The tokens that are left, with their logits.
#[derive(Clone, Debug, Default)]
pub(super) struct Candidates {
    left: Vec<Candidate>,
}

impl Candidates {
    /// Every token with its logit. NaN counts as minus infinity.
    pub(super) fn set(&mut self, logits: &[f32]) {
        self.left.clear();
        self.left.extend((0..).zip(logits).map(|(token, &logit)| Candidate { logit: sanitize(logit), token }));
    }

    /// The tokens of a mask with their logits; see [`allowed_tokens`].
    pub(super) fn set_allowed(&mut self, logits: &[f32], allowed: &[u8]) {
        self.left.clear();
        self.left.extend(
            allowed_tokens(allowed, logits.len())
                .map(|token| Candidate { logit: sanitize(logits[token as usize]), token }),
        );
    }

    /// Whether no token is left.
    pub(super) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// Changes the logit of one token, if it is left; only before the first filter, while the tokens are in order.
    pub(super) fn change(&mut self, token: u32, change: impl Fn(f32) -> f32) {
        let is_at = |place: &usize| self.left.get(*place).is_some_and(|candidate| candidate.token == token);
        let place = Some(token as usize).filter(is_at);
        let place = place.or_else(|| self.left.binary_search_by_key(&token, |candidate| candidate.token).ok());
        if let Some(place) = place {
            self.left[place].logit = sanitize(change(self.left[place].logit));
        }
    }

    /// The most likely token; of equal ones the smallest.
    pub(super) fn best(&self) -> u32 {
        self.left.iter().min_by(|a, b| best_first(a, b)).map_or(0, |best| best.token)
    }

    /// Keeps the `k` most likely tokens; 0 keeps all.
    pub(super) fn top_k(&mut self, k: usize) {
        if k > 0 && k < self.left.len() {
            sort_up_to(&mut self.left, 0, k, best_first);
            self.left.truncate(k);
        }
    }

    /// Keeps the most likely tokens whose probabilities reach `share` together.
    pub(super) fn top_p(&mut self, share: f32) {
        if share >= 1.0 {
            return;
        }
        let maximum = self.maximum();
        let wanted = f64::from(share) * self.total(maximum);
        let mut sum = 0.0;
        let kept = sorted_prefix(&mut self.left, best_first, |candidate| {
            sum += weight(candidate.logit, maximum);
            sum >= wanted
        });
        self.left.truncate(kept.unwrap_or(usize::MAX));
    }

    /// Keeps the tokens with at least `share` of the best token's probability.
    pub(super) fn min_p(&mut self, share: f32) {
        if share <= 0.0 {
            return;
        }
        let maximum = self.maximum();
        let least = f64::from(share.min(1.0));
        self.left.retain(|candidate| weight(candidate.logit, maximum) >= least);
    }

    /// Keeps the tokens whose surprise is nearest to the expected surprise, until they exceed `share` together
    /// (Meister et al., 2022).
    pub(super) fn typical(&mut self, share: f32) {
        if share >= 1.0 {
            return;
        }
        let maximum = self.maximum();
        let total = self.total(maximum);
        let probability = |candidate: &Candidate| weight(candidate.logit, maximum) / total;
        let surprises = self.left.iter().map(|candidate| (probability(candidate), candidate));
        let surprises: Vec<(f64, Candidate)> = surprises.map(|(p, &candidate)| (-p.ln(), candidate)).collect();
        let expected: f64 =
            surprises.iter().map(|(surprise, c)| probability(c) * surprise).filter(|x| x.is_finite()).sum();
        let mut distances = surprises;
        for (surprise, _) in &mut distances {
            *surprise = (*surprise - expected).abs();
        }
        let mut sum = 0.0;
        let order = |a: &(f64, Candidate), b: &(f64, Candidate)| a.0.total_cmp(&b.0).then(best_first(&a.1, &b.1));
        let kept = sorted_prefix(&mut distances, order, |(_, candidate)| {
            sum += probability(candidate);
            sum > f64::from(share)
        });
        distances.truncate(kept.unwrap_or(usize::MAX));
        self.left.clear();
        self.left.extend(distances.into_iter().map(|(_, candidate)| candidate));
    }

    /// Divides the logits, measured from the best one, by a positive temperature.
    pub(super) fn scale(&mut self, temperature: f32) {
        let maximum = self.maximum();
        if maximum > f32::NEG_INFINITY {
            for candidate in &mut self.left {
                candidate.logit = (candidate.logit - maximum) / temperature;
            }
        }
    }

    /// Draws one of the tokens that are left.
    pub(super) fn draw(&mut self, random: &mut Random) -> u32 {
        let maximum = self.maximum();
        let mut rest = random.uniform() * self.total(maximum);
        let mut last = self.best();
        for candidate in &self.left {
            let weight = weight(candidate.logit, maximum);
            if weight > 0.0 {
                last = candidate.token;
                rest -= weight;
            }
            if rest < 0.0 {
                break;
            }
        }
        last
    }

    /// Draws among the tokens whose surprise is within `bound`, and moves the bound towards the target.
    pub(super) fn mirostat(&mut self, mirostat: Mirostat, bound: &mut f64, random: &mut Random) -> u32 {
        let total = self.total(self.maximum());
        // Surprise of a token is log2(total / weight); the best token always stays.
        self.min_p((total * exp(-bound.max(0.0) * std::f64::consts::LN_2)) as f32);
        let token = self.draw(random);
        let maximum = self.maximum();
        let chosen = self.left.iter().find(|candidate| candidate.token == token);
        let chosen = chosen.map_or(1.0, |candidate| weight(candidate.logit, maximum));
        let surprise = (self.total(maximum) / chosen).log2();
        *bound -= f64::from(mirostat.eta) * (surprise - f64::from(mirostat.tau));
        token
    }

    /// Log-probabilities of `chosen` and of the best `top` tokens.
    pub(super) fn log_probabilities(&mut self, chosen: u32, top: usize) -> LogProbabilities {
        let maximum = self.maximum();
        let total = self.total(maximum).ln();
        let of = |candidate: &Candidate| match candidate.logit {
            f32::NEG_INFINITY => f32::NEG_INFINITY,
            logit => (f64::from(logit) - f64::from(maximum) - total) as f32,
        };
        let chosen = self.left.get(chosen as usize).map_or(f32::NEG_INFINITY, of);
        let top = top.min(self.left.len());
        if top > 0 {
            sort_up_to(&mut self.left, 0, top, best_first);
        }
        LogProbabilities { chosen, top: self.left[..top].iter().map(|c| (c.token, of(c))).collect() }
    }

    fn maximum(&self) -> f32 {
        self.left.iter().fold(f32::NEG_INFINITY, |maximum, candidate| maximum.max(candidate.logit))
    }

    fn total(&self, maximum: f32) -> f64 {
        self.left.iter().map(|candidate| weight(candidate.logit, maximum)).sum()
    }
}

/// What [`Candidates::best`] is of all tokens with these logits.
pub(super) fn best_of(logits: &[f32]) -> u32 {
    const RUN: usize = 256; // short enough to be in the cache when it is searched
    let (mut best, mut best_run) = (i32::MIN, 0);
    for (run, logits) in logits.chunks(RUN).enumerate() {
        let most = logits.iter().fold(i32::MIN, |most, &logit| most.max(order_of(logit)));
        if most > best {
            (best, best_run) = (most, run);
        }
    }
    let place = logits.chunks(RUN).nth(best_run).and_then(|run| run.iter().position(|&x| order_of(x) == best));
    place.map_or(0, |place| (best_run * RUN + place) as u32)
}

/// What [`Candidates::best`] is of the tokens of a mask; none if it has none.
pub(super) fn best_allowed(logits: &[f32], allowed: &[u8]) -> Option<u32> {
    // Of equal ones the first, which the key puts above those behind it.
    let key = |token: u32| (order_of(logits[token as usize]), std::cmp::Reverse(token));
    allowed_tokens(allowed, logits.len()).max_by_key(|&token| key(token))
}

/// The tokens below `count` whose bit is set, in order: token `i` has bit `i % 8` of byte `i / 8`. Tokens for which the mask
/// is too short are not in it.
fn allowed_tokens(mask: &[u8], count: usize) -> impl Iterator<Item = u32> {
    let words = mask.chunks(8).enumerate().take(count.div_ceil(64)).map(move |(i, bytes)| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        let rest = count - 64 * i;
        let within = if rest < 64 { (1 << rest) - 1 } else { u64::MAX };
        (64 * i as u32, u64::from_le_bytes(word) & within)
    });
    words.flat_map(|(first, mut word)| {
        std::iter::from_fn(move || {
            let bit = (word != 0).then(|| word.trailing_zeros())?;
            word &= word - 1;
            Some(first + bit)
        })
    })
}

/// An integer that is larger for likelier logits, as [`f32::total_cmp`] orders them.
fn order_of(logit: f32) -> i32 {
    let bits = sanitize(logit).to_bits().cast_signed();
    bits ^ ((bits >> 31).cast_unsigned() >> 1).cast_signed()
}

fn sanitize(logit: f32) -> f32 {
    if logit.is_nan() { f32::NEG_INFINITY } else { logit.min(f32::MAX) }
}

/// Probability relative to the best token's. If nothing has any, all tokens are equal.
fn weight(logit: f32, maximum: f32) -> f64 {
    if maximum == f32::NEG_INFINITY { 1.0 } else { exp(f64::from(logit) - f64::from(maximum)) }
}

#[cfg(test)]
impl Candidates {
    pub(super) fn tokens(&self) -> Vec<u32> {
        self.left.iter().map(|candidate| candidate.token).collect()
    }

    pub(super) fn logits(&self) -> Vec<f32> {
        self.left.iter().map(|candidate| candidate.logit).collect()
    }
}
