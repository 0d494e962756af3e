//! Processes and users (POSIX.1-2017, `unistd.h`, `spawn.h`, `sys/wait.h`): there is one process, number 1, of the user 0, and
//! there can be no other. What would need one fails as in a container that allows neither: with `ENOSYS` what makes processes, with `EPERM`
//! what becomes somebody else, with `ECHILD` what waits for children.

use core::ffi::{c_char, c_int, c_long, c_uint, c_ulong, c_void};
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use super::convert::{bytes_mut, c_result, c_status, put, text};
use super::{capabilities, credentials, errno};
use crate::error::{Errno, Result};
use crate::scheduler::{Name, thread};
use crate::storage::vfs;
use crate::storage::vfs::namespace::LastLink;
use crate::storage::vfs::node::NodeKind;

pub(super) const PROCESS: libc::pid_t = 1;

fn refuse(error: c_int) -> c_int {
    errno::set(Errno(error))
}

/// The only process.
#[unsafe(no_mangle)]
pub(super) extern "C" fn getpid() -> libc::pid_t {
    PROCESS
}

/// The running thread's number; the main thread's is the process's.
#[unsafe(no_mangle)]
pub(super) extern "C" fn gettid() -> libc::pid_t {
    thread::current().id() as libc::pid_t
}

/// There is no parent.
#[unsafe(no_mangle)]
pub(super) extern "C" fn getppid() -> libc::pid_t {
    0
}

/// The group of a process.
#[unsafe(no_mangle)]
pub(super) extern "C" fn getpgid(process: libc::pid_t) -> libc::pid_t {
    match process {
        0 | PROCESS => PROCESS,
        _ => refuse(libc::ESRCH),
    }
}

/// The group of the process.
#[unsafe(no_mangle)]
pub(super) extern "C" fn getpgrp() -> libc::pid_t {
    PROCESS
}

/// The session of a process.
#[unsafe(no_mangle)]
pub(super) extern "C" fn getsid(process: libc::pid_t) -> libc::pid_t {
    getpgid(process)
}

/// The process leads its session already.
#[unsafe(no_mangle)]
pub(super) extern "C" fn setsid() -> libc::pid_t {
    refuse(libc::EPERM)
}

/// The leader of a session stays in its group.
#[unsafe(no_mangle)]
pub(super) extern "C" fn setpgid(process: libc::pid_t, _group: libc::pid_t) -> c_int {
    match process {
        0 | PROCESS => refuse(libc::EPERM),
        _ => refuse(libc::ESRCH),
    }
}

/// Makes no process.
#[unsafe(no_mangle)]
pub(super) extern "C" fn fork() -> libc::pid_t {
    refuse(libc::ENOSYS)
}

/// Makes no process.
#[unsafe(no_mangle)]
pub(super) extern "C" fn vfork() -> libc::pid_t {
    refuse(libc::ENOSYS)
}

/// Remembers no handlers: they are called around [`fork`] when it makes a process, and it makes none.
#[unsafe(no_mangle)]
pub(super) extern "C" fn pthread_atfork(
    _prepare: Option<extern "C" fn()>,
    _parent: Option<extern "C" fn()>,
    _child: Option<extern "C" fn()>,
) -> c_int {
    0
}

/// Whether there is a program of this name, by its path or in one of the folders where programs are looked for.
fn find_program(name: &[u8], is_searched: bool) -> Result<()> {
    let check = |path: &[u8]| match vfs::resolve(path, LastLink::Follow)?.node.kind() {
        NodeKind::File => Ok(()),
        _ => Err(Errno(libc::EACCES)),
    };
    if name.is_empty() {
        return Err(Errno(libc::ENOENT));
    }
    if !is_searched || name.contains(&b'/') {
        return check(name);
    }
    let folders = super::environment::value(b"PATH");
    let folders = folders.unwrap_or(b"/bin:/usr/bin");
    let mut result = Err(Errno(libc::ENOENT));
    for folder in folders.split(|&byte| byte == b':') {
        let found = check(&[folder, b"/", name].concat());
        if found != Err(Errno(libc::ENOENT)) && found != Err(Errno(libc::ENOTDIR)) {
            result = found;
        }
        if result.is_ok() {
            break;
        }
    }
    result
}

