//! System calls by number (Linux, x86-64): the function `syscall`, by which std and others reach what has no C function of its own, and the
//! instruction, which some crates issue. Most lead to the C function of the same name.

use core::cmp;
use core::ffi::{c_char, c_int, c_long, c_uint, c_void};
use core::sync::atomic::{AtomicU32, Ordering, fence};

use libc::{msghdr, sockaddr, socklen_t};

use super::attributes::{
    fgetxattr, flistxattr, fremovexattr, fsetxattr, getxattr, lgetxattr, listxattr, llistxattr,
    lremovexattr, lsetxattr, removexattr, setxattr,
};
use super::calendar::time;
use super::capabilities::{capget, capset};
use super::clock::{
    self, clock_getres, clock_gettime, clock_nanosleep, deadline_of, gettimeofday, nanosleep,
};
use super::convert::{bytes_mut, get};
use super::credentials::{
    getegid, geteuid, getgid, getgroups, getresgid, getresuid, getuid, setfsgid, setfsuid, setgid,
    setgroups, setregid, setresgid, setresuid, setreuid, setuid,
};
use super::descriptor::{dup, dup2, dup3, fcntl, flock, ioctl};
use super::directory::{chdir, fchdir, mkdir, mkdirat, put_entries, rmdir, umask};
use super::epoll::{epoll_create, epoll_create1, epoll_ctl, epoll_pwait, epoll_pwait2, epoll_wait};
use super::event::eventfd;
use super::extra_files::{
    close_range, fadvise, futimesat, mknod, mknodat, preadv2, pwritev2, readahead, sync_file_range,
    utime,
};
use super::file::{
    close, copy_file_range, creat64, fdatasync, fsync, ftruncate64, lseek64, open64, openat64,
    pread64, preadv64, pwrite64, pwritev64, read, readv, sendfile64, sync, syncfs, truncate64,
    write, writev,
};
use super::identity::{getcpu, personality, times};
use super::inotify::{inotify_add_watch, inotify_init, inotify_init1, inotify_rm_watch};
use super::interval::{
    alarm, getitimer, setitimer, timer_create, timer_delete, timer_getoverrun, timer_gettime,
    timer_settime,
};
use super::limits::{getrlimit, prlimit64, setrlimit};
use super::machine::{getrandom, sysinfo, uname};
use super::mapping::{madvise, mmap64, mprotect, mremap, msync, munmap};
use super::memfd::memfd_create;
use super::metadata::{
    access, chmod, chown, faccessat, fchmod, fchmodat, fchown, fchownat, fstat64, fstatat64,
    lchown, lstat64, stat64, statx, utimensat, utimes,
};
use super::open_how::openat2;
use super::path::{
    link, linkat, readlink, readlinkat, rename, renameat, renameat2, symlink, symlinkat, unlink,
    unlinkat,
};
use super::pipe::{pipe, pipe2};
use super::poll::{poll, ppoll};
use super::process::{
    chroot, execve, getpgid, getpgrp, getpid, getppid, getrusage, getsid, gettid, prctl,
    priority_by_number, sched_get_priority_max, sched_get_priority_min, sched_getscheduler,
    sched_setscheduler, setpgid, setpriority, setsid, wait4, waitid,
};
use super::refused::{
    adjtimex, clock_adjtime, clock_settime, mount, name_to_handle_at, open_by_handle_at,
    pivot_root, ptrace, reboot, setdomainname, sethostname, setns, settimeofday, swapoff, swapon,
    umount2, unshare, vhangup,
};
use super::residence::{mincore, mlock, mlock2, mlockall, munlock, munlockall};
use super::select::{pselect, select};
use super::signal::{blocked_meanwhile, kill, pause, sigaltstack};
use super::signal_calls::{
    rt_sigaction, rt_sigpending, rt_sigprocmask, rt_sigsuspend, rt_sigtimedwait, tgkill, tkill,
};
use super::signal_descriptor::signals_behind;
use super::space::{fallocate64, fstatfs64, statfs64};
use super::splice::{splice, tee, vmsplice};
use super::thread::{sched_getaffinity, sched_setaffinity, sched_yield};
use super::thread_attributes::{sched_getparam, sched_rr_get_interval, sched_setparam};
use super::timer::{timerfd_create, timerfd_gettime, timerfd_settime};
use super::{errno, object, program};
use crate::arch::clock as clocks;
use crate::arch::x86_64::syscall::{self as instruction, Arguments};
use crate::arch::x86_64::tlb;
use crate::error::{Errno, Result};
use crate::scheduler::{self, WaitOutcome, futex};
use crate::storage::vfs::file::OpenFile;

