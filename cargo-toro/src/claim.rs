//! Places of the output folder that one command at a time has, where several run side by side: each is claimed by a lock on a file in it,
//! which the host lets go of when the command ends in whatever way.

use crate::failure::Failure;
use crate::shell::Shell;
use anyhow::{Context, Result};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// A place that this command has until this is dropped. Where the host's file system has no locks, nothing is held.
#[derive(Debug)]
#[must_use]
pub struct Claim {
    _file: File,
}

/// Claims what `name` stands for in `folder`, and waits for another command that has it.
///
/// # Errors
/// When nothing can be written to `folder`.
pub fn wait(folder: &Path, name: &str, shell: &Shell) -> Result<Claim> {
    let file = open(folder, name)?;
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        shell.status(
            "Blocking",
            format_args!("waiting for another command that builds {name}"),
        );
        // Without locks there is nobody to wait for.
        let _ = file.lock();
    }
    Ok(Claim { _file: file })
}

/// Claims what `name` stands for in `folder`, or in the first of the folders `folder-2`, `folder-3`, … where nobody has it; gives the folder too.
///
/// # Errors
/// When nothing can be written there.
pub fn first_free(folder: &Path, name: &str) -> Result<(PathBuf, Claim)> {
    let mut place = folder.to_path_buf();
    let mut number = 1_u32;
    loop {
        let file = open(&place, name)?;
        if !matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            return Ok((place, Claim { _file: file }));
        }
        number += 1;
        let mut other = folder.as_os_str().to_owned();
        other.push(format!("-{number}"));
        place = other.into();
    }
}

fn open(folder: &Path, name: &str) -> Result<File> {
    let path = folder.join(format!("{name}.lock"));
    let open = || {
        std::fs::create_dir_all(folder)?;
        let mut options = File::options();
        options.create(true).truncate(false).write(true).open(&path)
    };
    open().with_context(|| {
        Failure::new(
            format!("cannot write {}", path.display()),
            "let the variable CARGO_TARGET_DIR name another folder for what is built",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::first_free;

    #[test]
    fn each_has_a_place_of_its_own_and_the_first_is_used_again() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("run");
        let (first, claim) = first_free(&folder, "sample").unwrap();
        let (second, _second) = first_free(&folder, "sample").unwrap();
        let (other, _other) = first_free(&folder, "other").unwrap();
        assert_eq!(first, folder);
        assert_eq!(second, home.path().join("run-2"));
        assert_eq!(other, folder);
        drop(claim);
        assert_eq!(first_free(&folder, "sample").unwrap().0, folder);
    }
}
