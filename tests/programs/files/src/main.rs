//! Uses std's files: `read FOLDER` reads what the test has put on a disk, `write FOLDER` writes, `fail FOLDER` does what
//! cannot be done, `sync FOLDER` writes to a disk that fails, `list FOLDER` counts names. Each step prints what it found; the test knows what is right.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, ErrorKind, IsTerminal, Read, Seek, SeekFrom, Write};
use std::path::Path;

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let (what, folder) = (
        args.next().unwrap_or_default(),
        args.next().unwrap_or_default(),
    );
    let folder = Path::new(&folder);
    match what.as_str() {
        "read" => read(folder)?,
        "write" => write(folder)?,
        "fail" => fail(folder),
        "tree" => tree(folder)?,
        "sum" => sum(folder)?,
        "sync" => sync(folder),
        "list" => list(folder)?,
        _ => return Err(io::Error::other("say what to do")),
    }
    println!("files: done");
    Ok(())
}

fn read(folder: &Path) -> io::Result<()> {
    println!("text {:?}", fs::read_to_string(folder.join("a.txt"))?);
    let mut file = File::open(folder.join("a.txt"))?;
    let mut four = [0; 4];
    file.seek(SeekFrom::Start(3))?;
    file.read_exact(&mut four)?;
    println!("from 3 {:?}", String::from_utf8_lossy(&four));
    file.seek(SeekFrom::End(-2))?;
    println!("at {}", file.stream_position()?);
    let mut rest = String::new();
    file.read_to_string(&mut rest)?;
    println!("rest {rest:?}, then {} bytes", file.read(&mut four)?);
    println!(
        "behind {}, {} bytes",
        file.seek(SeekFrom::Start(99))?,
        file.read(&mut four)?
    );
    println!(
        "before the start {:?}",
        file.seek(SeekFrom::Current(-1000))
            .map_err(|error| error.kind())
    );
    let metadata = fs::metadata(folder.join("a.txt"))?;
    println!(
        "a.txt: file {} folder {} len {}",
        metadata.is_file(),
        metadata.is_dir(),
        metadata.len()
    );
    println!("modified is known {}", metadata.modified().is_ok());
    println!("sub: folder {}", fs::metadata(folder.join("sub"))?.is_dir());
    println!(
        "through the folder {:?}",
        fs::read_to_string(folder.join("sub/../sub/./deep/b.txt"))?
    );
    println!(
        "exists {} {}",
        folder.join("a.txt").exists(),
        folder.join("none").exists()
    );
    println!("empty {:?}", fs::read(folder.join("empty"))?);
    let lines = BufReader::new(File::open(folder.join("lines"))?).lines();
    println!(
        "lines {}",
        lines
            .map_while(Result::ok)
            .filter(|line| line.starts_with("line "))
            .count()
    );
    Ok(())
}

/// All names below `folder` with their sizes, sorted.
fn tree(folder: &Path) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<io::Result<_>>()?;
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let (kind, path) = (entry.file_type()?, entry.path());
        if kind.is_dir() {
            println!("{}/", path.display());
            tree(&path)?;
        } else if kind.is_symlink() {
            println!("{} -> {}", path.display(), fs::read_link(&path)?.display());
        } else {
            println!("{} {}", path.display(), entry.metadata()?.len());
        }
    }
    Ok(())
}

/// Writes to a disk that may fail, and says what came of each step.
fn sync(folder: &Path) {
    let show = |what: &str, result: io::Result<()>| match result {
        Ok(()) => println!("{what}: went well"),
        Err(error) => println!("{what}: error {:?}", error.raw_os_error()),
    };
    let written = File::create(folder.join("new")).and_then(|mut file| {
        file.write_all(&[7; 1000])?;
        Ok(file)
    });
    match written {
        Ok(file) => show("sync", file.sync_all()),
        Err(error) => show("sync", Err(error)),
    }
    show("create", File::create(folder.join("other")).map(drop));
    show("read", fs::read(folder.join("there")).map(drop));
}

/// Lists a folder of many names, each of which must come once.
fn list(folder: &Path) -> io::Result<()> {
    let mut names = std::collections::BTreeSet::new();
    let mut count = 0;
    for entry in fs::read_dir(folder)? {
        names.insert(entry?.file_name());
        count += 1;
    }
    println!("{count} names, {} of them different", names.len());
    println!("first {:?}, last {:?}", names.first(), names.last());
    Ok(())
}

