//! What differs between host systems: child processes that do not outlive the tool, and QEMU's control socket.
//!
//! This is the only module that knows on which system it runs, and the only one with `unsafe` code.

use std::io::{self, Read, Write};
use std::process::{Child, Command};
use std::sync::mpsc;
use std::time::Duration;

/// Starts `command` in a process group of its own, so that a terminal's Ctrl-C does not reach it; on Linux it is killed when
/// the tool ends in whatever way.
pub fn spawn(mut command: Command) -> io::Result<Child> {
    isolate(&mut command);
    spawn_beside(command)
}

/// Starts `command` in the tool's own process group, so that a terminal is its too; on Linux it is killed when the tool ends in whatever way.
pub fn spawn_beside(command: Command) -> io::Result<Child> {
    type Request = (Command, mpsc::SyncSender<io::Result<Child>>);
    // Linux ties a child to the thread that started it, so one thread that lives as long as the tool starts them all.
    static LAUNCHER: std::sync::LazyLock<mpsc::Sender<Request>> = std::sync::LazyLock::new(|| {
        let (sender, requests) = mpsc::channel::<Request>();
        std::thread::spawn(move || {
            for (mut command, answer) in requests {
                tie(&mut command);
                // An asker that is gone drops the answer, and the child with it is no concern of the launcher.
                let _ = answer.send(command.spawn());
            }
        });
        sender
    });
    let (sender, answer) = mpsc::sync_channel(1);
    let gone = |_| io::Error::other("the launcher thread has ended");
    LAUNCHER
        .send((command, sender))
        .map_err(|_| gone(mpsc::RecvError))?;
    answer.recv().map_err(gone)?
}

#[cfg(unix)]
fn isolate(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
}

/// Has the host end the command when the thread ends that starts it, where the host can.
fn tie(command: &mut Command) {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;
        let parent = nix::unistd::getpid();
        let tie_to_parent = move || {
            nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
            // The parent may have died before the call above.
            if nix::unistd::getppid() == parent {
                Ok(())
            } else {
                Err(nix::errno::Errno::ESRCH.into())
            }
        };
        // SAFETY: the closure runs between fork and exec, where only async-signal-safe calls are allowed: it makes two
        // system calls (prctl, getppid) and allocates nothing, in the error path too (an errno becomes an
        // `io::Error` without a heap).
        unsafe { command.pre_exec(tie_to_parent) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}

#[cfg(windows)]
fn isolate(command: &mut Command) {
    use std::os::windows::process::CommandExt;
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
    command.creation_flags(CREATE_NEW_PROCESS_GROUP);
}

/// Lets a temporary file that becomes a lasting one have the mode of any new file.
pub fn like_a_new_file(builder: &mut tempfile::Builder<'_, '_>) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    #[cfg(not(unix))]
    let _ = builder;
}

/// A new file in `folder` that has no name yet ([`give_name`]), with the mode of any new file; `None` where the host or its file system
/// has no such files.
pub fn file_without_name(folder: &std::path::Path) -> io::Result<Option<std::fs::File>> {
    #[cfg(target_os = "linux")]
    {
        use nix::libc;
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).mode(0o666);
        match options.custom_flags(libc::O_TMPFILE).open(folder) {
            // It is named by way of /proc.
            Ok(file) => Ok(name_in_proc(&file).exists().then_some(file)),
            // open(2): a file system, and a kernel, that know none.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL)
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = folder;
        Ok(None)
    }
}

/// Gives a file of [`file_without_name`] its name; an error if there is something of that name.
pub fn give_name(file: &std::fs::File, path: &std::path::Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use nix::fcntl::{AT_FDCWD, AtFlags};
        let flags = AtFlags::AT_SYMLINK_FOLLOW;
        nix::unistd::linkat(AT_FDCWD, &name_in_proc(file), AT_FDCWD, path, flags)?;
        Ok(())
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (file, path);
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(target_os = "linux")]
fn name_in_proc(file: &std::fs::File) -> std::path::PathBuf {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// The permissions of a file; `None` where the host has none of that kind.
pub fn permissions(metadata: &std::fs::Metadata) -> Option<u16> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        u16::try_from(metadata.permissions().mode() & 0o7777).ok()
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        None
    }
}

/// Settings of a terminal.
#[cfg(unix)]
pub type TerminalSettings = nix::sys::termios::Termios;
/// Settings of a terminal.
#[cfg(not(unix))]
pub type TerminalSettings = std::convert::Infallible;

/// The settings of the terminal behind `file`, if it is one and this process may change it: one in the background would be stopped.
pub fn terminal_settings(file: &std::io::Stdin) -> Option<TerminalSettings> {
    #[cfg(unix)]
    {
        let front = nix::unistd::tcgetpgrp(file).ok()?;
        let is_front = front == nix::unistd::getpgrp();
        is_front.then(|| nix::sys::termios::tcgetattr(file).ok())?
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        None
    }
}

