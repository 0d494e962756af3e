//! Trees of files as a stream of what is in them (4.4BSD's `fts_open`, Linux: fts(3)): directories come before their content (`FTS_D`) and after it
//! (`FTS_DP`). The program says of each how to go on ([`fts64_set`]). Paths begin where the stream was opened; without `FTS_NOCHDIR` the program
//! is in the directory of what it got.
//!
//! Neighbour: [`super::tree_walk`], where the program is called instead.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int, c_long, c_void};
use core::mem::offset_of;
use core::ptr::null_mut;

use super::convert::{also_named, c_result, text};
use super::directory::{chdir, fchdir};
use super::errno;
use super::file::{close, open64};
use super::memory::{free, malloc};
use super::metadata::{lstat64, stat64};
use super::tree_walk::names;
use crate::error::{Errno, Result};

/// What a stream is opened with.
const FOLLOW_ROOTS: c_int = 1;
const LOGICAL: c_int = 2;
const STAY: c_int = 4;
const NO_STAT: c_int = 8;
const WITH_DOTS: c_int = 0x20;
const ONE_DEVICE: c_int = 0x40;
const ALL_OPTIONS: c_int = 0xFF;
/// What [`fts64_children`] is asked for, and what the stream remembers: that it was, and that it is over.
const NAMES_ONLY: c_int = 0x100;
const STOPPED: c_int = 0x200;

/// Kinds of what is found (`FTS_D`, …).
const DIRECTORY: u16 = 1;
const CYCLE: u16 = 2;
const OTHER: u16 = 3;
const UNREADABLE: u16 = 4;
const DOT: u16 = 5;
const DIRECTORY_DONE: u16 = 6;
const FAILED: u16 = 7;
const FILE: u16 = 8;
const START: u16 = 9;
const NO_FACTS: u16 = 10;
const NOT_ASKED: u16 = 11;
const LINK: u16 = 12;
const DANGLING_LINK: u16 = 13;

/// What the program says of one.
const AGAIN: u16 = 1;
const FOLLOW: u16 = 2;
const NOTHING: u16 = 3;
const SKIP: u16 = 4;

/// `FTSENT`; behind it are the name, the path and the facts.
#[repr(C)]
pub(super) struct Found {
    cycle: *mut Found,
    parent: *mut Found,
    link: *mut Found,
    number: c_long,
    pointer: *mut c_void,
    access_path: *mut c_char,
    path: *mut c_char,
    error: c_int,
    symlink_descriptor: c_int,
    path_len: u16,
    name_len: u16,
    inode: u64,
    device: u64,
    links: u64,
    level: i16,
    info: u16,
    flags: u16,
    instruction: u16,
    stat: *mut libc::stat64,
    name: [c_char; 0],
}

const _: () = assert!(offset_of!(Found, stat) == 104 && offset_of!(Found, name) == 112);

type Compare = unsafe extern "C" fn(*const *const Found, *const *const Found) -> c_int;

/// `FTS`.
#[repr(C)]
pub(super) struct Tree {
    current: *mut Found,
    /// The content of the current one, if the program has asked for it.
    child: *mut Found,
    array: usize,
    /// Where the current root is.
    device: u64,
    path: *mut c_char,
    /// Where paths begin; -1 with [`STAY`].
    home: c_int,
    path_len: c_int,
    count: c_int,
    compare: Option<Compare>,
    options: c_int,
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.leave();
        // SAFETY: what the stream holds was made by `make` and is used no more: the content of the current one, it and those behind it, and
        // so for each directory above.
        unsafe {
            free_list(self.child);
            let mut next = self.current;
            while !next.is_null() {
                let parent = (*next).parent;
                free_list(next);
                next = parent;
            }
        }
        if self.home >= 0 {
            close(self.home);
        }
    }
}

/// # Safety
/// 1. All from `first` on are from [`make`], and used no more.
unsafe fn free_list(first: *mut Found) {
    let mut next = first;
    while !next.is_null() {
        // SAFETY: (1).
        let link = unsafe { (*next).link };
        // SAFETY: as above; one piece of memory each.
        unsafe { free(next.cast()) };
        next = link;
    }
}