/// # Safety
/// 1. `name` is null or a C string.
unsafe fn execute(name: *const c_char, is_searched: bool) -> c_int {
    // SAFETY: the caller's promise (1).
    let found = unsafe { text(name) }.and_then(|name| find_program(name, is_searched));
    c_status(found.and(Err(Errno(libc::ENOSYS))))
}

/// Replaces the program by no other: `ENOENT` if there is none of this path, else `ENOSYS`.
///
/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn execve(
    path: *const c_char,
    _arguments: *const *const c_char,
    _environment: *const *const c_char,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { execute(path, false) }
}

/// As [`execve`].
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn execv(
    path: *const c_char,
    _arguments: *const *const c_char,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { execute(path, false) }
}

/// As [`execve`]; a name without a folder is looked for in those of `PATH`.
///
/// # Safety
/// `name` is a C string.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn execvp(
    name: *const c_char,
    _arguments: *const *const c_char,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { execute(name, true) }
}

/// As [`execvp`].
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn execvpe(
    name: *const c_char,
    _arguments: *const *const c_char,
    _environment: *const *const c_char,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { execute(name, true) }
}

/// As [`execve`], with the arguments one by one.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
unsafe extern "C" fn execl(path: *const c_char) -> c_int {
    // SAFETY: the same contract.
    unsafe { execute(path, false) }
}

/// As [`execl`].
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
unsafe extern "C" fn execle(path: *const c_char) -> c_int {
    // SAFETY: the same contract.
    unsafe { execute(path, false) }
}

/// As [`execvp`], with the arguments one by one.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
unsafe extern "C" fn execlp(name: *const c_char) -> c_int {
    // SAFETY: the same contract.
    unsafe { execute(name, true) }
}

/// # Safety
/// 1. `name` is null or a C string.
unsafe fn spawn(name: *const c_char, is_searched: bool) -> c_int {
    // SAFETY: the caller's promise (1).
    match unsafe { text(name) }.and_then(|name| find_program(name, is_searched)) {
        Ok(()) => libc::ENOSYS,
        Err(error) => error.0,
    }
}

/// Starts no process; returns `ENOENT` if there is no program of this path, else `ENOSYS`.
///
/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn posix_spawn(
    _process: *mut libc::pid_t,
    path: *const c_char,
    _actions: *const libc::posix_spawn_file_actions_t,
    _attributes: *const libc::posix_spawnattr_t,
    _arguments: *const *mut c_char,
    _environment: *const *mut c_char,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { spawn(path, false) }
}

/// As [`posix_spawn`]; a name without a folder is looked for in those of `PATH`.
///
/// # Safety
/// `name` is a C string.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn posix_spawnp(
    _process: *mut libc::pid_t,
    name: *const c_char,
    _actions: *const libc::posix_spawn_file_actions_t,
    _attributes: *const libc::posix_spawnattr_t,
    _arguments: *const *mut c_char,
    _environment: *const *mut c_char,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { spawn(name, true) }
}

/// What is to be done in a new process, and how it is to be: accepted, as [`posix_spawn`] says that there is none.
macro_rules! prepared_for_nothing {
    ($($name:ident($($argument:ty),*);)*) => {$(
        /// Prepares a process, which there will not be.
        #[unsafe(no_mangle)]
        pub(super) extern "C" fn $name($(_: $argument),*) -> c_int {
            0
        }
    )*};
}

