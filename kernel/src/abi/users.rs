//! Users and groups by name and by number (POSIX.1-2017, `pwd.h`, `grp.h`): the lines of `/etc/passwd` and `/etc/group` (passwd(5), group(5)), of the
//! file system's own where it has them, else root and nobody ([`PASSWD`], [`GROUP`]).

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_int};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicUsize, Ordering};

use libc::{group, passwd};

use super::convert::put;
use super::errno;
use super::generated::{GROUP, PASSWD};
use super::settings;
use crate::error::{Errno, Result};

/// Strings and lists of strings in the caller's buffer.
struct Room<'a> {
    free: &'a mut [u8],
}

impl<'a> Room<'a> {
    /// # Safety
    /// 1. `len` bytes at `start` can be written for `'a`.
    unsafe fn new(start: *mut c_char, len: usize) -> Result<Self> {
        // SAFETY: the caller's promise (1).
        let free = unsafe { super::convert::bytes_mut(start.cast(), len) }?;
        Ok(Self { free })
    }

    /// The next `len` bytes; `ERANGE` when they are not there.
    fn take(&mut self, len: usize) -> Result<&'a mut [u8]> {
        let free = core::mem::take(&mut self.free);
        let (taken, rest) = free.split_at_mut_checked(len).ok_or(Errno(libc::ERANGE))?;
        self.free = rest;
        Ok(taken)
    }

    fn string(&mut self, text: &str) -> Result<*mut c_char> {
        let place = self.take(text.len() + 1)?;
        place[..text.len()].copy_from_slice(text.as_bytes());
        place[text.len()] = 0;
        Ok(place.as_mut_ptr().cast())
    }

    /// Strings between commas, and a null pointer behind them.
    fn list(&mut self, text: &str) -> Result<*mut *mut c_char> {
        let names = || text.split(',').filter(|name| !name.is_empty());
        let align = align_of::<*mut c_char>();
        self.take(self.free.as_ptr().align_offset(align))?;
        let places = self.take((names().count() + 1) * size_of::<*mut c_char>())?;
        let list: *mut *mut c_char = places.as_mut_ptr().cast();
        let ends = core::iter::once(Ok(null_mut()));
        let strings = names().map(|name| self.string(name));
        for (index, string) in strings.chain(ends).enumerate() {
            // SAFETY: `places` is aligned and has room for as many pointers as there are names, and one more.
            unsafe { list.add(index).write(string?) };
        }
        Ok(list)
    }
}

/// An entry of one of the two files.
trait Record: Copy {
    const PATH: &'static str;
    /// What there is without the file.
    const DEFAULT: &'static str;

    /// The entry of a line, its strings in `room`; `None` for a line that is none.
    fn of(line: &str, room: &mut Room<'_>) -> Option<Result<Self>>;
}

/// As many fields between colons as there have to be.
fn fields<const COUNT: usize>(line: &str) -> Option<[&str; COUNT]> {
    let mut split = line.split(':');
    let mut fields = [""; COUNT];
    for field in &mut fields {
        *field = split.next()?;
    }
    split.next().is_none().then_some(fields)
}

impl Record for passwd {
    const PATH: &'static str = "/etc/passwd";
    const DEFAULT: &'static str = PASSWD;

    fn of(line: &str, room: &mut Room<'_>) -> Option<Result<Self>> {
        let [name, password, user, group, comment, home, shell] = fields(line)?;
        let (user, group) = (user.parse().ok()?, group.parse().ok()?);
        let mut entry = || {
            Ok(Self {
                pw_name: room.string(name)?,
                pw_passwd: room.string(password)?,
                pw_uid: user,
                pw_gid: group,
                pw_gecos: room.string(comment)?,
                pw_dir: room.string(home)?,
                pw_shell: room.string(shell)?,
            })
        };
        Some(entry())
    }
}

impl Record for group {
    const PATH: &'static str = "/etc/group";
    const DEFAULT: &'static str = GROUP;

    fn of(line: &str, room: &mut Room<'_>) -> Option<Result<Self>> {
        let [name, password, group, members] = fields(line)?;
        let group = group.parse().ok()?;
        let mut entry = || {
            Ok(Self {
                gr_name: room.string(name)?,
                gr_passwd: room.string(password)?,
                gr_gid: group,
                gr_mem: room.list(members)?,
            })
        };
        Some(entry())
    }
}

/// Which entry is asked for.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    Name(&'a str),
    Number(u32),
    /// The one behind so many.
    Next(usize),
}

/// The number of a line, which is the third field in both files.
fn number(line: &str) -> Option<u32> {
    line.split(':').nth(2)?.parse().ok()
}

