//! Names of sockets of the family `AF_UNIX` (Linux: unix(7)): none, abstract ones, and paths, which are also names in a file system.

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use libc::{sockaddr, socklen_t};

use super::Target;
use crate::abi::directory::umask_now;
use crate::error::{Errno, Result};
use crate::sorted_map::SortedMap;
use crate::storage::vfs::namespace::{Entry, LastLink};
use crate::storage::vfs::node::{NewNode, NodeKind};
use crate::storage::vfs::{self, operations};
use crate::sync::SpinLock;

/// What `sun_path` holds: nothing, a zero and an abstract name, or a path.
pub(in crate::abi) type Name = Box<[u8]>;

const PATH_OFFSET: usize = size_of::<libc::sa_family_t>();
const PATH_MAX: usize = size_of::<libc::sockaddr_un>() - PATH_OFFSET;

/// Reads an address that the caller gave.
///
/// # Safety
/// 1. `address` is null or points to `len` bytes.
pub(in crate::abi) unsafe fn load(address: *const sockaddr, len: socklen_t) -> Result<Name> {
    if address.is_null() {
        return Err(Errno(libc::EFAULT));
    }
    let len = len as usize;
    if !(PATH_OFFSET..=PATH_OFFSET + PATH_MAX).contains(&len) {
        return Err(Errno(libc::EINVAL));
    }
    // SAFETY: (1).
    let bytes = unsafe { core::slice::from_raw_parts(address.cast::<u8>(), len) };
    let (family, path) = bytes.split_at(PATH_OFFSET);
    if family != (libc::AF_UNIX as libc::sa_family_t).to_ne_bytes() {
        return Err(Errno(libc::EINVAL));
    }
    Ok(match path.first() {
        // A path ends with its first zero.
        Some(1..) => path.split(|byte| *byte == 0).next().unwrap_or_default(),
        _ => path,
    }
    .into())
}

/// Gives the caller an address, as much as fits, and its length.
///
/// # Safety
/// 1. `len` is null or points to a length, and `address` is null or points to that many bytes.
pub(in crate::abi) unsafe fn store(name: &[u8], address: *mut sockaddr, len: *mut socklen_t) {
    if address.is_null() || len.is_null() {
        return;
    }
    let mut bytes = Vec::from((libc::AF_UNIX as libc::sa_family_t).to_ne_bytes());
    bytes.extend_from_slice(name);
    if matches!(name.first(), Some(1..)) {
        bytes.push(0);
    }
    // SAFETY: no more is written than the caller has room for (1).
    unsafe {
        let room = (*len as usize).min(bytes.len());
        core::ptr::copy_nonoverlapping(bytes.as_ptr(), address.cast(), room);
        *len = bytes.len() as socklen_t;
    }
}

/// By what a bound socket is found.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// File system and number of the node.
    Node(u64, u64),
    Abstract(Name),
}

static BOUND: SpinLock<SortedMap<Key, Weak<Target>>> = SpinLock::new(SortedMap::new());

/// A name that is taken; free again when this goes. A path stays in its file system, as on Linux.
pub(super) struct Binding {
    pub(super) name: Name,
    key: Key,
    /// Keeps the node's number from being used again.
    _entry: Option<Arc<Entry>>,
}

fn key_of(entry: &Entry) -> Key {
    Key::Node(entry.mount.device, entry.node.number())
}

impl Binding {
    /// Takes a name for a socket; a path gets these permissions, but for those that new files do not get.
    ///
    /// # Errors
    /// `EADDRINUSE`; those of making a node.
    pub(super) fn new(name: Name, target: &Arc<Target>, permissions: u32) -> Result<Self> {
        let (key, entry) = match name.first() {
            // Linux chooses an abstract name of five digits.
            None => return Self::chosen(target),
            Some(0) => (Key::Abstract(name.clone()), None),
            Some(_) => {
                let base = vfs::current()?;
                let permissions = permissions & !umask_now();
                let made = operations::make_name(
                    vfs::names()?,
                    &base,
                    &name,
                    NewNode::Socket,
                    permissions,
                );
                let entry = made.map_err(|error| match error.0 {
                    libc::EEXIST => Errno(libc::EADDRINUSE),
                    _ => error,
                })?;
                (key_of(&entry), Some(entry))
            }
        };
        let mut bound = BOUND.lock();
        if entry.is_none() && bound.get(&key).is_some_and(|old| old.strong_count() != 0) {
            return Err(Errno(libc::EADDRINUSE));
        }
        bound.insert(key.clone(), Arc::downgrade(target));
        Ok(Self {
            name,
            key,
            _entry: entry,
        })
    }

    fn chosen(target: &Arc<Target>) -> Result<Self> {
        for number in 0..0x10_0000 {
            let name = alloc::format!("\0{number:05x}").into_bytes();
            match Self::new(name.into(), target, 0) {
                Err(Errno(libc::EADDRINUSE)) => {}
                result => return result,
            }
        }
        Err(Errno(libc::ENOSPC))
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        let removed = BOUND.lock().remove(&self.key);
        drop(removed);
    }
}

/// The socket that has a name.
///
/// # Errors
/// `ECONNREFUSED` when no socket has it any more, or what is there is no socket; those of finding a path.
pub(super) fn find(name: &[u8]) -> Result<Arc<Target>> {
    let key = match name.first() {
        None => return Err(Errno(libc::EINVAL)),
        Some(0) => Key::Abstract(name.into()),
        Some(_) => {
            let entry = vfs::resolve(name, LastLink::Follow)?;
            if entry.node.kind() != NodeKind::Socket {
                return Err(Errno(libc::ECONNREFUSED));
            }
            key_of(&entry)
        }
    };
    let found = BOUND.lock().get(&key).and_then(Weak::upgrade);
    found.ok_or(Errno(libc::ECONNREFUSED))
}
