//! The arguments.

use std::str::FromStr;
use std::time::Duration;

use toro::net::MAX_PING_BYTES;

pub(crate) const USAGE: &str = "\
usage: ping [-c COUNT] [-i SECONDS] [-W SECONDS] [-s BYTES] [-l] [HOST ...]
  -c COUNT    requests to each host (4)
  -i SECONDS  from one request to the next (1)
  -W SECONDS  how long to wait for an answer (1)
  -s BYTES    bytes in a request, at most 1472 (56)
  -l          stay, and answer the requests of others";

/// What is asked for.
#[derive(Debug, PartialEq)]
pub(crate) struct Options {
    pub(crate) hosts: Vec<String>,
    pub(crate) count: u32,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) len: usize,
    pub(crate) stays: bool,
}

/// Reads the arguments.
pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        hosts: Vec::new(),
        count: 4,
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        len: 56,
        stays: false,
    };
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let mut value = || {
            let value = arguments.next();
            value.ok_or_else(|| format!("{argument} needs a value"))
        };
        match argument.as_str() {
            "-c" => options.count = number(&argument, &value()?)?,
            "-i" => options.interval = seconds(&argument, &value()?)?,
            "-W" => options.timeout = seconds(&argument, &value()?)?,
            "-s" => options.len = number(&argument, &value()?)?,
            "-l" => options.stays = true,
            option if option.starts_with('-') => return Err(format!("{option} means nothing")),
            _ => options.hosts.push(argument),
        }
    }
    if options.len > MAX_PING_BYTES {
        return Err(format!("-s: {MAX_PING_BYTES} bytes are the most"));
    }
    if options.count == 0 {
        return Err("-c: at least 1".into());
    }
    if options.hosts.is_empty() && !options.stays {
        return Err("no host".into());
    }
    Ok(options)
}

fn number<T: FromStr>(option: &str, value: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|_| format!("{option}: `{value}` is no such number"))
}

fn seconds(option: &str, value: &str) -> Result<Duration, String> {
    let seconds: f64 = number(option, value)?;
    Duration::try_from_secs_f64(seconds).map_err(|_| format!("{option}: `{value}` is no time"))
}

#[cfg(test)]
mod tests {
    use super::parse;
    use std::time::Duration;

    fn read(line: &str) -> Result<super::Options, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_and_hosts_are_read_in_any_order() {
        let options = read("10.0.2.2 -c 2 -i 0.2 -s 100 example.org -W 3").expect("good");
        assert_eq!(options.hosts, ["10.0.2.2", "example.org"]);
        assert_eq!((options.count, options.len), (2, 100));
        assert_eq!(options.interval, Duration::from_millis(200));
        assert_eq!(options.timeout, Duration::from_secs(3));
        assert!(read("-l").expect("good").stays);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (line, word) in [
            ("", "no host"),
            ("x -c", "-c needs a value"),
            ("x -c 0", "at least 1"),
            ("x -c many", "`many`"),
            ("x -s 1473", "1472"),
            ("x -i -1", "`-1`"),
            ("x --fast", "--fast"),
        ] {
            let error = read(line).expect_err(line);
            assert!(error.contains(word), "{line}: {error}");
        }
    }
}
