//! Walking through a tree of files (POSIX.1-2017, `ftw`, `nftw`; glibc's `FTW_ACTIONRETVAL`). The names of a directory are read before the
//! program is asked about any of them, so no more than one directory is open at a time.

use alloc::collections::BTreeSet;
use alloc::ffi::CString;
use alloc::vec::{IntoIter, Vec};
use core::ffi::{CStr, c_char, c_int};

use super::convert::{also_named, c_result, text};
use super::directory::{chdir, closedir, fchdir, opendir, readdir64};
use super::errno;
use super::file::{close, open64};
use super::metadata::{lstat64, stat64};
use crate::error::{Errno, Result};

/// Kinds of what is found: a file, a directory, one that cannot be read, something without facts, a symbolic link, a directory after all that is
/// in it, a link that leads nowhere.
const FILE: c_int = 0;
const DIRECTORY: c_int = 1;
const UNREADABLE: c_int = 2;
const NO_FACTS: c_int = 3;
const LINK: c_int = 4;
const DIRECTORY_DONE: c_int = 5;
const DANGLING_LINK: c_int = 6;

/// What `nftw` is asked for.
const PHYSICAL: c_int = 1;
const ONE_DEVICE: c_int = 2;
const CHANGE_DIRECTORY: c_int = 4;
const CONTENT_FIRST: c_int = 8;
const ACTIONS: c_int = 16;

/// What the program answers where answers are [`ACTIONS`].
const SKIP_SUBTREE: c_int = 2;
const SKIP_SIBLINGS: c_int = 3;

/// `struct FTW`.
#[repr(C)]
pub(super) struct Position {
    /// Where the name begins in the path.
    base: c_int,
    /// How deep below the start.
    level: c_int,
}

/// A directory whose content is gone through.
struct Folder {
    path: CString,
    position: Position,
    stat: libc::stat64,
    names: IntoIter<Vec<u8>>,
}

/// What the program is asked.
type Ask<'a> = &'a mut dyn FnMut(&CStr, &libc::stat64, c_int, &mut Position) -> c_int;

struct Walk<'a> {
    ask: Ask<'a>,
    flags: c_int,
    /// Where a path is not to lead out of.
    device: Option<u64>,
    /// Directories that were met, by device and number, where links are followed: so that none leads round in circles.
    met: BTreeSet<(u64, u64)>,
    folders: Vec<Folder>,
    /// The directory in which paths begin, where the program is taken to others.
    home: Option<c_int>,
}

impl Drop for Walk<'_> {
    fn drop(&mut self) {
        if let Some(home) = self.home {
            close(home);
        }
    }
}

fn last_error() -> Errno {
    Errno(errno::get())
}

/// All names in a directory, `.` and `..` among them.
///
/// # Errors
/// Those of `opendir`.
pub(super) fn names(path: &CStr) -> Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    // SAFETY: a C string; the stream is ours until it is closed, and each entry until the next.
    unsafe {
        let stream = opendir(path.as_ptr());
        if stream.is_null() {
            return Err(last_error());
        }
        loop {
            let entry = readdir64(stream);
            if entry.is_null() {
                break;
            }
            let name = CStr::from_ptr((&raw const (*entry).d_name).cast()).to_bytes();
            names.push(Vec::from(name));
        }
        closedir(stream);
    }
    Ok(names)
}

