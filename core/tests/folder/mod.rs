//! A folder for one test.

use std::path::{Path, PathBuf};

/// An empty folder, removed when it goes out of scope.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes one for the test of this name.
    pub(crate) fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("edgewise-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // a folder left behind in the temporary one harms nobody
    }
}