prepared_for_nothing! {
    posix_spawn_file_actions_init(*mut c_void);
    posix_spawn_file_actions_destroy(*mut c_void);
    posix_spawn_file_actions_adddup2(*mut c_void, c_int, c_int);
    posix_spawn_file_actions_addclose(*mut c_void, c_int);
    posix_spawn_file_actions_addopen(*mut c_void, c_int, *const c_char, c_int, libc::mode_t);
    posix_spawn_file_actions_addchdir_np(*mut c_void, *const c_char);
    posix_spawnattr_init(*mut c_void);
    posix_spawnattr_destroy(*mut c_void);
    posix_spawnattr_setflags(*mut c_void, i16);
    posix_spawnattr_setpgroup(*mut c_void, libc::pid_t);
    posix_spawnattr_setsigdefault(*mut c_void, *const libc::sigset_t);
    posix_spawnattr_setsigmask(*mut c_void, *const libc::sigset_t);
    posix_spawnattr_setschedparam(*mut c_void, *const libc::sched_param);
    posix_spawnattr_setschedpolicy(*mut c_void, c_int);
    posix_spawn_file_actions_addclosefrom_np(*mut c_void, c_int);
    posix_spawn_file_actions_addfchdir_np(*mut c_void, c_int);
    posix_spawn_file_actions_addtcsetpgrp_np(*mut c_void, c_int);
}

/// What would be done in a new process is not kept, so it cannot be told.
macro_rules! not_kept {
    ($($name:ident)*) => {$(
        /// Tells nothing: see [`posix_spawn`].
        #[unsafe(no_mangle)]
        extern "C" fn $name(_attributes: *const c_void, _out: *mut c_void) -> c_int {
            libc::ENOSYS
        }
    )*};
}

not_kept! {
    posix_spawnattr_getflags posix_spawnattr_getpgroup posix_spawnattr_getsigdefault posix_spawnattr_getsigmask
    posix_spawnattr_getschedparam posix_spawnattr_getschedpolicy
}

/// There are no children.
#[unsafe(no_mangle)]
pub(super) extern "C" fn waitpid(_: libc::pid_t, _: *mut c_int, _: c_int) -> libc::pid_t {
    refuse(libc::ECHILD)
}

/// There are no children.
#[unsafe(no_mangle)]
pub(super) extern "C" fn wait(_: *mut c_int) -> libc::pid_t {
    refuse(libc::ECHILD)
}

/// There are no children.
#[unsafe(no_mangle)]
pub(super) extern "C" fn wait4(
    _: libc::pid_t,
    _: *mut c_int,
    _: c_int,
    _: *mut c_void,
) -> libc::pid_t {
    refuse(libc::ECHILD)
}

/// There are no children.
#[unsafe(no_mangle)]
pub(super) extern "C" fn waitid(
    _: c_uint,
    _: libc::id_t,
    _: *mut libc::siginfo_t,
    _: c_int,
) -> c_int {
    refuse(libc::ECHILD)
}

/// There is one root.
#[unsafe(no_mangle)]
pub(super) extern "C" fn chroot(_path: *const c_char) -> c_int {
    refuse(libc::EPERM)
}

/// Gives what the loader told (Linux 6.4, linux/prctl.h).
const PR_GET_AUXV: c_int = 0x4155_5856;

/// What timers may be late by on Linux, unless a program says otherwise.
const DEFAULT_SLACK_NS: c_int = 50_000;

static PARENT_DEATH_SIGNAL: AtomicI32 = AtomicI32::new(0);
static IS_SUBREAPER: AtomicBool = AtomicBool::new(false);
static KEEPS_CAPABILITIES: AtomicBool = AtomicBool::new(false);

/// Whether capabilities stay when root goes (`PR_SET_KEEPCAPS`).
pub(super) fn keeps_capabilities() -> bool {
    KEEPS_CAPABILITIES.load(Ordering::Relaxed)
}

static IS_WITHOUT_LARGE_PAGES: AtomicBool = AtomicBool::new(false);
static TIMER_SLACK_NS: AtomicI32 = AtomicI32::new(DEFAULT_SLACK_NS);

