//! Keys and values that lie about their type or length, or that the layout cannot use.

use super::Attack;
use super::file::{
    ARRAY, BOOL, F32, I32, STRING, U8, U32, U64, array, ending_in, pair, sound, string, string_of_length, with_pair,
};

pub(super) fn attacks() -> Vec<Attack> {
    let mut attacks = keys();
    attacks.extend(values());
    attacks.extend(arrays());
    attacks.extend(alignments());
    attacks
}

/// A file whose second key is encoded like this.
fn with_key(encoded: Vec<u8>) -> Vec<u8> {
    let mut file = sound();
    file.pairs.push([encoded, U32.to_le_bytes().to_vec(), vec![1, 0, 0, 0]].concat());
    file.bytes()
}

fn keys() -> Vec<Attack> {
    let second = "metadata key 2 of 2";
    let one = 1u32.to_le_bytes();
    vec![
        Attack::new("key_of_2_to_64_bytes", second, with_key(string_of_length(u64::MAX, "x"))),
        Attack::new("key_past_the_end", second, with_key(string_of_length(4096, "x"))),
        Attack::new("key_above_its_cap", second, with_pair("x".repeat(1 << 16), U32, one)),
        Attack::new("key_without_a_name", second, with_pair("", U32, one)),
        Attack::new("key_not_utf8", "\"caf\\xe9\"", with_pair(b"caf\xe9", U32, one)),
        Attack::new("key_of_a_lone_surrogate", "\"\\xed\\xa0\\x80\"", with_pair(b"\xed\xa0\x80", U32, one)),
        Attack::new("key_twice", "\"general.architecture\" is there twice", {
            with_pair("general.architecture", STRING, string("llama"))
        }),
        Attack::new("key_twice_of_two_types", "\"general.architecture\" is there twice", {
            with_pair("general.architecture", U32, one)
        }),
        Attack::new("key_twice_far_apart", "\"x\" is there twice", {
            sound().with("x", U32, one).with("y", U32, one).with("z", U32, one).with("x", U32, one).bytes()
        }),
        Attack::new(
            "key_with_control_characters",
            "metadata key \"a\\n\\u{1b}[31m\"",
            with_pair("a\n\u{1b}[31m", 99, one),
        ),
    ]
}

fn values() -> Vec<Attack> {
    vec![
        Attack::new("value_type_13", "metadata key \"x\"", with_pair("x", 13, [0; 8])),
        Attack::new("value_type_of_all_ones", "metadata key \"x\"", with_pair("x", u32::MAX, [0; 8])),
        Attack::new("no_value_type", "metadata key \"x\"", {
            let header = ending_in("x", U32, []);
            header[..header.len() - 2].to_vec()
        }),
        Attack::new("no_value", "metadata key \"x\"", ending_in("x", U32, [])),
        Attack::new("u32_cut", "metadata key \"x\"", ending_in("x", U32, [1, 2, 3])),
        Attack::new("u64_cut", "metadata key \"x\"", ending_in("x", U64, [1, 2, 3, 4, 5, 6, 7])),
        Attack::new("f32_cut", "metadata key \"x\"", ending_in("x", F32, [1])),
        Attack::new("bool_of_2", "metadata key \"x\"", with_pair("x", BOOL, [2])),
        Attack::new("bool_missing", "metadata key \"x\"", ending_in("x", BOOL, [])),
        Attack::new("string_of_2_to_64_bytes", "metadata key \"x\"", with_pair("x", STRING, u64::MAX.to_le_bytes())),
        Attack::new(
            "string_of_2_to_63_bytes",
            "metadata key \"x\"",
            with_pair("x", STRING, (1u64 << 63).to_le_bytes()),
        ),
        Attack::new(
            "string_above_its_cap",
            "metadata key \"x\"",
            with_pair("x", STRING, ((1u64 << 26) + 1).to_le_bytes()),
        ),
        Attack::new("string_past_the_end", "metadata key \"x\"", ending_in("x", STRING, string_of_length(5, "four"))),
        Attack::new("string_without_length", "metadata key \"x\"", ending_in("x", STRING, [1, 0, 0])),
    ]
}