/// One more, about which nothing is known yet.
///
/// # Errors
/// `ENAMETOOLONG` of paths of 64 KiB, `ENOMEM`.
fn make(name: &[u8], path: &[u8], parent: *mut Found, level: i16) -> Result<*mut Found> {
    let too_long = |_| Errno(libc::ENAMETOOLONG);
    let path_at = size_of::<Found>() + name.len() + 1;
    let stat_at = (path_at + path.len() + 1).next_multiple_of(align_of::<libc::stat64>());
    let (path_len, name_len) = (
        u16::try_from(path.len()).map_err(too_long)?,
        u16::try_from(name.len()).map_err(too_long)?,
    );
    let len = stat_at + size_of::<libc::stat64>();
    // SAFETY: as many bytes as are written: zeros are values of both structures, and both strings end with one.
    unsafe {
        let start = malloc(len).cast::<u8>();
        if start.is_null() {
            return Err(Errno(libc::ENOMEM));
        }
        start.write_bytes(0, len);
        let (name_start, path_start) = (start.add(size_of::<Found>()), start.add(path_at));
        name_start.copy_from_nonoverlapping(name.as_ptr(), name.len());
        path_start.copy_from_nonoverlapping(path.as_ptr(), path.len());
        let found = start.cast::<Found>();
        (*found).parent = parent;
        (*found).path = path_start.cast();
        (*found).access_path = path_start.cast();
        (*found).path_len = path_len;
        (*found).name_len = name_len;
        (*found).level = level;
        (*found).instruction = NOTHING;
        (*found).symlink_descriptor = -1;
        (*found).stat = start.add(stat_at).cast();
        Ok(found)
    }
}

/// Links all to a list, in the order that the program wants.
fn listed(mut all: Vec<*mut Found>, compare: Option<Compare>) -> *mut Found {
    if let Some(compare) = compare {
        // SAFETY: the program's function, for two that are there.
        all.sort_by(|one, other| unsafe {
            compare((&raw const *one).cast(), (&raw const *other).cast()).cmp(&0)
        });
    }
    let mut first = null_mut();
    for found in all.into_iter().rev() {
        // SAFETY: each is from `make`.
        unsafe { (*found).link = first };
        first = found;
    }
    first
}

/// Leaves of the name of a root, which is its path until it comes, what is behind the last slash.
///
/// # Safety
/// 1. `root` is from [`make`], where name and path were the same.
unsafe fn shorten(root: *mut Found) {
    // SAFETY: (1): what is left of the name is no longer than what was there.
    unsafe {
        let path = CStr::from_ptr((*root).path).to_bytes();
        let base = match path.iter().rposition(|byte| *byte == b'/') {
            Some(at) if path.len() > 1 => &path[at + 1..],
            _ => path,
        };
        let name = (&raw mut (*root).name).cast::<u8>();
        name.copy_from_nonoverlapping(base.as_ptr(), base.len());
        name.add(base.len()).write(0);
        (*root).name_len = base.len() as u16;
    }
}

impl Tree {
    fn has(&self, option: c_int) -> bool {
        self.options & option != 0
    }

    /// Goes back to where paths begin.
    fn leave(&self) {
        if self.home >= 0 {
            fchdir(self.home);
        }
    }

    /// Finds out what one is, where it leads to if `follows`.
    ///
    /// # Safety
    /// 1. `found` is from [`make`], and those above it are.
    unsafe fn look(&self, found: *mut Found, follows: bool) {
        // SAFETY: (1); the facts and the path are its own.
        unsafe {
            let this = &mut *found;
            let follows = follows || self.has(LOGICAL);
            let is_there = follows && stat64(this.path, this.stat) == 0;
            if !is_there && lstat64(this.path, this.stat) != 0 {
                this.error = errno::get();
                this.stat.write_bytes(0, 1);
                this.info = NO_FACTS;
                return;
            }
            let stat = &*this.stat;
            (this.device, this.inode, this.links) = (stat.st_dev, stat.st_ino, stat.st_nlink);
            this.info = match stat.st_mode & libc::S_IFMT {
                libc::S_IFDIR => self.kind_of_directory(this),
                libc::S_IFLNK if follows => DANGLING_LINK,
                libc::S_IFLNK => LINK,
                libc::S_IFREG => FILE,
                _ => OTHER,
            };
        }
    }

