//! Reads in `/proc` and `/sys` about itself and the machine, and shows what came of it.

mod credentials;
mod places;

use std::collections::BTreeSet;
use std::ffi::{CStr, c_char};
use std::fs;
use std::io::{self, ErrorKind};
use std::sync::mpsc;
use std::thread;

fn main() -> io::Result<()> {
    itself()?;
    threads()?;
    mappings()?;
    descriptors()?;
    machine()?;
    network()?;
    users()?;
    places::places()?;
    refusals();
    credentials::becoming()?;
    println!("about: done");
    Ok(())
}

fn read(path: &str) -> io::Result<String> {
    fs::read_to_string(path)
}

/// The value of a line `NAME: VALUE`.
fn value(text: &str, name: &str) -> Option<String> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'));
    line.map(|value| value.trim().to_owned())
}

fn itself() -> io::Result<()> {
    let words = fs::read("/proc/self/cmdline")?;
    println!("command {:?}", String::from_utf8_lossy(&words));
    println!("environment {:?}", read("/proc/self/environ")?);
    println!("file {:?}", fs::read_link("/proc/self/exe")?);
    println!("starts like an ELF {}", {
        fs::read("/proc/self/exe")?.starts_with(b"\x7fELF")
    });
    println!("process {:?}", fs::read_link("/proc/self")?);
    println!("group {:?}", read("/proc/self/cgroup")?);
    let stat = read("/proc/self/stat")?;
    println!("numbers {}", stat.split_ascii_whitespace().count());
    println!("in {:?}", fs::read_link("/proc/self/cwd")?);
    println!("sizes {}", read("/proc/self/statm")?.split(' ').count());
    let paths: Vec<String> = read("/proc/self/mountinfo")?
        .lines()
        .filter_map(|line| Some(line.split(' ').nth(4)?.to_owned()))
        .collect();
    println!("mounted {paths:?}");
    println!("length {}", fs::metadata("/proc/self/stat")?.len());
    let limits = read("/proc/self/limits")?;
    let files = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    println!(
        "open files {:?}",
        files.map(|row| row.split_ascii_whitespace().collect::<Vec<_>>())
    );
    let vector = fs::read("/proc/self/auxv")?;
    let mut facts = vector.chunks_exact(16).map(|fact| (fact[0], &fact[8..]));
    let page = facts.clone().find(|(kind, _)| *kind == 6);
    println!("page {:?}", page.map(|(_, bytes)| bytes));
    println!(
        "closed {}",
        facts.next_back().is_some_and(|(kind, _)| kind == 0)
    );
    Ok(())
}

fn threads() -> io::Result<()> {
    let (sender, receiver) = mpsc::channel::<()>();
    let waiting = thread::Builder::new()
        .name("waits".into())
        .spawn(move || receiver.recv())?;
    thread::yield_now();
    let status = read("/proc/self/status")?;
    println!("threads {:?}", value(&status, "Threads"));
    println!("user {:?}", value(&status, "Uid"));
    // std ignores SIGPIPE, which is 13.
    println!("ignored {:?}", value(&status, "SigIgn"));
    let mut names = BTreeSet::new();
    for task in fs::read_dir("/proc/self/task")? {
        names.insert(read(&format!("{}/comm", task?.path().display()))?);
    }
    println!("names {names:?}");
    drop(sender);
    println!("ended {}", waiting.join().is_ok());
    println!("left {}", fs::read_dir("/proc/self/task")?.count());
    Ok(())
}

/// How the part of the address space that an address lies in may be used, and what it is called.
fn mapping(maps: &str, address: usize) -> Option<(String, String)> {
    let hexadecimal = |text| usize::from_str_radix(text, 16).ok();
    maps.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let is_in = (hexadecimal(start)?..hexadecimal(end)?).contains(&address);
        is_in.then_some(())?;
        let access = words.next()?.to_owned();
        Some((access, words.nth(3).unwrap_or_default().to_owned()))
    })
}

fn mappings() -> io::Result<()> {
    static VARIABLE: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(1);
    let local = 0_u8;
    let maps = read("/proc/self/maps")?;
    println!("code {:?}", mapping(&maps, main as fn() -> _ as usize));
    println!("variable {:?}", mapping(&maps, VARIABLE.as_ptr() as usize));
    println!("stack {:?}", mapping(&maps, &raw const local as usize));
    println!("nothing {:?}", mapping(&maps, 0));
    Ok(())
}

fn descriptors() -> io::Result<()> {
    fs::write("/tmp/open file", "")?;
    let file = fs::File::open("/tmp/open file")?;
    let mut targets = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        targets.push(fs::read_link(entry?.path())?.display().to_string());
    }
    println!("open {targets:?}");
    drop(file);
    println!("then {}", fs::read_dir("/proc/self/fd")?.count());
    Ok(())
}

