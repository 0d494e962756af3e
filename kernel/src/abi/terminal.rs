//! The settings of the console as a terminal (POSIX.1-2017, `termios.h`, chapter 11; Linux: ioctl_tty(2)).
//!
//! There is one terminal, with one set of settings. What of them has an effect: whether input comes by lines or by bytes, whether what is
//! typed shows, what the return key sends, how long a read waits, whether a newline returns the carriage. At the serial line it is the
//! terminal at the other end that edits lines, shows what is typed and interrupts: it is told (`devices/console/input.rs`).
//! Speeds and the format of characters are kept and told, and change nothing. There are no jobs, so no key of the keyboard sends a signal.

use core::ffi::{c_char, c_int, c_ulong, c_void};
use core::ptr::null_mut;

use libc::{speed_t, tcflag_t, termios};

use super::convert::{c_result, c_status, get, put};
use super::descriptor::is_terminal;
use super::errno;
use super::object::{self, Description};
use super::process::getpid;
use crate::devices::console::{self, input};
use crate::error::{Errno, Result};
use crate::start::command_line;
use crate::sync::SpinLock;

const NAME: &core::ffi::CStr = c"/dev/console";
/// Columns and rows, where nobody tells: those of the screen.
const SIZE: (u16, u16) = (80, 25);

/// As the kernel of Linux has them (`asm-generic/termbits.h`): the form of the calls `TCGETS` and `TCGETS2`, the latter with speeds behind.
#[repr(C)]
#[derive(Clone, Copy)]
struct Settings {
    input: tcflag_t,
    output: tcflag_t,
    control: tcflag_t,
    local: tcflag_t,
    line: u8,
    characters: [u8; 19],
}

#[repr(C)]
#[derive(Clone, Copy)]
struct SettingsWithSpeeds {
    settings: Settings,
    speeds: [u32; 2],
}

/// As Linux begins.
const INITIAL: Settings = Settings {
    input: libc::ICRNL | libc::IXON,
    output: libc::OPOST | libc::ONLCR,
    control: libc::B38400 | libc::CS8 | libc::CREAD | libc::HUPCL,
    local: libc::ISIG
        | libc::ICANON
        | libc::ECHO
        | libc::ECHOE
        | libc::ECHOK
        | libc::ECHOCTL
        | libc::ECHOKE
        | libc::IEXTEN,
    line: 0,
    // Interrupt, quit, erase, kill, end of file, time, least, -, start, stop, suspend, -, reprint, discard, erase word, literal, -, -, -.
    characters: [
        3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0,
    ],
};
const SPEED: u32 = 38400;

static SETTINGS: SpinLock<Settings> = SpinLock::new(INITIAL);

fn set(new: Settings, drops_input: bool) {
    let mut settings = SETTINGS.lock();
    *settings = new;
    let is_by_lines = new.local & libc::ICANON != 0;
    let least = new.characters[libc::VMIN];
    let tenths = u64::from(new.characters[libc::VTIME]);
    input::set_mode(
        input::Mode {
            is_by_lines,
            is_shown: new.local & libc::ECHO != 0,
            return_is_newline: new.input & libc::ICRNL != 0,
            has_interrupts: new.local & libc::ISIG != 0,
            wait_ns: (!is_by_lines && least == 0).then_some(tenths * 100_000_000),
        },
        drops_input,
    );
    let both = libc::OPOST | libc::ONLCR;
    console::set_newline_returns(new.output & both == both);
}

impl Settings {
    fn as_c(&self) -> termios {
        let mut characters = [0; 32];
        characters[..19].copy_from_slice(&self.characters);
        termios {
            c_iflag: self.input,
            c_oflag: self.output,
            c_cflag: self.control,
            c_lflag: self.local,
            c_line: self.line,
            c_cc: characters,
            c_ispeed: libc::B38400,
            c_ospeed: libc::B38400,
        }
    }
}

/// Looks for a terminal behind a descriptor.
fn check(descriptor: c_int) -> Result<()> {
    let description = object::get(descriptor)?;
    check_description(&description)
}

fn check_description(description: &Description) -> Result<()> {
    match is_terminal(description)? {
        true => Ok(()),
        false => Err(Errno(libc::ENOTTY)),
    }
}