    /// # Safety
    /// 1. As [`Self::look`].
    unsafe fn kind_of_directory(&self, this: &mut Found) -> u16 {
        // SAFETY: the name is behind the structure.
        let name = unsafe { CStr::from_ptr((&raw const this.name).cast()) };
        if this.level > 0 && matches!(name.to_bytes(), b"." | b"..") {
            return DOT;
        }
        let mut above = this.parent;
        // SAFETY: (1).
        while let Some(other) = unsafe { above.as_mut() } {
            if other.level >= 0 && (other.device, other.inode) == (this.device, this.inode) {
                this.cycle = above;
                return CYCLE;
            }
            above = other.parent;
        }
        DIRECTORY
    }

    /// The content of a directory, as a list; null when there is none, and then `info` says why.
    ///
    /// # Safety
    /// 1. As [`Self::look`].
    unsafe fn content(&self, directory: *mut Found) -> Result<*mut Found> {
        // SAFETY: (1); the path is its own.
        let (this, path) = unsafe { (&mut *directory, CStr::from_ptr((*directory).path)) };
        let names = match names(path) {
            Ok(names) => names,
            Err(Errno(error)) => {
                (this.info, this.error) = (UNREADABLE, error);
                return Ok(null_mut());
            }
        };
        let mut all: Vec<*mut Found> = Vec::new();
        let level = this.level.saturating_add(1);
        for name in names {
            if matches!(&name[..], b"." | b"..") && !self.has(WITH_DOTS) {
                continue;
            }
            let base = path.to_bytes();
            let base = base.strip_suffix(b"/").unwrap_or(base);
            let path = [base, b"/", &name].concat();
            let found = match make(&name, &path, directory, level) {
                Ok(found) => found,
                Err(error) => {
                    // SAFETY: made here.
                    unsafe { free_list(listed(all, None)) };
                    return Err(error);
                }
            };
            // SAFETY: just made.
            unsafe {
                match self.has(NAMES_ONLY) {
                    true => (*found).info = NOT_ASKED,
                    false => self.look(found, false),
                }
                let is_directory = matches!((*found).info, DIRECTORY | CYCLE | DOT | NO_FACTS);
                if self.has(NO_STAT) && !self.has(LOGICAL) && !is_directory {
                    (*found).info = NOT_ASKED;
                }
                if !self.has(STAY) {
                    (*found).access_path = (&raw mut (*found).name).cast();
                }
            }
            all.push(found);
        }
        Ok(listed(all, self.compare))
    }

    /// Makes one the current one, and takes the program to where it is.
    ///
    /// # Errors
    /// Those of `chdir`.
    ///
    /// # Safety
    /// 1. As [`Self::look`].
    unsafe fn arrive(&mut self, found: *mut Found) -> Result<*mut Found> {
        self.current = found;
        // SAFETY: (1); below the roots, those above are directories with a path.
        unsafe {
            self.path = (*found).path;
            if self.home >= 0 && (*found).level > 0 && chdir((*(*found).parent).path) != 0 {
                return Err(Errno(errno::get()));
            }
        }
        Ok(found)
    }

