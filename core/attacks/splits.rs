//! Shards that do not belong together, or do not belong where they are.

use super::Attack;
use super::file::{FORMAT_F32, File, I32, STRING, U32, sound, string, tensor, with_pair};

/// Shard `number` of two, from 0, with one tensor, as its metadata says.
fn shard(number: u32, count: u32, tensor_name: &str) -> File {
    sound()
        .with("split.no", U32, number.to_le_bytes())
        .with("split.count", U32, count.to_le_bytes())
        .with("split.tensors.count", I32, 2u32.to_le_bytes())
        .tensors([tensor(tensor_name, &[32], FORMAT_F32, 0)], 128)
}

fn name(attack: &str, number: u32) -> String {
    format!("{attack}-{number:05}-of-00002.gguf")
}

/// Two shards, the first one opened.
fn pair(attack: &'static str, must_name: &'static str, first: &File, second: &File) -> Attack {
    let files = vec![(name(attack, 1), first.bytes()), (name(attack, 2), second.bytes())];
    Attack { files, ..Attack::new(attack, must_name, []) }
}

/// The first of two shards alone, under a name of its own.
fn lone(attack: &'static str, must_name: &'static str, file_name: String, file: &File) -> Attack {
    Attack { files: vec![(file_name, file.bytes())], ..Attack::new(attack, must_name, []) }
}

pub(super) fn attacks() -> Vec<Attack> {
    let (first, second) = (shard(0, 2, "a"), shard(1, 2, "b"));
    let cut = File { data: 127, ..second.clone() };
    let three = first.clone().with("split.extra", U32, 0u32.to_le_bytes());
    let miscounted = |count: i32| {
        let mut file = sound().with("split.no", U32, 0u32.to_le_bytes()).with("split.count", U32, 2u32.to_le_bytes());
        file = file.with("split.tensors.count", I32, count.to_le_bytes());
        file
    };
    vec![
        Attack::new("shard_under_a_plain_name", "\"split.no\"", first.bytes()),
        lone("shard_under_anothers_name", "\"split.no\"", name("shard_under_anothers_name", 2), &first),
        lone("shard_alone", "shard_alone-00002-of-00002.gguf", name("shard_alone", 1), &first),
        lone("last_shard_alone", "last_shard_alone-00001-of-00002.gguf", name("last_shard_alone", 2), &second),
        Attack::new("shard_number_at_count", "\"split.no\"", shard(2, 2, "a").bytes()),
        Attack::new("shard_number_missing", "\"split.no\"", with_pair("split.count", U32, 2u32.to_le_bytes())),
        Attack::new("shard_number_as_string", "\"split.no\"", {
            sound().with("split.count", U32, 2u32.to_le_bytes()).with("split.no", STRING, string("0")).bytes()
        }),
        Attack::new("shard_count_as_string", "\"split.count\"", with_pair("split.count", STRING, string("2"))),
        Attack::new("shard_count_negative", "\"split.count\"", with_pair("split.count", I32, (-2i32).to_le_bytes())),
        lone("shard_count_of_all_ones", "of 4294967295", name("shard_count_of_all_ones", 1), &shard(0, u32::MAX, "a")),
        pair("same_shard_twice", "\"split.no\"", &first, &first),
        pair("shards_of_two_counts", "\"split.count\"", &first, &shard(1, 3, "b")),
        pair("second_shard_is_a_whole_model", "\"split.count\"", &first, &sound()),
        pair("shards_share_a_tensor", "tensor \"a\" is there twice", &three, &shard(1, 2, "a")),
        pair("shards_with_a_tensor_too_few", "\"split.tensors.count\"", &miscounted(3), &second),
        pair("shards_with_a_tensor_count_below_zero", "\"split.tensors.count\"", &miscounted(-1), &second),
        pair("second_shard_cut", "tensor \"b\"", &first, &cut),
    ]
}
