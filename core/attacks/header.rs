//! Counts that are cut, or that promise more than there is.

use super::Attack;
use super::file::{File, sound};

pub(super) fn attacks() -> Vec<Attack> {
    let (tensor_count, key_count) = ("header field \"tensor_count\"", "header field \"metadata_kv_count\"");
    let cut = |bytes: usize| sound().bytes()[..bytes].to_vec();
    let tensors = |count| File { tensor_count: Some(count), ..sound() }.bytes();
    let keys = |count| File { key_count: Some(count), ..sound() }.bytes();
    vec![
        Attack::new("only_the_magic", "header field \"version\"", cut(4)),
        Attack::new("cut_in_the_version", "header field \"version\"", cut(7)),
        Attack::new("no_tensor_count", tensor_count, cut(8)),
        Attack::new("cut_in_the_tensor_count", tensor_count, cut(15)),
        Attack::new("no_key_count", key_count, cut(16)),
        Attack::new("no_keys_though_counted", "metadata key 1 of 1", cut(24)),
        Attack::new("tensor_count_of_all_ones", tensor_count, tensors(u64::MAX)),
        Attack::new("tensor_count_of_2_to_63", tensor_count, tensors(1 << 63)),
        Attack::new("tensor_count_above_its_cap", tensor_count, tensors((1 << 18) + 1)),
        Attack::new("tensor_count_at_its_cap", "tensor 2 of 262144", tensors(1 << 18)),
        Attack::new("one_tensor_too_many", "tensor 2 of 2", tensors(2)),
        Attack::new("key_count_of_all_ones", key_count, keys(u64::MAX)),
        Attack::new("key_count_above_its_cap", key_count, keys((1 << 16) + 1)),
        Attack::new("key_count_at_its_cap", "metadata key 3 of 65536", keys(1 << 16)),
        Attack::new("one_key_too_many", "name of tensor 1 of 1", keys(2)),
        Attack::new("one_key_too_few", "tensor \"general.architecture\"", keys(0)),
    ]
}
