//! A file that grows band by band beside its place, and takes it when it is whole.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind as IoKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::quote::quoted;
use super::writer::Writer;
use crate::error::{Error, ErrorKind, Result};

/// What the first bytes of a file are until it is whole: not those of a GGUF file, and whose they are.
const BEGINNING: usize = 24;
const UNFINISHED: &[u8; 8] = b"unwhole\0";

/// How a file comes to its place.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutputOptions {
    /// Whether a file at the path is replaced; else it is an error.
    pub replace: bool,
    /// Whether an earlier, unfinished output is continued; it must have the same header and the same `made_from`.
    pub resume: bool,
    /// What the tensors are made from, in a digest of the caller.
    pub made_from: [u8; 16],
}

/// A file being written: its header is there, its tensors follow in order.
///
/// Until [`Output::finish`], everything is in a file beside `path` whose name ends in `.part`. It stays there when this is
/// dropped, to be resumed; after an error of writing, and after [`Output::discard`], it is gone.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    part: PathBuf,
    file: File,
    /// The true first bytes of the file.
    beginning: [u8; BEGINNING],
    /// Name, bytes and bytes per row of each tensor.
    tensors: Vec<(String, usize, usize)>,
    /// The tensor to be written, and how many bytes of it are.
    at: (usize, usize),
}

impl Output {
    /// Starts, or resumes, the file that `writer` declares.
    pub fn create(writer: &Writer, path: &Path, options: OutputOptions) -> Result<Self> {
        if !options.replace && path.symlink_metadata().is_ok() {
            return Err(Error::invalid_argument(format!("{} exists already", path.display()))
                .with_hint("choose another name, or ask to replace it: --force"));
        }
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let mut header = writer.padded_header();
        let mut beginning = [0; BEGINNING];
        beginning.copy_from_slice(&header[..BEGINNING]);
        header[..UNFINISHED.len()].copy_from_slice(UNFINISHED);
        header[UNFINISHED.len()..BEGINNING].copy_from_slice(&options.made_from);
        let tensors = writer.tensor_sizes();
        let mut file = open_locked(&part).map_err(|error| refused(path, &error))?;
        if options.resume && !begins_as(&mut file, &header).map_err(|error| refused(path, &error))? {
            return Err(Error::invalid_argument(format!(
                "{} was begun from something else: another model, other formats, other metadata (such as the name) or \
                 another version",
                part.display()
            ))
            .with_hint("begin anew: without --resume"));
        }
        let mut output = Self { path: path.to_owned(), part, file, beginning, tensors, at: (0, 0) };
        match output.begin(&header, options.resume) {
            Ok(at) => output.at = at,
            Err(error) => return Err(output.give_up(&error)),
        }
        Ok(output)
    }

    fn begin(&mut self, header: &[u8], resumes: bool) -> io::Result<(usize, usize)> {
        if resumes && let Some(at) = resume(&mut self.file, header, &self.tensors)? {
            return Ok(at);
        }
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(header)?;
        Ok((0, 0))
    }

    /// Where the next bytes go: the number of the tensor, and how many bytes of it are there already, in whole rows after
    /// a resumption. The number of tensors if all are there.
    pub fn position(&self) -> (usize, usize) {
        self.at
    }

    /// Appends bytes of the tensors, in any portions.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some(&(_, size, _)) = self.tensors.get(self.at.0) else {
                return Err(Error::invalid_argument(format!("{} bytes more than the tensors have", rest.len())));
            };
            let (now, later) = rest.split_at(rest.len().min(size - self.at.1));
            self.append(now)?;
            rest = later;
            self.at.1 += now.len();
            if self.at.1 == size {
                self.append(&[0; super::writer::ALIGNMENT][..size.next_multiple_of(super::writer::ALIGNMENT) - size])?;
                self.at = (self.at.0 + 1, 0);
            }
        }
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| self.give_up(&error))
    }

    /// Makes the file whole and durable and puts it into its place; gives the time that the disk took.
    pub fn finish(mut self) -> Result<Duration> {
        if let Some((name, size, _)) = self.tensors.get(self.at.0) {
            return Err(Error::invalid_argument(format!(
                "tensor {}: {} of {size} bytes were written",
                quoted(name),
                self.at.1
            )));
        }
        let started = Instant::now();
        self.put_in_place().map_err(|error| self.give_up(&error))?;
        Ok(started.elapsed())
    }

    fn put_in_place(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        self.file.rewind()?;
        self.file.write_all(&self.beginning)?;
        self.file.sync_all()?;
        std::fs::rename(&self.part, &self.path)
    }

    /// Removes what was written.
    pub fn discard(self) {
        self.remove();
    }

    fn remove(&self) {
        let _ = std::fs::remove_file(&self.part); // best effort: there is nothing to be done about a file that stays
    }

    fn give_up(&self, error: &io::Error) -> Error {
        self.remove();
        refused(&self.path, error)
    }
}

