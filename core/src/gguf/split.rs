//! Models split into shards, `NAME-00001-of-00003.gguf` and so on: opened from any of them, the first one's metadata counts.

use std::path::{Path, PathBuf};

use super::metadata::Metadata;
use super::quote::quoted;
use super::{Gguf, Shard, map};
use crate::error::{Error, ErrorKind, Result};

const COUNT: &str = "split.count";
const NUMBER: &str = "split.no";
const TENSOR_COUNT: &str = "split.tensors.count";

/// The place of a shard in its model, as its metadata states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    /// From 0.
    number: u32,
    count: u32,
}

impl Part {
    /// None for a model that is whole.
    fn of(metadata: &Metadata) -> Result<Option<Self>> {
        let count = metadata.u32(COUNT)?.unwrap_or(1);
        if count <= 1 {
            return Ok(None);
        }
        let number = metadata.require_u32(NUMBER)?;
        if number >= count {
            return Err(Error::model_file(format!(
                "metadata key {} is {number}; numbers from 0 to {} are allowed, {} is {count}",
                quoted(NUMBER),
                count - 1,
                quoted(COUNT)
            )));
        }
        Ok(Some(Self { number, count }))
    }

    /// The end of the file name that this shard must have.
    fn suffix(self) -> String {
        format!("-{:05}-of-{:05}.gguf", self.number + 1, self.count)
    }
}

/// Opens a file, and its siblings if it is one of several.
pub(super) fn open(path: &Path) -> Result<Gguf> {
    let opened = open_one(path)?;
    let Some(part) = Part::of(&opened.metadata).map_err(|error| error.within(path.display()))? else {
        return Gguf::from_shards(vec![opened]).map_err(|error| error.within(path.display()));
    };
    let siblings = siblings(path, part)?;
    let mut opened = Some(opened);
    let mut shards = Vec::new();
    for (number, sibling) in (0..part.count).zip(siblings) {
        let shard = match opened.take_if(|_| number == part.number) {
            Some(shard) => shard,
            None => open_sibling(&sibling, Part { number, count: part.count })?,
        };
        shards.push(shard);
    }
    require_tensor_count(&shards).and_then(|()| Gguf::from_shards(shards)).map_err(|error| error.within(path.display()))
}

/// Refuses a shard where only a whole model can be opened.
pub(super) fn require_whole(metadata: &Metadata) -> Result<()> {
    match Part::of(metadata)? {
        None => Ok(()),
        Some(part) => Err(Error::model_file(format!(
            "metadata key {} and {}: this is shard {} of {}, without the others",
            quoted(NUMBER),
            quoted(COUNT),
            part.number + 1,
            part.count
        ))
        .with_hint("open it by its path, with all shards in one folder")),
    }
}

fn open_one(path: &Path) -> Result<Shard> {
    map::map(path).and_then(Shard::parse).map_err(|error| error.within(path.display()))
}

/// Paths of all shards, the first one first, made one by one.
fn siblings(path: &Path, part: Part) -> Result<impl Iterator<Item = PathBuf>> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(stem) = name.strip_suffix(&part.suffix()).map(str::to_owned) else {
        return Err(Error::model_file(format!(
            "metadata key {}: this is shard {} of {}, whose file name must end in {}",
            quoted(NUMBER),
            part.number + 1,
            part.count,
            part.suffix()
        ))
        .with_hint("give the shards the names they were published with, in one folder")
        .within(path.display()));
    };
    let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    Ok((0..part.count).map(move |number| folder.join(format!("{stem}{}", Part { number, ..part }.suffix()))))
}

fn open_sibling(path: &Path, expected: Part) -> Result<Shard> {
    let shard = open_one(path).map_err(|error| match error.kind() {
        ErrorKind::Io => Error::model_file(format!(
            "{}; the model is split, and all {} shards are needed",
            error.message(),
            expected.count
        ))
        .with_hint("get the missing shard, into the same folder"),
        _ => error,
    })?;
    match Part::of(&shard.metadata).map_err(|error| error.within(path.display()))? {
        Some(part) if part == expected => Ok(shard),
        found => {
            let found = found.map_or("a whole model".to_owned(), |p| format!("shard {} of {}", p.number + 1, p.count));
            Err(Error::model_file(format!(
                "metadata key {} and {}: this is {found}; its name says shard {} of {}",
                quoted(NUMBER),
                quoted(COUNT),
                expected.number + 1,
                expected.count
            ))
            .with_hint("the shards are of different models or mixed up; get them again")
            .within(path.display()))
        }
    }
}

fn require_tensor_count(shards: &[Shard]) -> Result<()> {
    let Some(first) = shards.first() else { return Ok(()) };
    let Some(expected) = first.metadata.u64(TENSOR_COUNT)? else { return Ok(()) };
    let found: usize = shards.iter().map(|shard| shard.tensors.len()).sum();
    if found as u64 != expected {
        return Err(Error::model_file(format!(
            "metadata key {} is {expected}; the {} shards hold {found} tensors",
            quoted(TENSOR_COUNT),
            shards.len()
        ))
        .with_hint("the shards are of different models; get them again"));
    }
    Ok(())
}
