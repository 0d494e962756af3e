//! The parts that go into every image, unpacked from the tool where the linker can read them.
//!
//! The folder is named for the content, so a tool with another kernel never meets the parts of an old one, and cargo
//! sees from the path that a program must be linked again.

use crate::cplusplus;
use crate::failure::Failure;
use crate::image::{KERNEL_OBJECT, LINKER_SCRIPT};
use crate::unfinished::Unfinished;
use anyhow::{Context, Result, bail};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The libraries that the prebuilt `std` asks the linker for; the kernel is what they would be, so they are empty.
const EMPTY_LIBRARIES: [&str; 8] = ["util", "rt", "pthread", "m", "dl", "c", "gcc_eh", "gcc"];
const EMPTY_ARCHIVE: &[u8] = b"!<arch>\n";

/// Paths of the unpacked parts.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The kernel, a relocatable object.
    pub kernel: PathBuf,
    /// The linker script.
    pub script: PathBuf,
    /// The folder of empty libraries.
    pub libraries: PathBuf,
    /// The folder with the libraries of C++ that the host has.
    pub cplusplus: PathBuf,
}

impl Parts {
    /// Unpacks the parts below `folder`, unless they are there.
    pub fn unpack(folder: &Path) -> Result<Self> {
        let mut hasher = DefaultHasher::new();
        (KERNEL_OBJECT, LINKER_SCRIPT).hash(&mut hasher);
        let folder = folder
            .join("parts")
            .join(format!("{:016x}", hasher.finish()));
        let parts = Self {
            kernel: folder.join("kernel.o"),
            script: folder.join("image.ld"),
            libraries: folder.join("lib"),
            cplusplus: folder.join("c++"),
        };
        write_once(&parts.kernel, KERNEL_OBJECT)?;
        write_once(&parts.script, LINKER_SCRIPT.as_bytes())?;
        for library in EMPTY_LIBRARIES {
            write_once(
                &parts.libraries.join(format!("lib{library}.a")),
                EMPTY_ARCHIVE,
            )?;
        }
        cplusplus::provide(&parts.cplusplus)?;
        Ok(parts)
    }
}

fn write_once(path: &Path, content: &[u8]) -> Result<()> {
    let is_there = std::fs::metadata(path).is_ok_and(|file| file.len() == content.len() as u64);
    if is_there {
        Ok(())
    } else {
        replace(path, content)
    }
}

/// An error if something is at `path` that is no file. A file is put into its place by another name, which would take the place of a device
/// too, and leave the device as it was.
pub fn expect_file_or_nothing(path: &Path) -> Result<()> {
    let Ok(metadata) = path.metadata() else {
        return Ok(());
    };
    if metadata.is_file() {
        return Ok(());
    }
    let shown = path.display();
    if metadata.is_dir() {
        let help = "name a file in it";
        bail!(Failure::new(format!("{shown} is a folder"), help));
    }
    bail!(Failure::new(
        format!("{shown} is no file"),
        format!(
            "name a file; on Linux `dd if=FILE of={shown} bs=1M conv=fsync` puts it on a device"
        )
    ));
}

/// Writes `content` to `path` so that a reader sees the old file or the new one, never half of it.
pub fn replace(path: &Path, content: &[u8]) -> Result<()> {
    replace_with(path, |file| Ok(file.write_all(content)?))
}

/// As [`replace`], with content that `write` makes.
pub fn replace_with(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    expect_file_or_nothing(path)?;
    let make = || -> Result<()> {
        let unfinished = Unfinished::beside(path)?;
        let mut file = std::io::BufWriter::new(unfinished.file());
        write(&mut file)?;
        file.flush()?;
        drop(file);
        unfinished.finish(path)?;
        Ok(())
    };
    make().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_not_replaced_by_one() {
        let home = tempfile::tempdir().unwrap();
        let error = format!("{:#}", replace(home.path(), b"image").unwrap_err());
        assert!(error.ends_with(" is a folder"), "{error}");
        #[cfg(unix)]
        {
            // What a device is too: something that a name put over it would hide.
            let path = home.path().join("socket");
            let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
            let error = format!("{:#}", replace(&path, b"image").unwrap_err());
            assert!(error.ends_with(" is no file"), "{error}");
            assert!(!path.is_file());
        }
        replace(&home.path().join("file"), b"old").unwrap();
        replace(&home.path().join("file"), b"image").unwrap();
        assert_eq!(std::fs::read(home.path().join("file")).unwrap(), b"image");
    }
}
