//! The log of requests: a line each, with peer, time, request line, status and bytes of the answer.
//!
//! Lines are collected in memory and written behind, by a thread, about a second later; what is left is written when the process is ended
//! from outside. The threads for this begin with the first line, and the file is opened when lines are written, so that nobody waits for
//! either at the start. A log that cannot be begun, opened or written is said so once and does not hold up the service.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::response::Status;

/// How long lines stay in memory.
const PERIOD: Duration = Duration::from_secs(1);
/// From how many bytes on they are written at once, and the memory for them and for what comes meanwhile: taken with the first line.
const FULL_BYTES: usize = 32 << 10;
const CAPACITY_BYTES: usize = 40 << 10;
/// Stack of a thread.
const STACK_BYTES: usize = 64 << 10;
/// Bytes of a request line that are shown.
const MAX_LINE_BYTES: usize = 1 << 10;

/// The log, shared by all connections.
pub(crate) struct AccessLog {
    lines: Mutex<Vec<u8>>,
    has_lines: Condvar,
    beginning: Once,
    sink: Mutex<Sink>,
}

/// Where lines go.
struct Sink {
    file: Target,
    /// Takes the place of the lines that are being written.
    spare: Vec<u8>,
}

/// The file of a log.
enum Target {
    /// There is none, or it could not be written.
    None,
    /// Nothing was written yet.
    Closed(PathBuf),
    Open(File),
}

