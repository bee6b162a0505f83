//! Rotary position embedding: tables of cosines and sines per position, and the rotation of heads by them.
//!
//! Source: ggml's `rope` operator, whose order of float operations is kept so that long contexts agree: the angle of
//! a dimension is the position multiplied, step by step, with `base^(-2 / dimensions)`. YaRN: Peng et al. 2023,
//! arXiv 2309.00071.

use crate::error::Result;
use crate::model::memory;

/// Which two values of a head are rotated together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopeStyle {
    /// Neighbours: 2 i and 2 i + 1 ("normal").
    Pairs,
    /// One of each half: i and i + dimensions / 2 ("neox").
    Halves,
}

/// Rotary embedding of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Which values are rotated together.
    pub style: RopeStyle,
    /// How many values of a head are rotated, from its start.
    pub dimensions: usize,
    /// Base of the geometric series of frequencies.
    pub base: f32,
    /// Positions are multiplied by this: 1 / factor where the context is stretched.
    pub frequency_scale: f32,
    /// YaRN: how much of the unscaled angle is mixed in where frequencies are high; 0 is none.
    pub extrapolation: f32,
    /// Cosines and sines are multiplied by this.
    pub magnitude: f32,
    /// Positions that the frequencies were trained for, before they were stretched.
    pub original_context_length: usize,
}

/// YaRN: rotations within the original context above which a dimension is not scaled at all.
const YARN_BETA_FAST: f32 = 32.0;
/// YaRN: rotations within the original context below which a dimension is scaled fully.
const YARN_BETA_SLOW: f32 = 1.0;

impl Rope {
    /// What cosines and sines are multiplied by in the end: YaRN adds a factor of its own.
    fn table_magnitude(&self) -> f32 {
        if self.extrapolation == 0.0 { self.magnitude } else { self.magnitude * yarn_magnitude(self.frequency_scale) }
    }

    /// YaRN: the dimension pairs between which scaling goes from none to full.
    fn yarn_range(&self) -> (f32, f32) {
        let dimensions = self.dimensions as f32;
        let dimension = |rotations: f32| {
            dimensions * (self.original_context_length as f32 / (rotations * 2.0 * std::f32::consts::PI)).ln()
                / (2.0 * self.base.ln())
        };
        (dimension(YARN_BETA_FAST).floor().max(0.0), dimension(YARN_BETA_SLOW).ceil().min(dimensions - 1.0))
    }

