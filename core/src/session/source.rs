//! Where a saved state lies: in memory, or in a file that is read where it is needed.

use std::fs::File;
use std::io;

/// Bytes that several threads read at places of their own.
pub trait Source: Sync {
    /// How many there are.
    fn size_bytes(&self) -> io::Result<u64>;

    /// Fills `out` from position `start` on.
    fn read_at(&self, start: u64, out: &mut [u8]) -> io::Result<()>;
}

impl Source for &[u8] {
    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, start: u64, out: &mut [u8]) -> io::Result<()> {
        let rest = usize::try_from(start).ok().and_then(|start| self.get(start..));
        let bytes = rest.and_then(|rest| rest.get(..out.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }
}

impl Source for File {
    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    #[cfg(unix)]
    fn read_at(&self, start: u64, out: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, out, start)
    }

    #[cfg(windows)]
    fn read_at(&self, mut start: u64, mut out: &mut [u8]) -> io::Result<()> {
        while !out.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(self, out, start)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => {
                    start += count as u64;
                    out = &mut out[count..];
                }
            }
        }
        Ok(())
    }
}
