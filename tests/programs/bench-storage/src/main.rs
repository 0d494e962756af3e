//! What files on a disk cost, in nanoseconds an operation.
//!
//! `cargo toro bench storage` runs it on Toro and, built without the feature `toro`, as the first process of a Linux guest, with equal disks
//! at `/disk`. What differs is in [`system`]. Whoever looks at the console may count between `begin NAME` and `figure NAME`: around them is rest.
//! A cold measure is the first to touch its files after the start, a warm one repeats it.

#[cfg_attr(feature = "toro", path = "toro.rs")]
#[cfg_attr(not(feature = "toro"), path = "linux.rs")]
mod system;

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

/// So that counts taken from outside begin and end in it.
const REST: Duration = Duration::from_millis(500);
const MIB: usize = 1 << 20;
const PIECE: usize = 64 << 10;
const PAGE: usize = 4 << 10;
/// What the disk has, made by `cargo-toro/src/bench/storage.rs`: so many small files, and names in a folder.
const SMALL_FILES: usize = 1000;
const NAMES: usize = 10_000;

/// A measure: its name, and what is done, which says how many operations that was.
type Measure = (&'static str, fn() -> Result<usize>);

fn main() -> Result<()> {
    system::begin();
    std::env::set_current_dir("/disk")?;
    let measures: [Measure; 13] = [
        ("a name of a directory of 10,000, cold", list),
        ("a name of a directory of 10,000, warm", list_again),
        ("open, read and close 1 KiB, cold", read_small),
        ("open, read and close 1 KiB, warm", read_small),
        ("random read of 4 KiB, cold", read_random),
        ("random read of 4 KiB, warm", read_random),
        ("sequential read of 1 MiB, cold", read_large),
        ("serving of 1 MiB by TCP", serve),
        ("create, write 1 KiB and fsync", || {
            create("synced", 100, true)
        }),
        ("create and write 1 KiB, one sync", || {
            create("unsynced", SMALL_FILES, false)
        }),
        ("append of 100 bytes, one fsync", append),
        ("sequential write of 1 MiB, one fsync", write_large),
        ("remove a file, one sync", remove),
    ];
    for (name, measure) in measures {
        println!("begin {name}");
        thread::sleep(REST);
        let before = system::cache_reads();
        let start = Instant::now();
        let operations = measure()?;
        let each = start.elapsed().as_nanos() as f64 / operations as f64;
        if let Some((before, after)) = before.zip(system::cache_reads()) {
            let (hits, misses) = (after.0 - before.0, after.1 - before.1);
            println!("cache {name} = {hits} and {misses}");
        }
        thread::sleep(REST);
        println!("figure {name} = {each:.1} of {operations}");
    }
    println!("figures end");
    // The first process of a Linux must not end before this was read.
    thread::sleep(Duration::from_secs(1));
    Ok(())
}

fn list() -> Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir("names")? {
        entry?;
        count += 1;
    }
    assert_eq!(count, NAMES);
    Ok(count)
}

/// So often that a moment in which the host does something else does not decide.
fn list_again() -> Result<usize> {
    (0..20).try_fold(0, |count, _| Ok(count + list()?))
}

fn read_small() -> Result<usize> {
    let mut content = [0; 2048];
    for number in 0..SMALL_FILES {
        let mut file = File::open(format!("small/{:02}/{number:04}", number % 10))?;
        assert_eq!(file.read(&mut content)?, 1024);
        assert_eq!(content[0], number as u8);
    }
    Ok(SMALL_FILES)
}

/// Every fourth page of a file, in the order of a generator that goes through all numbers once.
fn read_random() -> Result<usize> {
    const PAGES: usize = 1024;
    const STRIDE: usize = 4;
    let file = File::open("random")?;
    let mut page = [0; PAGE];
    let mut at = 1;
    for _ in 0..PAGES {
        at = (at * 5 + 131) % PAGES;
        file.read_exact_at(&mut page, (at * STRIDE * PAGE) as u64)?;
        assert_eq!(page[0], (at * STRIDE) as u8);
    }
    Ok(PAGES)
}

fn read_large() -> Result<usize> {
    let mut file = File::open("large")?;
    let mut piece = vec![0; PIECE];
    let mut total = 0;
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(total / MIB),
            len => total += len,
        }
    }
}

/// A file that was just read goes through a connection within the machine.
fn serve() -> Result<usize> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let server = thread::spawn(move || -> Result<()> {
        let (mut connection, _) = listener.accept()?;
        let mut file = File::open("large")?;
        let mut piece = vec![0; PIECE];
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(()),
                len => connection.write_all(&piece[..len])?,
            }
        }
    });
    let mut client = TcpStream::connect(address)?;
    let mut piece = vec![0; PIECE];
    let mut total = 0;
    loop {
        match client.read(&mut piece)? {
            0 => break,
            len => total += len,
        }
    }
    server.join().expect("the server ends well")?;
    assert_eq!(total, 64 * MIB);
    Ok(total / MIB)
}

fn create(folder: &str, count: usize, is_synced: bool) -> Result<usize> {
    fs::create_dir(folder)?;
    let content = [b'x'; 1024];
    for number in 0..count {
        let mut file = File::create_new(format!("{folder}/{number:04}"))?;
        file.write_all(&content)?;
        if is_synced {
            file.sync_all()?;
        }
    }
    if !is_synced {
        system::sync_all();
    }
    Ok(count)
}

fn append() -> Result<usize> {
    const LINES: usize = 5000;
    let mut log = File::options().append(true).create(true).open("log")?;
    let line = [b'l'; 100];
    for _ in 0..LINES {
        log.write_all(&line)?;
    }
    log.sync_all()?;
    Ok(LINES)
}

fn write_large() -> Result<usize> {
    const SIZE: usize = 64 * MIB;
    let mut file = File::create_new("written")?;
    let piece = vec![b'w'; PIECE];
    for _ in 0..SIZE / PIECE {
        file.write_all(&piece)?;
    }
    file.sync_all()?;
    Ok(SIZE / MIB)
}

fn remove() -> Result<usize> {
    for number in 0..SMALL_FILES {
        fs::remove_file(format!("unsynced/{number:04}"))?;
    }
    system::sync_all();
    let gone = File::open("unsynced/0000").expect_err("it was removed");
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    Ok(SMALL_FILES)
}
