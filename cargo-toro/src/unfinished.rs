//! Files that are being made: under a name of their own until they are whole, and gone with a command that is ended by a signal.
//!
//! [`crate::interrupt`] calls [`remove_all`]. A file whose command is killed without a signal that can be handled stays.

use crate::interrupt;
use anyhow::Result;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::NamedTempFile;

static PATHS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn paths() -> MutexGuard<'static, Vec<PathBuf>> {
    PATHS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file on its way; dropped before [`Unfinished::finish`] it is removed.
#[derive(Debug)]
pub(crate) struct Unfinished {
    file: NamedTempFile,
    listed: Listed,
}

impl Unfinished {
    /// A new file in the folder of `path`, which is made if it is missing.
    ///
    /// # Errors
    /// When the folder or the file cannot be made.
    pub(crate) fn beside(path: &Path) -> Result<Self> {
        let folder = folder(path);
        std::fs::create_dir_all(folder)?;
        interrupt::handle()?;
        let mut builder = tempfile::Builder::new();
        crate::host::like_a_new_file(&mut builder);
        // With the list held, so that no file is made that a signal does not know of.
        let mut paths = paths();
        let file = builder.tempfile_in(folder)?;
        paths.push(file.path().to_owned());
        let listed = Listed(file.path().to_owned());
        Ok(Self { file, listed })
    }

    /// The file, to be written.
    pub(crate) fn file(&self) -> &File {
        self.file.as_file()
    }

    /// Gives the file its name, in the place of one that is there.
    ///
    /// # Errors
    /// When the host cannot rename it; then it is removed.
    pub(crate) fn finish(self, path: &Path) -> Result<()> {
        self.file.persist(path)?;
        drop(self.listed);
        Ok(())
    }
}

/// The folder that `path` is in.
pub(crate) fn folder(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// A path in the list.
#[derive(Debug)]
struct Listed(PathBuf);

impl Drop for Listed {
    fn drop(&mut self) {
        paths().retain(|path| *path != self.0);
    }
}

/// Removes what is not finished. No file is begun while what is returned is held.
pub(crate) fn remove_all() -> impl Sized {
    let mut paths = paths();
    for path in paths.drain(..) {
        // There is nobody left to tell.
        let _ = std::fs::remove_file(path);
    }
    paths
}