unsafe extern "C" {
    safe fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
    fn socketpair(domain: c_int, kind: c_int, protocol: c_int, ends: *mut [c_int; 2]) -> c_int;
    fn bind(descriptor: c_int, address: *const sockaddr, len: socklen_t) -> c_int;
    safe fn listen(descriptor: c_int, backlog: c_int) -> c_int;
    fn accept4(d: c_int, address: *mut sockaddr, len: *mut socklen_t, flags: c_int) -> c_int;
    fn accept(descriptor: c_int, address: *mut sockaddr, len: *mut socklen_t) -> c_int;
    fn connect(descriptor: c_int, address: *const sockaddr, len: socklen_t) -> c_int;
    safe fn shutdown(descriptor: c_int, how: c_int) -> c_int;
    fn getsockname(descriptor: c_int, address: *mut sockaddr, len: *mut socklen_t) -> c_int;
    fn getpeername(descriptor: c_int, address: *mut sockaddr, len: *mut socklen_t) -> c_int;
    fn sendto(
        descriptor: c_int,
        data: *const c_void,
        len: usize,
        flags: c_int,
        address: *const sockaddr,
        address_len: socklen_t,
    ) -> isize;
    fn recvfrom(
        descriptor: c_int,
        buf: *mut c_void,
        len: usize,
        flags: c_int,
        address: *mut sockaddr,
        address_len: *mut socklen_t,
    ) -> isize;
    fn sendmsg(descriptor: c_int, message: *const msghdr, flags: c_int) -> isize;
    fn recvmsg(descriptor: c_int, message: *mut msghdr, flags: c_int) -> isize;
    fn sendmmsg(d: c_int, messages: *mut libc::mmsghdr, count: c_uint, flags: c_int) -> c_int;
    fn recvmmsg(
        descriptor: c_int,
        messages: *mut libc::mmsghdr,
        count: c_uint,
        flags: c_int,
        timeout: *mut libc::timespec,
    ) -> c_int;
    fn setsockopt(
        descriptor: c_int,
        level: c_int,
        option: c_int,
        value: *const c_void,
        len: socklen_t,
    ) -> c_int;
    fn getsockopt(
        descriptor: c_int,
        level: c_int,
        option: c_int,
        value: *mut c_void,
        len: *mut socklen_t,
    ) -> c_int;
}

/// What a C function returned, with `errno`, as a result.
trait Returned {
    fn result(self) -> Result<usize>;
}

macro_rules! returned {
    ($($kind:ty)*) => {$(
        impl Returned for $kind {
            fn result(self) -> Result<usize> {
                match self {
                    -1 => Err(Errno(errno::get())),
                    value => Ok(value as usize),
                }
            }
        }
    )*};
}

returned! { c_int isize i64 }

impl Returned for u32 {
    fn result(self) -> Result<usize> {
        Ok(self as usize)
    }
}

impl Returned for () {
    fn result(self) -> Result<usize> {
        Ok(0)
    }
}

impl<T> Returned for *mut T {
    fn result(self) -> Result<usize> {
        (self as isize).result()
    }
}

/// Calls the function of the call's name with as many arguments as it has.
macro_rules! call_by_number {
    ($call:expr, $otherwise:expr, $($number:ident = $function:ident($($index:literal)*);)*) => {
        match $call.number as c_long {
            $(libc::$number => {
                #[allow(unused_unsafe, reason = "some of the functions are safe")]
                // SAFETY: the caller's arguments, as the call's manual page has them.
                let value = unsafe { $function($($call.values[$index] as _),*) };
                value.result()
            })*
            other => $otherwise(other),
        }
    };
}

