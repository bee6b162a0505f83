//! A small file cannot make the process ask for much memory, whatever counts and lengths it claims.
//!
//! What counts is what is asked for, touched or not: the peak of the address space, which Linux keeps for each process.
//! So this file holds one test, and nothing runs beside it.

use std::sync::Arc;

use edgewise_core::gguf::Gguf;
use edgewise_core::model::Model;

#[path = "../attacks/mod.rs"]
#[allow(dead_code, reason = "this test takes the files alone")]
mod attacks;

const LARGEST_REQUEST: u64 = 1 << 20;

/// Largest address space that this process has had, in bytes; none where there is no procfs.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

/// Raises the address space to its peak, so that the peak rises with whatever is asked for next.
fn fill_up_to_the_peak(peak: u64) -> Vec<Vec<u8>> {
    let mut held = Vec::new();
    while peak_bytes().is_some_and(|bytes| bytes == peak) {
        held.push(std::hint::black_box(Vec::with_capacity(256 << 10)));
    }
    held
}

#[test]
fn no_small_file_makes_the_process_ask_for_a_megabyte() {
    let attacks: Vec<_> = attacks::all().into_iter().filter(|attack| attack.files[0].1.len() <= 2048).collect();
    assert!(attacks.len() >= 80);
    let Some(start) = peak_bytes() else {
        eprintln!("skipped: no /proc/self/status on this system");
        return;
    };
    let held = fill_up_to_the_peak(start);
    let before = peak_bytes().unwrap();
    for attack in &attacks {
        let opened = Gguf::from_bytes(attack.files[0].1.clone());
        let _ = std::hint::black_box(opened.and_then(|gguf| Model::load(Arc::new(gguf))));
        let asked = peak_bytes().unwrap() - before;
        assert!(asked <= LARGEST_REQUEST, "{}, {}: {asked} bytes asked for", attack.name, attack.must_name);
    }
    // The measure itself works: it sees a request that is never touched.
    let request = std::hint::black_box(Vec::<u8>::with_capacity(2 * LARGEST_REQUEST as usize));
    let asked = peak_bytes().unwrap() - before;
    assert!(asked > LARGEST_REQUEST, "a request of {} bytes shows as {asked}", request.capacity());
    drop(held);
}
