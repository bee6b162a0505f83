//! Bytes of a model: mapped from a file, or held in memory.

use std::fs::{File, Metadata};
use std::io;
use std::ops::{Deref, Range};
use std::path::Path;
#[cfg(target_os = "linux")]
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use memmap2::Advice;
use memmap2::Mmap;

use crate::error::{Error, ErrorKind, Result};

/// Read-only bytes that stay where they are.
pub(super) enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

impl Bytes {
    /// Lets the system take back the memory of a range; a later read gets it from the file again.
    pub(super) fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        if let Self::Mapped(map) = self {
            // SAFETY: the map is read-only and of a file, so that the pages hold nothing that the file does not.
            let _ = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len()) };
        }
    }
}

/// Maps a regular file for reading.
pub(super) fn map(path: &Path) -> Result<Bytes> {
    // Looked at before it is opened: to open a pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(|error| io_error(&error, "does not open"))?;
    require_regular(path, &metadata)?;
    let file = File::open(path).map_err(|error| io_error(&error, "does not open"))?;
    let metadata = file.metadata().map_err(|error| io_error(&error, "does not open"))?;
    require_regular(path, &metadata)?;
    if metadata.len() == 0 {
        return Ok(Bytes::Owned(Vec::new())); // an empty map is an error on some systems; `sniff` says what is wrong
    }
    // SAFETY: the map is read-only and lives as long as the file's bytes are used. What remains is a promise of the caller,
    // written at `Gguf::open`: nobody changes or cuts the file meanwhile, which replacing it by rename never does.
    let map = unsafe { Mmap::map(&file) }.map_err(|error| io_error(&error, "cannot be mapped"))?;
    // Fewer, larger pages, where the file system has them and the file is not cached in small ones already: on virtual
    // machines the reads of small pages cost more than the bytes. Elsewhere the advice is refused, which is fine.
    #[cfg(target_os = "linux")]
    let _ = map.advise(Advice::HugePage);
    Ok(Bytes::Mapped(map))
}

/// How much is mapped at a time.
#[cfg(target_os = "linux")]
const PIECE: usize = 4 << 20;
/// What a piece may take if it is in memory, and what the system may take in between for others.
#[cfg(target_os = "linux")]
const PIECE_TIME: Duration = Duration::from_micros(300);
#[cfg(target_os = "linux")]
const DISTURBANCE: Duration = Duration::from_millis(5);

impl Bytes {
    /// Maps the pages that the system has in memory: all at once for less than one by one when they are read. Ends where
    /// it takes as long as reading from a disk, which is left until pages are needed.
    pub(super) fn map_cached(&self) {
        #[cfg(target_os = "linux")]
        if let Self::Mapped(map) = self {
            let mut end = Instant::now() + DISTURBANCE;
            for start in (0..map.len()).step_by(PIECE) {
                end += PIECE_TIME;
                // Older systems do not know the advice, which is fine.
                let advised = map.advise_range(Advice::PopulateRead, start, PIECE.min(map.len() - start));
                if advised.is_err() || Instant::now() > end {
                    return;
                }
            }
        }
    }
}

fn require_regular(path: &Path, metadata: &Metadata) -> Result<()> {
    if metadata.is_dir() {
        let hint = if path.join("adapter_config.json").exists() {
            "this LoRA adapter must become a GGUF file first: edgewise convert DIR --base MODEL_DIR"
        } else {
            "name the .gguf file in it; safetensors files must become one first: edgewise convert DIR"
        };
        return Err(Error::model_file("is a folder, not a GGUF file").with_hint(hint));
    }
    if !metadata.is_file() {
        return Err(Error::model_file("is a pipe or a device; a model is mapped from a regular file")
            .with_hint("write it to a file first"));
    }
    Ok(())
}

fn io_error(error: &io::Error, finding: &str) -> Error {
    Error::new(ErrorKind::Io, format!("{finding}: {error}"))
}