/// Carries out a system call.
fn dispatch(call: &Arguments) -> Result<usize> {
    let [a, b, c, d, e, f] = call.values;
    // The most frequent one by far.
    if call.number as c_long == libc::SYS_futex {
        // SAFETY: the caller's arguments.
        return unsafe { futex_call(a, b as c_int, c as u32, d, e, f as u32) };
    }
    let otherwise = |number| match number {
        // SAFETY: the caller's arguments.
        libc::SYS_pselect6 => unsafe { pselect_call(&call.values) },
        // SAFETY: as above.
        libc::SYS_signalfd => unsafe { signalfd_call(a as c_int, b as _, c, 0) },
        // SAFETY: as above.
        libc::SYS_signalfd4 => unsafe { signalfd_call(a as c_int, b as _, c, d as c_int) },
        // The thread's own number, as of `gettid`; nobody waits at the address when it ends but who joins it by C's functions.
        libc::SYS_set_tid_address => gettid().result(),
        // The thread-local storage is the kernel's.
        libc::SYS_arch_prctl => Err(Errno(libc::EPERM)),
        // A segment that does not grow: the break stays where it is, as the call tells a failure.
        libc::SYS_brk => Ok(0),
        // SAFETY: the caller's arguments.
        libc::SYS_getcwd => unsafe { getcwd_call(a as *mut c_void, b) },
        // SAFETY: as above.
        libc::SYS_getdents64 => unsafe { getdents_call(a as c_int, b as *mut c_void, c) },
        // SAFETY: as above.
        libc::SYS_clock_nanosleep => {
            // SAFETY: as above.
            match unsafe { clock_nanosleep(a as c_int, b as c_int, c as _, d as _) } {
                0 => Ok(0),
                error => Err(Errno(error)),
            }
        }
        libc::SYS_sched_getaffinity => {
            // SAFETY: as above. The call tells how much it wrote, the function does not.
            unsafe { sched_getaffinity(a as c_int, b, c as *mut _) }
                .result()
                .map(|_| b.min(8))
        }
        // SAFETY: as above.
        libc::SYS_openat2 => unsafe { openat2(a as c_int, b as _, c as _, d) },
        libc::SYS_kcmp => kcmp([a, b], c, [d, e]),
        libc::SYS_membarrier => membarrier(a as c_int),
        // SAFETY: as above.
        libc::SYS_rt_sigaction => unsafe { rt_sigaction(a as c_int, b as _, c as _, d) },
        // SAFETY: as above.
        libc::SYS_rt_sigprocmask => unsafe { rt_sigprocmask(a as c_int, b as _, c as _, d) },
        // SAFETY: as above.
        libc::SYS_rt_sigpending => unsafe { rt_sigpending(a as _, b) },
        // SAFETY: as above.
        libc::SYS_rt_sigsuspend => unsafe { rt_sigsuspend(a as _, b) },
        // SAFETY: as above.
        libc::SYS_rt_sigtimedwait => unsafe { rt_sigtimedwait(a as _, b as _, c as _, d) },
        libc::SYS_tkill => tkill(a as c_int, b as c_int),
        libc::SYS_tgkill => tgkill(a as c_int, b as c_int, c as c_int),
        libc::SYS_exit => scheduler::exit(0),
        libc::SYS_exit_group => program::_exit(a as c_int),
        _ => Err(Errno(libc::ENOSYS)),
    };
    call_by_number! { call, otherwise,
        SYS_read = read(0 1 2);
        SYS_write = write(0 1 2);
        SYS_readv = readv(0 1 2);
        SYS_writev = writev(0 1 2);
        SYS_pread64 = pread64(0 1 2 3);
        SYS_pwrite64 = pwrite64(0 1 2 3);
        SYS_preadv = preadv64(0 1 2 3);
        SYS_pwritev = pwritev64(0 1 2 3);
        SYS_open = open64(0 1 2);
        SYS_openat = openat64(0 1 2 3);
        SYS_close = close(0);
        SYS_lseek = lseek64(0 1 2);
        SYS_ftruncate = ftruncate64(0 1);
        SYS_truncate = truncate64(0 1);
        SYS_fsync = fsync(0);
        SYS_fdatasync = fdatasync(0);
        SYS_sync = sync();
        SYS_syncfs = syncfs(0);
        SYS_copy_file_range = copy_file_range(0 1 2 3 4 5);
        SYS_sendfile = sendfile64(0 1 2 3);
        SYS_splice = splice(0 1 2 3 4 5);
        SYS_tee = tee(0 1 2 3);
        SYS_vmsplice = vmsplice(0 1 2 3);
        SYS_dup = dup(0);
        SYS_dup2 = dup2(0 1);
        SYS_dup3 = dup3(0 1 2);
        SYS_fcntl = fcntl(0 1 2);
        SYS_ioctl = ioctl(0 1 2);
        SYS_flock = flock(0 1);
        SYS_stat = stat64(0 1);
        SYS_lstat = lstat64(0 1);
        SYS_fstat = fstat64(0 1);
        SYS_newfstatat = fstatat64(0 1 2 3);
        SYS_statx = statx(0 1 2 3 4);
        SYS_access = access(0 1);
        SYS_faccessat = faccessat_call(0 1 2);
        SYS_faccessat2 = faccessat(0 1 2 3);
        SYS_chmod = chmod(0 1);
        SYS_fchmod = fchmod(0 1);
        SYS_fchmodat = fchmodat_call(0 1 2);
        SYS_chown = chown(0 1 2);
        SYS_lchown = lchown(0 1 2);
        SYS_fchown = fchown(0 1 2);
        SYS_fchownat = fchownat(0 1 2 3 4);
        SYS_utimensat = utimensat(0 1 2 3);
        SYS_link = link(0 1);
        SYS_linkat = linkat(0 1 2 3 4);
        SYS_symlink = symlink(0 1);
        SYS_symlinkat = symlinkat(0 1 2);
        SYS_readlink = readlink(0 1 2);
        SYS_readlinkat = readlinkat(0 1 2 3);
        SYS_rename = rename(0 1);
        SYS_renameat = renameat(0 1 2 3);
        SYS_renameat2 = renameat2(0 1 2 3 4);
        SYS_unlink = unlink(0);
        SYS_unlinkat = unlinkat(0 1 2);
        SYS_mkdir = mkdir(0 1);
        SYS_mkdirat = mkdirat(0 1 2);
        SYS_rmdir = rmdir(0);
        SYS_chdir = chdir(0);
        SYS_fchdir = fchdir(0);
        SYS_umask = umask(0);
        SYS_fallocate = fallocate64(0 1 2 3);
        SYS_statfs = statfs64(0 1);
        SYS_fstatfs = fstatfs64(0 1);
        SYS_memfd_create = memfd_create(0 1);
        SYS_mmap = mmap64(0 1 2 3 4 5);
        SYS_munmap = munmap(0 1);
        SYS_mprotect = mprotect(0 1 2);
        SYS_madvise = madvise(0 1 2);
        SYS_msync = msync(0 1 2);
        SYS_pipe = pipe(0);
        SYS_pipe2 = pipe2(0 1);
        SYS_eventfd2 = eventfd(0 1);
        SYS_inotify_init = inotify_init();
        SYS_inotify_init1 = inotify_init1(0);
        SYS_inotify_add_watch = inotify_add_watch(0 1 2);
        SYS_inotify_rm_watch = inotify_rm_watch(0 1);
        SYS_timerfd_create = timerfd_create(0 1);
        SYS_timerfd_settime = timerfd_settime(0 1 2 3);
        SYS_timerfd_gettime = timerfd_gettime(0 1);
        SYS_epoll_create = epoll_create(0);
        SYS_epoll_create1 = epoll_create1(0);
        SYS_epoll_ctl = epoll_ctl(0 1 2 3);
        SYS_epoll_wait = epoll_wait(0 1 2 3);
        SYS_epoll_pwait = epoll_pwait(0 1 2 3 4);
        SYS_epoll_pwait2 = epoll_pwait2(0 1 2 3 4);
        SYS_poll = poll(0 1 2);
        SYS_ppoll = ppoll(0 1 2 3);
        SYS_socket = socket(0 1 2);
        SYS_socketpair = socketpair(0 1 2 3);
        SYS_bind = bind(0 1 2);
        SYS_listen = listen(0 1);
        SYS_accept = accept(0 1 2);
        SYS_accept4 = accept4(0 1 2 3);
        SYS_connect = connect(0 1 2);
        SYS_shutdown = shutdown(0 1);
        SYS_getsockname = getsockname(0 1 2);
        SYS_getpeername = getpeername(0 1 2);
        SYS_sendto = sendto(0 1 2 3 4 5);
        SYS_recvfrom = recvfrom(0 1 2 3 4 5);
        SYS_sendmsg = sendmsg(0 1 2);
        SYS_recvmsg = recvmsg(0 1 2);
        SYS_sendmmsg = sendmmsg(0 1 2 3);
        SYS_recvmmsg = recvmmsg(0 1 2 3 4);
        SYS_setsockopt = setsockopt(0 1 2 3 4);
        SYS_getsockopt = getsockopt(0 1 2 3 4);
        SYS_clock_gettime = clock_gettime(0 1);
        SYS_clock_getres = clock_getres(0 1);
        SYS_nanosleep = nanosleep(0 1);
        SYS_gettimeofday = gettimeofday(0 1);
        SYS_getrandom = getrandom(0 1 2);
        SYS_uname = uname(0);
        SYS_sysinfo = sysinfo(0);
        SYS_getpid = getpid();
        SYS_getppid = getppid();
        SYS_gettid = gettid();
        SYS_getpgrp = getpgrp();
        SYS_getpgid = getpgid(0);
        SYS_getsid = getsid(0);
        SYS_setsid = setsid();
        SYS_setpgid = setpgid(0 1);
        SYS_getuid = getuid();
        SYS_geteuid = geteuid();
        SYS_getgid = getgid();
        SYS_getegid = getegid();
        SYS_setuid = setuid(0);
        SYS_setgid = setgid(0);
        SYS_getpriority = priority_by_number();
        SYS_getrlimit = getrlimit(0 1);
        SYS_setrlimit = setrlimit(0 1);
        SYS_prlimit64 = prlimit64(0 1 2 3);
        SYS_getrusage = getrusage(0 1);
        SYS_prctl = prctl(0 1 2 3 4);
        SYS_capget = capget(0 1);
        SYS_capset = capset(0 1);
        SYS_wait4 = wait4(0 1 2 3);
        SYS_kill = kill(0 1);
        SYS_pause = pause();
        SYS_sigaltstack = sigaltstack(0 1);
        SYS_sched_yield = sched_yield();
        SYS_sched_setaffinity = sched_setaffinity(0 1 2);
        SYS_sched_getscheduler = sched_getscheduler(0);
        SYS_sched_setscheduler = sched_setscheduler(0 1 2);
        SYS_sched_getparam = sched_getparam(0 1);
        SYS_sched_setparam = sched_setparam(0 1);
        SYS_sched_get_priority_max = sched_get_priority_max(0);
        SYS_sched_get_priority_min = sched_get_priority_min(0);
        SYS_sched_rr_get_interval = sched_rr_get_interval(0 1);
        SYS_setpriority = setpriority(0 1 2);
        SYS_getcpu = getcpu(0 1);
        SYS_time = time(0);
        SYS_times = times(0);
        SYS_select = select(0 1 2 3 4);
        SYS_mremap = mremap(0 1 2 3);
        SYS_mlock = mlock(0 1);
        SYS_mlock2 = mlock2(0 1 2);
        SYS_munlock = munlock(0 1);
        SYS_mlockall = mlockall(0);
        SYS_munlockall = munlockall();
        SYS_mincore = mincore(0 1 2);
        SYS_close_range = close_range(0 1 2);
        SYS_preadv2 = preadv2(0 1 2 3 5);
        SYS_pwritev2 = pwritev2(0 1 2 3 5);
        SYS_fadvise64 = fadvise(0 1 2 3);
        SYS_readahead = readahead(0 1 2);
        SYS_sync_file_range = sync_file_range(0 1 2 3);
        SYS_creat = creat64(0 1);
        SYS_mknod = mknod(0 1 2);
        SYS_mknodat = mknodat(0 1 2 3);
        SYS_utime = utime(0 1);
        SYS_utimes = utimes(0 1);
        SYS_futimesat = futimesat(0 1 2);
        SYS_getgroups = getgroups(0 1);
        SYS_setgroups = setgroups(0 1);
        SYS_getresuid = getresuid(0 1 2);
        SYS_getresgid = getresgid(0 1 2);
        SYS_setresuid = setresuid(0 1 2);
        SYS_setresgid = setresgid(0 1 2);
        SYS_setreuid = setreuid(0 1);
        SYS_setregid = setregid(0 1);
        SYS_setfsuid = setfsuid(0);
        SYS_setfsgid = setfsgid(0);
        SYS_personality = personality(0);
        SYS_execve = execve(0 1 2);
        SYS_waitid = waitid(0 1 2 3);
        SYS_alarm = alarm(0);
        SYS_getitimer = getitimer(0 1);
        SYS_setitimer = setitimer(0 1 2);
        SYS_timer_create = timer_create_call(0 1 2);
        SYS_timer_settime = timer_settime_call(0 1 2 3);
        SYS_timer_gettime = timer_gettime_call(0 1);
        SYS_timer_getoverrun = timer_getoverrun_call(0);
        SYS_timer_delete = timer_delete_call(0);
        SYS_eventfd = eventfd_call(0);
        SYS_chroot = chroot(0);
        SYS_getxattr = getxattr(0 1 2 3);
        SYS_lgetxattr = lgetxattr(0 1 2 3);
        SYS_fgetxattr = fgetxattr(0 1 2 3);
        SYS_setxattr = setxattr(0 1 2 3 4);
        SYS_lsetxattr = lsetxattr(0 1 2 3 4);
        SYS_fsetxattr = fsetxattr(0 1 2 3 4);
        SYS_listxattr = listxattr(0 1 2);
        SYS_llistxattr = llistxattr(0 1 2);
        SYS_flistxattr = flistxattr(0 1 2);
        SYS_removexattr = removexattr(0 1);
        SYS_lremovexattr = lremovexattr(0 1);
        SYS_fremovexattr = fremovexattr(0 1);
        SYS_mount = mount();
        SYS_umount2 = umount2();
        SYS_pivot_root = pivot_root();
        SYS_swapon = swapon();
        SYS_swapoff = swapoff();
        SYS_sethostname = sethostname();
        SYS_setdomainname = setdomainname();
        SYS_clock_settime = clock_settime();
        SYS_settimeofday = settimeofday();
        SYS_adjtimex = adjtimex();
        SYS_clock_adjtime = clock_adjtime();
        SYS_reboot = reboot();
        SYS_vhangup = vhangup();
        SYS_ptrace = ptrace();
        SYS_unshare = unshare();
        SYS_setns = setns();
        SYS_open_by_handle_at = open_by_handle_at();
        SYS_name_to_handle_at = name_to_handle_at();
    }
}

