//! Files that are something else: the usual mix-ups, and GGUF of another kind.

use super::Attack;
use super::file::{File, sound};

fn starting_with(magic: &[u8]) -> Vec<u8> {
    let mut bytes = sound().bytes();
    bytes[..magic.len()].copy_from_slice(magic);
    bytes
}

fn of_version(version: u32) -> Vec<u8> {
    File { version, ..sound() }.bytes()
}

const LFS_POINTER: &str = "version https://git-lfs.github.com/spec/v1\n\
    oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 1054336\n";

pub(super) fn attacks() -> Vec<Attack> {
    let magic = "header field \"magic\"";
    let version = "header field \"version\"";
    vec![
        Attack::new("empty_file", "the file is empty", []),
        Attack::new("three_bytes", magic, *b"GGU"),
        Attack::new("magic_in_lower_case", magic, starting_with(b"gguf")),
        Attack::new("zip_archive", "a zip archive", starting_with(b"PK\x03\x04\x14\x00")),
        Attack::new("python_pickle", "a Python pickle", starting_with(b"\x80\x02\x8a\x0al")),
        Attack::new("safetensors", "a safetensors file", starting_with(b"\x40\x00\x00\x00\x00\x00\x00\x00{\"a\"")),
        Attack::new(
            "web_page",
            "a web page",
            *b"<!DOCTYPE html>\n<html><head><title>Sign in to the hotel's network</title>",
        ),
        Attack::new(
            "web_page_after_blank_lines",
            "a web page",
            *b"\r\n\r\n  <HTML lang=\"en\"><body>404</body></HTML>",
        ),
        Attack::new("git_lfs_pointer", "a git-lfs pointer", LFS_POINTER),
        Attack::new("json_error", "a JSON text", *b"{\"error\":\"Repository not found\"}"),
        Attack::new("text_of_a_server", "a text", *b"Invalid username or password."),
        Attack::new("gzip", "a compressed file", starting_with(b"\x1f\x8b\x08\x00")),
        Attack::new("zstandard", "a compressed file", starting_with(b"\x28\xb5\x2f\xfd")),
        Attack::new("ggml_file", "a GGML file", starting_with(b"lmgg")),
        Attack::new("ggjt_file", "a GGML file", starting_with(b"tjgg")),
        Attack::new("only_zeros", "starts with zeros", [0; 4096]),
        Attack::new("noise", magic, [0xa5; 200]),
        Attack::new("big_endian_magic", "big-endian", starting_with(b"FUGG")),
        Attack::new("big_endian_version", "big-endian", of_version(3u32.swap_bytes())),
        Attack::new("version_0", version, of_version(0)),
        Attack::new("version_1", version, of_version(1)),
        Attack::new("version_4", version, of_version(4)),
        Attack::new("version_of_all_ones", version, of_version(u32::MAX)),
    ]
}
