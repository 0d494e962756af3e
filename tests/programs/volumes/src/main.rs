//! Disks that belong to cores, mounts while the program runs, blocks without a file system. Of the machine's disks the first is mounted at
//! `/data`, the second is bytes that count up to 250, the third is an ext2 with the file `greeting` and not mounted.
//!
//! `queues [BLOCK]`: the second disk is larger, and all cores read and write it at once. That block of 4 KiB cannot be read.

use std::env;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::thread;
use std::time::Duration;

use toro::Error;
use toro::storage;

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "queues") {
        return queues(args.get(1).map(|block| block.parse().expect("a number")));
    }
    names();
    blocks();
    cores();
    mounts();
    println!("volumes: done");
}

fn no_device<T>(name: &str) -> Result<T, Error> {
    Err(Error::NoSuchDevice(name.into()))
}

fn names() {
    let disks = storage::disks().expect("disks");
    let names: Vec<&str> = disks.iter().map(|disk| disk.name.as_str()).collect();
    assert_eq!(names, ["disk0", "disk1", "disk2"]);
    for disk in &disks {
        println!("{} of {} bytes: {}", disk.name, disk.len_bytes, disk.model);
        assert!(!disk.model.is_empty() && !disk.is_dedicated && !disk.is_read_only);
        assert_eq!((disk.sector_len_bytes, disk.core), (512, 0));
        assert_eq!(storage::disk(&disk.name).as_ref(), Ok(disk));
    }
    assert_eq!(disks[1].len_bytes, 1 << 20);
    let mounted = storage::volume("disk0").expect("a volume").mounted_at;
    assert_eq!(mounted.as_deref(), Some("/data"));
    assert_eq!(storage::volume("disk1").expect("a volume").mounted_at, None);
    for name in ["", "disk", "disk3", "disk00", "disk1.1", "disk1.0", "sda"] {
        assert_eq!(storage::volume(name), no_device(name));
        assert_eq!(storage::read(name, 0, &mut []), no_device(name));
        assert_eq!(storage::dedicate(name, 0), no_device(name));
    }
    println!("names: done");
}

fn check(offset: usize, data: &[u8]) {
    for (at, byte) in data.iter().enumerate() {
        assert_eq!(
            usize::from(*byte),
            (offset + at) % 251,
            "at {}",
            offset + at
        );
    }
}

fn blocks() {
    let mut buf = vec![0; 100_000];
    for (offset, len) in [(0, 512), (511, 2), (1000, 100_000), ((1 << 20) - 1, 1)] {
        storage::read("disk1", offset, &mut buf[..len]).expect("bytes");
        check(offset as usize, &buf[..len]);
    }
    let outside = |offset| Error::OutOfRange {
        offset,
        len_bytes: 1 << 20,
    };
    for offset in [(1 << 20) - 1, 1 << 20, u64::MAX] {
        let two = storage::read("disk1", offset, &mut buf[..2]);
        assert_eq!(two, Err(outside(offset)));
        assert_eq!(storage::write("disk1", offset, b"no"), Err(outside(offset)));
    }
    storage::write(
        "disk1",
        5000,
        b"written across sectors".repeat(50).as_slice(),
    )
    .expect("room");
    storage::flush("disk1").expect("a disk");
    storage::read("disk1", 4999, &mut buf[..1102]).expect("bytes");
    check(4999, &buf[..1]);
    assert_eq!(&buf[1..1101], b"written across sectors".repeat(50));
    check(6100, &buf[1101..1102]);
    // What a file system is on is not written beside it.
    let busy = Err(Error::Busy("disk0".into()));
    assert_eq!(storage::write("disk0", 0, b"no"), busy);
    storage::read("disk0", 1024, &mut buf[..2]).expect("reading does no harm");
    let before = storage::disk("disk1").expect("a disk").cache;
    storage::read("disk1", 0, &mut buf[..512]).expect("bytes");
    storage::read("disk1", 0, &mut buf[..512]).expect("bytes");
    let after = storage::disk("disk1").expect("a disk").cache;
    assert!(after.hits > before.hits && after.hit_rate() > 0.0);
    assert!((4096..=64 << 20).contains(&after.len_bytes));
    println!("blocks: done");
}

