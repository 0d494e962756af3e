//! The parts that go into every image, unpacked from the tool where the linker can read them.
//!
//! The folder is named for the content, so a tool with another kernel never meets the parts of an old one, and cargo
//! sees from the path that a program must be linked again. Those of other tools go when nobody has used them for a week.

use crate::cplusplus;
use crate::failure::Failure;
use crate::image::{KERNEL_OBJECT, LINKER_SCRIPT};
use crate::unfinished::Unfinished;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How long parts stay that are not used.
const KEPT: Duration = Duration::from_hours(7 * 24);

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
        let all = folder.join("parts");
        let folder = all.join(format!("{:016x}", hasher.finish()));
        let is_new = !folder.is_dir();
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
        note_use(&folder);
        if is_new {
            remove_unused(&all, SystemTime::now());
        }
        Ok(parts)
    }
}

/// The time of a folder of parts is that of its last use. A host that does not set it has them unpacked again at worst.
fn note_use(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.set_modified(SystemTime::now()));
}

/// Removes parts that nobody has used for long; what cannot be removed stays, as it is in nobody's way.
fn remove_unused(all: &Path, now: SystemTime) {
    for entry in std::fs::read_dir(all).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|entry| entry.modified());
        let age = age.map(|used| now.duration_since(used).unwrap_or_default());
        if age.is_ok_and(|age| age > KEPT) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
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
    let shown = path.display();
    let is_named_a_folder = path
        .as_os_str()
        .to_string_lossy()
        .ends_with(std::path::is_separator);
    let metadata = path.metadata();
    if is_named_a_folder || metadata.as_ref().is_ok_and(std::fs::Metadata::is_dir) {
        let help = "name a file in it";
        bail!(Failure::new(format!("{shown} is a folder"), help));
    }
    if metadata.map_or(true, |metadata| metadata.is_file()) {
        return Ok(());
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

    #[cfg(unix)]
    #[test]
    fn parts_that_nobody_uses_go_with_new_ones() {
        let home = tempfile::tempdir().unwrap();
        let all = home.path().join("parts");
        for name in ["used", "unused"] {
            std::fs::create_dir_all(all.join(name).join("lib")).unwrap();
        }
        let old = SystemTime::now() - 2 * KEPT;
        let unused = File::open(all.join("unused")).unwrap();
        unused.set_modified(old).unwrap();
        let used = File::open(all.join("used")).unwrap();
        used.set_modified(old).unwrap();
        note_use(&all.join("used"));

        let parts = Parts::unpack(home.path()).unwrap();
        assert!(all.join("used").is_dir());
        assert!(!all.join("unused").exists());

        // With parts that were there nothing is looked for.
        used.set_modified(old).unwrap();
        assert_eq!(Parts::unpack(home.path()).unwrap().kernel, parts.kernel);
        assert!(all.join("used").is_dir());
    }

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