/// Sets the terminal behind `file` to `before`, less what a program does not want. There is nobody to tell if that fails.
pub fn set_terminal(
    file: &std::io::Stdin,
    before: &TerminalSettings,
    wishes: crate::terminal::Wishes,
) {
    #[cfg(unix)]
    {
        use nix::sys::termios::{SetArg, tcsetattr};
        let _ = tcsetattr(file, SetArg::TCSANOW, &wished(before, wishes));
    }
    #[cfg(not(unix))]
    let _ = (file, before, wishes);
}

#[cfg(unix)]
fn wished(before: &TerminalSettings, wishes: crate::terminal::Wishes) -> TerminalSettings {
    use nix::sys::termios::{InputFlags, LocalFlags, SpecialCharacterIndices};
    let mut settings = before.clone();
    if !wishes.is_by_lines {
        settings.local_flags -= LocalFlags::ICANON | LocalFlags::IEXTEN;
        // What the return key is the program's side says.
        settings.input_flags -=
            InputFlags::ICRNL | InputFlags::INLCR | InputFlags::IGNCR | InputFlags::IXON;
        settings.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
        settings.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
    }
    if !wishes.is_shown {
        settings.local_flags -= LocalFlags::ECHO | LocalFlags::ECHONL;
    }
    if !wishes.has_interrupts {
        settings.local_flags -= LocalFlags::ISIG;
    }
    settings
}

/// Memory of the host that is free to be used, in bytes; `None` where it cannot be known.
pub fn available_memory() -> Option<u64> {
    // Linux: proc(5), /proc/meminfo.
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1 << 10)
}

/// Keeps a disk image from being written by two: an exclusive lock for a writer, a shared one for a reader, until `file` is closed.
/// False if somebody else has it: a virtual machine, where QEMU locks its images (on Linux), or another command of the tool.
pub fn lock_image(file: &std::fs::File, is_writing: bool) -> io::Result<bool> {
    #[cfg(target_os = "linux")]
    {
        use nix::errno::Errno;
        use nix::fcntl::{FcntlArg, fcntl};
        use nix::libc;
        // QEMU holds shared locks on bytes from 100 on (docs/system/qemu-block-drivers, "Disk image file locking"). Readers
        // lock the bytes before them, so that they do not keep a machine from starting.
        const QEMU_START: i64 = 100;
        // Locks of the open file, as QEMU's are, not of the process.
        let range = |kind: libc::c_int, start: i64, len: i64| libc::flock {
            l_type: kind as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: start,
            l_len: len,
            l_pid: 0,
        };
        let taken = |error| match error {
            Errno::EAGAIN | Errno::EACCES => Ok(false),
            error => Err(io::Error::from(error)),
        };
        if is_writing {
            let all = range(libc::F_WRLCK, 0, 0);
            return fcntl(file, FcntlArg::F_OFD_SETLK(&all))
                .map(|_| true)
                .or_else(taken);
        }
        let mut qemu = range(libc::F_WRLCK, QEMU_START, 0);
        fcntl(file, FcntlArg::F_OFD_GETLK(&mut qemu))?;
        if qemu.l_type != libc::F_UNLCK as libc::c_short {
            return Ok(false);
        }
        let own = range(libc::F_RDLCK, 0, QEMU_START);
        fcntl(file, FcntlArg::F_OFD_SETLK(&own))
            .map(|_| true)
            .or_else(taken)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let result = match is_writing {
            true => file.try_lock(),
            false => file.try_lock_shared(),
        };
        match result {
            Ok(()) => Ok(true),
            Err(std::fs::TryLockError::WouldBlock) => Ok(false),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Fills `buf` from `place` of a file.
pub fn read_exact_at(file: &std::fs::File, buf: &mut [u8], place: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_exact_at(file, buf, place);
    #[cfg(not(unix))]
    {
        let (mut buf, mut place) = (buf, place);
        while !buf.is_empty() {
            let count = std::os::windows::fs::FileExt::seek_read(file, buf, place)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            buf = &mut buf[count..];
            place += count as u64;
        }
        Ok(())
    }
}

/// Writes all of `buf` to `place` of a file.
pub fn write_all_at(file: &std::fs::File, buf: &[u8], place: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::write_all_at(file, buf, place);
    #[cfg(not(unix))]
    {
        let (mut buf, mut place) = (buf, place);
        while !buf.is_empty() {
            let count = std::os::windows::fs::FileExt::seek_write(file, buf, place)?;
            buf = &buf[count..];
            place += count as u64;
        }
        Ok(())
    }
}

/// Where the next bytes of a file from `place` on are that are stored; those before are zeros. `place` itself where the host
/// does not tell, the file's end if there are none.
pub fn next_data(file: &std::fs::File, place: u64) -> io::Result<u64> {
    #[cfg(target_os = "linux")]
    {
        use nix::unistd::{Whence, lseek};
        let from = i64::try_from(place).map_err(|_| io::ErrorKind::InvalidInput)?;
        match lseek(file, from, Whence::SeekData) {
            Ok(found) => Ok(u64::try_from(found).unwrap_or(place)),
            Err(nix::errno::Errno::ENXIO) => Ok(file.metadata()?.len().max(place)),
            // A file system that does not know.
            Err(nix::errno::Errno::EINVAL) => Ok(place),
            Err(error) => Err(error.into()),
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = file;
        Ok(place)
    }
}

/// A name or a link's target from an image as one of the host; an error where the host has no such names.
pub fn file_name(name: &[u8]) -> io::Result<std::path::PathBuf> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        Ok(std::ffi::OsStr::from_bytes(name).into())
    }
    #[cfg(not(unix))]
    {
        let text = std::str::from_utf8(name).map_err(|_| io::ErrorKind::InvalidFilename)?;
        // Names of Windows devices, drives and streams, and what would be two names there.
        if text.contains(['\\', ':', '*', '?', '"', '<', '>', '|']) {
            return Err(io::ErrorKind::InvalidFilename.into());
        }
        Ok(text.into())
    }
}

/// Makes a symbolic link.
pub fn make_link(target: &std::path::Path, link: &std::path::Path) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::symlink(target, link);
    #[cfg(windows)]
    return std::os::windows::fs::symlink_file(target, link);
}

/// Sets the permissions of a file, without those that give it its owner's rights, where the host has any.
pub fn set_permissions(file: &std::fs::File, permissions: u16) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = u32::from(permissions & 0o777);
        file.set_permissions(std::fs::Permissions::from_mode(mode))
    }
    #[cfg(not(unix))]
    {
        let _ = (file, permissions);
        Ok(())
    }
}

