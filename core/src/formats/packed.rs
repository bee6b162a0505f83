//! What kernels ask of a block format: its codes as bytes in their natural order, and the scales of their groups.
//!
//! The unit is a span of 256 values: one block of the K formats, eight of the others.

use crate::isa::{LANES, Simd};

/// Values in a span.
pub const SPAN: usize = 256;

/// How codes become values: always `scale * code - something`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zero {
    /// `scale * code - minimum`, each group with a minimum of its own; codes are unsigned, at most 127.
    Minima,
    /// `scale * (code - offset)`; codes are unsigned, at most 127.
    Offset(u8),
    /// `scale * code`, codes signed, given with [`Simd::BIAS`] added.
    Signed,
}

/// A block format that integer kernels can read.
pub trait Packed: 'static {
    /// Bytes of a span.
    const BYTES: usize;
    /// Values that share a scale: 32, or 16 where scales are whole.
    const GROUP: usize;
    /// How codes become values.
    const ZERO: Zero;
    /// Whether activations are rounded to int8 with one scale per 32 values, or per span (which is cheaper; for formats
    /// whose blocks are spans).
    const FINE: bool;
    /// Whether scales are half floats, as the file holds them, and activations are fine.
    const HALF_SCALES: bool = Self::FINE;
    /// The largest magnitude of a code, offset taken off, of formats with whole scales: small integers, times one factor for
    /// the span. Integers then collect the products of a whole span, if those that share a scale fit 16 bits.
    const WHOLE_SCALES: Option<i32> = None;

    /// The codes of a span, 64 in each vector.
    fn codes<S: Simd>(simd: S, span: &[u8]) -> [S::Bytes; 4];

    /// The scale of each group, in two lanes, of formats without whole scales.
    #[inline(always)]
    fn scales<S: Simd>(simd: S, _span: &[u8]) -> S::F32 {
        simd.splat(0.0)
    }

    /// The whole scale of each group, a byte each from the lowest on: signed with [`Zero::Offset`], else unsigned.
    #[inline(always)]
    fn whole_scales(_span: &[u8]) -> u128 {
        0
    }

    /// The factor of whole scales.
    #[inline(always)]
    fn factor<S: Simd>(simd: S, _span: &[u8]) -> S::F32 {
        simd.splat(0.0)
    }

    /// What is subtracted from the values of each group of 16, for [`Zero::Minima`].
    #[inline(always)]
    fn minima<S: Simd>(simd: S, _span: &[u8]) -> S::F32 {
        simd.splat(0.0)
    }

    /// Unpacks the spans of 16 rows, `stride` bytes apart, so that lanes are rows.
    #[inline(always)]
    fn unpack<S: Simd>(simd: S, rows: &[u8], stride: usize, slot: &mut Slot) {
        unpack_row_by_row::<S, Self>(simd, rows, stride, slot);
    }
}

/// What has to be taken from the codes as kernels see them.
#[inline(always)]
pub fn offset<S: Simd, P: Packed + ?Sized>() -> u8 {
    match P::ZERO {
        Zero::Minima => 0,
        Zero::Offset(offset) => offset,
        Zero::Signed => S::BIAS,
    }
}

/// Vectors of 16 rows that a tile holds at most.
pub const TILE_ROWS: usize = 2;

/// A span of some rows, unpacked so that lanes are rows; fits the first-level cache.
#[repr(align(64))]
pub struct Tile {
    /// Four codes of each row: (64, vectors of rows, 16 rows, 4).
    pub codes: [u8; SPAN * TILE_ROWS * LANES],
    /// Scales: (groups, vectors of rows, 16 rows).
    pub scales: [f32; SPAN / 16 * TILE_ROWS * LANES],
    /// Instead of scales, where they are whole, in the form of [`Simd::words`]: (groups, vectors of rows, 16 rows).
    pub whole_scales: [i32; SPAN / 16 * TILE_ROWS * LANES],
    /// Factors of whole scales: (vectors of rows, 16 rows).
    pub factors: [f32; TILE_ROWS * LANES],
    /// Minima, for formats that have them: (groups, vectors of rows, 16 rows).
    pub minima: [f32; SPAN / 16 * TILE_ROWS * LANES],
}

impl Tile {
    /// All zero.
    pub fn new() -> Self {
        Self {
            codes: [0; SPAN * TILE_ROWS * LANES],
            scales: [0.0; SPAN / 16 * TILE_ROWS * LANES],
            whole_scales: [0; SPAN / 16 * TILE_ROWS * LANES],
            factors: [0.0; TILE_ROWS * LANES],
            minima: [0.0; SPAN / 16 * TILE_ROWS * LANES],
        }
    }
}

