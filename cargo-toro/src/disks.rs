//! Data disks: checks that images are there, and makes ext2 images from folders.
//!
//! An image that was made here is known by its UUID, which begins with a mark and ends with the fingerprint of what it was
//! made from: so an image is made again when the folder changed, and nobody else's file is ever overwritten.

use crate::failure::Failure;
use crate::folder::Listing;
use crate::host;
use crate::settings::Disk;
use crate::shell::Shell;
use crate::values::Size;
use anyhow::{Context, Result, bail};
use ext2::make::Options;
use ext2::{BlockDevice, DeviceError};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The beginning of the UUID: version 8 (free form) of RFC 9562.
const MARK: [u8; 9] = [b'T', b'O', b'R', b'O', 0, 1, 0x80, 0, 0x80];
/// Where the superblock is, and two of its fields: "The Second Extended File System", table 3.3.
const SUPERBLOCK: u64 = 1024;
const MAGIC_AT: usize = 56;
const MAGIC: [u8; 2] = [0x53, 0xef];
const UUID_AT: usize = 104;
const UUID_LEN: usize = 16;

/// How an image is to be made.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The size; without it, what is needed and room to write.
    pub size: Option<Size>,
    /// The name of the volume.
    pub label: Option<String>,
    /// Paths in the folder that are not put into the image.
    pub left_out: Vec<PathBuf>,
    /// Overwrite whatever is there.
    pub is_forced: bool,
}

/// What was made.
#[derive(Debug, Clone, Copy)]
pub struct Made {
    /// The size of the image.
    pub size: Size,
    /// Files in it.
    pub file_count: usize,
}

/// Makes `disk` ready to be used: made from its folder if that changed, or else there.
pub fn prepare(disk: &Disk, shell: &Shell) -> Result<()> {
    let Some(from) = &disk.from else {
        if !disk.image.is_file() {
            let message = format!("there is no disk image {}", disk.image.display());
            bail!(Failure::new(
                message,
                "make one with `cargo toro mkfs IMAGE --from FOLDER`"
            ));
        }
        return Ok(());
    };
    let request = Request {
        size: disk.size,
        ..Request::default()
    };
    let listing = list(from, &disk.image, &[])?;
    if read_uuid(&disk.image) == Some(uuid(&listing, &request)) {
        return Ok(());
    }
    shell.status(
        "Making",
        format_args!("{} from {}", disk.image.display(), from.display()),
    );
    write(&disk.image, &listing, &request, shell).map(drop)
}

/// Makes the image at `path` from `folder`.
pub fn make(path: &Path, folder: &Path, request: &Request, shell: &Shell) -> Result<Made> {
    write(
        path,
        &list(folder, path, &request.left_out)?,
        request,
        shell,
    )
}

