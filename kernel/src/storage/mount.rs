//! Which disk is mounted where: the `mount=` words of the command line (ARCHITECTURE.md, "The command line").

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use ext2::BlockDevice as _;

use super::disks::{Disk, Volume, VolumeName};
use super::partition::PartitionError;
use super::vfs::ext2::Ext2;
use super::vfs::namespace::{Entry, Last, LastLink, Namespace};
use super::vfs::node::FileSystem;
use super::vfs::operations;
use crate::command_line::{cut, decimal};
use crate::devices::block::BlockError;
use crate::error::Errno;
use crate::sync::OnceCell;

/// Mounts a FAT: the volume, its name in messages, whether it is only read. Errors are in words.
pub type OpenFat = fn(Volume, String, bool) -> Result<Arc<dyn FileSystem>, String>;

/// How a FAT is mounted, in programs that have what it takes.
static OPEN_FAT: OnceCell<OpenFat> = OnceCell::new();

/// Says how a FAT is mounted. Until then there are none: what it takes is not in the image of every program.
pub fn support_fat(open: OpenFat) {
    // Whoever said it before said the same.
    let _ = OPEN_FAT.set(open);
}

/// A wish to mount something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountRequest {
    /// The number of a data disk, from 0.
    pub disk: usize,
    /// The number of one of its partitions, from 1; `None` is the whole disk.
    pub partition: Option<u32>,
    /// Where: an absolute path.
    pub path: String,
    /// Whether nothing is written to it.
    pub is_read_only: bool,
}

impl MountRequest {
    /// Reads the value of a `mount=` word: `disk0:/data`, `disk0.1:/`, `disk0:/data,ro`.
    ///
    /// # Errors
    /// When it is not of that form.
    pub fn parse(word: &str) -> Result<Self, MountError> {
        let bad = || MountError {
            what: format!("\"{word}\""),
            path: None,
            cause: Cause::BadRequest,
        };
        let (source, path) = cut(word, b':').ok_or_else(bad)?;
        let number = source.strip_prefix("disk").ok_or_else(bad)?;
        let (disk, partition) = match cut(number, b'.') {
            Some((disk, partition)) => {
                let partition = decimal(partition).filter(|number| *number > 0);
                (disk, Some(partition.ok_or_else(bad)?))
            }
            None => (number, None),
        };
        let (path, is_read_only) = match path.strip_suffix(",ro") {
            Some(path) => (path, true),
            None => (path, false),
        };
        if !path.starts_with('/') || path.contains('\0') {
            return Err(bad());
        }
        Ok(Self {
            disk: decimal(disk).ok_or_else(bad)? as usize,
            partition,
            path: path.to_string(),
            is_read_only,
        })
    }

    fn name(&self) -> VolumeName {
        let Self {
            disk, partition, ..
        } = *self;
        VolumeName { disk, partition }
    }

    /// Whether it asks for the root.
    pub fn is_root(&self) -> bool {
        self.path.bytes().all(|byte| byte == b'/')
    }

    /// Whether the two ask for the same sectors.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let is_whole = self.partition.is_none() || other.partition.is_none();
        self.disk == other.disk && (is_whole || self.partition == other.partition)
    }

    /// The error of one whose sectors are mounted.
    pub(super) fn overlap(&self) -> MountError {
        self.error(Cause::Overlap)
    }

    /// The error of one whose path cannot be used.
    pub fn path_error(&self, errno: Errno) -> MountError {
        self.error(Cause::Path(errno))
    }

    fn error(&self, cause: Cause) -> MountError {
        MountError {
            what: self.to_string(),
            path: Some(self.path.clone()),
            cause,
        }
    }
}

/// The volume, as it is named in a request.
impl fmt::Display for MountRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
    }
}