/// `kcmp` (Linux: kcmp(2)): 0 where two processes, which are always this one, have the same; of descriptors, whether they lead to the same open
/// description, or else which of the two was made first.
fn kcmp(processes: [usize; 2], what: usize, which: [usize; 2]) -> Result<usize> {
    const FILE: usize = 0;
    const EVENTS_OF_EPOLL: usize = 7;
    if processes
        .iter()
        .any(|process| *process as c_int != getpid())
    {
        return Err(Errno(libc::ESRCH));
    }
    let [first, second] = match what {
        FILE => [
            object::get(which[0] as c_int)?.number(),
            object::get(which[1] as c_int)?.number(),
        ],
        1..EVENTS_OF_EPOLL => return Ok(0),
        _ => return Err(Errno(libc::EINVAL)),
    };
    Ok(match first.cmp(&second) {
        cmp::Ordering::Equal => 0,
        cmp::Ordering::Less => 1,
        cmp::Ordering::Greater => 2,
    })
}

/// `signalfd4`: sets are one word here.
///
/// # Safety
/// 1. `set` is null or can be read.
unsafe fn signalfd_call(
    descriptor: c_int,
    set: *const u64,
    set_bytes: usize,
    flags: c_int,
) -> Result<usize> {
    if set_bytes != size_of::<u64>() {
        return Err(Errno(libc::EINVAL));
    }
    // SAFETY: the caller's promise (1).
    let set = unsafe { get(set) }.ok_or(Errno(libc::EFAULT))?;
    signals_behind(descriptor, set, flags).map(|descriptor| descriptor as usize)
}