impl Default for Tile {
    fn default() -> Self {
        Self::new()
    }
}

/// The place of one vector of rows in a tile of `vectors`.
pub struct Slot<'a> {
    /// The tile.
    pub tile: &'a mut Tile,
    /// How many vectors of rows the tile has.
    pub vectors: usize,
    /// Which one this is.
    pub vector: usize,
}

impl Slot<'_> {
    /// Sets codes `4 * four .. 4 * four + 4` of each row.
    #[inline(always)]
    pub fn set_codes<S: Simd>(&mut self, simd: S, four: usize, codes: S::Bytes) {
        simd.store_bytes(codes, &mut self.tile.codes[(four * self.vectors + self.vector) * 64..]);
    }

    /// Sets the scale of a group in each row.
    #[inline(always)]
    pub fn set_scales<S: Simd>(&mut self, simd: S, group: usize, scales: S::F32) {
        simd.store(scales, &mut self.tile.scales[(group * self.vectors + self.vector) * LANES..]);
    }

    /// Sets the whole scale of a group in each row.
    #[inline(always)]
    pub fn set_whole_scales<S: Simd>(&mut self, simd: S, group: usize, scales: S::I32) {
        let at = (group * self.vectors + self.vector) * LANES;
        simd.store_i32(simd.words(scales), &mut self.tile.whole_scales[at..]);
    }

    /// Sets the factor of whole scales in each row.
    #[inline(always)]
    pub fn set_factors<S: Simd>(&mut self, simd: S, factors: S::F32) {
        simd.store(factors, &mut self.tile.factors[self.vector * LANES..]);
    }

    /// Sets the minimum of a group in each row.
    #[inline(always)]
    pub fn set_minima<S: Simd>(&mut self, simd: S, group: usize, minima: S::F32) {
        simd.store(minima, &mut self.tile.minima[(group * self.vectors + self.vector) * LANES..]);
    }
}

/// The default of [`Packed::unpack`]: unpacks each row as for a dot product, then turns the square.
#[inline(always)]
fn unpack_row_by_row<S: Simd, P: Packed + ?Sized>(simd: S, rows: &[u8], stride: usize, slot: &mut Slot) {
    let mut codes = [0; LANES * SPAN];
    let mut scales = [0; LANES * 64];
    let mut minima = [0; LANES * 64];
    for row in 0..LANES {
        let span = &rows[row * stride..][..P::BYTES];
        let quarters = P::codes(simd, span);
        for i in 0..4 {
            simd.store_bytes(quarters[i], &mut codes[row * SPAN + 64 * i..]);
        }
        simd.store_bytes(simd.bytes_from_f32(P::scales(simd, span)), &mut scales[64 * row..]);
        if P::ZERO == Zero::Minima {
            simd.store_bytes(simd.bytes_from_f32(P::minima(simd, span)), &mut minima[64 * row..]);
        }
    }
    for i in 0..SPAN / 16 {
        let fours = simd.transpose(&codes, 16 * i, SPAN);
        for j in 0..4 {
            slot.set_codes(simd, 4 * i + j, fours[j]);
        }
    }
    let wide = P::GROUP / 16;
    for i in 0..4 {
        let of_groups = simd.transpose(&scales, 16 * i, 64);
        for j in (0..4).step_by(wide) {
            slot.set_scales(simd, (4 * i + j) / wide, simd.f32_from_bytes(of_groups[j]));
        }
        if P::ZERO == Zero::Minima {
            let of_groups = simd.transpose(&minima, 16 * i, 64);
            for j in (0..4).step_by(wide) {
                slot.set_minima(simd, (4 * i + j) / wide, simd.f32_from_bytes(of_groups[j]));
            }
        }
    }
}

/// The half float at `at`, as bits.
#[inline(always)]
pub(super) fn half_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// The four half floats from `at` on.
#[inline(always)]
pub(super) fn four_halves(bytes: &[u8], at: usize) -> &[u8; 8] {
    bytes[at..].first_chunk().expect("a span holds four halves")
}

/// Nibbles of two blocks of 32 whose 16 bytes start at `first` and `second`: low ones first, then high ones, per block.
#[inline(always)]
pub(super) fn block_nibbles<S: Simd>(simd: S, span: &[u8], first: usize, second: usize) -> S::Bytes {
    let (a, b) = (&span[first..], &span[second..]);
    let bytes = simd.load_quarters(a, a, b, b);
    simd.and(simd.shift_right_quarters::<0, 4, 0, 4>(bytes), simd.splat_byte(15))
}