    /// The next; null at the end.
    ///
    /// # Safety
    /// 1. What the stream has given is as it was, but for what the program may set.
    unsafe fn next(&mut self) -> Result<*mut Found> {
        let current = self.current;
        // SAFETY: the stream's own (1).
        let Some(this) = (unsafe { current.as_mut() }) else {
            return Ok(null_mut());
        };
        if self.has(STOPPED) {
            return Ok(null_mut());
        }
        self.leave();
        let instruction = core::mem::replace(&mut this.instruction, NOTHING);
        let is_link = matches!(this.info, LINK | DANGLING_LINK);
        if instruction == AGAIN || instruction == FOLLOW && is_link {
            // SAFETY: (1).
            unsafe {
                self.look(current, instruction == FOLLOW);
                return self.arrive(current);
            }
        }
        let child = core::mem::replace(&mut self.child, null_mut());
        if this.info == DIRECTORY {
            let is_elsewhere = self.has(ONE_DEVICE) && this.device != self.device;
            if instruction == SKIP || is_elsewhere {
                this.info = DIRECTORY_DONE;
                // SAFETY: what the program asked for is used no more; (1).
                unsafe {
                    free_list(child);
                    return self.arrive(current);
                }
            }
            let mut first = child;
            if self.has(NAMES_ONLY) || first.is_null() {
                self.options &= !NAMES_ONLY;
                // SAFETY: as above.
                unsafe {
                    free_list(first);
                    first = self.content(current)?;
                }
            }
            if first.is_null() {
                if this.info == DIRECTORY {
                    this.info = DIRECTORY_DONE;
                }
                // SAFETY: (1).
                return unsafe { self.arrive(current) };
            }
            // SAFETY: just made, or given to the program, which may have set what to do.
            return unsafe { self.come_to(first) };
        }
        // SAFETY: the current one is left for good.
        unsafe {
            free_list(child);
            self.behind(current)
        }
    }

    /// Comes to one for the first time, unless the program has asked for others.
    ///
    /// # Safety
    /// 1. As [`Self::look`].
    unsafe fn come_to(&mut self, found: *mut Found) -> Result<*mut Found> {
        // SAFETY: (1).
        unsafe {
            match (*found).instruction {
                SKIP if (*found).level > 0 => return self.behind(found),
                FOLLOW => {
                    (*found).instruction = NOTHING;
                    self.look(found, true);
                }
                _ => {}
            }
            if (*found).level == 0 {
                self.device = (*found).device;
                shorten(found);
            }
            self.arrive(found)
        }
    }

    /// What comes behind one that is left for good: the next in its directory, or that directory once more.
    ///
    /// # Safety
    /// 1. As [`Self::look`]; `left` is used no more.
    unsafe fn behind(&mut self, left: *mut Found) -> Result<*mut Found> {
        let mut left = left;
        loop {
            // SAFETY: (1).
            unsafe {
                let (link, parent) = ((*left).link, (*left).parent);
                free(left.cast());
                self.current = parent;
                if link.is_null() {
                    if (*parent).level < 0 {
                        free(parent.cast());
                        self.current = null_mut();
                        errno::set(Errno(0));
                        return Ok(null_mut());
                    }
                    (*parent).info = match (*parent).error {
                        0 => DIRECTORY_DONE,
                        _ => FAILED,
                    };
                    return self.arrive(parent);
                }
                self.current = link;
                if (*link).instruction != SKIP || (*link).level <= 0 {
                    return self.come_to(link);
                }
                left = link;
            }
        }
    }

    /// What is in the current directory, or before the first all roots.
    ///
    /// # Safety
    /// 1. As [`Self::next`].
    unsafe fn children(&mut self, instruction: c_int) -> Result<*mut Found> {
        if !matches!(instruction, 0 | NAMES_ONLY) {
            return Err(Errno(libc::EINVAL));
        }
        errno::set(Errno(0));
        // SAFETY: the stream's own (1).
        let Some(this) = (unsafe { self.current.as_mut() }) else {
            return Ok(null_mut());
        };
        match this.info {
            _ if self.has(STOPPED) => return Ok(null_mut()),
            START => return Ok(this.link),
            DIRECTORY => {}
            _ => return Ok(null_mut()),
        }
        // SAFETY: as above; the list of an earlier call is used no more.
        unsafe {
            free_list(core::mem::replace(&mut self.child, null_mut()));
            self.options = self.options & !NAMES_ONLY | instruction;
            self.leave();
            self.child = self.content(self.current)?;
            self.arrive(self.current)?;
        }
        Ok(self.child)
    }
}