/// Why something could not be mounted; its text is a sentence for the developer.
#[derive(Debug)]
pub struct MountError {
    what: String,
    path: Option<String>,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    BadRequest,
    BadImage,
    NoDisk {
        count: usize,
    },
    Table(PartitionError<BlockError>),
    NoPartition {
        numbers: Vec<u32>,
    },
    Overlap,
    PathTaken,
    FileSystem {
        error: ext2::Error,
        partitions: Vec<u32>,
    },
    Fat(String),
    NoFat,
    NoDirectory,
    Path(Errno),
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot mount {}", self.what)?;
        if let Some(path) = &self.path {
            write!(f, " at {path}")?;
        }
        f.write_str(": ")?;
        match &self.cause {
            Cause::BadRequest => {
                f.write_str("expected diskN:/path or diskN.P:/path, and perhaps ,ro behind it")
            }
            Cause::BadImage => f.write_str("they are not as the tool writes them"),
            Cause::NoDisk { count } => {
                let disks = if *count == 1 { "disk" } else { "disks" };
                write!(f, "there is no such disk ({count} data {disks} found)")
            }
            Cause::Table(error) => error.fmt(f),
            Cause::NoPartition { numbers } if numbers.is_empty() => {
                f.write_str("the disk has no partition table")
            }
            Cause::NoPartition { numbers } => {
                write!(
                    f,
                    "there is no such partition (there are: {})",
                    List(numbers)
                )
            }
            Cause::Overlap => f.write_str("it is mounted already"),
            Cause::PathTaken => f.write_str("something else is mounted there already"),
            Cause::FileSystem { error, partitions } => {
                write!(f, "{error}")?;
                if !partitions.is_empty() {
                    write!(f, " (the disk has partitions: {})", List(partitions))?;
                }
                Ok(())
            }
            Cause::Fat(error) => write!(f, "the FAT on it: {error}"),
            Cause::NoFat => f.write_str(
                "it is a FAT, and this image has no driver for it; \
                 the line file-systems = [\"fat\"] in [package.metadata.toro] of its Cargo.toml adds it",
            ),
            Cause::NoDirectory => {
                f.write_str("there is no such directory, and it cannot be created")
            }
            Cause::Path(Errno(number)) => write!(f, "the path cannot be used (errno {number})"),
        }
    }
}

impl core::error::Error for MountError {}

impl MountError {
    /// The image says that a folder is built into it, and has no such folder, or something else that cannot be.
    pub fn bad_image(path: &str) -> Self {
        Self {
            what: String::from("the files of the image"),
            path: Some(String::from(path)),
            cause: Cause::BadImage,
        }
    }
}

/// Numbers with commas.
struct List<'a>(&'a [u32]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, number) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{number}")?;
        }
        Ok(())
    }
}

/// The requests, the root and then the shortest path first.
fn in_order(requests: &[MountRequest]) -> Result<Vec<&MountRequest>, MountError> {
    let rank = |request: &MountRequest| (!request.is_root(), request.path.len());
    let mut sorted: Vec<&MountRequest> = Vec::with_capacity(requests.len());
    for request in requests {
        if sorted.iter().any(|other| other.overlaps(request)) {
            return Err(request.error(Cause::Overlap));
        }
        let place = sorted.partition_point(|other| rank(other) <= rank(request));
        sorted.insert(place, request);
    }
    Ok(sorted)
}

/// Builds the tree of names: the root, `devices` at `/dev`, and all that is asked for, the shortest path first. Without a request for
/// the root, the root is what `make_scratch` makes.
///
/// # Errors
/// The first request that cannot be fulfilled.
pub fn mount_all(
    requests: &[MountRequest],
    disks: &[Arc<Disk>],
    make_scratch: impl FnOnce() -> Arc<dyn FileSystem>,
    devices: Arc<dyn FileSystem>,
) -> Result<Namespace, MountError> {
    let mut requests = in_order(requests)?;
    let root = match requests.first() {
        Some(request) if request.is_root() => open(requests.remove(0), disks)?,
        _ => make_scratch(),
    };
    let names = bare_tree(root, devices)?;
    for request in requests {
        mount_at(&names, request, open(request, disks)?)?;
    }
    Ok(names)
}

/// Mounts a file system where a request says.
///
/// # Errors
/// When the path cannot be used, or something is mounted there.
pub(super) fn mount_at(
    names: &Namespace,
    request: &MountRequest,
    file_system: Arc<dyn FileSystem>,
) -> Result<(), MountError> {
    attach(names, &request.path, file_system).map_err(|cause| request.error(cause))
}

/// Mounts files that are built into the image at `path`.
///
/// # Errors
/// When something else is there, or there is no such directory and none can be made.
pub fn mount_built_in(
    names: &Namespace,
    path: &str,
    file_system: Arc<dyn FileSystem>,
) -> Result<(), MountError> {
    attach(names, path, file_system).map_err(|cause| MountError {
        what: String::from("the files of the image"),
        path: Some(String::from(path)),
        cause,
    })
}

/// Mounts a file system at a path where nothing is mounted.
fn attach(names: &Namespace, path: &str, file_system: Arc<dyn FileSystem>) -> Result<(), Cause> {
    let (directory, name) = mount_point(names, path)?;
    let is_taken = names
        .child(&directory, &name)
        .map_err(Cause::Path)?
        .is_some_and(|entry| !Arc::ptr_eq(&entry.mount, &directory.mount));
    if is_taken {
        return Err(Cause::PathTaken);
    }
    names
        .mount(&directory, &name, file_system)
        .map_err(Cause::Path)
}