/// Reads a large file in odd pieces and backwards; prints a sum of its bytes with their places.
fn sum(path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let (mut sum, mut at, mut piece) = (0_u64, 0_u64, vec![0; 4099]);
    loop {
        let count = file.read(&mut piece)?;
        if count == 0 {
            break;
        }
        for byte in &piece[..count] {
            at += 1;
            sum = sum.wrapping_add(at.wrapping_mul(u64::from(*byte)));
        }
    }
    println!("forwards {at} bytes, sum {sum}");
    let (mut sum, mut left) = (0_u64, at);
    while left > 0 {
        let len = left.min(10_007);
        left -= len;
        file.seek(SeekFrom::Start(left))?;
        piece.resize(len as usize, 0);
        file.read_exact(&mut piece)?;
        for (place, byte) in (left + 1..).zip(&piece) {
            sum = sum.wrapping_add(place.wrapping_mul(u64::from(*byte)));
        }
    }
    println!("backwards {at} bytes, sum {sum}");
    Ok(())
}

fn write(folder: &Path) -> io::Result<()> {
    let path = folder.join("new.txt");
    fs::write(&path, "first")?;
    OpenOptions::new()
        .append(true)
        .open(&path)?
        .write_all(b" second")?;
    println!("appended {:?}", fs::read_to_string(&path)?);
    let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
    file.seek(SeekFrom::Start(1))?;
    file.write_all(b"IRS")?;
    file.set_len(8)?;
    file.sync_all()?;
    println!("changed {:?}", fs::read_to_string(&path)?);
    file.set_len(10)?;
    println!("longer {:?}", fs::read_to_string(&path)?);
    println!(
        "again {:?}",
        File::create_new(&path)
            .map_err(|error| error.kind())
            .map(drop)
    );
    fs::create_dir_all(folder.join("x/y/z"))?;
    println!(
        "again {:?}",
        fs::create_dir(folder.join("x")).map_err(|error| error.kind())
    );
    fs::rename(&path, folder.join("x/y/moved"))?;
    println!(
        "moved {} {}",
        path.exists(),
        fs::read_to_string(folder.join("x/y/moved"))?.len()
    );
    for name in ["/dev/tty", "/dev/console"] {
        let mut terminal = fs::File::options().read(true).write(true).open(name)?;
        terminal.write_all(format!("{name} is shown\n").as_bytes())?;
        println!("{name} is a terminal {}", terminal.is_terminal());
    }
    println!(
        "not empty {:?}",
        fs::remove_dir(folder.join("x/y")).map_err(|error| error.kind())
    );
    let pattern: Vec<u8> = (0..1_000_000_u32)
        .map(|index| (index % 253) as u8)
        .collect();
    fs::write(folder.join("large"), &pattern)?;
    println!(
        "large is whole {}",
        fs::read(folder.join("large"))? == pattern
    );
    let mut copy = File::create(folder.join("copy"))?;
    println!(
        "copied {}",
        io::copy(&mut File::open(folder.join("large"))?, &mut copy)?
    );
    drop(copy);
    for index in 0..200 {
        fs::write(folder.join(format!("x/{index}")), index.to_string())?;
    }
    println!("entries {}", fs::read_dir(folder.join("x"))?.count());
    let mut open = File::open(folder.join("copy"))?;
    fs::remove_file(folder.join("copy"))?;
    let mut first = [0; 3];
    open.read_exact(&mut first)?;
    println!(
        "removed but open {first:?} {}",
        folder.join("copy").exists()
    );
    fs::remove_dir_all(folder.join("x"))?;
    println!("gone {}", !folder.join("x").exists());
    Ok(())
}

fn fail(folder: &Path) {
    let show = |what: &str, result: io::Result<()>| match result {
        Ok(()) => println!("{what}: went well"),
        Err(error) => println!("{what}: {:?}, {error}", error.kind()),
    };
    show("open none", File::open(folder.join("none")).map(drop));
    show(
        "open below a file",
        File::open(folder.join("a.txt/b")).map(drop),
    );
    show("read a folder", fs::read(folder).map(drop));
    show("list a file", fs::read_dir(folder.join("a.txt")).map(drop));
    show(
        "long name",
        File::open(folder.join("n".repeat(300))).map(drop),
    );
    show("empty path", File::open("").map(drop));
    show("NUL in a path", File::open(folder.join("a\0b")).map(drop));
    show("write", fs::write(folder.join("new"), "x"));
    show(
        "append",
        OpenOptions::new()
            .append(true)
            .open(folder.join("a.txt"))
            .map(drop),
    );
    show("create a folder", fs::create_dir(folder.join("new")));
    show("remove", fs::remove_file(folder.join("a.txt")));
    show(
        "rename",
        fs::rename(folder.join("a.txt"), folder.join("b.txt")),
    );
    let mut file = match File::open(folder.join("a.txt")) {
        Ok(file) => file,
        Err(error) => return show("open", Err(error)),
    };
    let written = file.write(b"x").map(drop);
    println!(
        "write what is open for reading: {}",
        written.is_err_and(|error| error.kind() != ErrorKind::WriteZero)
    );
}