    /// The angle of a dimension pair, from the unscaled angle.
    fn angle(&self, pair: usize, unscaled: f32, (low, high): (f32, f32)) -> f32 {
        let scaled = self.frequency_scale * unscaled;
        if self.extrapolation == 0.0 {
            return scaled;
        }
        let ramp = ((pair as f32 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
        let mix = (1.0 - ramp) * self.extrapolation;
        scaled * (1.0 - mix) + unscaled * mix
    }
}

/// YaRN's correction of the attention temperature for a scale below 1.
fn yarn_magnitude(frequency_scale: f32) -> f32 {
    if frequency_scale < 1.0 { 1.0 + 0.1 * (1.0 / frequency_scale).ln() } else { 1.0 }
}

/// Cosines and sines of the positions of some tokens.
pub(crate) struct RopeTable {
    rope: Rope,
    /// What each frequency is divided by.
    factors: Option<Vec<f32>>,
    cosines: Vec<f32>, // (tokens, dimensions / 2)
    sines: Vec<f32>,   // (tokens, dimensions / 2)
}

impl RopeTable {
    /// Room for `tokens` positions; `factors`, one per dimension pair, divide the frequencies.
    pub(crate) fn new(rope: Rope, factors: Option<Vec<f32>>, tokens: usize) -> Result<Self> {
        let size = tokens * rope.dimensions / 2;
        let (cosines, sines) = (memory::zeros(size, "rotary table")?, memory::zeros(size, "rotary table")?);
        Ok(Self { rope, factors, cosines, sines })
    }

    /// Bytes held.
    pub(crate) fn size_bytes(&self) -> usize {
        size_of_val(&self.cosines[..]) + size_of_val(&self.sines[..])
    }

    /// Fills the table for tokens at these positions.
    pub(crate) fn set(&mut self, positions: impl Iterator<Item = usize>) {
        let pairs = self.rope.dimensions / 2;
        let step = self.rope.base.powf(-2.0 / self.rope.dimensions as f32);
        let (magnitude, range) = (self.rope.table_magnitude(), self.rope.yarn_range());
        let rows = self.cosines.chunks_exact_mut(pairs).zip(self.sines.chunks_exact_mut(pairs));
        for ((cosines, sines), position) in rows.zip(positions) {
            let mut angle = position as f32;
            for pair in 0..pairs {
                let unscaled = self.factors.as_ref().map_or(angle, |factors| angle / factors[pair]);
                let (sine, cosine) = self.rope.angle(pair, unscaled, range).sin_cos();
                (cosines[pair], sines[pair]) = (cosine * magnitude, sine * magnitude);
                angle *= step;
            }
        }
    }

    /// Rotates one head of the token at row `token` of the table.
    pub(crate) fn rotate(&self, token: usize, head: &mut [f32]) {
        let pairs = self.rope.dimensions / 2;
        let cosines = &self.cosines[token * pairs..][..pairs];
        let sines = &self.sines[token * pairs..][..pairs];
        let head = &mut head[..2 * pairs];
        match self.rope.style {
            RopeStyle::Pairs => {
                for ((pair, cosine), sine) in head.chunks_exact_mut(2).zip(cosines).zip(sines) {
                    let (a, b) = (pair[0], pair[1]);
                    pair[0] = a * cosine - b * sine;
                    pair[1] = a * sine + b * cosine;
                }
            }
            RopeStyle::Halves => {
                let (low, high) = head.split_at_mut(pairs);
                for (((a, b), cosine), sine) in low.iter_mut().zip(high).zip(cosines).zip(sines) {
                    (*a, *b) = (*a * cosine - *b * sine, *a * sine + *b * cosine);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rope(style: RopeStyle, dimensions: usize) -> Rope {
        Rope {
            style,
            dimensions,
            base: 10_000.0,
            frequency_scale: 1.0,
            extrapolation: 0.0,
            magnitude: 1.0,
            original_context_length: 4096,
        }
    }

    fn rotated(rope: Rope, factors: Option<Vec<f32>>, position: usize, head: &[f32]) -> Vec<f32> {
        let mut table = RopeTable::new(rope, factors, 1).unwrap();
        table.set(std::iter::once(position));
        let mut head = head.to_vec();
        table.rotate(0, &mut head);
        head
    }

    fn assert_close(a: &[f32], b: &[f32]) {
        assert!(a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5), "{a:?} is not {b:?}");
    }

    #[test]
    fn position_zero_changes_nothing() {
        let head: Vec<f32> = (0..8).map(|i| i as f32).collect();
        assert_eq!(rotated(rope(RopeStyle::Pairs, 8), None, 0, &head), head);
        assert_eq!(rotated(rope(RopeStyle::Halves, 8), None, 0, &head), head);
    }

    #[test]
    fn the_styles_differ_in_which_values_turn_together() {
        let (sine, cosine) = 3.0_f32.sin_cos();
        assert_close(&rotated(rope(RopeStyle::Pairs, 2), None, 3, &[1.0, 0.0, 5.0]), &[cosine, sine, 5.0]);
        let four = rotated(rope(RopeStyle::Halves, 4), None, 3, &[1.0, 0.0, 0.0, 0.0]);
        assert_close(&four, &[cosine, 0.0, sine, 0.0]);
    }

    #[test]
    fn values_beyond_the_rotated_dimensions_stay() {
        let head: Vec<f32> = (1..=8).map(|i| i as f32).collect();
        assert_eq!(rotated(rope(RopeStyle::Halves, 4), None, 9, &head)[4..], head[4..]);
    }

    #[test]
    fn factors_divide_frequencies_and_linear_scaling_divides_positions() {
        let head = [1.0, 0.0];
        let plain = rotated(rope(RopeStyle::Pairs, 2), None, 5, &head);
        assert_close(&rotated(rope(RopeStyle::Pairs, 2), Some(vec![2.0]), 10, &head), &plain);
        let linear = Rope { frequency_scale: 0.5, ..rope(RopeStyle::Pairs, 2) };
        assert_close(&rotated(linear, None, 10, &head), &plain);
    }

    #[test]
    fn yarn_keeps_fast_dimensions_and_scales_slow_ones() {
        let yarn = Rope { frequency_scale: 0.25, extrapolation: 1.0, ..rope(RopeStyle::Pairs, 128) };
        let range = yarn.yarn_range();
        assert!(range.0 > 0.0 && range.1 < 64.0, "{range:?}");
        assert_eq!(yarn.angle(0, 8.0, range), 8.0);
        assert_eq!(yarn.angle(63, 8.0, range), 2.0);
        assert!((yarn.table_magnitude() - (1.0 + 0.1 * 4.0_f32.ln())).abs() < 1e-6);
    }
}
