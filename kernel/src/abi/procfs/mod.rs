//! `/proc` and `/sys`: what programs read there about themselves and the machine (Linux: proc(5), sysfs(5),
//! Documentation/ABI/testing/sysfs-devices-system-cpu). [`process`] is about the program, which is process 1 and the only one, [`machine`] about
//! the rest, but for the network, which is [`network`]'s. What is not known is not there: devices, what was read and written.
//!
//! The link step brings them only to programs that name something in there (`toro_proc`, `toro_proc_net`, start.rs).

mod counters;
mod machine;
pub(crate) mod network;
mod process;
mod sockets;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use crate::error::Result;
use crate::storage::vfs;
use crate::storage::vfs::lock::{self, NodeKey};
use crate::storage::vfs::made::{Item, Made};
use crate::storage::vfs::namespace::LastLink;
use crate::storage::vfs::ranges::{self, Owner};

/// Linux's numbers for these kinds of file systems (statfs(2)).
const PROC_MAGIC: i64 = 0x9FA0;
const SYS_MAGIC: i64 = 0x6265_6572;

static PROC: Item = Item::Directory(&[
    ("1", Item::Directory(&process::PROCESS)),
    ("self", Item::Link(|_| Ok(Vec::from(b"1")))),
    ("thread-self", Item::Link(process::thread_link)),
    ("cpuinfo", Item::File(machine::processors)),
    ("filesystems", Item::File(machine::file_systems)),
    ("loadavg", Item::File(machine::load)),
    ("locks", Item::File(locks)),
    ("meminfo", Item::File(machine::memory)),
    ("mounts", Item::Link(|_| Ok(Vec::from(b"self/mounts")))),
    ("stat", Item::File(machine::statistics)),
    (
        "swaps",
        Item::File(|_| line("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority")),
    ),
    ("sys", Item::Directory(&machine::SETTINGS)),
    ("uptime", Item::File(machine::uptime)),
    ("version", Item::File(machine::version)),
]);

static SYS: Item = Item::Directory(&machine::SYS);

/// Mounts both, and the descriptors at `/dev/fd`, too.
///
/// # Errors
/// `ENOENT` before there are file systems.
pub(crate) fn mount() -> Result<()> {
    machine::bring_machine_id();
    let names = vfs::names()?;
    let devices = names.resolve(names.root(), b"/dev", LastLink::Follow)?;
    let root = &process::DESCRIPTORS;
    let magic = PROC_MAGIC;
    names.mount(&devices, b"fd", Arc::new(Made { root, magic }))?;
    for (name, root, magic) in [(b"proc", &PROC, PROC_MAGIC), (b"sys\0", &SYS, SYS_MAGIC)] {
        let name = name.strip_suffix(b"\0").unwrap_or(name);
        names.mount(names.root(), name, Arc::new(Made { root, magic }))?;
    }
    Ok(())
}

/// Locks on files (Linux: proc_locks(5)).
fn locks(_: u64) -> Result<Vec<u8>> {
    let place = |(device, node): NodeKey| {
        let (major, minor) = (libc::major(device), libc::minor(device));
        alloc::format!("{major:02x}:{minor:02x}:{node}")
    };
    let kind = |is_exclusive| if is_exclusive { "WRITE" } else { "READ " };
    let ranges = ranges::table().map(|table| table.all());
    let mut number = 0;
    text(|out| {
        for (key, is_exclusive) in lock::all() {
            number += 1;
            let (kind, place) = (kind(is_exclusive), place(key));
            writeln!(out, "{number}: FLOCK  ADVISORY  {kind} 1 {place} 0 EOF")?;
        }
        for (key, range) in ranges.unwrap_or_default() {
            number += 1;
            let (whose, process) = match range.owner {
                Owner::Process => ("POSIX ", 1),
                Owner::File(_) => ("OFDLCK", -1),
            };
            let (kind, place, start) = (kind(range.is_exclusive), place(key), range.start);
            write!(
                out,
                "{number}: {whose} ADVISORY  {kind} {process} {place} {start} "
            )?;
            match range.end {
                ranges::LAST => writeln!(out, "EOF")?,
                end => writeln!(out, "{end}")?,
            }
        }
        Ok(())
    })
}

/// The content of a file, written by `write`.
fn text(write: impl FnOnce(&mut String) -> fmt::Result) -> Result<Vec<u8>> {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text);
    Ok(text.into_bytes())
}

/// A file of one line.
fn line(what: impl fmt::Display) -> Result<Vec<u8>> {
    text(|out| writeln!(out, "{what}"))
}
