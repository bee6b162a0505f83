//! Tells what a file is that is no GGUF: the usual mix-ups, each with its way out.

use crate::error::{Error, Result};

/// Refuses bytes that do not start as GGUF does.
pub(super) fn require_gguf(bytes: &[u8]) -> Result<()> {
    if bytes.starts_with(b"GGUF") {
        return Ok(());
    }
    let (finding, hint) = describe(bytes);
    let shown: String =
        bytes.iter().take(4).flat_map(|byte| std::ascii::escape_default(*byte)).map(char::from).collect();
    Err(Error::model_file(format!(
        "{finding}: header field \"magic\" is \"{shown}\", a GGUF file starts with \"GGUF\""
    ))
    .with_hint(hint))
}

const CONVERT: &str = "get a GGUF file of this model, or make one of its folder: edgewise convert DIR \
                       (of a LoRA adapter: edgewise convert DIR --base MODEL_DIR)";
const DOWNLOAD_AGAIN: &str = "the download went wrong; get the file again";
const OLD: &str = "get the GGUF file of this model; this layout was given up in 2023";

fn describe(bytes: &[u8]) -> (&'static str, &'static str) {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    let text = bytes.get(..bytes.len().min(512)).unwrap_or_default().trim_ascii_start().to_ascii_lowercase();
    if bytes.is_empty() {
        ("the file is empty", DOWNLOAD_AGAIN)
    } else if starts(b"version https://git-lfs") {
        (
            "a git-lfs pointer, not the model itself",
            "fetch the model: git lfs pull, or download the file from its web page",
        )
    } else if text.starts_with(b"<!doctype") || text.starts_with(b"<html") || text.starts_with(b"<?xml") {
        ("a web page, not a model", "the address asks for a login, or a portal answered for it; open it in a browser")
    } else if bytes.get(8..10) == Some(b"{\"") {
        ("a safetensors file", CONVERT)
    } else if text.starts_with(b"{") || text.starts_with(b"[") {
        ("a JSON text, not a model", "a server may have answered with an error; look into the file")
    } else if starts(b"PK\x03\x04") || starts(b"PK\x05\x06") {
        (
            "a zip archive, perhaps a PyTorch file",
            "unpack it if it holds a .gguf file; else get a GGUF file of this model",
        )
    } else if starts(b"\x80\x02") || starts(b"\x80\x04") {
        ("a Python pickle, perhaps a PyTorch file", CONVERT)
    } else if starts(b"\x1f\x8b") || starts(b"BZh") || starts(b"\xfd7zXZ") || starts(b"\x28\xb5\x2f\xfd") {
        ("a compressed file", "unpack it first")
    } else if starts(b"FUGG") {
        ("a big-endian GGUF file", "get the little-endian file of this model")
    } else if starts(b"lmgg") || starts(b"fmgg") || starts(b"tjgg") || starts(b"algg") {
        ("a GGML file, the layout before GGUF", OLD)
    } else if b"GGUF".starts_with(bytes) {
        ("the file ends within its first four bytes", DOWNLOAD_AGAIN)
    } else if bytes.iter().take(4096).all(|&byte| byte == 0) {
        ("the file starts with zeros", "the download was started but its start never arrived; get the file again")
    } else if !text.is_empty() && text.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) {
        ("a text, not a model", "a server may have answered with a message; look into the file")
    } else {
        ("not a GGUF file", CONVERT)
    }
}