/// `pselect6`: the last argument leads to the set of signals and its size.
///
/// # Safety
/// 1. Sets and time are null or can be read and written, as the call's manual page has them.
unsafe fn pselect_call(values: &[usize; 6]) -> Result<usize> {
    let &[count, read, write, exception, timeout, signals] = values;
    // SAFETY: the caller's promise (1).
    let mask = unsafe { get(signals as *const [usize; 2]) }.map_or(0, |[set, _]| set);
    // SAFETY: as above.
    let blocked = unsafe { get(mask as *const u64) };
    let _blocked = blocked.map(blocked_meanwhile);
    // SAFETY: as above.
    let ready = unsafe {
        pselect(
            count as c_int,
            read as *mut _,
            write as *mut _,
            exception as *mut _,
            timeout as *const _,
            core::ptr::null(),
        )
    };
    ready.result()
}

/// Timers by the numbers of the kernel of Linux, which are an `int`.
///
/// # Safety
/// 1. `event` is null or can be read, `out` can be written.
unsafe fn timer_create_call(
    clock: libc::clockid_t,
    event: *const libc::sigevent,
    out: *mut c_int,
) -> c_int {
    let mut timer = 0;
    // SAFETY: the caller's promise (1), and a local variable.
    unsafe {
        let status = timer_create(clock, event, &raw mut timer);
        if status == 0 {
            out.write(timer as c_int);
        }
        status
    }
}