/// Arrays in arrays, the innermost one empty.
fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = array(ARRAY, 1, []).repeat(depth - 1);
    bytes.extend(array(U8, 0, []));
    bytes
}

fn arrays() -> Vec<Attack> {
    let x = "metadata key \"x\"";
    let strings = |length, values: Vec<u8>| ending_in("x", ARRAY, array(STRING, length, values));
    vec![
        Attack::new("array_of_type_13", x, with_pair("x", ARRAY, array(13, 1, [0; 8]))),
        Attack::new("array_without_type", x, ending_in("x", ARRAY, [8, 0])),
        Attack::new("array_without_length", x, ending_in("x", ARRAY, [8, 0, 0, 0, 1, 0])),
        Attack::new("array_of_2_to_64_values", x, with_pair("x", ARRAY, array(U8, u64::MAX, []))),
        Attack::new("array_whose_size_overflows", x, with_pair("x", ARRAY, array(U64, 1 << 61, []))),
        Attack::new("array_above_its_cap", x, with_pair("x", ARRAY, array(U8, (1 << 24) + 1, []))),
        Attack::new("array_at_its_cap_of_nothing", x, with_pair("x", ARRAY, array(U64, 1 << 24, []))),
        Attack::new("array_of_u8_past_the_end", x, ending_in("x", ARRAY, array(U8, 5, [1, 2, 3, 4]))),
        Attack::new("array_of_f32_past_the_end", x, ending_in("x", ARRAY, array(F32, 2, [0; 7]))),
        Attack::new("array_of_bools_with_255", x, with_pair("x", ARRAY, array(BOOL, 3, [0, 1, 255]))),
        Attack::new("array_of_strings_at_its_cap", x, strings(1 << 24, vec![])),
        Attack::new("array_of_strings_one_short", x, strings(3, [string("a"), string("b")].concat())),
        Attack::new("array_with_a_string_of_2_to_64_bytes", x, strings(1, u64::MAX.to_le_bytes().to_vec())),
        Attack::new(
            "array_with_a_string_past_the_end",
            x,
            strings(2, [string("a"), string_of_length(9, "b")].concat()),
        ),
        Attack::new("array_nested_five_deep", x, with_pair("x", ARRAY, nested(5))),
        Attack::new("array_nested_ten_thousand_deep", x, with_pair("x", ARRAY, nested(10_000))),
        Attack::new("array_of_arrays_at_its_cap", x, ending_in("x", ARRAY, array(ARRAY, 1 << 24, nested(1)))),
    ]
}

fn alignments() -> Vec<Attack> {
    let key = "general.alignment";
    let named = "\"general.alignment\"";
    let of = |alignment: u32| with_pair(key, U32, alignment.to_le_bytes());
    vec![
        Attack::new("alignment_0", named, of(0)),
        Attack::new("alignment_1", named, of(1)),
        Attack::new("alignment_24", named, of(24)),
        Attack::new("alignment_33", named, of(33)),
        Attack::new("alignment_of_2_to_17", named, of(1 << 17)),
        Attack::new("alignment_of_2_to_31", named, of(1 << 31)),
        Attack::new("alignment_of_all_ones", named, with_pair(key, U64, u64::MAX.to_le_bytes())),
        Attack::new("alignment_negative", named, with_pair(key, I32, (-32i32).to_le_bytes())),
        Attack::new("alignment_as_string", named, with_pair(key, STRING, string("32"))),
        Attack::new("alignment_as_array", named, with_pair(key, ARRAY, array(U32, 1, 32u32.to_le_bytes()))),
        Attack::new("alignment_as_float", named, with_pair(key, F32, 32f32.to_le_bytes())),
        Attack::new("alignment_twice", named, {
            let mut file = sound();
            file.pairs.extend([pair(key, U32, 32u32.to_le_bytes()), pair(key, U32, 64u32.to_le_bytes())]);
            file.bytes()
        }),
    ]
}