fn cores() {
    let count = toro::core::count();
    let core = count - 1;
    let none = Error::NoSuchCore { core: 64, count };
    assert_eq!(storage::dedicate("disk1", 64), Err(none));
    let threads = |core| toro::core::statistics(core).expect("a core").threads;
    let before = (threads(0), threads(core));
    for name in ["disk0", "disk1"] {
        let disk = storage::dedicate(name, core).expect("a disk");
        assert_eq!((disk.core, disk.is_dedicated), (core, true));
        let twice = Error::AlreadyDedicated {
            device: name.into(),
            core,
        };
        assert_eq!(storage::dedicate(name, 0), Err(twice));
    }
    // From every core, all at once, while another one writes.
    thread::scope(|scope| {
        for core in 0..count {
            let reads = move || {
                let mut buf = vec![0; 4096];
                for round in 0..50 {
                    let offset = 100_000 + (round * count + core) * 4096;
                    storage::read("disk1", offset as u64, &mut buf).expect("bytes");
                    check(offset, &buf);
                    fs::write(format!("/data/{core}"), format!("{round}")).expect("a disk");
                }
            };
            let thread = toro::core::Builder::new(core).spawn_scoped(scope, reads);
            thread.expect("a thread");
        }
    });
    // What is written behind is written by a thread of the disks' core. (Others take a moment to end.)
    let expected = match core {
        0 => (before.0 + 1, before.1 + 1),
        _ => (before.0, before.1 + 1),
    };
    while (threads(0), threads(core)) != expected {
        thread::sleep(Duration::from_millis(10));
    }
    for core in 0..count {
        let written = fs::read_to_string(format!("/data/{core}")).expect("a file");
        assert_eq!(written, "49");
    }
    println!("cores: done");
}

fn mounts() {
    let busy = |name: &str| Err(Error::Busy(name.into()));
    assert_eq!(storage::mount("disk0", "/again", false), busy("disk0"));
    assert_eq!(storage::mount("disk7", "/x", false), no_device("disk7"));
    let no_system = storage::mount("disk1", "/x", false);
    assert!(matches!(no_system, Err(Error::Invalid(_))), "{no_system:?}");
    for path in ["", "relative", "/"] {
        let bad = storage::mount("disk2", path, false);
        assert!(matches!(bad, Err(Error::Invalid(_))), "{path}: {bad:?}");
    }
    storage::mount("disk2", "/mnt/two", false).expect("an ext2");
    assert_eq!(
        fs::read_to_string("/mnt/two/greeting").expect("a file"),
        "hello\n"
    );
    assert_eq!(storage::write("disk2", 0, b"no"), busy("disk2"));
    assert_eq!(storage::mount("disk2", "/mnt/three", false), busy("disk2"));
    let mut file = File::create("/mnt/two/new").expect("room");
    file.write_all(b"kept").expect("room");
    assert_eq!(storage::unmount("/mnt/two"), busy("/mnt/two"));
    drop(file);
    storage::unmount("/mnt/two").expect("nothing is open");
    let gone = fs::read("/mnt/two/new").expect_err("nothing is there");
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    for path in ["/mnt/two", "/", "/nothing", ""] {
        let bad = storage::unmount(path);
        assert!(matches!(bad, Err(Error::Invalid(_))), "{path}: {bad:?}");
    }

    storage::mount("disk2", "/mnt/two/", true).expect("an ext2");
    assert_eq!(fs::read("/mnt/two/new").expect("a file"), b"kept");
    let refused = fs::write("/mnt/two/new", b"lost").expect_err("it is read-only");
    assert_eq!(refused.kind(), ErrorKind::ReadOnlyFilesystem);
    storage::unmount("/mnt/two").expect("nothing is open");
    println!("mounts: done");
}

/// Blocks of 4 KiB that each core reads, and as many that it writes.
const BLOCKS_EACH: usize = 64;

fn queues(bad: Option<usize>) {
    let count = toro::core::count();
    thread::scope(|scope| {
        for core in 0..count {
            let work = move || read_and_write(core, count, bad);
            let thread = toro::core::Builder::new(core).spawn_scoped(scope, work);
            thread.expect("a thread");
        }
    });
    // What one core has written, another one reads.
    let mut buf = [0; 4096];
    for index in 0..count * BLOCKS_EACH {
        let offset = (count * BLOCKS_EACH + index) * 4096;
        storage::read("disk1", offset as u64, &mut buf).expect("bytes");
        assert!(
            buf == [(index % 255) as u8; 4096],
            "block {index} of those written"
        );
    }
    println!("queues: done");
    // Until the test has seen what it wants to.
    io::stdin().read_line(&mut String::new()).expect("a line");
}

/// A core's part: blocks that no other core reads or writes, but for the bad one, which all of them try to read.
fn read_and_write(core: usize, count: usize, bad: Option<usize>) {
    let mut buf = vec![0; 4096];
    let mut read = |block: usize| {
        let result = storage::read("disk1", (block * 4096) as u64, &mut buf);
        if Some(block) == bad {
            let error = result.expect_err("a sector that cannot be read");
            assert!(matches!(error, Error::Device { errno: 5, .. }), "{error:?}");
        } else {
            result.expect("bytes");
            check(block * 4096, &buf);
        }
    };
    for round in 0..BLOCKS_EACH {
        let index = round * count + core;
        read(index);
        if let Some(bad) = bad
            && round % 8 == 0
        {
            read(bad);
        }
        let place = (count * BLOCKS_EACH + index) * 4096;
        let data = [(index % 255) as u8; 4096];
        storage::write("disk1", place as u64, &data).expect("room");
        if round % 16 == 15 {
            storage::flush("disk1").expect("a disk that can flush");
        }
    }
}
