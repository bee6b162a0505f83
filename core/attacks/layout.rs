//! Tensors that are not where, or not what, their entries say.

use super::Attack;
use super::file::{
    FORMAT_F32, FORMAT_Q4_0, FORMAT_Q4_K, FORMAT_Q8_0, File, sound, string_of_length, tensor, tensor_of_dimensions,
    with_tensors,
};

pub(super) fn attacks() -> Vec<Attack> {
    let mut attacks = names();
    attacks.extend(shapes());
    attacks.extend(formats());
    attacks.extend(offsets());
    attacks.extend(overlaps());
    attacks
}

/// A file that ends after so many bytes of its last tensor's entry.
fn cut_entry(bytes: usize) -> Vec<u8> {
    let entry = sound().tensors[0][..bytes].to_vec();
    File { tensors: vec![entry], ..sound() }.header()
}

fn names() -> Vec<Attack> {
    let first = "name of tensor 1 of 1";
    let long = "x".repeat(1025);
    let twins = [tensor("a", &[32], FORMAT_F32, 0), tensor("a", &[32], FORMAT_F32, 128)];
    vec![
        Attack::new("tensor_name_of_2_to_64_bytes", first, with_tensors([string_of_length(u64::MAX, "a")], 128)),
        Attack::new("tensor_name_past_the_end", first, cut_entry(8)),
        Attack::new("tensor_name_above_its_cap", first, with_tensors([tensor(long, &[32], FORMAT_F32, 0)], 128)),
        Attack::new("tensor_name_empty", first, with_tensors([tensor("", &[32], FORMAT_F32, 0)], 128)),
        Attack::new("tensor_name_not_utf8", "\"\\xff\\xfe\"", with_tensors([tensor(b"\xff\xfe", &[32], 0, 0)], 128)),
        Attack::new("tensor_twice", "tensor \"a\" is there twice", with_tensors(twins, 256)),
        Attack::new("cut_before_the_dimensions", "tensor \"a\"", cut_entry(9)),
        Attack::new("cut_in_the_shape", "tensor \"a\"", cut_entry(17)),
        Attack::new("cut_before_the_format", "tensor \"a\"", cut_entry(21)),
        Attack::new("cut_in_the_offset", "tensor \"a\"", cut_entry(32)),
    ]
}

fn shapes() -> Vec<Attack> {
    let a = "tensor \"a\"";
    let shape = |shape: &[u64]| with_tensors([tensor("a", shape, FORMAT_F32, 0)], 128);
    let dimensions = |dimensions| with_tensors([tensor_of_dimensions("a", dimensions, &[32], FORMAT_F32, 0)], 128);
    vec![
        Attack::new("no_dimensions", a, shape(&[])),
        Attack::new("five_dimensions", a, shape(&[2, 2, 2, 2, 2])),
        Attack::new("dimensions_of_all_ones", a, dimensions(u32::MAX)),
        Attack::new("no_columns", a, shape(&[0])),
        Attack::new("no_rows", a, shape(&[32, 0])),
        Attack::new("no_rows_but_endless_columns", a, shape(&[u64::MAX, 0])),
        Attack::new("columns_of_all_ones", a, shape(&[u64::MAX])),
        Attack::new("columns_of_2_to_63", a, shape(&[1 << 63])),
        Attack::new("bytes_overflow", a, shape(&[1 << 62])),
        Attack::new("bytes_overflow_to_128", a, shape(&[(1 << 62) + 32])),
        Attack::new("shape_overflows_to_0", a, shape(&[1 << 32, 1 << 32])),
        Attack::new("shape_overflows_to_32", a, shape(&[32, (1 << 63) + 1, 2, 1])),
        Attack::new("shape_of_four_overflows", a, shape(&[1 << 16, 1 << 16, 1 << 16, 1 << 16])),
        Attack::new("one_row_too_many", a, shape(&[32, 2])),
        Attack::new("one_column_too_many", a, shape(&[33])),
    ]
}

fn formats() -> Vec<Attack> {
    let a = "tensor \"a\"";
    let format = |format| with_tensors([tensor("a", &[256], format, 0)], 1024);
    vec![
        Attack::new("format_42", a, format(42)),
        Attack::new("format_given_up_4", a, format(4)),
        Attack::new("format_given_up_31", a, format(31)),
        Attack::new("format_of_all_ones", a, format(u32::MAX)),
        Attack::new("row_of_33_in_q4_0", a, with_tensors([tensor("a", &[33], FORMAT_Q4_0, 0)], 128)),
        Attack::new("row_of_32_in_q4_k", a, with_tensors([tensor("a", &[32, 8], FORMAT_Q4_K, 0)], 1024)),
        Attack::new("row_of_16_in_q8_0", a, with_tensors([tensor("a", &[16, 2], FORMAT_Q8_0, 0)], 128)),
        Attack::new("q8_0_one_byte_short", a, with_tensors([tensor("a", &[64], FORMAT_Q8_0, 0)], 67)),
        Attack::new("q4_k_one_byte_short", a, with_tensors([tensor("a", &[256, 3], FORMAT_Q4_K, 0)], 431)),
    ]
}

fn offsets() -> Vec<Attack> {
    let a = "tensor \"a\"";
    let offset = |offset| with_tensors([tensor("a", &[32], FORMAT_F32, offset)], 128);
    vec![
        Attack::new("offset_unaligned", a, offset(4)),
        Attack::new("offset_one_step_too_far", a, offset(32)),
        Attack::new("offset_at_the_end", a, offset(128)),
        Attack::new("offset_past_the_end", a, offset(160)),
        Attack::new("offset_of_2_to_63", a, offset(1 << 63)),
        Attack::new("offset_wraps_around", a, offset(u64::MAX - 31)),
        Attack::new("offset_of_all_ones", a, offset(u64::MAX)),
        Attack::new("offset_unaligned_for_the_file", a, {
            let file = sound().with("general.alignment", super::file::U32, 64u32.to_le_bytes());
            file.tensors([tensor("a", &[32], FORMAT_F32, 32)], 512).bytes()
        }),
        Attack::new("data_one_byte_short", a, with_tensors([tensor("a", &[32], FORMAT_F32, 0)], 127)),
        Attack::new("data_empty", a, with_tensors([tensor("a", &[32], FORMAT_F32, 0)], 0)),
        Attack::new("ends_with_the_header", a, sound().header()),
    ]
}

fn overlaps() -> Vec<Attack> {
    let of = |name: &str, columns, offset| tensor(name, &[columns], FORMAT_F32, offset);
    let overlap = |name, must_name, tensors: &[Vec<u8>]| Attack::new(name, must_name, with_tensors(tensors, 1024));
    vec![
        overlap("tensors_at_one_place", "tensor \"b\"", &[of("a", 32, 0), of("b", 32, 0)]),
        overlap("tensors_overlap", "tensor \"b\"", &[of("a", 32, 0), of("b", 32, 96)]),
        overlap("tensors_overlap_by_one_value", "tensor \"b\"", &[of("a", 33, 0), of("b", 32, 128)]),
        overlap("tensors_overlap_backwards", "tensor \"b\"", &[of("a", 32, 128), of("b", 64, 0)]),
        overlap("tensor_inside_another", "tensor \"b\"", &[of("a", 128, 0), of("b", 8, 256)]),
        overlap("tensors_overlap_far_apart", "tensor \"c\"", &[of("a", 200, 0), of("b", 8, 832), of("c", 8, 768)]),
    ]
}
