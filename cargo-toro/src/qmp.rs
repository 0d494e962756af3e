//! QEMU's machine protocol (QMP, docs/interop/qmp-spec.txt): one JSON object a line; answers may come between events.

use crate::host::{Connection, Control};
use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(2);
const MAX_LINE_BYTES: u64 = 1 << 20;
const MAX_EVENTS: usize = 1000;

/// A session with a running QEMU.
pub struct Session {
    stream: BufReader<Box<dyn Connection>>,
}

impl Session {
    /// Connects and leaves the negotiation behind.
    pub fn connect(control: &Control) -> io::Result<Self> {
        let mut session = Self {
            stream: BufReader::new(control.connect(TIMEOUT)?),
        };
        let greeting = session.receive()?;
        if greeting.get("QMP").is_none() {
            return Err(io::Error::other(format!(
                "unexpected greeting from QEMU: {greeting}"
            )));
        }
        session.execute("qmp_capabilities", json!({}))?;
        Ok(session)
    }

    /// Runs a command; returns what it returned.
    pub fn execute(&mut self, command: &str, arguments: Value) -> io::Result<Value> {
        let request = json!({ "execute": command, "arguments": arguments });
        writeln!(self.stream.get_mut(), "{request}")?;
        for _ in 0..MAX_EVENTS {
            let mut answer = self.receive()?;
            if let Some(result) = answer.get_mut("return") {
                return Ok(result.take());
            }
            if let Some(error) = answer.get("error") {
                return Err(io::Error::other(format!("QEMU refused {command}: {error}")));
            }
        }
        Err(io::Error::other(format!("QEMU did not answer {command}")))
    }

    /// Runs a command of the monitor for humans; returns what it printed.
    pub fn monitor(&mut self, line: &str) -> io::Result<String> {
        let result = self.execute("human-monitor-command", json!({ "command-line": line }))?;
        Ok(result.as_str().unwrap_or_default().to_owned())
    }

    fn receive(&mut self) -> io::Result<Value> {
        let mut line = Vec::new();
        self.stream
            .by_ref()
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        serde_json::from_slice(&line).map_err(io::Error::other)
    }
}

/// The port of the host that the user network forwards to `guest`, from the output of `info usernet`.
pub(crate) fn forwarded_port(usernet: &str, protocol: &str, guest: u16) -> Option<u16> {
    let prefix = format!("{protocol}[HOST_FORWARD]");
    usernet
        .lines()
        .map(str::split_whitespace)
        .find_map(|mut words| {
            // Protocol, descriptor, source address and port, destination address and port.
            (words.next()? == prefix).then_some(())?;
            let source = words.nth(2)?;
            (words.nth(1)?.parse() == Ok(guest)).then(|| source.parse().ok())?
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERNET: &str = "\
Hub -1 (net0):
  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ
  TCP[ESTABLISHED]   14       127.0.0.1 40001       10.0.2.15    80     0     0
  TCP[HOST_FORWARD]  13       127.0.0.1 37451       10.0.2.15    80     0     0
  UDP[HOST_FORWARD]  12       127.0.0.1 33333       10.0.2.15    53     0     0
";

    #[test]
    fn forwarded_ports_are_read_from_the_monitor() {
        assert_eq!(forwarded_port(USERNET, "TCP", 80), Some(37451));
        assert_eq!(forwarded_port(USERNET, "UDP", 53), Some(33333));
        assert_eq!(forwarded_port(USERNET, "TCP", 53), None);
        assert_eq!(forwarded_port("", "TCP", 80), None);
    }
}
