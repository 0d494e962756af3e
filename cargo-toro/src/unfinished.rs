//! Files that are being made: nothing is seen of them until they are whole.
//!
//! Where the host has files without a name (Linux, on most file systems) they have none until then, so that nothing stays of a command
//! that is killed. Elsewhere they have a name of their own, and go with a command that is ended by a signal: [`crate::interrupt`]
//! calls [`remove_all`].

use crate::{host, interrupt};
use anyhow::{Context, Result};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::TempPath;

static PATHS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn paths() -> MutexGuard<'static, Vec<PathBuf>> {
    PATHS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file on its way; dropped before [`Unfinished::finish`] it is removed.
#[derive(Debug)]
pub(crate) struct Unfinished {
    file: File,
    name: Option<(TempPath, Listed)>,
}

impl Unfinished {
    /// A new file in the folder of `path`, which is made if it is missing.
    ///
    /// # Errors
    /// When the folder or the file cannot be made.
    pub(crate) fn beside(path: &Path) -> Result<Self> {
        let folder = folder(path);
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        interrupt::handle()?;
        if let Some(file) = host::file_without_name(folder)? {
            return Ok(Self { file, name: None });
        }
        Self::with_name(folder)
    }

    fn with_name(folder: &Path) -> Result<Self> {
        let mut builder = tempfile::Builder::new();
        host::like_a_new_file(&mut builder);
        // With the list held, so that no file is made that a signal does not know of.
        let mut paths = paths();
        let (file, name) = builder.tempfile_in(folder)?.into_parts();
        paths.push(name.to_path_buf());
        let listed = Listed(name.to_path_buf());
        let name = Some((name, listed));
        Ok(Self { file, name })
    }

    /// The file, to be written.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name, in the place of one that is there.
    ///
    /// # Errors
    /// When the host cannot rename it; then it is removed.
    pub(crate) fn finish(self, path: &Path) -> Result<()> {
        if let Some((name, listed)) = self.name {
            name.persist(path)?;
            drop(listed);
            return Ok(());
        }
        match host::give_name(&self.file, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => return Ok(result?),
        }
        // A link takes no other's place, a name does.
        // With the list held, so that no signal ends the tool between the two.
        let _paths = paths();
        let name = tempfile::Builder::new()
            .make_in(folder(path), |name| host::give_name(&self.file, name))?;
        name.into_temp_path().persist(path)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    type Begin = fn(&Path) -> Result<Unfinished>;

    fn names(folder: &Path) -> Vec<std::ffi::OsString> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn a_file_takes_its_place_when_it_is_whole() {
        let named: Begin = |path| Unfinished::with_name(folder(path));
        for begin in [Unfinished::beside, named] {
            let home = tempfile::tempdir().unwrap();
            let path = home.path().join("file");
            for content in ["first", "second"] {
                drop(begin(&path).unwrap());
                let unfinished = begin(&path).unwrap();
                unfinished.file().write_all(content.as_bytes()).unwrap();
                assert_ne!(std::fs::read(&path).ok(), Some(content.into()));
                unfinished.finish(&path).unwrap();
                assert_eq!(std::fs::read(&path).unwrap(), content.as_bytes());
                assert_eq!(names(home.path()), ["file"]);
            }
        }
    }

    #[test]
    fn what_cannot_take_its_place_is_removed() {
        let named: Begin = |path| Unfinished::with_name(folder(path));
        for begin in [Unfinished::beside, named] {
            let home = tempfile::tempdir().unwrap();
            let path = home.path().join("a folder");
            std::fs::create_dir(&path).unwrap();
            begin(&path).unwrap().finish(&path).unwrap_err();
            assert_eq!(names(home.path()), ["a folder"]);
        }
    }
}