/// Asks or sets something of the process: the running thread's name, and a few facts.
///
/// # Safety
/// Pointers are what the option says.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn prctl(
    option: c_int,
    argument: c_ulong,
    third: c_ulong,
    fourth: c_ulong,
    fifth: c_ulong,
) -> c_int {
    c_result((|| match option {
        libc::PR_SET_NAME => {
            // SAFETY: the caller's string.
            let name = unsafe { text(argument as *const c_char) }?;
            thread::current().set_name(Name::new(name));
            Ok(0)
        }
        libc::PR_GET_NAME => {
            let name = thread::current().name();
            let mut out = [0_u8; 16];
            out[..name.as_bytes().len()].copy_from_slice(name.as_bytes());
            // SAFETY: the caller's place of 16 bytes.
            unsafe { put(argument as *mut [u8; 16], out) }?;
            Ok(0)
        }
        // Memory is not dumped.
        libc::PR_GET_DUMPABLE => Ok(0),
        libc::PR_SET_DUMPABLE if argument == 0 => Ok(0),
        // It gains no rights, having them all.
        libc::PR_SET_NO_NEW_PRIVS if argument == 1 => Ok(0),
        libc::PR_GET_NO_NEW_PRIVS => Ok(1),
        // What follows is kept and has no effect: there is no parent to die and no child to leave, and no large pages;
        // timers are as exact as they can be, which is less than any slack.
        libc::PR_SET_PDEATHSIG => {
            let signal = c_int::try_from(argument).map_err(|_| Errno(libc::EINVAL))?;
            if signal != 0 {
                super::signal::check(signal)?;
            }
            PARENT_DEATH_SIGNAL.store(signal, Ordering::Relaxed);
            Ok(0)
        }
        libc::PR_GET_PDEATHSIG => {
            let signal = PARENT_DEATH_SIGNAL.load(Ordering::Relaxed);
            // SAFETY: the caller's place of a number.
            unsafe { put(argument as *mut c_int, signal) }.map(|()| 0)
        }
        libc::PR_SET_CHILD_SUBREAPER => {
            IS_SUBREAPER.store(argument != 0, Ordering::Relaxed);
            Ok(0)
        }
        libc::PR_GET_CHILD_SUBREAPER => {
            let is_set = IS_SUBREAPER.load(Ordering::Relaxed);
            // SAFETY: the caller's place of a number.
            unsafe { put(argument as *mut c_int, c_int::from(is_set)) }.map(|()| 0)
        }
        libc::PR_SET_KEEPCAPS if argument <= 1 => {
            KEEPS_CAPABILITIES.store(argument == 1, Ordering::Relaxed);
            Ok(0)
        }
        libc::PR_GET_KEEPCAPS => Ok(c_int::from(keeps_capabilities())),
        libc::PR_CAPBSET_READ => capabilities::is_bounded_by(argument).map(c_int::from),
        libc::PR_CAPBSET_DROP => capabilities::drop_bound(argument).map(|()| 0),
        libc::PR_CAP_AMBIENT if fourth == 0 && fifth == 0 => capabilities::ambient(argument, third),
        libc::PR_SET_THP_DISABLE if third == 0 && fourth == 0 && fifth == 0 => {
            IS_WITHOUT_LARGE_PAGES.store(argument != 0, Ordering::Relaxed);
            Ok(0)
        }
        libc::PR_GET_THP_DISABLE if argument == 0 && third == 0 && fourth == 0 && fifth == 0 => {
            Ok(c_int::from(IS_WITHOUT_LARGE_PAGES.load(Ordering::Relaxed)))
        }
        libc::PR_SET_TIMERSLACK => {
            let slack_ns = match c_int::try_from(argument).unwrap_or(c_int::MAX) {
                0 => DEFAULT_SLACK_NS,
                slack_ns => slack_ns,
            };
            TIMER_SLACK_NS.store(slack_ns, Ordering::Relaxed);
            Ok(0)
        }
        libc::PR_GET_TIMERSLACK => Ok(TIMER_SLACK_NS.load(Ordering::Relaxed)),
        PR_GET_AUXV if fourth == 0 && fifth == 0 => {
            let vector = super::machine::auxiliary_vector();
            // The last pair closes it.
            let content = vector.as_flattened().iter().chain(&[0, 0]);
            let bytes = (vector.len() + 1) * size_of::<[c_ulong; 2]>();
            // SAFETY: the caller's place of so many bytes.
            let out = unsafe { bytes_mut(argument as *mut c_void, bytes.min(third as usize)) }?;
            for (place, fact) in out.chunks_mut(size_of::<c_ulong>()).zip(content) {
                place.copy_from_slice(&fact.to_ne_bytes()[..place.len()]);
            }
            Ok(bytes as c_int)
        }
        _ => Err(Errno(libc::EINVAL)),
    })())
}