/// What a file with more than one name is known by; `None` for one with a single name, and where the host does not tell.
pub fn identity_of_linked(metadata: &std::fs::Metadata) -> Option<(u64, u64)> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        (metadata.nlink() > 1).then(|| (metadata.dev(), metadata.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        None
    }
}

/// How many bytes the host stores for a file; `None` where it does not tell.
pub fn stored_bytes(metadata: &std::fs::Metadata) -> Option<u64> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Some(metadata.blocks().saturating_mul(512))
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        None
    }
}

/// Whether this host has a network interface of that name, as far as it can be known.
pub fn may_have_interface(name: &str) -> bool {
    if cfg!(target_os = "linux") {
        !name.contains('/') && std::path::Path::new("/sys/class/net").join(name).exists()
    } else {
        true
    }
}

/// A connection to QEMU's control socket.
pub trait Connection: Read + Write + Send {}
impl<T: Read + Write + Send> Connection for T {}

/// The place of a QEMU's control socket: private to the user on Unix, a port of the loopback address elsewhere.
#[derive(Debug)]
pub struct Control {
    #[cfg(unix)]
    path: std::path::PathBuf,
    #[cfg(not(unix))]
    port: u16,
}

impl Control {
    /// A place that no other machine uses.
    pub fn new() -> io::Result<Self> {
        #[cfg(unix)]
        {
            use std::sync::atomic::{AtomicU32, Ordering};
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("toro-{}-{count}.qmp", std::process::id());
            Ok(Self {
                path: std::env::temp_dir().join(name),
            })
        }
        #[cfg(not(unix))]
        {
            let port = std::net::TcpListener::bind(("127.0.0.1", 0))?
                .local_addr()?
                .port();
            Ok(Self { port })
        }
    }

    /// The value of QEMU's option `-qmp`.
    pub fn option(&self) -> String {
        #[cfg(unix)]
        let place = format!(
            "unix:{}",
            self.path.display().to_string().replace(',', ",,")
        );
        #[cfg(not(unix))]
        let place = format!("tcp:127.0.0.1:{}", self.port);
        format!("{place},server=on,wait=off")
    }

    /// Connects; reads and writes give up after `timeout`.
    pub fn connect(&self, timeout: Duration) -> io::Result<Box<dyn Connection>> {
        #[cfg(unix)]
        let stream = std::os::unix::net::UnixStream::connect(&self.path)?;
        #[cfg(not(unix))]
        let stream = std::net::TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        Ok(Box::new(stream))
    }
}

#[cfg(unix)]
impl Drop for Control {
    fn drop(&mut self) {
        // QEMU removes its socket itself, unless it was killed.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::terminal::Wishes;
    use nix::sys::termios::{InputFlags, LocalFlags, tcgetattr};

    #[test]
    fn a_terminal_is_as_a_program_wants_it() {
        let pair = nix::pty::openpty(None, None).unwrap();
        let before = tcgetattr(&pair.slave).unwrap();
        let settings = |number| wished(&before, Wishes::from_number(number).unwrap());
        assert_eq!(settings(7), before);
        let edits = |number| settings(number).local_flags.contains(LocalFlags::ICANON);
        let shows = |number| settings(number).local_flags.contains(LocalFlags::ECHO);
        let interrupts = |number| settings(number).local_flags.contains(LocalFlags::ISIG);
        for number in 0..8 {
            assert_eq!(edits(number), number & 1 != 0);
            assert_eq!(shows(number), number & 2 != 0);
            assert_eq!(interrupts(number), number & 4 != 0);
        }
        assert!(!settings(0).input_flags.contains(InputFlags::ICRNL));
        // A password: by lines, which do not show.
        assert!(settings(5).input_flags.contains(InputFlags::ICRNL));
    }
}
