//! Making disk images: a file system with what is in a folder, alone or in a partition.
//!
//! ext2 is made by the crate of this repository, FAT by `fatfs`. An image depends on nothing but the folder and the
//! [`Request`]: equal ones make equal bytes. It is written beside its place and moved there when it is whole.

use crate::failure::Failure;
use crate::folder::{Fingerprint, Listing};
use crate::shell::Shell;
use crate::unfinished::{self, Unfinished};
use crate::values::Size;
use crate::volume::device::FileDevice;
use crate::volume::partitions::{self, Table};
use crate::volume::{FatRequest, Kind, fat_size, make_fat};
use anyhow::{Context, Result, bail};
use ext2::make::{MakeError, Options, Plan};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// The beginning of the UUID of what is made here: version 8 (free form) of RFC 9562. A fingerprint of the folder follows.
const MARK: [u8; 9] = [b'T', b'O', b'R', b'O', 0, 1, 0x80, 0, 0x80];
/// Where the superblock is, and two of its fields: "The Second Extended File System", table 3.3.
const SUPERBLOCK: u64 = 1024;
const MAGIC_AT: usize = 56;
const MAGIC: [u8; 2] = [0x53, 0xef];
const UUID_AT: usize = 104;
const UUID_LEN: usize = 16;
/// The system name in the boot sector of a FAT that was made here, and where it is (Microsoft, "FAT: General Overview").
const FAT_NAME: &[u8] = b"MSWIN4.1";

/// A UUID.
pub type Id = [u8; UUID_LEN];

/// How an image is to be made.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is made.
    pub kind: Kind,
    /// The size of the image; without it, what is needed and room to write.
    pub size: Option<Size>,
    /// Bytes of a block of ext2.
    pub block_size: Option<u32>,
    /// Inodes of ext2.
    pub inodes: Option<u32>,
    /// The revision of ext2.
    pub revision: u32,
    /// The name of the volume.
    pub label: Option<String>,
    /// The number of the volume; without it, one that follows from the folder.
    pub uuid: Option<Id>,
    /// The partition table around it.
    pub partition: Option<Table>,
    /// Overwrite whatever is there.
    pub is_forced: bool,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            kind: Kind::Ext2,
            size: None,
            block_size: None,
            inodes: None,
            revision: 1,
            label: None,
            uuid: None,
            partition: None,
            is_forced: false,
        }
    }
}

/// What was made.
#[derive(Debug, Clone, Copy)]
pub struct Made {
    /// The size of the image.
    pub size: Size,
    /// Files in it.
    pub file_count: usize,
}

/// Makes the image at `path` from `folder`.
pub fn make(path: &Path, folder: &Path, request: &Request, shell: &Shell) -> Result<Made> {
    write(path, &list(folder, path)?, request, shell)
}

/// Lists a folder that the image at `image` is made from.
pub fn list(folder: &Path, image: &Path) -> Result<Listing> {
    if !folder.is_dir() {
        let message = format!(
            "there is no folder {} to make {} from",
            folder.display(),
            image.display()
        );
        bail!(Failure::new(message, "make the folder, or name another"));
    }
    let holder = unfinished::folder(image);
    if let (Ok(folder), Ok(holder)) = (folder.canonicalize(), holder.canonicalize())
        && holder.starts_with(&folder)
    {
        let message = format!(
            "{} would lie in the folder it is made from",
            image.display()
        );
        bail!(Failure::new(message, "put the image somewhere else"));
    }
    Listing::read(folder)
}

/// Makes the image at `path` with what is in `listing`.
pub fn write(path: &Path, listing: &Listing, request: &Request, shell: &Shell) -> Result<Made> {
    crate::parts::expect_file_or_nothing(path)?;
    if path.exists() && !request.is_forced && !is_ours(path) {
        let message = format!("{} is not an image that this tool made", path.display());
        bail!(Failure::new(
            message,
            "move it away, or use `cargo toro mkfs --force` to overwrite it"
        ));
    }
    if path.exists() {
        // An error if a machine has it.
        FileDevice::open(path, crate::volume::device::Access::Write)?;
    }
    listing.tell_left_out(shell);
    let make = || -> Result<Made> {
        let image = Image::plan(listing, request)?;
        let unfinished = Unfinished::beside(path)?;
        let size = image.write(unfinished.file(), listing, request)?;
        unfinished.finish(path)?;
        Ok(Made {
            size,
            file_count: listing.file_count(),
        })
    };
    make().with_context(|| format!("cannot make the disk image {}", path.display()))
}