/// `WIDTH` bits of 32 bytes from bit `from` on, then the bits that follow them, all moved to bit `to`.
#[inline(always)]
pub(super) fn span_bits<S: Simd, const WIDTH: i32>(simd: S, bytes: &[u8], from: i32, to: i32) -> S::Bytes {
    let bytes = simd.load_halves(bytes, bytes);
    let mask = ((1 << WIDTH) - 1) << to;
    simd.and(simd.shift_halves(bytes, [from - to, from + WIDTH - to]), simd.splat_byte(mask as u8))
}

/// The pairs of bits of 64 bytes, as `q2_k` and `q3_k` have them.
#[inline(always)]
pub(super) fn span_pairs<S: Simd>(simd: S, bytes: &[u8]) -> [S::Bytes; 4] {
    [
        span_bits::<S, 2>(simd, bytes, 0, 0),
        span_bits::<S, 2>(simd, bytes, 4, 0),
        span_bits::<S, 2>(simd, &bytes[32..], 0, 0),
        span_bits::<S, 2>(simd, &bytes[32..], 4, 0),
    ]
}

/// The half float at `start` in each of 16 rows.
#[inline(always)]
pub(super) fn halves_of_rows<S: Simd>(simd: S, rows: &[u8], start: usize, stride: usize) -> S::F32 {
    let mut halves = [0; LANES];
    for (row, half) in halves.iter_mut().enumerate() {
        *half = half_at(rows, row * stride + start);
    }
    simd.load_f16(&halves)
}

/// The four bytes of each lane.
#[inline(always)]
pub(super) fn four_bytes<S: Simd>(simd: S, x: S::Bytes) -> [S::I32; 4] {
    [simd.byte::<0>(x), simd.byte::<1>(x), simd.byte::<2>(x), simd.byte::<3>(x)]
}

/// Unpacks the codes of blocks of 32 nibbles, `BLOCK` bytes apart from `FIRST` on; a table may say what code each
/// stands for.
#[inline(always)]
pub(super) fn unpack_nibbles<S: Simd, const BLOCK: usize, const FIRST: usize>(
    simd: S,
    rows: &[u8],
    stride: usize,
    slot: &mut Slot,
    table: Option<&[u8; 16]>,
) {
    let low = simd.splat_byte(15);
    for block in 0..8 {
        let bytes = simd.transpose(rows, BLOCK * block + FIRST, stride);
        for i in 0..4 {
            let (mut a, mut b) = (simd.and(bytes[i], low), simd.and(simd.shift_right::<4>(bytes[i]), low));
            if let Some(table) = table {
                (a, b) = (simd.lookup(table, a), simd.lookup(table, b));
            }
            slot.set_codes(simd, 8 * block + i, a);
            slot.set_codes(simd, 8 * block + 4 + i, b);
        }
    }
}

/// Sets the scales of blocks that are half floats, `BLOCK` bytes apart from `FIRST` on.
#[inline(always)]
pub(super) fn unpack_half_scales<S: Simd, const BLOCK: usize, const FIRST: usize>(
    simd: S,
    rows: &[u8],
    stride: usize,
    slot: &mut Slot,
) {
    for block in 0..8 {
        slot.set_scales(simd, block, halves_of_rows(simd, rows, BLOCK * block + FIRST, stride));
    }
}

/// Evaluates `$body` with `$packed` standing for the kernels' view of `$format`, or `$other` where there is none.
macro_rules! with_packed {
    ($format:expr, $packed:ident => $body:expr, _ => $other:expr) => {
        with_packed!(@ $format, $packed, $body, $other;
            Q4_0 = q4_0::Q4_0, Q4_1 = q4_1::Q4_1, Q5_0 = q5_0::Q5_0, Q5_1 = q5_1::Q5_1, Q8_0 = q8_0::Q8_0,
            Q2K = q2_k::Q2K, Q3K = q3_k::Q3K, Q4K = q4_k::Q4K, Q5K = q5_k::Q5K, Q6K = q6_k::Q6K,
            IQ4NL = iq4_nl::Iq4Nl, IQ4XS = iq4_xs::Iq4Xs, MXFP4 = mxfp4::Mxfp4)
    };
    (@ $format:expr, $packed:ident, $body:expr, $other:expr; $($variant:ident = $file:ident::$name:ident),+) => {
        match $format {
            $($crate::formats::Format::$variant => {
                type $packed = $crate::formats::$file::$name;
                $body
            })+
            _ => $other,
        }
    };
}