/// How nice the process is to others, of which there are none: it is kept.
static NICENESS: AtomicI32 = AtomicI32::new(0);

/// How nice the process is, from -20 to 19.
pub(super) fn niceness() -> c_int {
    NICENESS.load(Ordering::Relaxed)
}

/// How nice the process is.
#[unsafe(no_mangle)]
pub(super) extern "C" fn getpriority(_which: c_uint, _who: libc::id_t) -> c_int {
    // A caller tells -1 from an error by `errno`.
    errno::set(Errno(0));
    niceness()
}

/// As the call by number tells it, of which the C library makes the above: from 1, the nicest, to 40.
pub(super) extern "C" fn priority_by_number() -> c_int {
    20 - niceness()
}

/// Says how nice the process is; only root may have it be less so.
#[unsafe(no_mangle)]
pub(super) extern "C" fn setpriority(_which: c_uint, _who: libc::id_t, priority: c_int) -> c_int {
    let wanted = priority.clamp(-20, 19);
    if wanted < niceness() && credentials::user().effective != credentials::ROOT {
        return refuse(libc::EACCES);
    }
    NICENESS.store(wanted, Ordering::Relaxed);
    0
}

/// There is one scheduling policy, `SCHED_OTHER`.
#[unsafe(no_mangle)]
pub(super) extern "C" fn sched_getscheduler(_process: libc::pid_t) -> c_int {
    libc::SCHED_OTHER
}

/// See [`sched_getscheduler`].
#[unsafe(no_mangle)]
pub(super) extern "C" fn sched_setscheduler(
    _process: libc::pid_t,
    policy: c_int,
    _parameter: *const c_void,
) -> c_int {
    if policy == libc::SCHED_OTHER {
        0
    } else {
        refuse(libc::EPERM)
    }
}

/// The only priority of a policy but the real-time ones, which are not there.
#[unsafe(no_mangle)]
pub(super) extern "C" fn sched_get_priority_max(policy: c_int) -> c_int {
    match policy {
        libc::SCHED_OTHER | libc::SCHED_BATCH | libc::SCHED_IDLE => 0,
        libc::SCHED_FIFO | libc::SCHED_RR => 99,
        _ => refuse(libc::EINVAL),
    }
}

/// See [`sched_get_priority_max`].
#[unsafe(no_mangle)]
pub(super) extern "C" fn sched_get_priority_min(policy: c_int) -> c_int {
    match policy {
        libc::SCHED_OTHER | libc::SCHED_BATCH | libc::SCHED_IDLE => 0,
        libc::SCHED_FIFO | libc::SCHED_RR => 1,
        _ => refuse(libc::EINVAL),
    }
}

/// What the process used: processor time as the clocks tell it.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn getrusage(who: c_int, out: *mut libc::rusage) -> c_int {
    c_status((|| {
        // SAFETY: a structure of integers, for which zeros are values.
        let mut usage: libc::rusage = unsafe { core::mem::zeroed() };
        match who {
            libc::RUSAGE_SELF | libc::RUSAGE_THREAD => {
                let used_ns = super::clock::used_ns();
                usage.ru_utime = libc::timeval {
                    tv_sec: (used_ns / 1_000_000_000) as i64,
                    tv_usec: (used_ns / 1000 % 1_000_000) as i64,
                };
                let (free, total) = crate::memory::frames::usage();
                usage.ru_maxrss = ((total - free) / 1024) as c_long;
            }
            libc::RUSAGE_CHILDREN => {}
            _ => return Err(Errno(libc::EINVAL)),
        }
        // SAFETY: the caller's place.
        unsafe { put(out, usage) }
    })())
}