/// What is going to be written.
enum Image<'a> {
    Ext2(Box<Plan<'a>>),
    /// The size of the file system is a guess unless it was asked for.
    Fat {
        len_bytes: u64,
        is_guess: bool,
    },
}

impl<'a> Image<'a> {
    fn plan(listing: &'a Listing, request: &Request) -> Result<Self> {
        let around = request.partition.map_or(0, |table| {
            let (before, behind) = partitions::around(table);
            before + behind
        });
        let help = |needed: u64| {
            let needed = Size {
                bytes: (needed + around).next_multiple_of(1 << 20),
            };
            format!(
                "give it --size {} or more, or leave the size away",
                needed.option()
            )
        };
        let room = match request.size {
            Some(size) => match size.bytes.checked_sub(around).filter(|room| *room > 0) {
                None => bail!(Failure::new(
                    "the partition table leaves no room",
                    help(1 << 20)
                )),
                room => room,
            },
            None => None,
        };
        if request.kind == Kind::Fat {
            if request.block_size.is_some() || request.inodes.is_some() || request.revision != 1 {
                let message = "block size, inodes and revision are those of ext2";
                bail!(Failure::new(message, "leave them away for FAT"));
            }
            let (needed, comfortable) = fat_size(listing)?;
            if let Some(room) = room.filter(|room| *room < needed) {
                let message =
                    format!("the content needs at least {needed} bytes, and there are {room}");
                bail!(Failure::new(message, help(needed)));
            }
            return Ok(Self::Fat {
                len_bytes: room
                    .unwrap_or(comfortable)
                    .next_multiple_of(partitions::SECTOR),
                is_guess: room.is_none(),
            });
        }
        let label = request.label.clone().unwrap_or_default();
        if label.len() > 16 {
            let message = format!("the label `{label}` is longer than 16 bytes");
            bail!(Failure::new(message, "choose a shorter one"));
        }
        let options = Options {
            size_bytes: room,
            block_size: request.block_size.unwrap_or(4096),
            inode_count: request.inodes,
            revision: request.revision,
            label,
            uuid: Some(uuid(listing, request)),
            ..Options::default()
        };
        match listing.builder(options)?.plan() {
            Ok(plan) => Ok(Self::Ext2(Box::new(plan))),
            Err(MakeError::TooSmall { needed_bytes, .. }) => {
                let size = Size {
                    bytes: request.size.unwrap_or_default().bytes,
                };
                let needs = match request.inodes {
                    Some(count) => format!("the content with {count} inodes needs"),
                    None => "the content needs".into(),
                };
                let message = format!(
                    "{needs} an image of {} bytes, and this one is to have {size}",
                    needed_bytes + around
                );
                bail!(Failure::new(message, help(needed_bytes)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the image into a new file; returns its size.
    fn write(self, file: &File, listing: &Listing, request: &Request) -> Result<Size> {
        let id = uuid(listing, request);
        match self {
            Self::Ext2(plan) => {
                let (device, size) = prepare(
                    file,
                    plan.size_bytes(),
                    request,
                    partitions::Kind::Linux,
                    id,
                )?;
                plan.write_to_blank(&device)?;
                Ok(size)
            }
            Self::Fat {
                mut len_bytes,
                is_guess,
            } => loop {
                file.set_len(0)?;
                let fat = FatRequest {
                    label: request.label.as_deref(),
                    id: u32::from_le_bytes([id[0], id[1], id[2], id[3]]),
                };
                let bits = crate::volume::fat_bits(len_bytes);
                let (device, size) =
                    prepare(file, len_bytes, request, partitions::Kind::Fat(bits), id)?;
                match make_fat(device, listing, &fat) {
                    // How much room the tables take is known only when they are there.
                    Err(error) if is_guess && is_full(&error) && len_bytes < 1 << 40 => {
                        len_bytes = (len_bytes * 3 / 2).next_multiple_of(partitions::SECTOR);
                    }
                    result => return result.map(|()| size),
                }
            },
        }
    }
}

fn is_full(error: &anyhow::Error) -> bool {
    let mut causes = error.chain();
    causes.any(|cause| cause.to_string().contains("No space left"))
}

/// Gives a new file its size and its partition table; returns the place of the file system.
fn prepare(
    file: &File,
    len_bytes: u64,
    request: &Request,
    kind: partitions::Kind,
    id: Id,
) -> Result<(FileDevice, Size)> {
    let Some(table) = request.partition else {
        let len = request.size.map_or(len_bytes, |size| size.bytes);
        file.set_len(len)?;
        let device = FileDevice::new(file.try_clone()?, len).without_sync();
        return Ok((device, Size { bytes: len }));
    };
    let (before, behind) = partitions::around(table);
    let least = before + len_bytes + behind;
    let len = request
        .size
        .map_or(least.next_multiple_of(partitions::ALIGNMENT), |size| {
            size.bytes
        });
    let len = len - len % partitions::SECTOR;
    file.set_len(len)?;
    let disk = FileDevice::new(file.try_clone()?, len).without_sync();
    partitions::write(&disk, table, kind, id)?;
    let part = disk.part(before, len - before - behind);
    Ok((
        part.context("the partition is not on the disk")?,
        Size { bytes: len },
    ))
}

/// The number of an image: what was asked for, or one by which it is known what it was made from.
pub fn uuid(listing: &Listing, request: &Request) -> Id {
    if let Some(uuid) = request.uuid {
        return uuid;
    }
    let mut fingerprint: Fingerprint = listing.fingerprint();
    fingerprint.add(&request.size.map_or(0, |size| size.bytes).to_le_bytes());
    fingerprint.add(request.label.as_deref().unwrap_or_default().as_bytes());
    let mut uuid = [0; UUID_LEN];
    let (mark, rest) = uuid.split_at_mut(MARK.len());
    mark.copy_from_slice(&MARK);
    rest.copy_from_slice(&fingerprint.value().to_le_bytes()[..UUID_LEN - MARK.len()]);
    uuid
}

/// Whether the image at `path` was made here: by its UUID, or by the GPT's or the MBR's.
fn is_ours(path: &Path) -> bool {
    if read_uuid(path).is_some_and(|uuid| uuid.starts_with(&MARK)) {
        return true;
    }
    let read = |at: usize, len: usize| {
        let mut bytes = vec![0; at + len];
        let mut file = File::open(path).ok()?;
        file.read_exact(&mut bytes).ok()?;
        Some(bytes.split_off(at))
    };
    // An MBR's number is the first bytes of the mark, and so is the serial number of a FAT.
    let mbr = read(440, 4).is_some_and(|id| id == MARK[..4]);
    let fat = read(3, 8).is_some_and(|name| name == FAT_NAME)
        && [39, 67]
            .iter()
            .any(|at| read(*at, 4).is_some_and(|id| id == MARK[..4]));
    let gpt = read(512 + 56, 4).is_some_and(|id| id == [b'O', b'R', b'O', b'T'])
        || read(512 + 56, 4).is_some_and(|id| id == MARK[..4]);
    mbr || fat || gpt
}

/// The UUID of the ext2 image at `path`; `None` if it is none.
pub fn read_uuid(path: &Path) -> Option<Id> {
    let mut superblock = [0; UUID_AT + UUID_LEN];
    let mut file = File::open(path).ok().filter(|_| path.is_file())?;
    file.seek(SeekFrom::Start(SUPERBLOCK)).ok()?;
    file.read_exact(&mut superblock).ok()?;
    let uuid = superblock[UUID_AT..].try_into().ok()?;
    (superblock[MAGIC_AT..MAGIC_AT + 2] == MAGIC).then_some(uuid)
}

#[cfg(test)]
#[path = "mkfs_tests.rs"]
mod tests;