impl Wanted<'_> {
    fn is(self, index: usize, line: &str) -> bool {
        match self {
            Self::Name(name) => line.split(':').next() == Some(name),
            Self::Number(wanted) => number(line) == Some(wanted),
            Self::Next(wanted) => index == wanted,
        }
    }

    /// # Safety
    /// 1. `name` is a C string that stays as it is for `'a`.
    unsafe fn named<'a>(name: *const c_char) -> Wanted<'a> {
        // SAFETY: the caller's promise (1).
        let name = unsafe { CStr::from_ptr(name) };
        // No line has an empty name.
        Wanted::Name(name.to_str().unwrap_or_default())
    }
}

fn lines_of<R: Record>() -> String {
    settings::read(R::PATH).unwrap_or_else(|| R::DEFAULT.into())
}

/// The groups of a user: `group`, and those that have it among their members.
///
/// # Safety
/// 1. `user` is a C string.
pub(super) unsafe fn groups_of(user: *const c_char, group: u32) -> Vec<u32> {
    // SAFETY: (1).
    let user = unsafe { CStr::from_ptr(user) };
    let user = user.to_str().unwrap_or_default();
    let text = lines_of::<libc::group>();
    let joined = text.lines().filter_map(|line| {
        let [.., members] = fields::<4>(line)?;
        let is_member = members.split(',').any(|member| member == user);
        number(line).filter(|number| is_member && *number != group)
    });
    core::iter::once(group).chain(joined).collect()
}

/// What is wanted, its strings in `room`.
fn find<R: Record>(wanted: Wanted<'_>, room: &mut Room<'_>) -> Result<Option<R>> {
    let text = lines_of::<R>();
    let lines = text
        .lines()
        .filter(|line| !line.starts_with([':', '#']) && number(line).is_some());
    let found = lines
        .enumerate()
        .filter(|(index, line)| wanted.is(*index, line));
    let mut entries = found.filter_map(|(_, line)| R::of(line, room));
    entries.next().transpose()
}

/// The functions that fill the caller's place: an error number, 0 without an entry too.
///
/// # Safety
/// 1. `out` and `result` can be written, and `len` bytes at `buf`, for as long as the caller uses the entry.
unsafe fn answer<R: Record>(
    wanted: Wanted<'_>,
    out: *mut R,
    buf: *mut c_char,
    len: usize,
    result: *mut *mut R,
) -> c_int {
    // SAFETY: the caller's promise (1), of all three.
    let answered = unsafe {
        put(result, null_mut()).and_then(|()| {
            let Some(entry) = find(wanted, &mut Room::new(buf, len)?)? else {
                return Ok(());
            };
            put(out, entry)?;
            put(result, out)
        })
    };
    answered.map_or_else(|error| error.0, |()| 0)
}

/// The next entry of a list; one that finds no room is the next one again.
///
/// # Safety
/// As of [`answer`].
unsafe fn next<R: Record>(
    position: &AtomicUsize,
    out: *mut R,
    buf: *mut c_char,
    len: usize,
    result: *mut *mut R,
) -> c_int {
    let wanted = Wanted::Next(position.load(Ordering::Relaxed));
    // SAFETY: the same contract.
    let error = unsafe { answer(wanted, out, buf, len, result) };
    if error != 0 {
        return error;
    }
    position.fetch_add(1, Ordering::Relaxed);
    // SAFETY: `answer` wrote it.
    if unsafe { *result }.is_null() {
        return libc::ENOENT;
    }
    0
}

/// The entry that was asked for last, and its strings; the next question overwrites them, so threads that share it are the program's fault, as in C.
struct Last<R>(UnsafeCell<(Option<R>, Vec<u8>)>);

// SAFETY: only functions whose contract is that one thread calls them use it.
unsafe impl<R> Sync for Last<R> {}

static LAST_USER: Last<passwd> = Last(UnsafeCell::new((None, Vec::new())));
static LAST_GROUP: Last<group> = Last(UnsafeCell::new((None, Vec::new())));
/// Which entry is the next one of the lists.
static NEXT_USER: AtomicUsize = AtomicUsize::new(0);
static NEXT_GROUP: AtomicUsize = AtomicUsize::new(0);

impl<R: Record> Last<R> {
    /// The entry that is wanted, or null.
    ///
    /// # Safety
    /// 1. No other thread asks, and nobody uses the entry that was asked for before.
    unsafe fn ask(&self, wanted: Wanted<'_>) -> *mut R {
        // SAFETY: the caller's promise (1).
        let (entry, strings) = unsafe { &mut *self.0.get() };
        // Pointers to at most all of the names, besides the names.
        let most = lines_of::<R>().lines().map(str::len).max().unwrap_or(0);
        strings.resize(most * (1 + size_of::<usize>()) + 64, 0);
        match find(wanted, &mut Room { free: strings }) {
            Ok(found) => *entry = found,
            Err(error) => {
                errno::set(error);
                *entry = None;
            }
        }
        entry.as_mut().map_or(null_mut(), |entry| entry)
    }
}