pub(crate) use with_packed;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{Format, dequantize};
    use crate::isa::{Isa, Kernel};

    /// The values of 16 rows of one span each, first through `codes`, then through `unpack`.
    struct Values<'a, P>(&'a [u8], std::marker::PhantomData<P>);

    impl<P: Packed> Kernel for Values<'_, P> {
        type Output = [Vec<f32>; 2];

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Self::Output {
            let offset = offset::<S, P>();
            let value = |code: u8, scale: f32, minimum: f32| {
                scale
                    * if S::BIAS == 0 && P::ZERO == Zero::Signed {
                        f32::from(code as i8)
                    } else {
                        f32::from(code) - f32::from(offset)
                    }
                    - minimum
            };
            let mut by_row = Vec::new();
            for span in self.0.chunks_exact(P::BYTES) {
                let (mut codes, mut scales, mut minima) = ([0; SPAN], [0.0; 16], [0.0; 16]);
                for (i, quarter) in P::codes(simd, span).into_iter().enumerate() {
                    simd.store_bytes(quarter, &mut codes[64 * i..]);
                }
                if P::WHOLE_SCALES.is_some() {
                    let whole = P::whole_scales(span).to_le_bytes();
                    let factor = simd.reduce_max(P::factor(simd, span));
                    for (i, scale) in scales.iter_mut().enumerate() {
                        let byte = whole[i * 16 / P::GROUP];
                        let signed = matches!(P::ZERO, Zero::Offset(_));
                        *scale = factor * if signed { f32::from(byte as i8) } else { f32::from(byte) };
                    }
                } else {
                    simd.store(P::scales(simd, span), &mut scales);
                }
                simd.store(P::minima(simd, span), &mut minima);
                by_row.extend((0..SPAN).map(|i| value(codes[i], scales[i / 16], minima[i / 16])));
            }
            let mut tile = Box::<Tile>::default();
            let (vectors, vector) = (2, 1);
            P::unpack(simd, self.0, P::BYTES, &mut Slot { tile: &mut tile, vectors, vector });
            let mut by_panel = Vec::new();
            for row in 0..LANES {
                for i in 0..SPAN {
                    let code = tile.codes[(i / 4 * vectors + vector) * 64 + 4 * row + i % 4];
                    let group = (i / P::GROUP * vectors + vector) * LANES + row;
                    let scale = if P::WHOLE_SCALES.is_some() {
                        f32::from(tile.whole_scales[group] as i16) * tile.factors[vector * LANES + row]
                    } else {
                        tile.scales[group]
                    };
                    by_panel.push(value(code, scale, tile.minima[group]));
                }
            }
            [by_row, by_panel]
        }
    }

    /// Random spans with finite values.
    fn spans(format: Format, count: usize) -> (Vec<u8>, Vec<f32>) {
        let mut state = format.id() + 1;
        let (mut bytes, mut values) = (Vec::new(), Vec::new());
        let mut span = vec![0; format.row_bytes(SPAN).unwrap()];
        let mut out = [0.0; SPAN];
        while values.len() < count * SPAN {
            for byte in &mut span {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = (state >> 24) as u8;
            }
            dequantize(format, &span, &mut out).unwrap();
            if out.iter().all(|x| x.is_finite()) {
                bytes.extend_from_slice(&span);
                values.extend_from_slice(&out);
            }
        }
        (bytes, values)
    }

    #[test]
    fn codes_scales_and_minima_give_the_values_of_the_oracle() {
        let mut seen = 0;
        for &format in Format::ALL {
            with_packed!(format, P => {
                seen += 1;
                assert_eq!(Some(P::BYTES), format.row_bytes(SPAN));
                assert_eq!(P::FINE, format.block_values() == 32);
                let (bytes, expected) = spans(format, LANES);
                for isa in Isa::available() {
                    let found = isa.run(Values::<P>(&bytes, std::marker::PhantomData));
                    for (found, way) in found.iter().zip(["codes", "unpack"]) {
                        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                            let error = (found - expected).abs();
                            assert!(error <= 1e-6 * expected.abs().max(1e-3), "{format}, {}, {way}, {i}: {found} {expected}", isa.name());
                        }
                    }
                }
            }, _ => {});
        }
        assert_eq!(seen, 13);
    }
}