/// # Safety
/// As of [`timer_settime`].
unsafe fn timer_settime_call(
    timer: c_int,
    flags: c_int,
    new: *const libc::itimerspec,
    old: *mut libc::itimerspec,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { timer_settime(timer as usize, flags, new, old) }
}

/// # Safety
/// As of [`timer_gettime`].
unsafe fn timer_gettime_call(timer: c_int, out: *mut libc::itimerspec) -> c_int {
    // SAFETY: the same contract.
    unsafe { timer_gettime(timer as usize, out) }
}

fn timer_getoverrun_call(timer: c_int) -> c_int {
    timer_getoverrun(timer as usize)
}

fn timer_delete_call(timer: c_int) -> c_int {
    timer_delete(timer as usize)
}

fn eventfd_call(initial: c_uint) -> c_int {
    eventfd(initial, 0)
}

unsafe extern "C" {
    /// One of the two below: the link step chooses, so that a program that needs few calls has no more in its image.
    safe fn toro_system_calls(call: &Arguments) -> isize;
}

/// The result as the kernel of Linux gives it: an error number is negated.
fn encoded(result: Result<usize>) -> isize {
    match result {
        Ok(value) => value as isize,
        Err(error) => -(error.0 as isize),
    }
}

#[unsafe(no_mangle)]
extern "C" fn toro_all_system_calls(call: &Arguments) -> isize {
    encoded(dispatch(call))
}

