//! The log, on the disk's core.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use toro::Error;
use toro::message::Receiver;

pub(crate) const PATH: &str = "/log/requests.log";
/// After so long without a request, what was written is made durable.
const QUIET: Duration = Duration::from_secs(1);

/// A request that was answered.
pub(crate) struct Request {
    pub(crate) time: SystemTime,
    pub(crate) peer: SocketAddr,
    /// Method and target.
    pub(crate) line: String,
    /// How many before it were not logged.
    pub(crate) unlogged: u64,
}

/// Opens the log; it is made where there is none.
pub(crate) fn open() -> io::Result<File> {
    fs::create_dir_all("/log")?;
    OpenOptions::new().create(true).append(true).open(PATH)
}

/// Writes what comes, until nobody sends any more.
pub(crate) fn keep(mut log: File, requests: &Receiver<Request>) {
    println!("The journal is on core {}", toro::core::current());
    let mut is_durable = true;
    let mut count = 0;
    loop {
        let waited = match is_durable {
            true => requests.receive(),
            false => requests.receive_timeout(QUIET),
        };
        let written = match waited {
            Ok(first) => {
                is_durable = false;
                let mut lines = String::new();
                describe(&first, &mut lines);
                count += 1;
                // What has come meanwhile is written with it.
                while let Ok(Some(next)) = requests.try_receive() {
                    describe(&next, &mut lines);
                    count += 1;
                }
                log.write_all(lines.as_bytes())
            }
            Err(Error::TimedOut) => {
                is_durable = true;
                let synced = log.sync_data();
                if synced.is_ok() {
                    println!("{count} requests are on the disk");
                }
                synced
            }
            Err(_) => return,
        };
        if let Err(error) = written {
            eprintln!("affinity: {PATH}: {error}");
        }
    }
}

fn describe(request: &Request, lines: &mut String) {
    let since = request.time.duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since.unwrap_or_default().as_secs();
    if request.unlogged != 0 {
        let _ = writeln!(
            lines,
            "{seconds} {} requests are missing here",
            request.unlogged
        );
    }
    let _ = writeln!(lines, "{seconds} {} {}", request.peer, request.line);
}