/// A user by number.
///
/// # Safety
/// `out` and `result` can be written, and `len` bytes at `buf`.
#[unsafe(no_mangle)]
unsafe extern "C" fn getpwuid_r(
    user: u32,
    out: *mut passwd,
    buf: *mut c_char,
    len: usize,
    result: *mut *mut passwd,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { answer(Wanted::Number(user), out, buf, len, result) }
}

/// A user by name.
///
/// # Safety
/// As of [`getpwuid_r`]; `name` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn getpwnam_r(
    name: *const c_char,
    out: *mut passwd,
    buf: *mut c_char,
    len: usize,
    result: *mut *mut passwd,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { answer(Wanted::named(name), out, buf, len, result) }
}

/// A group by number.
///
/// # Safety
/// As of [`getpwuid_r`].
#[unsafe(no_mangle)]
unsafe extern "C" fn getgrgid_r(
    number: u32,
    out: *mut group,
    buf: *mut c_char,
    len: usize,
    result: *mut *mut group,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { answer(Wanted::Number(number), out, buf, len, result) }
}

/// A group by name.
///
/// # Safety
/// As of [`getpwnam_r`].
#[unsafe(no_mangle)]
unsafe extern "C" fn getgrnam_r(
    name: *const c_char,
    out: *mut group,
    buf: *mut c_char,
    len: usize,
    result: *mut *mut group,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { answer(Wanted::named(name), out, buf, len, result) }
}

/// A user by number.
///
/// # Safety
/// No other thread asks, and the entry of the last question is no more used.
#[unsafe(no_mangle)]
unsafe extern "C" fn getpwuid(user: u32) -> *mut passwd {
    // SAFETY: the same contract.
    unsafe { LAST_USER.ask(Wanted::Number(user)) }
}

/// A user by name.
///
/// # Safety
/// As of [`getpwuid`]; `name` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn getpwnam(name: *const c_char) -> *mut passwd {
    // SAFETY: the same contract.
    unsafe { LAST_USER.ask(Wanted::named(name)) }
}

/// A group by number.
///
/// # Safety
/// As of [`getpwuid`].
#[unsafe(no_mangle)]
unsafe extern "C" fn getgrgid(number: u32) -> *mut group {
    // SAFETY: the same contract.
    unsafe { LAST_GROUP.ask(Wanted::Number(number)) }
}

/// A group by name.
///
/// # Safety
/// As of [`getpwnam`].
#[unsafe(no_mangle)]
unsafe extern "C" fn getgrnam(name: *const c_char) -> *mut group {
    // SAFETY: the same contract.
    unsafe { LAST_GROUP.ask(Wanted::named(name)) }
}

/// The next user of the list.
///
/// # Safety
/// As of [`getpwuid`].
#[unsafe(no_mangle)]
unsafe extern "C" fn getpwent() -> *mut passwd {
    let next = NEXT_USER.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the same contract.
    unsafe { LAST_USER.ask(Wanted::Next(next)) }
}

/// The next group of the list.
///
/// # Safety
/// As of [`getpwuid`].
#[unsafe(no_mangle)]
unsafe extern "C" fn getgrent() -> *mut group {
    let next = NEXT_GROUP.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the same contract.
    unsafe { LAST_GROUP.ask(Wanted::Next(next)) }
}

/// As [`getpwent`]; `ENOENT` behind the last one.
///
/// # Safety
/// As of [`getpwuid_r`].
#[unsafe(no_mangle)]
unsafe extern "C" fn getpwent_r(
    out: *mut passwd,
    buf: *mut c_char,
    len: usize,
    result: *mut *mut passwd,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { next(&NEXT_USER, out, buf, len, result) }
}

/// As [`getgrent`]; `ENOENT` behind the last one.
///
/// # Safety
/// As of [`getpwuid_r`].
#[unsafe(no_mangle)]
unsafe extern "C" fn getgrent_r(
    out: *mut group,
    buf: *mut c_char,
    len: usize,
    result: *mut *mut group,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { next(&NEXT_GROUP, out, buf, len, result) }
}

/// Begins the list of users anew.
#[unsafe(no_mangle)]
extern "C" fn setpwent() {
    NEXT_USER.store(0, Ordering::Relaxed);
}

/// Begins the list of groups anew.
#[unsafe(no_mangle)]
extern "C" fn setgrent() {
    NEXT_GROUP.store(0, Ordering::Relaxed);
}

/// Ends the list of users.
#[unsafe(no_mangle)]
extern "C" fn endpwent() {
    setpwent();
}

/// Ends the list of groups.
#[unsafe(no_mangle)]
extern "C" fn endgrent() {
    setgrent();
}
