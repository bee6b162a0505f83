//! Products times whole scales with AVX2, and with the VNNI dot product.

#[allow(clippy::wildcard_imports, reason = "intrinsics have names of their own")]
use std::arch::x86_64::*;

use super::avx2::{F32, Int};
use super::avx2_memory::load_256;
use super::simd::LANES;

/// As words.
#[derive(Clone, Copy)]
pub(super) struct WholeScales {
    /// For each 32 codes: eight times the scale of the first 16, then of the others.
    words: [__m256i; 8],
    /// Of each 16 codes, times what is added to the codes.
    offsets: __m256i,
    factor: __m256,
}

impl WholeScales {
    /// As [`super::Simd::whole_scales`].
    ///
    /// # Safety
    ///
    /// The CPU has AVX2.
    #[inline(always)]
    pub(super) unsafe fn new<const GROUP: usize>(bytes: u128, offset: i16, factor: F32) -> Self {
        // SAFETY: the CPU has AVX2, as the caller knows.
        unsafe {
            let bytes = _mm_set_epi64x((bytes >> 64) as i64, bytes as i64);
            let bytes = if GROUP == 32 { _mm_unpacklo_epi8(bytes, bytes) } else { bytes };
            let natural = if offset == 0 { _mm256_cvtepu8_epi16(bytes) } else { _mm256_cvtepi8_epi16(bytes) };
            let halves = [
                _mm256_permute4x64_epi64::<0b01_00_01_00>(natural),
                _mm256_permute4x64_epi64::<0b11_10_11_10>(natural),
            ];
            let mut words = [natural; 8];
            for (i, words) in words.iter_mut().enumerate() {
                let first = 0x0100 + 0x0202 * (2 * i as i16 % 8);
                let order = _mm256_set_m128i(_mm_set1_epi16(first + 0x0202), _mm_set1_epi16(first));
                *words = _mm256_shuffle_epi8(halves[i / 4], order);
            }
            Self { words, offsets: _mm256_mullo_epi16(natural, _mm256_set1_epi16(-offset)), factor: factor[0] }
        }
    }

    /// As [`super::Simd::add_whole_products`].
    ///
    /// # Safety
    ///
    /// The CPU has AVX2 and FMA, and with `VNNI` AVX-VNNI.
    #[inline(always)]
    pub(super) unsafe fn add_products<const VNNI: bool>(
        &self,
        sum: F32,
        w: &[Int; 4],
        x: &[i8],
        x_factor: f32,
        offset_sums: Option<&[i16; LANES]>,
    ) -> F32 {
        // SAFETY: the CPU has what is used, as the caller knows.
        unsafe {
            let mut totals = [_mm256_setzero_si256(); 2];
            if let Some(sums) = offset_sums {
                totals[0] = _mm256_madd_epi16(load_256(sums), self.offsets);
            }
            for i in 0..8 {
                // Sums of two products fit 16 bits if those of four do.
                let pairs = _mm256_maddubs_epi16(w[i / 2][i % 2], load_256(&x[32 * i..]));
                totals[i % 2] = if VNNI {
                    _mm256_dpwssd_avx_epi32(totals[i % 2], pairs, self.words[i])
                } else {
                    _mm256_add_epi32(totals[i % 2], _mm256_madd_epi16(pairs, self.words[i]))
                };
            }
            let total = _mm256_cvtepi32_ps(_mm256_add_epi32(totals[0], totals[1]));
            let total = _mm256_mul_ps(total, _mm256_set1_ps(x_factor));
            [_mm256_fmadd_ps(total, self.factor, sum[0]), sum[1]]
        }
    }
}
