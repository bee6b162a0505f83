//! How well logits predict a text, and how far they are from those of a reference: what perplexity and the
//! Kullback-Leibler divergence are made of, position by position.

use crate::error::{Error, Result};
use crate::isa::{Chunks, Isa, Kernel, LANES, Pool, Simd};
use crate::kernels::float::largest;

/// Values that are summed in single precision before the sum goes on in double precision.
const PIECE: usize = 32 * LANES;

/// What one position says of a model and its reference; all but the last in nats.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Minus the logarithm of the probability that the model gave the token that followed.
    pub surprise: f64,
    /// The same of the reference.
    pub reference_surprise: f64,
    /// Kullback-Leibler divergence of the model from the reference: the sum over the vocabulary of `p ln(p / q)`, where
    /// the reference gives a token the probability `p` and the model `q`.
    pub divergence: f64,
    /// Whether both find the same token the likeliest.
    pub has_same_top: bool,
}

/// The surprise at each of `targets`, the tokens that followed; `logits` is (targets, vocabulary).
pub fn surprises(pool: &Pool, isa: Isa, logits: &[f32], targets: &[u32]) -> Result<Vec<f64>> {
    let width = width(logits, targets)?;
    let mut found = vec![0.0; targets.len()];
    each(pool, &mut found, &|i| {
        let row = &logits[i * width..][..width];
        isa.run(Weigh { logits: row, other: row }).surprise(row, targets[i])
    });
    check(&found, |&surprise| surprise)?;
    Ok(found)
}

/// The same for a model and its reference, and how far the one is from the other.
pub fn compare(pool: &Pool, isa: Isa, logits: &[f32], reference: &[f32], targets: &[u32]) -> Result<Vec<Comparison>> {
    let width = width(logits, targets)?;
    if reference.len() != logits.len() {
        let (found, needed) = (reference.len() / targets.len().max(1), width);
        return Err(Error::invalid_argument(format!(
            "the reference has a vocabulary of {found} tokens, the model one of {needed}"
        )));
    }
    let mut found = vec![Comparison::default(); targets.len()];
    each(pool, &mut found, &|i| {
        let (row, reference) = (&logits[i * width..][..width], &reference[i * width..][..width]);
        let of_model = isa.run(Weigh { logits: row, other: row });
        let of_reference = isa.run(Weigh { logits: reference, other: row });
        Comparison {
            surprise: of_model.surprise(row, targets[i]),
            reference_surprise: of_reference.surprise(reference, targets[i]),
            divergence: of_reference.distance - (of_reference.normalizer - of_model.normalizer),
            has_same_top: of_model.top == of_reference.top,
        }
    });
    check(&found, |comparison| comparison.surprise + comparison.reference_surprise + comparison.divergence)?;
    Ok(found)
}

/// The size of the vocabulary.
fn width(logits: &[f32], targets: &[u32]) -> Result<usize> {
    let width = logits.len() / targets.len().max(1);
    if width * targets.len() != logits.len() || (width == 0 && !targets.is_empty()) {
        let (values, rows) = (logits.len(), targets.len());
        return Err(Error::invalid_argument(format!("{values} logits are no whole rows for {rows} tokens")));
    }
    match targets.iter().find(|&&token| token as usize >= width) {
        Some(token) => Err(Error::invalid_argument(format!("token {token} is not one of the {width} of this model"))),
        None => Ok(width),
    }
}

fn each<T: Send>(pool: &Pool, out: &mut [T], work: &(dyn Fn(usize) -> T + Sync)) {
    let pieces = Chunks::new(out, 1);
    pool.each(pieces.count(), &|i| pieces.claim(i)[0] = work(i));
}

fn check<T>(found: &[T], value: impl Fn(&T) -> f64) -> Result<()> {
    match found.iter().position(|found| !value(found).is_finite()) {
        Some(row) => {
            Err(Error::model_file(format!("row {row} of the logits is not finite: nothing can be said of it")))
        }
        None => Ok(()),
    }
}

/// Sums over one row of logits, weighted by the probabilities that they mean.
struct Weighed {
    /// The likeliest token, of equal ones the first.
    top: usize,
    /// The logarithm of the sum of `e^logit`: a logit minus this is the logarithm of a probability.
    normalizer: f64,
    /// The mean of `logit - other`.
    distance: f64,
}

impl Weighed {
    fn surprise(&self, logits: &[f32], token: u32) -> f64 {
        self.normalizer - f64::from(logits[token as usize])
    }
}

struct Weigh<'a> {
    logits: &'a [f32],
    other: &'a [f32],
}