impl Target {
    /// The file, opened now if it was not yet: it is created with its folder if it is not there, else continued.
    fn opened(&mut self) -> Option<&mut File> {
        if let Self::Closed(path) = self {
            *self = match open(path) {
                Ok(file) => Self::Open(file),
                Err(error) => {
                    eprintln!("static-web: no log at {}: {error}", path.display());
                    Self::None
                }
            };
        }
        match self {
            Self::Open(file) => Some(file),
            _ => None,
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
    OpenOptions::new().append(true).create(true).open(path)
}

impl AccessLog {
    /// A log at `path`. An empty path is no log.
    pub(crate) fn new(path: &Path) -> Arc<Self> {
        let file = match path.as_os_str().is_empty() {
            true => Target::None,
            false => Target::Closed(path.to_path_buf()),
        };
        Arc::new(Self {
            lines: Mutex::default(),
            has_lines: Condvar::new(),
            beginning: Once::new(),
            sink: Mutex::new(Sink {
                file,
                spare: Vec::new(),
            }),
        })
    }

    /// Sees to it that lines are written: behind, and when the process is ended from outside. A service that cannot have that serves
    /// without a log, and says so.
    fn begin(self: &Arc<Self>) {
        let mut sink = lock(&self.sink);
        if let Target::Closed(path) = &sink.file
            && let Err(error) = self.write_behind().and_then(|()| self.write_at_the_end())
        {
            eprintln!("static-web: no log at {}: {error}", path.display());
            sink.file = Target::None;
        }
    }

    fn write_behind(self: &Arc<Self>) -> io::Result<()> {
        let log = Arc::clone(self);
        start_thread("log", move || {
            loop {
                let lines = lock(&log.lines);
                let waited = log.has_lines.wait_while(lines, |lines| lines.is_empty());
                drop(waited);
                thread::sleep(PERIOD);
                log.write();
            }
        })
    }

    fn write_at_the_end(self: &Arc<Self>) -> io::Result<()> {
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let log = Arc::clone(self);
        start_thread("signals", move || {
            if let Some(signal) = signals.forever().next() {
                log.finish();
                // As a shell reports a process that a signal has ended.
                process::exit(128 + signal);
            }
        })
    }

    /// Adds a line.
    pub(crate) fn add(
        self: &Arc<Self>,
        peer: &[u8],
        date: &str,
        line: &[u8],
        status: Status,
        bytes: u64,
    ) {
        let mut lines = lock(&self.lines);
        let is_first = lines.is_empty();
        if is_first {
            lines.reserve(CAPACITY_BYTES);
        }
        lines.extend_from_slice(peer);
        lines.extend_from_slice(b" [");
        lines.extend_from_slice(date.as_bytes());
        lines.extend_from_slice(b"] \"");
        let line = &line[..line.len().min(MAX_LINE_BYTES)];
        if line.iter().all(|&byte| is_plain(byte)) {
            lines.extend_from_slice(line);
        } else {
            for &byte in line {
                if is_plain(byte) {
                    lines.push(byte);
                } else {
                    // Writing to memory does not fail.
                    let _ = write!(lines, "\\x{byte:02x}");
                }
            }
        }
        lines.extend_from_slice(b"\" ");
        lines.extend_from_slice(status.number().as_bytes());
        lines.push(b' ');
        push_number(&mut lines, bytes);
        lines.push(b'\n');
        let is_full = lines.len() >= FULL_BYTES;
        drop(lines);
        if is_full {
            self.write();
        } else if is_first {
            self.beginning.call_once(|| self.begin());
            self.has_lines.notify_one();
        }
    }

    /// Writes what is there, and returns when it is on the medium.
    fn finish(&self) {
        self.write();
        if let Target::Open(file) = &lock(&self.sink).file {
            // It was said to be closed; there is nobody left to hear more.
            let _ = file.sync_all();
        }
    }

    fn write(&self) {
        // The sink first, so that lines stay in order.
        let mut sink = lock(&self.sink);
        let sink = &mut *sink;
        std::mem::swap(&mut *lock(&self.lines), &mut sink.spare);
        if !sink.spare.is_empty()
            && let Some(file) = sink.file.opened()
            && let Err(error) = file.write_all(&sink.spare)
        {
            eprintln!("static-web: no more log: {error}");
            sink.file = Target::None;
        }
        sink.spare.clear();
    }
}

fn start_thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = thread::Builder::new().name(name.into());
    thread.stack_size(STACK_BYTES).spawn(work).map(drop)
}

/// A thread that panicked has left a line unfinished at worst.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a byte is shown as it is.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

/// A peer as it is named in lines: one of IPv4 by its address, also if a socket of IPv6 hears it.
pub(crate) fn name(peer: SocketAddr) -> Vec<u8> {
    let mut name = Vec::with_capacity(32);
    let IpAddr::V4(ip) = peer.ip().to_canonical() else {
        // Writing to memory does not fail.
        drop(write!(name, "{peer}"));
        return name;
    };
    let numbers = ip.octets().map(u64::from);
    push_number(&mut name, numbers[0]);
    let rest = [b'.', b'.', b'.', b':'].into_iter();
    let numbers = numbers[1..].iter().copied().chain([peer.port().into()]);
    for (separator, number) in rest.zip(numbers) {
        name.push(separator);
        push_number(&mut name, number);
    }
    name
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

#[cfg(test)]
mod tests {
    use super::{AccessLog, name};

    #[test]
    fn peers_are_named_as_std_does() {
        for peer in ["1.20.255.0:65535", "0.0.0.0:0", "[fe80::1%2]:80", "[::]:1"] {
            let peer: std::net::SocketAddr = peer.parse().unwrap();
            assert_eq!(name(peer), peer.to_string().as_bytes());
        }
        let peer = "[::ffff:10.0.2.2]:80".parse().unwrap();
        assert_eq!(name(peer), b"10.0.2.2:80");
    }
    use crate::response::Status;
    use std::fs;
    use std::path::Path;

    #[test]
    fn lines_are_added_to_what_is_there() {
        let folder = std::env::temp_dir().join(format!("static-web-log-{}", std::process::id()));
        let path = folder.join("logs/access.log");
        for round in 1..=2 {
            let log = AccessLog::new(&path);
            log.add(b"1.2.3.4:5", "DATE", b"GET / HTTP/1.1", Status::Ok, 612);
            log.add(
                b"1.2.3.4:5",
                "DATE",
                b"GET /\"\\\n\xff",
                Status::BadRequest,
                0,
            );
            log.finish();
            let expected = "1.2.3.4:5 [DATE] \"GET / HTTP/1.1\" 200 612\n\
                            1.2.3.4:5 [DATE] \"GET /\\x22\\x5c\\x0a\\xff\" 400 0\n";
            assert_eq!(fs::read_to_string(&path).unwrap(), expected.repeat(round));
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_log_that_nothing_is_written_to_is_not_created() {
        let path = std::env::temp_dir().join(format!("static-web-none-{}", std::process::id()));
        AccessLog::new(&path).finish();
        assert!(!path.exists());
    }

    #[test]
    fn an_empty_path_is_no_log() {
        let log = AccessLog::new(Path::new(""));
        log.add(b"peer", "date", b"line", Status::Ok, u64::MAX);
        log.finish();
    }
}
