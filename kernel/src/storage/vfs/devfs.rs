//! `/dev`: the devices that programs expect everywhere (Linux: null(4), random(4), full(4), console(4), tty(4)).

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::node::{
    Changes, DirEntry, FileSystem, Metadata, NewNode, Node, NodeKind, NodeRef, TakeEntry, Usage,
};
use crate::devices::console;
use crate::error::{Errno, Result};
use crate::sync::OnceCell;

/// The file of the program, as far as it is one: its symbols and source lines (`image::program_file`). std reads it for backtraces.
const PROGRAM: &[u8] = b"program";
const PROGRAM_NUMBER: u64 = 100;

/// Made at the first use.
static PROGRAM_FILE: OnceCell<Vec<u8>> = OnceCell::new();

fn program_file() -> &'static [u8] {
    if PROGRAM_FILE.get().is_none() {
        // Another core may be first; the files are the same.
        let _ = PROGRAM_FILE.set(made_program_file().unwrap_or_default());
    }
    PROGRAM_FILE.get().map_or(&[], Vec::as_slice)
}

#[cfg(not(test))]
fn made_program_file() -> Option<Vec<u8>> {
    crate::image::program_file()
}

/// On the host there is no image.
#[cfg(test)]
fn made_program_file() -> Option<Vec<u8>> {
    Some(b"\x7fELF".to_vec())
}

struct ProgramNode;

impl Node for ProgramNode {
    fn kind(&self) -> NodeKind {
        NodeKind::File
    }

    fn number(&self) -> u64 {
        PROGRAM_NUMBER
    }

    fn metadata(&self) -> Result<Metadata> {
        Ok(Metadata {
            len_bytes: program_file().len() as u64,
            ..metadata(NodeKind::File, PROGRAM_NUMBER, 0o444, (0, 0))
        })
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| program_file().get(offset..))
            .unwrap_or_default();
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

/// What fills a buffer with bytes nobody can guess.
pub type Entropy = fn(&mut [u8]);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Device {
    Null,
    Zero,
    Full,
    Random,
    /// The machine's only terminal, which is the one of the program, too.
    Console,
}

/// Name, kind and Linux's major and minor numbers (admin-guide/devices.txt).
const DEVICES: [(&[u8], Device, (u32, u32)); 10] = [
    (b"null", Device::Null, (1, 3)),
    (b"zero", Device::Zero, (1, 5)),
    (b"full", Device::Full, (1, 7)),
    (b"random", Device::Random, (1, 8)),
    (b"urandom", Device::Random, (1, 9)),
    (b"tty", Device::Console, (5, 0)),
    (b"console", Device::Console, (5, 1)),
    // What a program's first three descriptors are unless it puts others there: logs are told to go to them by name.
    (b"stdin", Device::Console, (5, 0)),
    (b"stdout", Device::Console, (5, 0)),
    (b"stderr", Device::Console, (5, 0)),
];

fn number_of((major, minor): (u32, u32)) -> u64 {
    u64::from(major << 8 | minor)
}

/// The file system.
pub struct Devfs {
    entropy: Entropy,
}

struct Directory {
    entropy: Entropy,
}

struct DeviceNode {
    device: Device,
    numbers: (u32, u32),
    entropy: Entropy,
}

impl Devfs {
    /// A file system whose random devices take from `entropy`.
    pub fn new(entropy: Entropy) -> Self {
        Self { entropy }
    }
}

impl FileSystem for Devfs {
    fn root(&self) -> Result<NodeRef> {
        Ok(Arc::new(Directory {
            entropy: self.entropy,
        }))
    }

    /// No names can be added; the devices can be written all the same.
    fn is_read_only(&self) -> bool {
        true
    }

    fn usage(&self) -> Usage {
        Usage {
            block_len_bytes: 4096,
            ..Usage::default()
        }
    }
}

fn metadata(kind: NodeKind, number: u64, permissions: u32, device: (u32, u32)) -> Metadata {
    Metadata {
        device,
        ..Metadata::of_kernel(kind, number, permissions)
    }
}

impl Node for Directory {
    fn kind(&self) -> NodeKind {
        NodeKind::Directory
    }

    fn number(&self) -> u64 {
        1
    }

    fn metadata(&self) -> Result<Metadata> {
        Ok(metadata(NodeKind::Directory, 1, 0o755, (0, 0)))
    }

    fn lookup(&self, name: &[u8]) -> Result<NodeRef> {
        if name == PROGRAM {
            return Ok(Arc::new(ProgramNode));
        }
        let row = DEVICES
            .iter()
            .find(|row| row.0 == name)
            .ok_or(Errno(libc::ENOENT))?;
        Ok(Arc::new(DeviceNode {
            device: row.1,
            numbers: row.2,
            entropy: self.entropy,
        }))
    }

    fn read_dir(&self, cookie: u64, take: &mut TakeEntry<'_>) -> Result<()> {
        let entries = DEVICES.iter().zip(1..).map(|(row, next_cookie)| DirEntry {
            number: number_of(row.2),
            kind: Some(NodeKind::CharacterDevice),
            name: row.0,
            next_cookie,
        });
        let program = DirEntry {
            number: PROGRAM_NUMBER,
            kind: Some(NodeKind::File),
            name: PROGRAM,
            next_cookie: DEVICES.len() as u64 + 1,
        };
        entries
            .chain(core::iter::once(program))
            .filter(|entry| entry.next_cookie > cookie)
            .all(|entry| take(&entry));
        Ok(())
    }

    fn create(&self, _name: &[u8], _new: NewNode<'_>, _permissions: u32) -> Result<NodeRef> {
        Err(Errno(libc::EPERM))
    }
}

impl Node for DeviceNode {
    fn kind(&self) -> NodeKind {
        NodeKind::CharacterDevice
    }

    fn number(&self) -> u64 {
        number_of(self.numbers)
    }

    fn metadata(&self) -> Result<Metadata> {
        Ok(metadata(
            NodeKind::CharacterDevice,
            self.number(),
            0o666,
            self.numbers,
        ))
    }

    fn read_at(&self, _offset: u64, buf: &mut [u8]) -> Result<usize> {
        match self.device {
            Device::Null => return Ok(0),
            Device::Zero | Device::Full => buf.fill(0),
            Device::Random => (self.entropy)(buf),
            Device::Console => return Ok(console::input::read(buf, false).unwrap_or(0)),
        }
        Ok(buf.len())
    }

    fn write_at(&self, _offset: u64, data: &[u8]) -> Result<usize> {
        match self.device {
            Device::Full => Err(Errno(libc::ENOSPC)),
            Device::Console => {
                console::write(data);
                Ok(data.len())
            }
            _ => Ok(data.len()),
        }
    }

    fn append(&self, data: &[u8]) -> Result<(usize, u64)> {
        self.write_at(0, data).map(|written| (written, 0))
    }

    /// A device has no length to set; `open` with `O_TRUNC` asks for it all the same.
    fn set_len(&self, _len_bytes: u64) -> Result<()> {
        Err(Errno(libc::EINVAL))
    }

    fn change(&self, _changes: &Changes) -> Result<()> {
        Err(Errno(libc::EPERM))
    }

    fn read_link(&self) -> Result<Vec<u8>> {
        Err(Errno(libc::EINVAL))
    }
}
