//! What no program can have on a machine of its own that shares nothing with others: functions that always fail, with the error that
//! Linux gives a program in a container which is denied them, or that its kernel gives where the feature is not built in.
//!
//! What each of them takes makes no difference, so no arguments are named: the System V ABI leaves them to the caller. All return -1, in
//! whatever width C declares it.

use super::errno;
use crate::error::Errno;

fn refuse(error: i32) -> isize {
    errno::set(Errno(error)) as isize
}

macro_rules! refused {
    ($($error:ident $why:literal: $($name:ident)*;)*) => {$($(
        #[doc = $why]
        #[unsafe(no_mangle)]
        pub(super) extern "C" fn $name() -> isize {
            refuse(libc::$error)
        }
    )*)*};
}

refused! {
    // Processes: there is one.
    ENOSYS "Makes no process.": clone execveat fexecve forkpty;
    EPERM "Looks into no process.": ptrace process_vm_readv process_vm_writev;
    EPERM "Changes what the process shares with none.": setns unshare;

    // The system as a whole: whoever starts the machine decides.
    EPERM "Mounts are on the command line.": mount umount umount2 pivot_root swapon swapoff quotactl acct;
    EPERM "Names are given from outside.": sethostname setdomainname sethostid;
    EPERM "Nobody sets the clock.": clock_settime settimeofday stime adjtime adjtimex clock_adjtime ntp_adjtime;
    EPERM "There are no ports or modules to be had.": ioperm iopl init_module finit_module delete_module;
    EPERM "The machine ends with its program, or by `toro::power`.": reboot vhangup;
    EPERM "The kernel's messages are on the console.": klogctl;

    // Watching all files, and asking for other people's files.
    ENOSYS "There is `inotify`.": fanotify_init;
    EBADF "There is no such watch.": fanotify_mark;
    EOPNOTSUPP "Files have no handles.": name_to_handle_at;
    EPERM "Files have no handles.": open_by_handle_at;

    // Between processes.
    ENOSYS "There are no message queues.": mq_open mq_unlink;
    EBADF "There are no message queues.": mq_close mq_getattr mq_setattr mq_notify mq_send mq_receive mq_timedsend mq_timedreceive;
    ENOSYS "There are no semaphores with names.": sem_close sem_unlink;
    ENOSYS "There is no System V IPC.": semget semop semtimedop semctl msgget msgsnd msgrcv msgctl shmget shmat shmdt shmctl;

    // Memory.
    ENOSYS "Linux has given it up as well.": remap_file_pages;
    ENOMEM "The heap is no range that grows.": brk sbrk;

    // Terminals: the console is the only one.
    ENOENT "There are no pseudo-terminals.": posix_openpt getpt openpty;
    ENOTTY "There are no pseudo-terminals.": grantpt unlockpt;
}

/// There are no semaphores with names; null is how this function fails.
#[unsafe(no_mangle)]
extern "C" fn sem_open() -> usize {
    refuse(libc::ENOSYS);
    0
}
