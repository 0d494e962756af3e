//! How to see that a service has come up, and waiting for it.
//!
//! A port that QEMU's user network forwards takes connections before the guest does, so a connection alone proves nothing: an
//! answer of HTTP does, and so does what the program writes to its console.

use super::host::{Host, word};
use super::libvirt::{Libvirt, State};
use super::service::Service;
use crate::console::EndFilter;
use crate::values::{Port, Protocol};
use anyhow::{Result, bail};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// How long a service without another sign has to run to be taken for well.
const SETTLED: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(300);
/// Ports of the guest that are taken for HTTP.
const HTTP_PORTS: [u16; 4] = [80, 8000, 8080, 3000];

/// A sign that a service has come up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// A GET of the path at the published port of the guest is answered, with a status below 500.
    Http {
        /// The guest's port.
        port: u16,
        /// The path, from `/`.
        path: String,
    },
    /// The console shows the text.
    Console(String),
    /// It runs for some seconds without ending.
    Running,
}

impl FromStr for Health {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!("`{text}` is no sign of health: write http:PORT/PATH, console:TEXT or running")
        };
        match text.split_once(':') {
            None if text == "running" => Ok(Self::Running),
            Some(("console", text)) if !text.is_empty() => Ok(Self::Console(text.to_owned())),
            Some(("http", place)) => {
                let (port, path) = place.split_once('/').unwrap_or((place, ""));
                let port = port.parse().map_err(|_| bad())?;
                let is_plain = path.chars().all(|c| c.is_ascii_graphic());
                let path = format!("/{path}");
                is_plain
                    .then_some(Self::Http { port, path })
                    .ok_or_else(bad)
            }
            _ => Err(bad()),
        }
    }
}

impl Health {
    /// The sign that fits the published ports.
    pub(super) fn for_ports(ports: &[Port]) -> Self {
        let is_http =
            |port: &&Port| port.protocol == Protocol::Tcp && HTTP_PORTS.contains(&port.guest);
        match ports.iter().find(is_http) {
            Some(port) => Self::Http {
                port: port.guest,
                path: "/".into(),
            },
            None => Self::Running,
        }
    }
}

/// What a look at a service tells.
enum Look {
    Well,
    NotYet(String),
}

/// Waits until `service` is well; `log_start` is the length of its console log before it was started.
pub(super) fn wait(
    host: &Host,
    service: &Service,
    health: &Health,
    ports: &[Port],
    log_start: u64,
    timeout: Duration,
) -> Result<()> {
    let start = Instant::now();
    loop {
        let console = host.bytes(&format!(
            "tail -c +{} {} 2>/dev/null | head -c 1048576; :",
            log_start.saturating_add(1),
            word(&service.log())
        ))?;
        if Libvirt::new(host).state(&service.name)? != Some(State::Running) {
            bail!("it ended{}", last_lines(&console));
        }
        if let Some(status) = ended(&console) {
            bail!("it ended with status {status}{}", last_lines(&console));
        }
        let reason = match look(host, health, ports, &console, start.elapsed())? {
            Look::Well => return Ok(()),
            Look::NotYet(reason) => reason,
        };
        if start.elapsed() >= timeout {
            let seconds = timeout.as_secs();
            bail!(
                "it did not come up in {seconds} s: {reason}{}",
                last_lines(&console)
            );
        }
        std::thread::sleep(PAUSE);
    }
}

fn look(
    host: &Host,
    health: &Health,
    ports: &[Port],
    console: &[u8],
    age: Duration,
) -> Result<Look> {
    Ok(match health {
        Health::Running if age >= SETTLED => Look::Well,
        Health::Running => Look::NotYet("it has just begun".into()),
        Health::Console(text) if String::from_utf8_lossy(console).contains(text.as_str()) => {
            Look::Well
        }
        Health::Console(text) => Look::NotYet(format!("its console does not show {text:?}")),
        Health::Http { port, path } => {
            let is_it = |one: &&Port| one.guest == *port && one.protocol == Protocol::Tcp;
            let Some(published) = ports.iter().find(is_it) else {
                bail!("port {port}, whose answer is to be waited for, is not published");
            };
            let answer = http_status(host, published, path)?;
            match answer
                .split(' ')
                .nth(1)
                .and_then(|code| code.parse::<u16>().ok())
            {
                Some(100..500) if answer.starts_with("HTTP/1.") => Look::Well,
                Some(code) => Look::NotYet(format!("port {port} answers with status {code}")),
                None => Look::NotYet(format!("port {port} does not answer")),
            }
        }
    })
}

/// The first line that the port answers a request with; empty without an answer.
fn http_status(host: &Host, port: &Port, path: &str) -> Result<String> {
    let address = match port.address.is_unspecified() {
        true => std::net::Ipv4Addr::LOCALHOST,
        false => port.address,
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let script = format!(
        "{{ exec 3<>/dev/tcp/{address}/{}; }} 2>/dev/null || exit 0; printf %s {} >&3; \
         IFS= read -r -t 5 -u 3 line; printf %s \"${{line:0:200}}\"; :",
        port.host,
        word(&request),
    );
    host.script(&script)
}

/// The status that the program ended with, if the console says that it did.
fn ended(console: &[u8]) -> Option<u8> {
    // What follows an end is the next start, so every piece is looked at by itself.
    console
        .split_inclusive(|&byte| byte == 7)
        .find_map(|piece| {
            let mut filter = EndFilter::default();
            filter.push(piece, &mut Vec::new());
            filter.status()
        })
}

/// The end of a console, for an error; empty if there is none.
fn last_lines(console: &[u8]) -> String {
    let mut visible = Vec::new();
    let mut filter = EndFilter::default();
    filter.push(console, &mut visible);
    filter.finish(&mut visible);
    let text = String::from_utf8_lossy(&visible).replace('\r', "");
    let lines: Vec<_> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    match lines.get(lines.len().saturating_sub(10)..) {
        None | Some([]) => "; its console shows nothing".into(),
        Some(last) => format!("; its console ends with:\n  {}", last.join("\n  ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_health_are_read_as_they_are_written() {
        let http = Health::Http {
            port: 80,
            path: "/up?x=1".into(),
        };
        assert_eq!("http:80/up?x=1".parse(), Ok(http));
        let root = Health::Http {
            port: 8080,
            path: "/".into(),
        };
        assert_eq!("http:8080".parse(), Ok(root));
        assert_eq!(
            "console:ready: go".parse(),
            Ok(Health::Console("ready: go".into()))
        );
        assert_eq!("running".parse(), Ok(Health::Running));
        for bad in [
            "",
            "http:",
            "http:x/",
            "console:",
            "tcp:80",
            "http:80/a b",
            "http:80/a\nb",
        ] {
            assert!(bad.parse::<Health>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_end_is_found_before_the_next_start() {
        assert_eq!(ended(b"hello\r\n\x1b]toro;exit=3\x07hello again"), Some(3));
        assert_eq!(ended(b"hello"), None);
        assert_eq!(ended(b"\x1b]0;title\x07hello"), None);
    }

    #[test]
    fn a_port_of_http_is_asked_and_others_are_not() {
        let ports = |text: &str| vec![text.parse::<Port>().unwrap()];
        let http = Health::Http {
            port: 80,
            path: "/".into(),
        };
        assert_eq!(Health::for_ports(&ports("8080:80")), http);
        assert_eq!(Health::for_ports(&ports("8080:80/udp")), Health::Running);
        assert_eq!(Health::for_ports(&ports("5432:5432")), Health::Running);
    }
}