impl Kernel for Weigh<'_> {
    type Output = Weighed;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Weighed {
        let largest = largest(simd, self.logits);
        let shift = simd.splat(largest);
        let (mut total, mut distance) = (0.0, 0.0);
        for (logits, other) in self.logits.chunks(PIECE).zip(self.other.chunks(PIECE)) {
            let (mut sum, mut weighted) = (simd.splat(0.0), simd.splat(0.0));
            let (whole, rest) = logits.as_chunks::<LANES>();
            for (x, other) in whole.iter().zip(other.chunks_exact(LANES)) {
                let x = simd.load(x);
                let e = simd.exp(simd.sub(x, shift));
                sum = simd.add(sum, e);
                weighted = simd.mul_add(e, simd.sub(x, simd.load(other)), weighted);
            }
            total += f64::from(simd.reduce_add(sum));
            distance += f64::from(simd.reduce_add(weighted));
            for (x, other) in rest.iter().zip(&other[logits.len() - rest.len()..]) {
                let e = f64::from(x - largest).exp();
                total += e;
                distance += e * f64::from(x - other);
            }
        }
        let top = self.logits.iter().position(|&x| x == largest).unwrap_or(0);
        // The exponential clamps its argument; the differences show what is not finite.
        let normalizer = if distance.is_finite() { f64::from(largest) + total.ln() } else { f64::NAN };
        Weighed { top, normalizer, distance: distance / total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOCABULARIES: [usize; 7] = [1, 15, 16, 17, 511, 513, 2000];

    /// Rows of logits with one clear favourite each, and the tokens that followed.
    fn logits(vocabulary: usize, rows: usize, step: f32) -> Vec<f32> {
        (0..rows * vocabulary).map(|i| (i as f32 * step).sin() * 6.0 + if i % 97 == 3 { 9.0 } else { 0.0 }).collect()
    }

    fn targets(vocabulary: usize, rows: usize) -> Vec<u32> {
        (0..rows).map(|i| (i * 7 % vocabulary) as u32).collect()
    }

    fn log_softmax(row: &[f32]) -> Vec<f64> {
        let largest = row.iter().fold(f64::NEG_INFINITY, |a, &x| a.max(f64::from(x)));
        let sum: f64 = row.iter().map(|&x| (f64::from(x) - largest).exp()).sum();
        row.iter().map(|&x| f64::from(x) - largest - sum.ln()).collect()
    }

    fn top(row: &[f32]) -> usize {
        (0..row.len()).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap()
    }

    #[test]
    fn surprises_and_divergences_match_their_definition() {
        let pool = Pool::new(2);
        for isa in Isa::available() {
            for vocabulary in VOCABULARIES {
                let rows = 5;
                let model = logits(vocabulary, rows, 0.73);
                // Shifted by a constant, which changes no probability.
                let reference: Vec<f32> = logits(vocabulary, rows, 0.74).iter().map(|x| x + 3.0).collect();
                let targets = targets(vocabulary, rows);
                let found = compare(&pool, isa, &model, &reference, &targets).unwrap();
                let alone = surprises(&pool, isa, &model, &targets).unwrap();
                for (i, found) in found.iter().enumerate() {
                    let (q, p) = (&model[i * vocabulary..][..vocabulary], &reference[i * vocabulary..][..vocabulary]);
                    let has_same_top = top(q) == top(p);
                    let (q, p) = (log_softmax(q), log_softmax(p));
                    let divergence: f64 = p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum();
                    let token = targets[i] as usize;
                    let tolerance = 1e-5;
                    assert!((found.surprise + q[token]).abs() < tolerance, "{}, {vocabulary}", isa.name());
                    assert!((found.reference_surprise + p[token]).abs() < tolerance, "{}, {vocabulary}", isa.name());
                    assert!((found.divergence - divergence).abs() < tolerance, "{}, {vocabulary}", isa.name());
                    assert_eq!((found.has_same_top, found.surprise), (has_same_top, alone[i]));
                }
            }
        }
    }

    #[test]
    fn small_divergences_keep_their_digits() {
        let pool = Pool::new(1);
        let vocabulary = 32_000;
        let reference = logits(vocabulary, 1, 0.73);
        let model: Vec<f32> = reference.iter().enumerate().map(|(i, x)| x + 4e-3 * (i as f32).cos()).collect();
        let (p, q) = (log_softmax(&reference), log_softmax(&model));
        let expected: f64 = p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum();
        for isa in Isa::available() {
            let found = compare(&pool, isa, &model, &reference, &[0]).unwrap()[0].divergence;
            assert!((found / expected - 1.0).abs() < 1e-2, "{}: {found} {expected}", isa.name());
        }
    }

    #[test]
    fn of_equal_tokens_the_first_is_the_top() {
        let isa = Isa::detect();
        let found = compare(&Pool::new(1), isa, &[1.0, 5.0, 5.0], &[0.0, 7.0, 6.0], &[0]).unwrap();
        assert!(found[0].has_same_top);
        let found = compare(&Pool::new(1), isa, &[1.0, 5.0, 5.0], &[0.0, 6.0, 7.0], &[0]).unwrap();
        assert!(!found[0].has_same_top);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (pool, isa) = (Pool::new(1), Isa::detect());
        let refused = |result: Result<Vec<f64>>, words: &str| {
            let error = result.unwrap_err();
            assert!(error.message().contains(words), "{error}");
        };
        refused(surprises(&pool, isa, &[0.0; 5], &[0, 0]), "no whole rows");
        refused(surprises(&pool, isa, &[], &[0]), "no whole rows");
        refused(surprises(&pool, isa, &[0.0; 6], &[0, 3]), "token 3 is not one of the 3");
        refused(surprises(&pool, isa, &[0.0, f32::NAN], &[0]), "row 0 of the logits is not finite");
        refused(surprises(&pool, isa, &[0.0, 0.0, f32::INFINITY, 0.0], &[0, 0]), "row 1");
        let other = compare(&pool, isa, &[0.0; 6], &[0.0; 4], &[0, 1]).unwrap_err();
        assert!(other.message().contains("vocabulary of 2 tokens, the model one of 3"), "{other}");
        assert!(surprises(&pool, isa, &[], &[]).unwrap().is_empty());
    }
}