/// What std asks for by number where it has no C function.
#[unsafe(no_mangle)]
extern "C" fn toro_few_system_calls(call: &Arguments) -> isize {
    let [a, b, c, d, e, f] = call.values;
    encoded(match call.number as c_long {
        // SAFETY: the caller's arguments, as the call's manual page has them.
        libc::SYS_futex => unsafe { futex_call(a, b as c_int, c as u32, d, e, f as u32) },
        // SAFETY: as above.
        libc::SYS_getrandom => unsafe { getrandom(a as *mut c_void, b, c as c_uint) }.result(),
        libc::SYS_gettid => gettid().result(),
        libc::SYS_getpid => getpid().result(),
        libc::SYS_sched_yield => sched_yield().result(),
        _ => Err(Errno(libc::ENOSYS)),
    })
}

/// The function `syscall`. C declares its arguments as `...`; callers that give fewer leave the rest undefined, and no call reads more
/// than it has.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    let call = Arguments {
        number: number as usize,
        values: [a, b, c, d, e, f],
    };
    errno::count(match toro_system_calls(&call) {
        error @ -4095..0 => Err(Errno(-error as i32)),
        value => Ok(value as usize),
    }) as c_long
}

/// Has the instruction lead here.
pub(super) fn initialise() {
    instruction::set_handler(|call| {
        // The instruction tells its error by its result; `errno` belongs to C.
        let before = errno::get();
        let result = toro_system_calls(call);
        errno::set(Errno(before));
        result
    });
}

