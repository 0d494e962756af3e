//! Tables that programs search (POSIX.1-2017, `search.h`): lists, trees and a table of hashes.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::ffi::CString;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::null_mut;

use super::errno;
use crate::error::Errno;
use crate::sync::SpinLock;

type Compare = unsafe extern "C" fn(*const c_void, *const c_void) -> c_int;

/// An entry that equals the key; null if there is none.
///
/// # Safety
/// `base` has `*count` entries of `size` bytes, which `compare` takes.
#[unsafe(no_mangle)]
unsafe extern "C" fn lfind(
    key: *const c_void,
    base: *const c_void,
    count: *mut usize,
    size: usize,
    compare: Compare,
) -> *mut c_void {
    // SAFETY: the caller's entries.
    unsafe {
        let entry = |at: usize| base.byte_add(at * size);
        let found = (0..*count).find(|&at| compare(key, entry(at)) == 0);
        found.map_or(null_mut(), |at| entry(at).cast_mut())
    }
}

/// As [`lfind`]; adds the key when there is none.
///
/// # Safety
/// As there, and there is room for one more entry.
#[unsafe(no_mangle)]
unsafe extern "C" fn lsearch(
    key: *const c_void,
    base: *mut c_void,
    count: *mut usize,
    size: usize,
    compare: Compare,
) -> *mut c_void {
    // SAFETY: the caller's entries and room.
    unsafe {
        let found = lfind(key, base, count, size, compare);
        if !found.is_null() {
            return found;
        }
        let place = base.byte_add(*count * size);
        core::ptr::copy_nonoverlapping(key.cast::<u8>(), place.cast(), size);
        *count += 1;
        place
    }
}

/// An element of a list of the caller's (`struct qelem`).
#[repr(C)]
struct Link {
    next: *mut Link,
    previous: *mut Link,
}

/// # Safety
/// `element` can be written, `previous` is null or an element of a list.
#[unsafe(no_mangle)]
unsafe extern "C" fn insque(element: *mut Link, previous: *mut Link) {
    // SAFETY: the caller's elements.
    unsafe {
        let next = match previous.is_null() {
            true => null_mut(),
            false => core::mem::replace(&mut (*previous).next, element),
        };
        element.write(Link { next, previous });
        if !next.is_null() {
            (*next).previous = element;
        }
    }
}

/// # Safety
/// `element` is one of a list.
#[unsafe(no_mangle)]
unsafe extern "C" fn remque(element: *mut Link) {
    // SAFETY: the caller's elements.
    unsafe {
        let Link { next, previous } = element.read();
        if !next.is_null() {
            (*next).previous = previous;
        }
        if !previous.is_null() {
            (*previous).next = next;
        }
    }
}

/// A node of a tree, whose first field programs read. It is a treap: as balanced as a tree of random order (Seidel, Aragon 1996).
#[repr(C)]
struct Node {
    key: *const c_void,
    left: *mut Node,
    right: *mut Node,
    /// No child has a higher one.
    rank: u64,
}

/// Ranks that look random.
static NEXT_RANK: SpinLock<u64> = SpinLock::new(0x9E37_79B9_7F4A_7C15);

