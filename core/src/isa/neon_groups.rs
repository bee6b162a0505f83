//! Products of groups of codes with NEON, and times whole scales.

use std::arch::aarch64::*;

use super::neon::{Bytes, F32, I32, Products, cpu};
use super::neon_memory::load_one;
use super::simd::LANES;

/// The sums of products of 256 codes, one lane for each group of 16, or of 32, of which there are half as many.
#[inline(always)]
pub(super) fn group_products<P: Products, const GROUP: usize>(cpu: P, w: &[Bytes; 4], x: &[i8]) -> I32 {
    // One register for each group.
    let each = GROUP / 16;
    let mut groups = [cpu!(vdupq_n_s32(0)); 16];
    for i in 0..16 {
        groups[i / each] = cpu.dot(groups[i / each], w[i / 4][i % 4], load_one(&x[16 * i..]));
    }
    let mut products = cpu!([vdupq_n_s32(0); 4]);
    for i in 0..4 / each {
        let four = &groups[4 * i..];
        products[i] = cpu!(vpaddq_s32(vpaddq_s32(four[0], four[1]), vpaddq_s32(four[2], four[3])));
    }
    products
}

/// One lane for each group.
#[derive(Clone, Copy)]
pub(super) struct WholeScales {
    /// Of groups of 16, or of 32, of which there are half as many.
    scales: I32,
    /// Of groups of 16, times what is added to the codes.
    offsets: [int16x8_t; 2],
    factor: float32x4_t,
}

/// Bytes with their signs, or without signs.
#[inline(always)]
fn widen(bytes: uint8x16_t, signed: bool) -> [int16x8_t; 2] {
    cpu! {
        if signed {
            let bytes = vreinterpretq_s8_u8(bytes);
            [vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes)]
        } else {
            [vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(bytes))), vreinterpretq_s16_u16(vmovl_high_u8(bytes))]
        }
    }
}

impl WholeScales {
    /// As [`super::Simd::whole_scales`].
    #[inline(always)]
    pub(super) fn new<const GROUP: usize>(bytes: u128, offset: i16, factor: F32) -> Self {
        cpu! {
            let bytes = vcombine_u8(vcreate_u8(bytes as u64), vcreate_u8((bytes >> 64) as u64));
            let [a, b] = widen(bytes, offset != 0);
            let scales = [vmovl_s16(vget_low_s16(a)), vmovl_high_s16(a), vmovl_s16(vget_low_s16(b)), vmovl_high_s16(b)];
            let [a, b] = if GROUP == 32 { widen(vzip1q_u8(bytes, bytes), offset != 0) } else { [a, b] };
            Self { scales, offsets: [vmulq_n_s16(a, -offset), vmulq_n_s16(b, -offset)], factor: factor[0] }
        }
    }

    /// As [`super::Simd::add_whole_products`], with the products of each group.
    #[inline(always)]
    pub(super) fn add_products<const GROUP: usize>(
        &self,
        sum: F32,
        products: I32,
        x_factor: f32,
        offset_sums: Option<&[i16; LANES]>,
    ) -> F32 {
        cpu! {
            let mut total = vmulq_s32(products[0], self.scales[0]);
            for i in 1..64 / GROUP {
                total = vmlaq_s32(total, products[i], self.scales[i]);
            }
            if let Some(sums) = offset_sums {
                for i in 0..2 {
                    let sums = vreinterpretq_s16_u8(load_one(&sums[8 * i..]));
                    total = vmlal_s16(total, vget_low_s16(sums), vget_low_s16(self.offsets[i]));
                    total = vmlal_high_s16(total, sums, self.offsets[i]);
                }
            }
            let total = vmulq_n_f32(vcvtq_f32_s32(total), x_factor);
            [vfmaq_f32(sum[0], total, self.factor), sum[1], sum[2], sum[3]]
        }
    }
}