/// Opens a file that nobody else is writing; what it holds stays.
fn open_locked(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::Error::new(IoKind::ResourceBusy, "another process is writing it")),
        Err(TryLockError::Error(error)) if error.kind() == IoKind::Unsupported => Ok(file),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether the file has this header, or the beginning of it and no more.
fn begins_as(file: &mut File, header: &[u8]) -> io::Result<bool> {
    let mut found = Vec::new();
    file.rewind()?;
    file.take(header.len() as u64).read_to_end(&mut found)?;
    Ok(header.starts_with(&found))
}

/// Cuts the file after its last whole row and says where that is; none if its header is not whole.
fn resume(file: &mut File, header: &[u8], tensors: &[(String, usize, usize)]) -> io::Result<Option<(usize, usize)>> {
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let Some(mut left) = length.checked_sub(header.len()) else { return Ok(None) };
    let mut keep = header.len();
    let mut at = (tensors.len(), 0);
    for (index, &(_, size, row)) in tensors.iter().enumerate() {
        let padded = size.next_multiple_of(super::writer::ALIGNMENT);
        if left < padded {
            let rows = (left / row * row).min(size - row);
            at = (index, rows);
            keep += rows;
            break;
        }
        left -= padded;
        keep += padded;
    }
    file.set_len(keep as u64)?;
    file.seek(SeekFrom::End(0))?;
    Ok(Some(at))
}