/// What `ioctl` asks of terminals; `ENOTTY` for what it asks of something else, and of what is none.
///
/// # Safety
/// 1. `argument` points at what the request says.
pub(super) unsafe fn control(
    description: &Description,
    request: c_ulong,
    argument: *mut c_void,
) -> Result<()> {
    check_description(description)?;
    let fault = Errno(libc::EFAULT);
    match request {
        // SAFETY: (1).
        libc::TCGETS => unsafe { put(argument.cast(), *SETTINGS.lock()) },
        libc::TCGETS2 => {
            let all = SettingsWithSpeeds {
                settings: *SETTINGS.lock(),
                speeds: [SPEED; 2],
            };
            // SAFETY: (1).
            unsafe { put(argument.cast(), all) }
        }
        // Output is never behind, so all three times are now.
        libc::TCSETS
        | libc::TCSETSW
        | libc::TCSETSF
        | libc::TCSETS2
        | libc::TCSETSW2
        | libc::TCSETSF2 => {
            // SAFETY: (1); the longer form begins with the shorter one.
            let new = unsafe { get(argument.cast::<Settings>()) }.ok_or(fault)?;
            set(new, matches!(request, libc::TCSETSF | libc::TCSETSF2));
            Ok(())
        }
        libc::TIOCGWINSZ => {
            let (columns, rows) = command_line().terminal_size.unwrap_or(SIZE);
            let size = libc::winsize {
                ws_row: rows,
                ws_col: columns,
                ws_xpixel: 0,
                ws_ypixel: 0,
            };
            // SAFETY: (1).
            unsafe { put(argument.cast(), size) }
        }
        // The other end stays as large as it is.
        libc::TIOCSWINSZ => Err(Errno(libc::EINVAL)),
        // SAFETY: (1).
        libc::TIOCGPGRP | libc::TIOCGSID => unsafe { put(argument.cast(), getpid()) },
        libc::TIOCSPGRP => {
            // SAFETY: (1).
            match unsafe { get(argument.cast::<libc::pid_t>()) }.ok_or(fault)? {
                group if group == getpid() => Ok(()),
                _ => Err(Errno(libc::EPERM)),
            }
        }
        libc::TCSBRK | libc::TCXONC | libc::TIOCSCTTY => Ok(()),
        libc::TCFLSH => {
            if argument as usize as c_int != libc::TCOFLUSH {
                input::drop_unread();
            }
            Ok(())
        }
        // SAFETY: (1). Nothing waits to be written.
        libc::TIOCOUTQ => unsafe { put(argument.cast::<c_int>(), 0) },
        _ => Err(Errno(libc::ENOTTY)),
    }
}

/// Tells the settings.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn tcgetattr(descriptor: c_int, out: *mut termios) -> c_int {
    // SAFETY: the caller's place.
    c_status(check(descriptor).and_then(|()| unsafe { put(out, SETTINGS.lock().as_c()) }))
}

/// Changes the settings; drops what was typed and not read if it is to (`TCSAFLUSH`).
///
/// # Safety
/// `new` can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn tcsetattr(descriptor: c_int, when: c_int, new: *const termios) -> c_int {
    c_status(check(descriptor).and_then(|()| {
        if !matches!(when, libc::TCSANOW | libc::TCSADRAIN | libc::TCSAFLUSH) {
            return Err(Errno(libc::EINVAL));
        }
        // SAFETY: null, or the caller's.
        let new = unsafe { get(new) }.ok_or(Errno(libc::EFAULT))?;
        let mut characters = [0; 19];
        characters.copy_from_slice(&new.c_cc[..19]);
        let settings = Settings {
            input: new.c_iflag,
            output: new.c_oflag,
            control: new.c_cflag,
            local: new.c_lflag,
            line: new.c_line,
            characters,
        };
        set(settings, when == libc::TCSAFLUSH);
        Ok(())
    }))
}

/// Changes settings so that bytes come and go as they are.
///
/// # Safety
/// `settings` can be read and written.
#[unsafe(no_mangle)]
unsafe extern "C" fn cfmakeraw(settings: *mut termios) {
    // SAFETY: the caller's.
    let settings = unsafe { &mut *settings };
    settings.c_iflag &= !(libc::IGNBRK
        | libc::BRKINT
        | libc::PARMRK
        | libc::ISTRIP
        | libc::INLCR
        | libc::IGNCR
        | libc::ICRNL
        | libc::IXON);
    settings.c_oflag &= !libc::OPOST;
    settings.c_lflag &= !(libc::ECHO | libc::ECHONL | libc::ICANON | libc::ISIG | libc::IEXTEN);
    settings.c_cflag &= !(libc::CSIZE | libc::PARENB);
    settings.c_cflag |= libc::CS8;
    settings.c_cc[libc::VMIN] = 1;
    settings.c_cc[libc::VTIME] = 0;
}

/// The speed of input.
///
/// # Safety
/// `settings` can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn cfgetispeed(settings: *const termios) -> speed_t {
    // SAFETY: the caller's.
    unsafe { (*settings).c_ispeed }
}

/// The speed of output.
///
/// # Safety
/// `settings` can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn cfgetospeed(settings: *const termios) -> speed_t {
    // SAFETY: the caller's.
    unsafe { (*settings).c_ospeed }
}

/// Whether a number stands for a speed.
fn check_speed(speed: speed_t) -> Result<()> {
    match speed {
        libc::B0..=libc::B38400 | libc::B57600..=libc::B4000000 => Ok(()),
        _ => Err(Errno(libc::EINVAL)),
    }
}

