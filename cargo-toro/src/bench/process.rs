//! What a QEMU process costs the host, from Linux's /proc (proc(5)). Other hosts have no such files: `None`.

use std::fs;
use std::time::Duration;

/// The unit of times in /proc/PID/stat. Programs see 100 a second whatever the kernel counts in.
const TICK: Duration = Duration::from_millis(10);

/// CPU time the process has used, in user and kernel mode.
pub fn cpu_time(process: u32) -> Option<Duration> {
    parse_stat(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

/// CPU time of the first thread of a process.
pub(super) fn main_thread_time(process: u32) -> Option<Duration> {
    parse_stat(&fs::read_to_string(format!("/proc/{process}/task/{process}/stat")).ok()?)
}

/// What QEMU names the threads of its virtual processors, if it is told `-name debug-threads=on`.
const PROCESSOR_PREFIX: &str = "CPU ";

/// CPU time of the threads of QEMU's virtual processors.
pub(super) fn processors_time(process: u32) -> Option<Duration> {
    let mut times = Vec::new();
    for task in fs::read_dir(format!("/proc/{process}/task")).ok()? {
        let task = task.ok()?.path();
        let name = fs::read_to_string(task.join("comm")).ok()?;
        if name.starts_with(PROCESSOR_PREFIX) {
            times.push(parse_stat(&fs::read_to_string(task.join("stat")).ok()?)?);
        }
    }
    (!times.is_empty()).then(|| times.iter().sum())
}

/// Bytes of memory the process has in RAM.
pub(super) fn resident_bytes(process: u32) -> Option<u64> {
    parse_status(&fs::read_to_string(format!("/proc/{process}/status")).ok()?)
}

fn parse_stat(stat: &str) -> Option<Duration> {
    // The second field, a name in brackets, may contain anything; utime and stime are the 14th and 15th field.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let ticks: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK * ticks.checked_add(system)?)
}

fn parse_status(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "17 (a) b (c)) S 1 17 17 0 -1 4194304 100 0 0 0 250 31 0 0 20 0 3 0 9 1 2 3";
        assert_eq!(parse_stat(stat), Some(Duration::from_millis(2810)));
        assert_eq!(parse_stat("17 (x) S 1"), None);
    }

    #[test]
    fn resident_memory_is_read_in_bytes() {
        assert_eq!(
            parse_status("Name:\tx\nVmRSS:\t    1024 kB\nRssAnon: 1 kB\n"),
            Some(1 << 20)
        );
        assert_eq!(parse_status("Name:\tkthreadd\n"), None);
    }
}
