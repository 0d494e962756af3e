//! Whom to ask, and for which names (`/etc/resolv.conf`; resolv.conf(5)).

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;
use core::net::{IpAddr, SocketAddr};

use super::PORT;

/// Servers that are asked, and domains that are tried.
const MAX_SERVERS: usize = 4;
const MAX_DOMAINS: usize = 6;
/// Bounds that Linux has for the times (`RES_MAXRETRANS`, `RES_MAXRETRY`, `RES_MAXNDOTS`).
const MAX_TIMEOUT_S: u64 = 30;
const MAX_ATTEMPTS: u64 = 5;
const MAX_NDOTS: u64 = 15;

/// How names are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Who is asked, one after the other.
    pub servers: Vec<SocketAddr>,
    /// Domains in which a short name is looked for.
    pub search: Vec<String>,
    /// A name with so many dots is tried as it is first.
    pub ndots: u64,
    /// How long a server may take, in seconds.
    pub timeout_s: u64,
    /// How often all servers are asked.
    pub attempts: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout_s: 2,
            attempts: 3,
        }
    }
}

impl Settings {
    /// Reads the text of such a file. What is not understood is passed over, as everywhere.
    pub fn parse(text: &str) -> Self {
        let mut settings = Self::default();
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let server = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    let server = server.map(|ip| SocketAddr::new(ip, PORT));
                    settings.servers.extend(server);
                }
                Some("search") => settings.search = words.map(ToString::to_string).collect(),
                Some("domain") => {
                    settings.search = words.take(1).map(ToString::to_string).collect();
                }
                Some("options") => words.for_each(|word| settings.set(word)),
                _ => {}
            }
        }
        settings.servers.truncate(MAX_SERVERS);
        settings.search.truncate(MAX_DOMAINS);
        settings
    }

    fn set(&mut self, option: &str) {
        let Some((name, Ok(value))) = option
            .split_once(':')
            .map(|(name, value)| (name, value.parse::<u64>()))
        else {
            return;
        };
        match name {
            "ndots" => self.ndots = value.min(MAX_NDOTS),
            "timeout" => self.timeout_s = value.clamp(1, MAX_TIMEOUT_S),
            "attempts" => self.attempts = value.clamp(1, MAX_ATTEMPTS),
            _ => {}
        }
    }

    /// The text of a file that says the same.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        for server in &self.servers {
            let _ = match server {
                SocketAddr::V6(v6) if v6.scope_id() != 0 => {
                    writeln!(text, "nameserver {}%{}", v6.ip(), v6.scope_id())
                }
                server => writeln!(text, "nameserver {}", server.ip()),
            };
        }
        if !self.search.is_empty() {
            let _ = writeln!(text, "search {}", self.search.join(" "));
        }
        text
    }

    /// The names to ask for, one after the other, until one is found.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        let as_it_is = [name.to_string()];
        if name.ends_with('.') {
            return as_it_is.into();
        }
        let dots = name.bytes().filter(|byte| *byte == b'.').count() as u64;
        let in_domains = self.search.iter().map(|domain| {
            let domain = domain.strip_prefix('.').unwrap_or(domain);
            let mut full = name.to_string();
            full.push('.');
            full.push_str(domain);
            full
        });
        match dots >= self.ndots {
            true => as_it_is.into_iter().chain(in_domains).collect(),
            false => in_domains.chain(as_it_is).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Settings;

    #[test]
    fn a_file_is_read_and_written() {
        let text = "; by hand\nnameserver 10.0.2.3\nnameserver fec0::3\nnameserver nowhere\n\
                    domain other\nsearch one.example two.example\noptions ndots:2 timeout:99 attempts:0 rotate\n";
        let settings = Settings::parse(text);
        let servers: Vec<String> = settings.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.2.3:53", "[fec0::3]:53"]);
        assert_eq!(settings.search, ["one.example", "two.example"]);
        assert_eq!(
            (settings.ndots, settings.timeout_s, settings.attempts),
            (2, 30, 1)
        );
        assert_eq!(
            settings.to_text(),
            "nameserver 10.0.2.3\nnameserver fec0::3\nsearch one.example two.example\n"
        );
        assert_eq!(Settings::parse("\0\u{ff}"), Settings::default());
    }

    #[test]
    fn short_names_are_looked_for_in_the_domains_first() {
        let settings = Settings::parse("search a.example .b.example");
        assert_eq!(
            settings.candidates("db"),
            ["db.a.example", "db.b.example", "db"]
        );
        assert_eq!(
            settings.candidates("db.c"),
            ["db.c", "db.c.a.example", "db.c.b.example"]
        );
        assert_eq!(settings.candidates("db."), ["db."]);
    }
}