fn list(folder: &Path, image: &Path, left_out: &[PathBuf]) -> Result<Listing> {
    if !folder.is_dir() {
        let message = format!(
            "there is no folder {} to make {} from",
            folder.display(),
            image.display()
        );
        bail!(Failure::new(message, "make the folder, or name another"));
    }
    let holder = image
        .parent()
        .filter(|holder| !holder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if let (Ok(folder), Ok(holder)) = (folder.canonicalize(), holder.canonicalize())
        && holder.starts_with(&folder)
        && !left_out
            .iter()
            .filter_map(|path| path.canonicalize().ok())
            .any(|path| holder.starts_with(path))
    {
        let message = format!(
            "{} would lie in the folder it is made from",
            image.display()
        );
        bail!(Failure::new(message, "put the image somewhere else"));
    }
    Listing::read(folder, left_out)
}

fn write(path: &Path, listing: &Listing, request: &Request, shell: &Shell) -> Result<Made> {
    let holder = path
        .parent()
        .filter(|holder| !holder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if path.exists() && !request.is_forced && !is_ours(path) {
        let message = format!("{} is not an image that this tool made", path.display());
        bail!(Failure::new(
            message,
            "move it away, or use `cargo toro mkfs --force` to overwrite it"
        ));
    }
    for left_out in &listing.left_out {
        shell.note(format_args!(
            "{} is left out: no file, folder or link",
            left_out.display()
        ));
    }
    let make = || -> Result<Made> {
        let options = Options {
            size_bytes: request.size.map(|size| size.bytes),
            label: request.label.clone().unwrap_or_default(),
            uuid: Some(uuid(listing, request)),
            ..Options::default()
        };
        let plan = listing.builder(options)?.plan()?;
        let size = Size {
            bytes: plan.size_bytes(),
        };
        std::fs::create_dir_all(holder)?;
        let mut builder = tempfile::Builder::new();
        host::like_a_new_file(&mut builder);
        let file = builder.tempfile_in(holder)?;
        file.as_file().set_len(size.bytes)?;
        plan.write(&FileDevice::new(file.as_file().try_clone()?, size.bytes))?;
        file.persist(path)?;
        Ok(Made {
            size,
            file_count: listing.file_count(),
        })
    };
    make().with_context(|| format!("cannot make the disk image {}", path.display()))
}

fn uuid(listing: &Listing, request: &Request) -> [u8; UUID_LEN] {
    let mut fingerprint = listing.fingerprint();
    fingerprint.add(&request.size.map_or(0, |size| size.bytes).to_le_bytes());
    fingerprint.add(request.label.as_deref().unwrap_or_default().as_bytes());
    let mut uuid = [0; UUID_LEN];
    let (mark, rest) = uuid.split_at_mut(MARK.len());
    mark.copy_from_slice(&MARK);
    rest.copy_from_slice(&fingerprint.value().to_le_bytes()[..UUID_LEN - MARK.len()]);
    uuid
}

fn is_ours(path: &Path) -> bool {
    read_uuid(path).is_some_and(|uuid| uuid.starts_with(&MARK))
}

/// The UUID of the ext2 image at `path`; `None` if it is none.
fn read_uuid(path: &Path) -> Option<[u8; UUID_LEN]> {
    let mut superblock = [0; UUID_AT + UUID_LEN];
    let mut file = File::open(path).ok().filter(|_| path.is_file())?;
    file.seek(SeekFrom::Start(SUPERBLOCK)).ok()?;
    file.read_exact(&mut superblock).ok()?;
    let uuid = superblock[UUID_AT..].try_into().ok()?;
    (superblock[MAGIC_AT..MAGIC_AT + 2] == MAGIC).then_some(uuid)
}

/// A file as a disk.
#[derive(Debug)]
pub struct FileDevice {
    file: Mutex<File>,
    len_bytes: u64,
}

impl FileDevice {
    /// The first `len_bytes` of `file`.
    pub fn new(file: File, len_bytes: u64) -> Self {
        Self {
            file: Mutex::new(file),
            len_bytes,
        }
    }

    fn at(
        &self,
        offset_bytes: u64,
        len: usize,
        transfer: impl FnOnce(&mut File) -> std::io::Result<()>,
    ) -> Result<(), DeviceError> {
        let end = u64::try_from(len)
            .ok()
            .and_then(|len| offset_bytes.checked_add(len));
        if end.is_none_or(|end| end > self.len_bytes) {
            return Err(DeviceError::OUT_OF_RANGE);
        }
        let mut file = self.file.lock().map_err(|_| DeviceError::IO)?;
        let result = file
            .seek(SeekFrom::Start(offset_bytes))
            .and_then(|_| transfer(&mut file));
        result.map_err(|error| error.raw_os_error().map_or(DeviceError::IO, DeviceError))
    }
}

impl BlockDevice for FileDevice {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), DeviceError> {
        self.at(offset_bytes, buf.len(), |file| file.read_exact(buf))
    }

    fn write(&self, offset_bytes: u64, buf: &[u8]) -> Result<(), DeviceError> {
        self.at(offset_bytes, buf.len(), |file| file.write_all(buf))
    }

    fn flush(&self) -> Result<(), DeviceError> {
        self.at(0, 0, |file| file.sync_data())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ext2::{FileSystem, MountOptions};

    fn site() -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join("www/pages")).unwrap();
        std::fs::write(home.path().join("www/index.html"), "hello").unwrap();
        std::fs::write(home.path().join("www/pages/empty.html"), "").unwrap();
        home
    }

    fn disk(home: &Path) -> Disk {
        Disk {
            image: home.join("web.img"),
            from: Some(home.join("www")),
            size: None,
            mount: None,
        }
    }

    fn quiet() -> Shell {
        Shell {
            quiet: true,
            ..Shell::default()
        }
    }

    fn content(image: &Path, path: &[u8]) -> Option<Vec<u8>> {
        let file = File::open(image).unwrap();
        let len_bytes = file.metadata().unwrap().len();
        let disk =
            FileSystem::mount(FileDevice::new(file, len_bytes), MountOptions::default()).unwrap();
        let file = disk.resolve(path).ok()?;
        let mut content = vec![0; 100];
        let len = disk.read(&file, 0, &mut content).unwrap();
        content.truncate(len);
        Some(content)
    }

    #[test]
    fn an_image_is_made_from_its_folder_and_again_when_that_changes() {
        let home = site();
        let disk = disk(home.path());
        prepare(&disk, &quiet()).unwrap();
        assert_eq!(
            content(&disk.image, b"/index.html"),
            Some(b"hello".to_vec())
        );
        assert_eq!(content(&disk.image, b"/pages/empty.html"), Some(vec![]));
        std::fs::write(home.path().join("www/new.html"), "new").unwrap();
        prepare(&disk, &quiet()).unwrap();
        assert_eq!(content(&disk.image, b"/new.html"), Some(b"new".to_vec()));
    }

    #[test]
    fn an_image_whose_folder_did_not_change_is_left_alone() {
        let home = site();
        let disk = disk(home.path());
        prepare(&disk, &quiet()).unwrap();
        let mut file = File::options().write(true).open(&disk.image).unwrap();
        file.write_all(b"written by the guest").unwrap();
        prepare(&disk, &quiet()).unwrap();
        assert!(
            std::fs::read(&disk.image)
                .unwrap()
                .starts_with(b"written by the guest")
        );
    }

    #[test]
    fn a_file_of_somebody_else_is_not_overwritten() {
        let home = site();
        let disk = disk(home.path());
        for foreign in [b"precious".to_vec(), vec![0; 4096]] {
            std::fs::write(&disk.image, &foreign).unwrap();
            let error = prepare(&disk, &quiet()).unwrap_err();
            assert!(
                error
                    .to_string()
                    .contains("is not an image that this tool made"),
                "{error}"
            );
            assert_eq!(std::fs::read(&disk.image).unwrap(), foreign);
        }
        let forced = Request {
            is_forced: true,
            ..Request::default()
        };
        assert!(make(&disk.image, &home.path().join("www"), &forced, &quiet()).is_ok());
    }

    #[test]
    fn a_missing_image_or_folder_is_named() {
        let home = tempfile::tempdir().unwrap();
        let without_folder = Disk {
            from: None,
            ..disk(home.path())
        };
        let error = prepare(&without_folder, &quiet()).unwrap_err().to_string();
        assert!(
            error.starts_with("there is no disk image ") && error.ends_with("web.img"),
            "{error}"
        );
        let error = prepare(&disk(home.path()), &quiet())
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("there is no folder "), "{error}");
    }

    #[test]
    fn an_image_cannot_contain_itself() {
        let home = site();
        let image = home.path().join("www/pages/web.img");
        let error = make(
            &image,
            &home.path().join("www"),
            &Request::default(),
            &quiet(),
        )
        .unwrap_err();
        assert!(
            error.to_string().contains("would lie in the folder"),
            "{error}"
        );
    }

    #[test]
    fn a_size_that_is_too_small_is_an_error_and_leaves_nothing() {
        let home = site();
        std::fs::write(home.path().join("www/large"), vec![1; 1 << 20]).unwrap();
        let request = Request {
            size: Some(Size { bytes: 512 << 10 }),
            ..Request::default()
        };
        let image = home.path().join("small.img");
        assert!(make(&image, &home.path().join("www"), &request, &quiet()).is_err());
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
    }
}