/// The tree of `root` with `devices` at `/dev`.
///
/// # Errors
/// When the root cannot be read or has no directory `dev`.
pub fn bare_tree(
    root: Arc<dyn FileSystem>,
    devices: Arc<dyn FileSystem>,
) -> Result<Namespace, MountError> {
    let of_system = |errno| MountError {
        what: String::from("the root"),
        path: None,
        cause: Cause::Path(errno),
    };
    let names = Namespace::new(root).map_err(of_system)?;
    let root = names.root().clone();
    names.mount(&root, b"dev", devices).map_err(of_system)?;
    Ok(names)
}

/// The volume that a request means; of a whole disk, the numbers of its partitions, too.
///
/// # Errors
/// When there is none.
pub(super) fn volume(
    request: &MountRequest,
    disks: &[Arc<Disk>],
) -> Result<(Volume, Vec<u32>), MountError> {
    let count = disks.len();
    let disk = disks
        .get(request.disk)
        .ok_or_else(|| request.error(Cause::NoDisk { count }))?;
    let numbers: Vec<u32> = disk
        .partitions()
        .map(|partition| partition.number)
        .collect();
    match request.partition {
        None => Ok((Volume::whole(disk.clone()), numbers)),
        Some(number) => {
            let table = disk
                .table
                .as_ref()
                .map_err(|error| request.error(Cause::Table(*error)))?;
            let Some(partition) = disk.partitions().find(|p| p.number == number) else {
                // Perhaps it is there and cannot be used.
                let damaged = table.iter().find_map(|row| match row {
                    Err(error @ PartitionError::OutOfDisk(n)) if *n == number => Some(*error),
                    _ => None,
                });
                let cause = damaged.map_or(Cause::NoPartition { numbers }, Cause::Table);
                return Err(request.error(cause));
            };
            Ok((Volume::partition(disk.clone(), partition), Vec::new()))
        }
    }
}

/// Opens the file system that a request means.
pub(super) fn open(
    request: &MountRequest,
    disks: &[Arc<Disk>],
) -> Result<Arc<dyn FileSystem>, MountError> {
    let (volume, partitions) = volume(request, disks)?;
    if is_fat(&volume) {
        let open = OPEN_FAT.get().ok_or_else(|| request.error(Cause::NoFat))?;
        return open(volume, request.to_string(), request.is_read_only)
            .map_err(|error| request.error(Cause::Fat(error)));
    }
    match Ext2::mount(volume, request.name(), request.is_read_only) {
        Ok(file_system) => Ok(Arc::new(file_system)),
        Err(error) => Err(request.error(Cause::FileSystem { error, partitions })),
    }
}

/// Whether a volume begins like a FAT, and is no ext2: that leaves the first sectors alone, so both can be found on a disk that was one and
/// became the other. (Microsoft, "FAT: General Overview of On-Disk Format", "Boot Sector and BPB".)
fn is_fat(volume: &Volume) -> bool {
    let mut magic = [0; 2];
    if volume.read(1080, &mut magic).is_ok() && magic == [0x53, 0xEF] {
        return false;
    }
    let mut sector = [0; 512];
    if volume.read(0, &mut sector).is_err() {
        return false;
    }
    let sector_len = u16::from_le_bytes([sector[11], sector[12]]);
    matches!(sector[0], 0xEB | 0xE9)
        && sector[510..] == [0x55, 0xAA]
        && matches!(sector_len, 512 | 1024 | 2048 | 4096)
        && sector[13].is_power_of_two()
        && matches!(sector[16], 1 | 2)
}

/// The directory and the name at which to mount. Where the file system there can be written, it is created.
fn mount_point(names: &Namespace, path: &str) -> Result<(Arc<Entry>, Box<[u8]>), Cause> {
    let path = path.as_bytes();
    let ends = path
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'/')
        .map(|(i, _)| i);
    for end in ends.chain([path.len()]).filter(|end| *end > 0) {
        match operations::make_directory(names, names.root(), &path[..end], 0o755) {
            Ok(()) | Err(Errno(libc::EEXIST)) => {}
            Err(Errno(libc::EROFS)) => return Err(Cause::NoDirectory),
            Err(errno) => return Err(Cause::Path(errno)),
        }
    }
    let found = names
        .find(names.root(), path, LastLink::Follow)
        .map_err(Cause::Path)?;
    match (found.last, found.entry) {
        (Last::Name(name), Some(entry)) if entry.is_directory() => {
            Ok((found.directory, Box::from(&*name)))
        }
        (Last::Name(_), Some(_)) => Err(Cause::Path(Errno(libc::ENOTDIR))),
        (Last::Name(_), None) => Err(Cause::NoDirectory),
        (Last::Root | Last::Dot | Last::DotDot, _) => Err(Cause::PathTaken),
    }
}