/// Opens a stream of the trees below some paths. Those in one directory come as `compare` says.
///
/// # Safety
/// `paths` are C strings, and a null pointer behind them.
#[unsafe(no_mangle)]
unsafe extern "C" fn fts64_open(
    paths: *const *const c_char,
    options: c_int,
    compare: Option<Compare>,
) -> *mut Tree {
    c_result((|| {
        if options & !ALL_OPTIONS != 0 {
            return Err(Errno(libc::EINVAL));
        }
        // What roots have above them, and what the program is at before the first.
        let top = make(b"", b"", null_mut(), -1)?;
        let start = make(b"", b"", top, -1).inspect_err(|_| {
            // SAFETY: just made.
            unsafe { free_list(top) }
        })?;
        let mut tree = Box::new(Tree {
            current: start,
            child: null_mut(),
            array: 0,
            device: 0,
            path: null_mut(),
            home: -1,
            path_len: 0,
            count: 0,
            compare,
            options: options | if options & LOGICAL != 0 { STAY } else { 0 },
        });
        let mut roots = Vec::new();
        let mut paths = paths;
        // SAFETY: the caller's strings; each root is just made.
        unsafe {
            while !(*paths).is_null() {
                let path = text(*paths)?;
                let root = match path {
                    b"" => Err(Errno(libc::ENOENT)),
                    path => make(path, path, top, 0),
                };
                let root = match root {
                    Ok(root) => root,
                    Err(error) => {
                        free_list(listed(roots, None));
                        return Err(error);
                    }
                };
                tree.look(root, options & FOLLOW_ROOTS != 0);
                roots.push(root);
                paths = paths.add(1);
            }
            (*start).info = START;
            (*start).link = listed(roots, compare);
            if !tree.has(STAY) {
                let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
                tree.home = open64(c".".as_ptr(), flags, 0);
                if tree.home < 0 {
                    tree.options |= STAY;
                }
            }
        }
        Ok(Box::into_raw(tree))
    })())
}

/// The next of a stream. Null is the end, or with `errno` an error, after which nothing comes.
///
/// # Safety
/// `tree` is from [`fts64_open`].
#[unsafe(no_mangle)]
unsafe extern "C" fn fts64_read(tree: *mut Tree) -> *mut Found {
    // SAFETY: the caller's.
    let tree = unsafe { &mut *tree };
    // SAFETY: as above.
    let next = unsafe { tree.next() };
    if next.is_err() {
        tree.options |= STOPPED;
    }
    c_result(next)
}

/// What is in the directory that came last, as a list, or only its names (`FTS_NAMEONLY`).
///
/// # Safety
/// As [`fts64_read`].
#[unsafe(no_mangle)]
unsafe extern "C" fn fts64_children(tree: *mut Tree, instruction: c_int) -> *mut Found {
    // SAFETY: the caller's.
    c_result(unsafe { (*tree).children(instruction) })
}

/// Says how to go on with one; 1 and `EINVAL` if it cannot be.
///
/// # Safety
/// `found` is from the stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn fts64_set(_tree: *mut Tree, found: *mut Found, instruction: c_int) -> c_int {
    let Ok(instruction @ 0..=SKIP) = u16::try_from(instruction) else {
        errno::set(Errno(libc::EINVAL));
        return 1;
    };
    // SAFETY: the caller's.
    unsafe { (*found).instruction = instruction };
    0
}

/// Closes a stream.
///
/// # Safety
/// As [`fts64_read`], for the last time.
#[unsafe(no_mangle)]
unsafe extern "C" fn fts64_close(tree: *mut Tree) -> c_int {
    // SAFETY: made by `fts64_open`.
    drop(unsafe { Box::from_raw(tree) });
    0
}

also_named! {
    fts_open = fts64_open(paths: *const *const c_char, options: c_int, compare: Option<Compare>) -> *mut Tree;
    fts_read = fts64_read(tree: *mut Tree) -> *mut Found;
    fts_children = fts64_children(tree: *mut Tree, instruction: c_int) -> *mut Found;
    fts_set = fts64_set(tree: *mut Tree, found: *mut Found, instruction: c_int) -> c_int;
    fts_close = fts64_close(tree: *mut Tree) -> c_int;
}