/// futex(2): waiting and waking.
///
/// # Safety
/// 1. `address` leads to a futex, and `timeout` is null or a time, where the operation uses them.
unsafe fn futex_call(
    address: usize,
    operation: c_int,
    value: u32,
    timeout: usize,
    second: usize,
    bits: u32,
) -> Result<usize> {
    let command = operation & !(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME);
    if !address.is_multiple_of(4) {
        return Err(Errno(libc::EINVAL));
    }
    match command {
        libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET => {
            // SAFETY: the caller's promise (1).
            let timeout = unsafe { get(timeout as *const libc::timespec) };
            let id = if operation & libc::FUTEX_CLOCK_REALTIME != 0 {
                libc::CLOCK_REALTIME
            } else {
                libc::CLOCK_MONOTONIC
            };
            // `FUTEX_WAIT` takes a span, `FUTEX_WAIT_BITSET` a point in time.
            let deadline_ns = match timeout {
                None => None,
                Some(time) if command == libc::FUTEX_WAIT => {
                    Some(clocks::now_ns().saturating_add(clock::nanoseconds(&time)?))
                }
                Some(time) => Some(deadline_of(id, clock::nanoseconds(&time)?)?),
            };
            let bits = match command {
                libc::FUTEX_WAIT => u32::MAX,
                _ if bits == 0 => return Err(Errno(libc::EINVAL)),
                _ => bits,
            };
            // SAFETY: the caller's promise (1).
            let futex = unsafe { &*(address as *const AtomicU32) };
            match futex::wait(futex, value, bits, deadline_ns) {
                Ok(WaitOutcome::Woken) => Ok(0),
                Ok(WaitOutcome::TimedOut) => Err(Errno(libc::ETIMEDOUT)),
                Err(futex::Changed) => Err(Errno(libc::EAGAIN)),
            }
        }
        libc::FUTEX_WAKE => Ok(futex::wake(address, value as usize, u32::MAX)),
        libc::FUTEX_WAKE_BITSET if bits == 0 => Err(Errno(libc::EINVAL)),
        libc::FUTEX_WAKE_BITSET => Ok(futex::wake(address, value as usize, bits)),
        libc::FUTEX_REQUEUE | libc::FUTEX_CMP_REQUEUE => {
            // SAFETY: the caller's promise (1).
            let futex = unsafe { &*(address as *const AtomicU32) };
            if command == libc::FUTEX_CMP_REQUEUE && futex.load(Ordering::SeqCst) != bits {
                return Err(Errno(libc::EAGAIN));
            }
            // Those that would sleep on at the second address are woken too, and find out by themselves: a sleeper may always be.
            let _ = second;
            let most = (value as usize).saturating_add(timeout);
            Ok(futex::wake(address, most, u32::MAX))
        }
        _ => Err(Errno(libc::ENOSYS)),
    }
}

/// membarrier(2): every core passes a barrier.
fn membarrier(command: c_int) -> Result<usize> {
    const COMMANDS: c_int = libc::MEMBARRIER_CMD_GLOBAL
        | libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED
        | libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED;
    match command {
        libc::MEMBARRIER_CMD_QUERY => Ok(COMMANDS as usize),
        libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED => Ok(0),
        libc::MEMBARRIER_CMD_GLOBAL | libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED => {
            fence(Ordering::SeqCst);
            // An interrupt that every other core answers.
            tlb::flush_other_cores();
            Ok(0)
        }
        _ => Err(Errno(libc::EINVAL)),
    }
}

/// The call has no flags; the function does.
///
/// # Safety
/// 1. `path` is a C string.
unsafe fn faccessat_call(directory: c_int, path: *const c_char, mode: c_int) -> c_int {
    // SAFETY: the caller's promise (1).
    unsafe { faccessat(directory, path, mode, 0) }
}

/// The call has no flags; the function does.
///
/// # Safety
/// 1. `path` is a C string.
unsafe fn fchmodat_call(directory: c_int, path: *const c_char, mode: libc::mode_t) -> c_int {
    // SAFETY: the caller's promise (1).
    unsafe { fchmodat(directory, path, mode, 0) }
}

/// getcwd(2): returns the length with the closing zero.
///
/// # Safety
/// 1. `len` bytes at `buf` can be written.
unsafe fn getcwd_call(buf: *mut c_void, len: usize) -> Result<usize> {
    let path = crate::storage::vfs::current_path()?;
    // SAFETY: the caller's promise (1).
    let buf = unsafe { bytes_mut(buf, len) }?;
    let room = buf.get_mut(..=path.len()).ok_or(Errno(libc::ERANGE))?;
    room[..path.len()].copy_from_slice(&path);
    room[path.len()] = 0;
    Ok(path.len() + 1)
}

/// getdents64(2): entries of a directory.
///
/// # Safety
/// 1. `len` bytes at `buf` can be written.
unsafe fn getdents_call(descriptor: c_int, buf: *mut c_void, len: usize) -> Result<usize> {
    let description = object::get(descriptor)?;
    let file = description.downcast::<OpenFile>();
    let file = file.ok_or(Errno(libc::ENOTDIR))?;
    // SAFETY: the caller's promise (1).
    let buf = unsafe { bytes_mut(buf, len) }?;
    put_entries(file, buf, 0)
}
