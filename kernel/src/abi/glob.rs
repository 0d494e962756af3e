//! Paths that match a pattern (POSIX.1-2017, `glob`; glibc's `GLOB_BRACE` and directory functions of the program's own are missing:
//! `GLOB_NOSYS`).

use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int};
use core::ptr::null_mut;

use super::convert::text;
use super::directory::{closedir, opendir, readdir64};
use super::memory::{free, malloc};
use super::metadata::{lstat64, stat64};
use super::patterns::matches;
use super::{environment, errno};

const NO_SYSTEM: c_int = 4;
const ERROR: c_int = 1 << 0;
const MARK: c_int = 1 << 1;
const NO_SORT: c_int = 1 << 2;
const OFFSETS: c_int = 1 << 3;
const NO_CHECK: c_int = 1 << 4;
const APPEND: c_int = 1 << 5;
const NO_ESCAPE: c_int = 1 << 6;
const PERIOD: c_int = 1 << 7;
const BRACE: c_int = 1 << 10;
const NO_MAGIC: c_int = 1 << 11;
const TILDE: c_int = 1 << 12;
const ONLY_DIRECTORIES: c_int = 1 << 13;
const TILDE_CHECK: c_int = 1 << 14;
const OWN_FUNCTIONS: c_int = 1 << 9;

/// `glob_t` as glibc has it.
#[repr(C)]
pub(super) struct Paths {
    count: usize,
    paths: *mut *mut c_char,
    offset: usize,
    flags: c_int,
    functions: [usize; 5],
}

type OnError = Option<unsafe extern "C" fn(*const c_char, c_int) -> c_int>;

struct Search {
    flags: c_int,
    on_error: OnError,
    found: Vec<Vec<u8>>,
}

fn with_zero(path: &[u8]) -> Vec<u8> {
    [path, b"\0"].concat()
}

fn is_there(path: &[u8]) -> bool {
    // SAFETY: a structure of integers, and a C string.
    unsafe {
        let mut stat = core::mem::zeroed();
        lstat64(with_zero(path).as_ptr().cast(), &raw mut stat) == 0
    }
}

fn is_directory(path: &[u8]) -> bool {
    // SAFETY: as in `is_there`.
    unsafe {
        let mut stat: libc::stat64 = core::mem::zeroed();
        stat64(with_zero(path).as_ptr().cast(), &raw mut stat) == 0
            && stat.st_mode & libc::S_IFMT == libc::S_IFDIR
    }
}

/// A part of a pattern without what hides its characters.
fn plain(part: &[u8], flags: c_int) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = part.iter();
    while let Some(&byte) = rest.next() {
        match (byte, flags & NO_ESCAPE) {
            (b'\\', 0) => plain.extend(rest.next()),
            _ => plain.push(byte),
        }
    }
    plain
}