impl Walk<'_> {
    fn has(&self, flag: c_int) -> bool {
        self.flags & flag != 0
    }

    /// What is at a path, without what is in it.
    fn facts(&self, path: &CStr) -> (c_int, libc::stat64) {
        // SAFETY: a structure of integers, for which zeros are values.
        let mut stat: libc::stat64 = unsafe { core::mem::zeroed() };
        // SAFETY: a C string, and room for the facts.
        let is_there = unsafe {
            !self.has(PHYSICAL) && stat64(path.as_ptr(), &raw mut stat) == 0
                || lstat64(path.as_ptr(), &raw mut stat) == 0
        };
        let kind = match stat.st_mode & libc::S_IFMT {
            _ if !is_there => NO_FACTS,
            libc::S_IFDIR => DIRECTORY,
            libc::S_IFLNK if self.has(PHYSICAL) => LINK,
            libc::S_IFLNK => DANGLING_LINK,
            _ => FILE,
        };
        (kind, stat)
    }

    /// Asks the program, in the directory of the path if it wants to be there.
    fn ask(
        &mut self,
        path: &CStr,
        stat: &libc::stat64,
        kind: c_int,
        position: &mut Position,
    ) -> Result<c_int> {
        if let Some(home) = self.home {
            let (folder, _) = path.to_bytes().split_at(position.base as usize);
            if !folder.is_empty() {
                let folder = CString::new(folder).map_err(|_| Errno(libc::EINVAL))?;
                // SAFETY: a C string.
                if unsafe { chdir(folder.as_ptr()) } != 0 {
                    return Err(last_error());
                }
            }
            let answer = (self.ask)(path, stat, kind, position);
            if fchdir(home) != 0 {
                return Err(last_error());
            }
            return Ok(answer);
        }
        Ok((self.ask)(path, stat, kind, position))
    }

    /// Meets something: asks about it, and goes into it next if it is a directory. Anything but 0 ends the walk.
    fn meet(&mut self, path: CString, mut position: Position) -> Result<c_int> {
        let (kind, stat) = self.facts(&path);
        let is_elsewhere = self.device.is_some_and(|device| device != stat.st_dev);
        if kind != NO_FACTS && is_elsewhere {
            return Ok(0);
        }
        if kind != DIRECTORY {
            let answer = self.ask(&path, &stat, kind, &mut position)?;
            return Ok(self.judged(answer));
        }
        if !self.has(PHYSICAL) && !self.met.insert((stat.st_dev, stat.st_ino)) {
            return Ok(0);
        }
        let mut names = match names(&path) {
            Err(Errno(libc::EACCES)) => {
                let answer = self.ask(&path, &stat, UNREADABLE, &mut position)?;
                return Ok(self.judged(answer));
            }
            names => names?,
        };
        names.retain(|name| !matches!(&name[..], b"." | b".."));
        if !self.has(CONTENT_FIRST) {
            let answer = self.ask(&path, &stat, DIRECTORY, &mut position)?;
            if self.has(ACTIONS) && answer == SKIP_SUBTREE {
                return Ok(0);
            }
            let answer = self.judged(answer);
            if answer != 0 {
                return Ok(answer);
            }
        }
        self.folders.push(Folder {
            path,
            position,
            stat,
            names: names.into_iter(),
        });
        Ok(0)
    }

    /// What an answer means for the walk, after what it means for the siblings.
    fn judged(&mut self, answer: c_int) -> c_int {
        match answer {
            SKIP_SUBTREE if self.has(ACTIONS) => 0,
            SKIP_SIBLINGS if self.has(ACTIONS) => {
                if let Some(folder) = self.folders.last_mut() {
                    folder.names = Vec::new().into_iter();
                }
                0
            }
            answer => answer,
        }
    }

    /// Goes through all that is left; what the program ended it with, or 0.
    fn go(&mut self) -> Result<c_int> {
        while let Some(folder) = self.folders.last_mut() {
            let answer = match folder.names.next() {
                Some(name) => {
                    let mut path = Vec::from(folder.path.as_bytes());
                    if path.last() != Some(&b'/') {
                        path.push(b'/');
                    }
                    let base = path.len();
                    path.extend_from_slice(&name);
                    let position = Position {
                        base: c_int::try_from(base).map_err(|_| Errno(libc::ENAMETOOLONG))?,
                        level: folder.position.level.saturating_add(1),
                    };
                    let path = CString::new(path).map_err(|_| Errno(libc::EINVAL))?;
                    self.meet(path, position)?
                }
                None => {
                    let Some(mut folder) = self.folders.pop() else {
                        break;
                    };
                    if !self.has(CONTENT_FIRST) {
                        continue;
                    }
                    let (path, stat) = (&folder.path, &folder.stat);
                    let answer = self.ask(path, stat, DIRECTORY_DONE, &mut folder.position)?;
                    self.judged(answer)
                }
            };
            if answer != 0 {
                return Ok(answer);
            }
        }
        Ok(0)
    }
}