fn refused(path: &Path, error: &io::Error) -> Error {
    let refused = Error::new(ErrorKind::Io, format!("{} cannot be written: {error}", path.display()));
    match error.kind() {
        IoKind::StorageFull | IoKind::QuotaExceeded => {
            refused.with_hint("free some space, or name a path on another disk")
        }
        IoKind::NotFound => refused.with_hint("its folder must exist"),
        _ => refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::Format;
    use crate::gguf::Gguf;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("edgewise-output-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn files(&self) -> Vec<String> {
            let entries = std::fs::read_dir(&self.0).unwrap();
            let mut names: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// Two tensors: 3 rows of 5 floats (60 bytes, padded to 64), and 8 bytes.
    fn declared() -> Writer {
        let writer = Writer::new().set("general.name", "x");
        writer.tensor("a", Format::F32, &[5, 3]).unwrap().tensor("b", Format::F32, &[2]).unwrap()
    }

    fn data() -> Vec<u8> {
        (1..=68).collect()
    }

    fn resumed() -> OutputOptions {
        OutputOptions { resume: true, ..OutputOptions::default() }
    }

    #[test]
    fn the_file_takes_its_place_when_it_is_whole() {
        let folder = Folder::new("whole");
        let path = folder.0.join("x.gguf");
        let mut output = Output::create(&declared(), &path, OutputOptions::default()).unwrap();
        for portion in data().chunks(7) {
            output.write(portion).unwrap();
        }
        assert_eq!(folder.files(), ["x.gguf.part"]);
        assert!(Gguf::open(&folder.0.join("x.gguf.part")).is_err());
        output.finish().unwrap();
        assert_eq!(folder.files(), ["x.gguf"]);
        let gguf = Gguf::open(&path).unwrap();
        let bytes: Vec<u8> = gguf.tensors().iter().flat_map(|tensor| gguf.bytes(tensor).to_vec()).collect();
        assert_eq!(bytes, data());
    }

    #[test]
    fn resumed_anywhere_it_becomes_the_same_file() {
        let folder = Folder::new("resumed");
        let path = folder.0.join("x.gguf");
        for written in 0..data().len() {
            let mut output = Output::create(&declared(), &path, OutputOptions::default()).unwrap();
            output.write(&data()[..written]).unwrap();
            drop(output);
            let mut output = Output::create(&declared(), &path, resumed()).unwrap();
            let (tensor, bytes) = output.position();
            let kept = 60 * tensor + bytes;
            assert!(kept <= written && written - kept < 20, "{kept} of {written}");
            output.write(&data()[kept..]).unwrap();
            output.finish().unwrap();
            let gguf = Gguf::open(&path).unwrap();
            assert_eq!(gguf.bytes(&gguf.tensors()[0]), &data()[..60]);
            assert_eq!(gguf.bytes(&gguf.tensors()[1]), &data()[60..]);
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn what_was_made_otherwise_is_not_resumed() {
        let folder = Folder::new("otherwise");
        let path = folder.0.join("x.gguf");
        let mut output = Output::create(&declared(), &path, OutputOptions::default()).unwrap();
        output.write(&data()[..40]).unwrap();
        drop(output);
        let resumed = |writer: &Writer, made_from| {
            Output::create(writer, &path, OutputOptions { made_from, ..resumed() }).map(|output| output.position())
        };
        for result in [resumed(&declared(), [1; 16]), resumed(&declared().set("general.name", "y"), [0; 16])] {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.message().contains("x.gguf.part was begun from something else"), "{error}");
            assert!(error.message().contains("other metadata (such as the name)"), "{error}");
        }
        assert_eq!(resumed(&declared(), [0; 16]), Ok((0, 40)));
    }

    #[test]
    fn a_header_cut_anywhere_is_begun_anew() {
        let folder = Folder::new("header");
        let path = folder.0.join("x.gguf");
        drop(Output::create(&declared(), &path, OutputOptions::default()).unwrap());
        let header = std::fs::read(folder.0.join("x.gguf.part")).unwrap();
        for length in 0..header.len() {
            std::fs::write(folder.0.join("x.gguf.part"), &header[..length]).unwrap();
            assert_eq!(Output::create(&declared(), &path, resumed()).unwrap().position(), (0, 0));
        }
        assert_eq!(std::fs::read(folder.0.join("x.gguf.part")).unwrap(), header);
    }

    #[test]
    fn an_existing_file_stays_unless_it_is_to_be_replaced() {
        let folder = Folder::new("existing");
        let path = folder.0.join("x.gguf");
        std::fs::write(&path, "mine").unwrap();
        let error = Output::create(&declared(), &path, OutputOptions::default()).unwrap_err();
        assert!(error.message().ends_with("x.gguf exists already"), "{error}");
        assert_eq!(folder.files(), ["x.gguf"]);
        let replace = OutputOptions { replace: true, ..OutputOptions::default() };
        let mut output = Output::create(&declared(), &path, replace).unwrap();
        output.write(&data()).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
        output.finish().unwrap();
        assert!(Gguf::open(&path).is_ok());
    }

    #[test]
    fn one_process_writes_a_file_at_a_time() {
        let folder = Folder::new("busy");
        let path = folder.0.join("x.gguf");
        let _first = Output::create(&declared(), &path, OutputOptions::default()).unwrap();
        let error = Output::create(&declared(), &path, OutputOptions::default()).unwrap_err();
        assert!(error.message().ends_with("another process is writing it"), "{error}");
    }

    #[test]
    fn too_few_and_too_many_bytes_are_errors() {
        let folder = Folder::new("bytes");
        let path = folder.0.join("x.gguf");
        let mut output = Output::create(&declared(), &path, OutputOptions::default()).unwrap();
        output.write(&data()[..61]).unwrap();
        assert_eq!(output.finish().unwrap_err().message(), "tensor \"b\": 1 of 8 bytes were written");
        let mut output = Output::create(&declared(), &path, OutputOptions::default()).unwrap();
        assert_eq!(output.write(&[0; 70]).unwrap_err().message(), "2 bytes more than the tensors have");
        output.discard();
        assert!(folder.files().is_empty());
    }

    #[test]
    fn a_refusal_names_the_file_and_the_way_out() {
        let hint = |kind: IoKind| refused(Path::new("x.gguf"), &io::Error::from(kind)).hint().map(str::to_owned);
        assert_eq!(hint(IoKind::StorageFull).as_deref(), Some("free some space, or name a path on another disk"));
        assert_eq!(hint(IoKind::PermissionDenied), None);
        let error = Output::create(&declared(), Path::new("/no/such/x.gguf"), OutputOptions::default()).unwrap_err();
        assert!(error.message().starts_with("/no/such/x.gguf cannot be written: "), "{error}");
        assert_eq!((error.kind(), error.hint()), (ErrorKind::Io, Some("its folder must exist")));
    }
}