/// Sets the speed of input.
///
/// # Safety
/// `settings` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn cfsetispeed(settings: *mut termios, speed: speed_t) -> c_int {
    // SAFETY: the caller's.
    c_status(check_speed(speed).map(|()| unsafe { (*settings).c_ispeed = speed }))
}

/// Sets the speed of output.
///
/// # Safety
/// `settings` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn cfsetospeed(settings: *mut termios, speed: speed_t) -> c_int {
    // SAFETY: the caller's.
    c_status(check_speed(speed).map(|()| unsafe { (*settings).c_ospeed = speed }))
}

/// Sets both speeds.
///
/// # Safety
/// `settings` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn cfsetspeed(settings: *mut termios, speed: speed_t) -> c_int {
    // SAFETY: the same contract.
    unsafe {
        cfsetispeed(settings, speed);
        cfsetospeed(settings, speed)
    }
}

/// Waits until all is written: it always is.
#[unsafe(no_mangle)]
extern "C" fn tcdrain(descriptor: c_int) -> c_int {
    c_status(check(descriptor))
}

/// Stops or continues: nothing flows on its own.
#[unsafe(no_mangle)]
extern "C" fn tcflow(descriptor: c_int, action: c_int) -> c_int {
    let result = match action {
        libc::TCOOFF | libc::TCOON | libc::TCIOFF | libc::TCION => Ok(()),
        _ => Err(Errno(libc::EINVAL)),
    };
    c_status(check(descriptor).and(result))
}

/// Drops what was typed and not read.
#[unsafe(no_mangle)]
extern "C" fn tcflush(descriptor: c_int, queue: c_int) -> c_int {
    c_status(check(descriptor).and_then(|()| match queue {
        libc::TCIFLUSH | libc::TCIOFLUSH => {
            input::drop_unread();
            Ok(())
        }
        libc::TCOFLUSH => Ok(()),
        _ => Err(Errno(libc::EINVAL)),
    }))
}

/// Sends no break: as a terminal that has no line.
#[unsafe(no_mangle)]
extern "C" fn tcsendbreak(descriptor: c_int, _duration: c_int) -> c_int {
    c_status(check(descriptor))
}

/// The group in the foreground: the only one.
#[unsafe(no_mangle)]
extern "C" fn tcgetpgrp(descriptor: c_int) -> libc::pid_t {
    c_result(check(descriptor).map(|()| getpid()))
}

/// Puts a group in the foreground: the only one.
#[unsafe(no_mangle)]
extern "C" fn tcsetpgrp(descriptor: c_int, group: libc::pid_t) -> c_int {
    c_status(check(descriptor).and_then(|()| match group {
        group if group == getpid() => Ok(()),
        _ => Err(Errno(libc::EPERM)),
    }))
}

/// The session of the terminal: the only one.
#[unsafe(no_mangle)]
extern "C" fn tcgetsid(descriptor: c_int) -> libc::pid_t {
    tcgetpgrp(descriptor)
}

/// The terminal's name; returns an error number.
///
/// # Safety
/// `len` bytes can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn ttyname_r(descriptor: c_int, out: *mut c_char, len: usize) -> c_int {
    let name = NAME.to_bytes_with_nul();
    match check(descriptor) {
        Err(error) => error.0,
        Ok(()) if len < name.len() => libc::ERANGE,
        Ok(()) => {
            // SAFETY: as long as the name.
            unsafe { out.copy_from_nonoverlapping(name.as_ptr().cast(), name.len()) };
            0
        }
    }
}

/// The terminal's name; null if it is none.
#[unsafe(no_mangle)]
extern "C" fn ttyname(descriptor: c_int) -> *const c_char {
    match check(descriptor) {
        Ok(()) => NAME.as_ptr(),
        Err(error) => {
            errno::set(error);
            null_mut::<c_char>().cast_const()
        }
    }
}

/// The name of the controlling terminal.
///
/// # Safety
/// `out` is null, or has 9 bytes (`L_ctermid`).
#[unsafe(no_mangle)]
unsafe extern "C" fn ctermid(out: *mut c_char) -> *const c_char {
    // Short enough for `L_ctermid`.
    let name = c"/dev/tty";
    if !out.is_null() {
        // SAFETY: the caller's place.
        unsafe { out.copy_from_nonoverlapping(name.as_ptr(), name.count_bytes() + 1) };
    }
    name.as_ptr()
}

/// There are no pseudo-terminals.
#[unsafe(no_mangle)]
extern "C" fn ptsname(_descriptor: c_int) -> *const c_char {
    errno::set(Errno(libc::ENOTTY));
    core::ptr::null()
}

/// There are no pseudo-terminals; returns an error number.
#[unsafe(no_mangle)]
extern "C" fn ptsname_r(_descriptor: c_int, _out: *mut c_char, _len: usize) -> c_int {
    libc::ENOTTY
}