fn has_magic(part: &[u8]) -> bool {
    part.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

impl Search {
    /// Names in a directory, or an error that ends the search.
    fn names(&self, directory: &[u8]) -> Result<Vec<Vec<u8>>, c_int> {
        let path = with_zero(if directory.is_empty() {
            b"."
        } else {
            directory
        });
        let mut names = Vec::new();
        // SAFETY: C strings; the stream is this function's.
        unsafe {
            let stream = opendir(path.as_ptr().cast());
            if stream.is_null() {
                let error = errno::get();
                // What is none, or not there, has no names.
                if matches!(error, libc::ENOTDIR | libc::ENOENT) {
                    return Ok(names);
                }
                let stops = self
                    .on_error
                    .is_some_and(|told| told(path.as_ptr().cast(), error) != 0);
                return match stops || self.flags & ERROR != 0 {
                    true => Err(libc::GLOB_ABORTED),
                    false => Ok(names),
                };
            }
            loop {
                let entry = readdir64(stream);
                if entry.is_null() {
                    break;
                }
                names.push(
                    CStr::from_ptr((&raw const (*entry).d_name).cast())
                        .to_bytes()
                        .to_vec(),
                );
            }
            closedir(stream);
        }
        Ok(names)
    }

    /// Looks for what the rest of a pattern says, from a path that is there.
    fn descend(&mut self, from: &[u8], rest: &[u8]) -> Result<(), c_int> {
        let slashes = rest.iter().take_while(|&&byte| byte == b'/').count();
        let (start, rest) = rest.split_at(slashes);
        let from = [from, start].concat();
        if rest.is_empty() {
            if slashes == 0 && is_there(&from) || is_directory(&from) {
                self.found.push(from);
            }
            return Ok(());
        }
        let len = rest
            .iter()
            .position(|&byte| byte == b'/')
            .unwrap_or(rest.len());
        let (part, behind) = rest.split_at(len);
        if !has_magic(part) {
            let path = [&from[..], &plain(part, self.flags)].concat();
            // There may be directories behind names that cannot be listed.
            return match behind.is_empty() || is_directory(&path) {
                true => self.descend(&path, behind),
                false => Ok(()),
            };
        }
        let no_escape = if self.flags & NO_ESCAPE != 0 { 2 } else { 0 };
        let period = if self.flags & PERIOD != 0 { 0 } else { 4 };
        for name in self.names(&from)? {
            if matches(part, &name, no_escape | period) {
                let path = [&from[..], &name].concat();
                if behind.is_empty() || is_directory(&path) {
                    self.descend(&path, behind)?;
                }
            }
        }
        Ok(())
    }
}

/// The pattern with the home directory in place of a tilde.
fn without_tilde(pattern: &[u8], flags: c_int) -> Option<Vec<u8>> {
    let rest = pattern
        .strip_prefix(b"~")
        .filter(|_| flags & (TILDE | TILDE_CHECK) != 0);
    let Some(rest) = rest else {
        return Some(pattern.to_vec());
    };
    match environment::value(b"HOME") {
        Some(home) if rest.is_empty() || rest.starts_with(b"/") => Some([home, rest].concat()),
        _ if flags & TILDE_CHECK != 0 => None,
        _ => Some(pattern.to_vec()),
    }
}

fn search(pattern: &[u8], flags: c_int, on_error: OnError) -> Result<Vec<Vec<u8>>, c_int> {
    if flags & (BRACE | OWN_FUNCTIONS) != 0 {
        return Err(NO_SYSTEM);
    }
    let whole = without_tilde(pattern, flags).ok_or(libc::GLOB_NOMATCH)?;
    let mut search = Search {
        flags,
        on_error,
        found: Vec::new(),
    };
    search.descend(b"", &whole)?;
    let mut found = search.found;
    if flags & ONLY_DIRECTORIES != 0 {
        found.retain(|path| is_directory(path));
    }
    if flags & MARK != 0 {
        for path in &mut found {
            if !path.ends_with(b"/") && is_directory(path) {
                path.push(b'/');
            }
        }
    }
    if flags & NO_SORT == 0 {
        found.sort();
    }
    if found.is_empty() {
        let stays = flags & NO_CHECK != 0 || flags & NO_MAGIC != 0 && !has_magic(pattern);
        match stays {
            true => found.push(pattern.to_vec()),
            false => return Err(libc::GLOB_NOMATCH),
        }
    }
    Ok(found)
}

/// Looks for paths that match; 0, or why there are none.
///
/// # Safety
/// `pattern` is a C string; `out` can be written, and with `GLOB_APPEND` has the paths of an earlier call.
#[unsafe(no_mangle)]
unsafe extern "C" fn glob64(
    pattern: *const c_char,
    flags: c_int,
    on_error: OnError,
    out: *mut Paths,
) -> c_int {
    // SAFETY: the caller's.
    let (Ok(pattern), out) = (unsafe { text(pattern) }, unsafe { &mut *out }) else {
        return libc::GLOB_NOMATCH;
    };
    if flags & OFFSETS == 0 {
        out.offset = 0;
    }
    if flags & APPEND == 0 {
        (out.count, out.paths) = (0, null_mut());
    }
    out.flags = flags;
    let found = match search(pattern, flags, on_error) {
        Ok(found) => found,
        Err(error) => return error,
    };
    let slots = out.offset + out.count + found.len() + 1;
    // SAFETY: memory of `malloc`, as long as what is written to it; the old paths are those of an earlier call.
    unsafe {
        let paths = malloc(slots * size_of::<*mut c_char>()).cast::<*mut c_char>();
        if paths.is_null() {
            return libc::GLOB_NOSPACE;
        }
        paths.write_bytes(0, slots);
        let kept = out.offset + out.count;
        if !out.paths.is_null() {
            paths.copy_from_nonoverlapping(out.paths, kept);
            free(out.paths.cast());
        }
        out.paths = paths;
        for path in found {
            let copy = malloc(path.len() + 1).cast::<u8>();
            if copy.is_null() {
                return libc::GLOB_NOSPACE;
            }
            copy.copy_from_nonoverlapping(path.as_ptr(), path.len());
            copy.add(path.len()).write(0);
            paths.add(out.offset + out.count).write(copy.cast());
            out.count += 1;
        }
    }
    0
}

/// Frees what [`glob64`] found.
///
/// # Safety
/// `paths` is from [`glob64`].
#[unsafe(no_mangle)]
unsafe extern "C" fn globfree64(paths: *mut Paths) {
    // SAFETY: the caller's; memory of `malloc`.
    unsafe {
        let paths = &mut *paths;
        if paths.paths.is_null() {
            return;
        }
        for index in paths.offset..paths.offset + paths.count {
            free(paths.paths.add(index).read().cast());
        }
        free(paths.paths.cast());
        (paths.count, paths.paths) = (0, null_mut());
    }
}

super::convert::also_named! {
    glob = glob64(pattern: *const c_char, flags: c_int, on_error: OnError, out: *mut Paths) -> c_int;
    globfree = globfree64(paths: *mut Paths) -> ();
}