fn machine() -> io::Result<()> {
    let memory = read("/proc/meminfo")?;
    let kilobytes = |name| {
        let value = value(&memory, name)?;
        value.strip_suffix(" kB")?.parse::<u64>().ok()
    };
    // All but what the image takes of 64 MiB.
    let total = kilobytes("MemTotal");
    println!(
        "total {:?}",
        total.map(|kib| (56 << 10..64 << 10).contains(&kib))
    );
    println!("free {}", {
        kilobytes("MemFree").is_some_and(|free| free > 0 && Some(free) < kilobytes("MemTotal"))
    });
    let processors = read("/proc/cpuinfo")?;
    let is_start = |line: &&str| line.starts_with("processor\t");
    println!("processors {}", processors.lines().filter(is_start).count());
    let flags = value(&processors, "flags").unwrap_or_default();
    println!("sse2 {}", flags.split(' ').any(|flag| flag == "sse2"));
    let statistics = read("/proc/stat")?;
    let cores = statistics.lines().filter(|line| line.starts_with("cpu"));
    println!("lines of cores {}", cores.count());
    let booted = statistics
        .lines()
        .find_map(|line| line.strip_prefix("btime ")?.parse().ok());
    println!(
        "booted {}",
        booted.is_some_and(|seconds: u64| seconds > 1_500_000_000)
    );
    for path in [
        "/sys/devices/system/cpu/online",
        "/sys/devices/system/cpu/possible",
        "/proc/sys/kernel/hostname",
        "/proc/sys/kernel/ostype",
        "/proc/sys/net/core/somaxconn",
        "/proc/sys/fs/pipe-max-size",
        "/proc/sys/vm/overcommit_memory",
        "/proc/sys/fs/inotify/max_user_watches",
        "/proc/sys/net/ipv4/tcp_keepalive_time",
    ] {
        println!("{path} {:?}", read(path)?);
    }
    let uptime = read("/proc/uptime")?;
    let numbers = uptime.split_ascii_whitespace().map(str::parse::<f64>);
    println!("times {}", numbers.filter(Result::is_ok).count());
    let random = || read("/proc/sys/kernel/random/uuid");
    println!("random {}", random()? != random()?);
    let boot = || read("/proc/sys/kernel/random/boot_id");
    println!("same boot {} {}", boot()? == boot()?, boot()?.len());
    Ok(())
}

/// What there is to read about the network, and in the files of `/etc`.
fn network() -> io::Result<()> {
    let devices = read("/proc/net/dev")?;
    let names: Vec<&str> = devices
        .lines()
        .filter_map(|line| Some(line.split_once(':')?.0.trim()))
        .collect();
    println!("interfaces {names:?}");
    let mut listed: Vec<_> = fs::read_dir("/sys/class/net")?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    listed.sort();
    println!("listed {listed:?}");
    let before: u64 = read("/sys/class/net/lo/statistics/rx_packets")?
        .trim()
        .parse()
        .unwrap_or(u64::MAX);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    socket.send_to(b"one", socket.local_addr()?)?;
    socket.recv(&mut [0; 9])?;
    let after: u64 = read("/sys/class/net/lo/statistics/rx_packets")?
        .trim()
        .parse()
        .unwrap_or(0);
    println!("counted {}", after > before);
    println!("kind {:?}", read("/sys/class/net/lo/type")?);
    println!("address {:?}", read("/sys/class/net/lo/address")?);
    println!("routes {:?}", read("/proc/net/route")?.lines().count());
    println!("own {}", read("/proc/net/if_inet6")?.contains(" 80 "));
    let release = read("/etc/os-release")?;
    println!("system {:?}", release.lines().nth(1));
    println!("user {:?}", read("/etc/passwd")?.split(':').next());
    Ok(())
}

/// The file system's own lists go before the kernel's.
fn users() -> io::Result<()> {
    println!("home {:?}", std::env::home_dir());
    fs::create_dir("/etc")?;
    fs::write(
        "/etc/passwd",
        "# users\nbroken:x\nroot:x:0:0:root:/root:/bin/sh\nweb:x:33:44:Web,,,:/srv:\n",
    )?;
    fs::write("/etc/group", "root:x:0:\nweb:x:44:root,web\nnone:x:nine:\n")?;
    // SAFETY: C strings; one thread, which asks for nothing else while it looks at an answer.
    unsafe {
        let text = |text: *mut c_char| CStr::from_ptr(text).to_string_lossy();
        if let Some(user) = libc::getpwuid(33).as_ref() {
            let names = [user.pw_name, user.pw_gecos, user.pw_dir, user.pw_shell].map(text);
            println!("web {names:?} {}", user.pw_gid);
        }
        if let Some(group) = libc::getgrnam(c"web".as_ptr()).as_ref() {
            let members = [0, 1].map(|index| text(*group.gr_mem.add(index)));
            let ends = (*group.gr_mem.add(2)).is_null();
            println!("members {} {members:?} {ends}", group.gr_gid);
        }
        println!("broken {}", libc::getpwnam(c"broken".as_ptr()).is_null());
        let mut users = 0;
        while !libc::getpwent().is_null() {
            users += 1;
        }
        println!("users {users}");
    }
    println!("own home {:?}", std::env::home_dir());
    fs::remove_dir_all("/etc")
}

fn refusals() {
    let kind = |result: io::Result<()>| result.err().map(|error| error.kind());
    println!("no such {:?}", kind(read("/proc/self/nothing").map(drop)));
    println!("nobody {:?}", kind(read("/proc/2/stat").map(drop)));
    println!(
        "closed {:?}",
        kind(fs::read_link("/proc/self/fd/99").map(drop))
    );
    println!(
        "averages {:?}",
        read("/proc/loadavg")
            .map(|text| text.split_whitespace().count())
            .ok()
    );
    println!("written {:?}", kind(fs::write("/proc/self/comm", "x")));
    println!("made {:?}", kind(fs::create_dir("/sys/new")));
    println!(
        "no folder {}",
        kind(fs::read_dir("/proc/version").map(drop)) == Some(ErrorKind::NotADirectory)
    );
}