/// Walks from `start`; what the program ended the walk with, or 0.
fn walk(start: &[u8], flags: c_int, ask: Ask<'_>) -> Result<c_int> {
    if start.is_empty() {
        return Err(Errno(libc::ENOENT));
    }
    if flags & !(PHYSICAL | ONE_DEVICE | CHANGE_DIRECTORY | CONTENT_FIRST | ACTIONS) != 0 {
        return Err(Errno(libc::EINVAL));
    }
    let mut path = start;
    while let [rest @ .., b'/'] = path
        && !rest.is_empty()
    {
        path = rest;
    }
    let base = match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) if path.len() > 1 => at + 1,
        _ => 0,
    };
    let path = CString::new(path).map_err(|_| Errno(libc::EINVAL))?;
    let mut walk = Walk {
        ask,
        flags,
        device: None,
        met: BTreeSet::new(),
        folders: Vec::new(),
        home: None,
    };
    if walk.has(CHANGE_DIRECTORY) {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
        // SAFETY: a C string.
        match unsafe { open64(c".".as_ptr(), flags, 0) } {
            -1 => return Err(last_error()),
            home => walk.home = Some(home),
        }
    }
    let (kind, stat) = walk.facts(&path);
    if kind == NO_FACTS {
        return Err(last_error());
    }
    walk.device = walk.has(ONE_DEVICE).then_some(stat.st_dev);
    let base = c_int::try_from(base).map_err(|_| Errno(libc::ENAMETOOLONG))?;
    let answer = walk.meet(path, Position { base, level: 0 })?;
    if answer != 0 {
        return Ok(answer);
    }
    walk.go()
}

/// Calls `function` for all that is below a path, as `flags` say. How many directories may be open makes no difference.
///
/// # Safety
/// `path` is a C string, and `function` takes what its type says.
#[unsafe(no_mangle)]
unsafe extern "C" fn nftw64(
    path: *const c_char,
    function: extern "C" fn(*const c_char, *const libc::stat64, c_int, *mut Position) -> c_int,
    _most_open: c_int,
    flags: c_int,
) -> c_int {
    let ask: Ask<'_> =
        &mut |path, stat, kind, position| function(path.as_ptr(), stat, kind, position);
    // SAFETY: the caller's string.
    c_result(unsafe { text(path) }.and_then(|path| walk(path, flags, ask)))
}

/// As [`nftw64`] without flags, and with fewer kinds.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
unsafe extern "C" fn ftw64(
    path: *const c_char,
    function: extern "C" fn(*const c_char, *const libc::stat64, c_int) -> c_int,
    _most_open: c_int,
) -> c_int {
    let ask: Ask<'_> = &mut |path, stat, kind, _| {
        let kind = match kind {
            DANGLING_LINK => NO_FACTS,
            kind => kind,
        };
        function(path.as_ptr(), stat, kind)
    };
    // SAFETY: the caller's string.
    c_result(unsafe { text(path) }.and_then(|path| walk(path, 0, ask)))
}

also_named! {
    nftw = nftw64(path: *const c_char, function: extern "C" fn(*const c_char, *const libc::stat64, c_int, *mut Position) -> c_int, most_open: c_int, flags: c_int) -> c_int;
    ftw = ftw64(path: *const c_char, function: extern "C" fn(*const c_char, *const libc::stat64, c_int) -> c_int, most_open: c_int) -> c_int;
}