fn next_rank() -> u64 {
    let mut state = NEXT_RANK.lock();
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// The link that leads to the node of a key, or to where it would be.
///
/// # Safety
/// `root` leads to a tree whose keys `compare` takes.
unsafe fn find(root: *mut *mut Node, key: *const c_void, compare: Compare) -> *mut *mut Node {
    let mut link = root;
    // SAFETY: links of the tree.
    unsafe {
        while let Some(node) = (*link).as_mut() {
            link = match compare(key, node.key) {
                0 => break,
                order if order < 0 => &raw mut node.left,
                _ => &raw mut node.right,
            };
        }
    }
    link
}

/// The node of a key; null if there is none.
///
/// # Safety
/// `root` is null or leads to a tree whose keys `compare` takes.
#[unsafe(no_mangle)]
unsafe extern "C" fn tfind(
    key: *const c_void,
    root: *const *mut c_void,
    compare: Compare,
) -> *mut c_void {
    if root.is_null() {
        return null_mut();
    }
    // SAFETY: the caller's tree.
    unsafe { (*find(root.cast_mut().cast(), key, compare)).cast() }
}

/// The node of a key, which is made when there is none; null without memory.
///
/// # Safety
/// As of [`tfind`].
#[unsafe(no_mangle)]
unsafe extern "C" fn tsearch(
    key: *const c_void,
    root: *mut *mut c_void,
    compare: Compare,
) -> *mut c_void {
    if root.is_null() {
        return null_mut();
    }
    let root = root.cast::<*mut Node>();
    // SAFETY: the caller's tree.
    unsafe {
        let found = *find(root, key, compare);
        if !found.is_null() {
            return found.cast();
        }
        let rank = next_rank();
        // Down to where its rank belongs; what is below is split by the key.
        let mut link = root;
        while let Some(node) = (*link).as_mut().filter(|node| node.rank >= rank) {
            link = match compare(key, node.key) < 0 {
                true => &raw mut node.left,
                false => &raw mut node.right,
            };
        }
        let mut rest = *link;
        let new = Box::into_raw(Box::new(Node {
            key,
            left: null_mut(),
            right: null_mut(),
            rank,
        }));
        *link = new;
        let (mut left, mut right) = (&raw mut (*new).left, &raw mut (*new).right);
        while let Some(node) = rest.as_mut() {
            if compare(key, node.key) < 0 {
                *right = rest;
                right = &raw mut node.left;
                rest = node.left;
            } else {
                *left = rest;
                left = &raw mut node.right;
                rest = node.right;
            }
        }
        *left = null_mut();
        *right = null_mut();
        new.cast()
    }
}

/// Takes the node of a key out; its parent, or something that is not null if it was the root. Null if there is none.
///
/// # Safety
/// As of [`tfind`].
#[unsafe(no_mangle)]
unsafe extern "C" fn tdelete(
    key: *const c_void,
    root: *mut *mut c_void,
    compare: Compare,
) -> *mut c_void {
    if root.is_null() {
        return null_mut();
    }
    let root = root.cast::<*mut Node>();
    // SAFETY: the caller's tree.
    unsafe {
        let (mut link, mut parent) = (root, root.cast::<c_void>());
        while let Some(node) = (*link).as_mut() {
            let order = compare(key, node.key);
            if order == 0 {
                break;
            }
            parent = (*link).cast();
            link = match order < 0 {
                true => &raw mut node.left,
                false => &raw mut node.right,
            };
        }
        if (*link).is_null() {
            return null_mut();
        }
        let gone = Box::from_raw(*link);
        // What is below it is merged, the higher rank above.
        let (mut left, mut right) = (gone.left, gone.right);
        loop {
            match (left.as_mut(), right.as_mut()) {
                (None, _) => {
                    *link = right;
                    break;
                }
                (_, None) => {
                    *link = left;
                    break;
                }
                (Some(one), Some(other)) if one.rank >= other.rank => {
                    *link = left;
                    link = &raw mut one.right;
                    left = one.right;
                }
                (Some(_), Some(other)) => {
                    *link = right;
                    link = &raw mut other.left;
                    right = other.left;
                }
            }
        }
        parent
    }
}

type Visit = unsafe extern "C" fn(*const c_void, c_int, c_int);

/// # Safety
/// A tree.
unsafe fn walk(node: *const Node, visit: Visit, depth: c_int) {
    // SAFETY: the caller's tree; its depth is that of a random one.
    unsafe {
        let Some(inner) = node.as_ref() else {
            return;
        };
        // The order of `VISIT`: before the children, between, after, and a leaf.
        if inner.left.is_null() && inner.right.is_null() {
            return visit(node.cast(), 3, depth);
        }
        visit(node.cast(), 0, depth);
        walk(inner.left, visit, depth + 1);
        visit(node.cast(), 1, depth);
        walk(inner.right, visit, depth + 1);
        visit(node.cast(), 2, depth);
    }
}

/// # Safety
/// `root` is null or a tree's root.
#[unsafe(no_mangle)]
unsafe extern "C" fn twalk(root: *const c_void, visit: Visit) {
    // SAFETY: the same contract.
    unsafe { walk(root.cast(), visit, 0) };
}

/// Ends a tree, and each of its keys by a function.
///
/// # Safety
/// `root` is null or a tree's root, which is not used any more.
#[unsafe(no_mangle)]
unsafe extern "C" fn tdestroy(root: *mut c_void, free: unsafe extern "C" fn(*mut c_void)) {
    if root.is_null() {
        return;
    }
    // SAFETY: nodes came from `tsearch`.
    unsafe {
        let node = Box::from_raw(root.cast::<Node>());
        tdestroy(node.left.cast(), free);
        tdestroy(node.right.cast(), free);
        free(node.key.cast_mut());
    }
}

/// An entry of the table of hashes (`ENTRY`).
#[derive(Clone, Copy)]
#[repr(C)]
struct Entry {
    key: *mut c_char,
    data: *mut c_void,
}

struct Table(Option<BTreeMap<CString, Box<Entry>>>);

// SAFETY: the pointers are the program's, and are only handed back.
unsafe impl Send for Table {}

/// There is one, as in C.
static TABLE: SpinLock<Table> = SpinLock::new(Table(None));

/// Makes the table; 0 when there is one.
#[unsafe(no_mangle)]
extern "C" fn hcreate(_entries: usize) -> c_int {
    let mut table = TABLE.lock();
    if table.0.is_some() {
        return 0;
    }
    table.0 = Some(BTreeMap::new());
    1
}

/// Ends the table; keys and data are the program's.
#[unsafe(no_mangle)]
extern "C" fn hdestroy() {
    let table = TABLE.lock().0.take();
    drop(table);
}

/// The entry of a key; `ENTER` (1) makes it when there is none, `FIND` (0) says `ESRCH`.
///
/// # Safety
/// The key is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn hsearch(wanted: Entry, action: c_int) -> *mut Entry {
    // SAFETY: the caller's string.
    let key = unsafe { CStr::from_ptr(wanted.key) }.to_owned();
    let mut table = TABLE.lock();
    let found = match (table.0.as_mut(), action) {
        (Some(entries), 1) => Some(entries.entry(key).or_insert_with(|| Box::new(wanted))),
        (Some(entries), _) => entries.get_mut(&key),
        (None, _) => None,
    };
    let place = found.map(|entry| &raw mut **entry);
    drop(table);
    place.unwrap_or_else(|| {
        errno::set(Errno(libc::ESRCH));
        null_mut()
    })
}
