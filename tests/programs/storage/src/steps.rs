//! Each thing once.

use std::ffi::{CString, OsStr};
use std::fs::{self, File, FileTimes, OpenOptions, Permissions, TryLockError};
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Prints what came of something: the value, or the number of the error.
fn show<T: std::fmt::Debug>(what: &str, result: io::Result<T>) {
    match result {
        Ok(value) => println!("{what}: {value:?}"),
        Err(error) => println!("{what}: error {:?}", error.raw_os_error()),
    }
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<_>>>()?;
    names.retain(|name| name != "lost+found");
    names.sort();
    Ok(names)
}

pub(crate) fn run(folder: &Path) -> io::Result<()> {
    opening(&folder.join("opening"))?;
    content(&folder.join("content"))?;
    naming(&folder.join("naming"))?;
    facts(&folder.join("facts"))?;
    directories(&folder.join("directories"))?;
    locks(&folder.join("locks"))?;
    mappings(&folder.join("mappings"))?;
    crates(&folder.join("crates"))?;
    devices();
    holes(&folder.join("holes"))?;
    show("names", names(folder));
    fs::remove_dir_all(folder.join("directories"))?;
    Ok(())
}

/// `OpenOptions` in all combinations, on what is there and what is not.
fn opening(folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)?;
    for bits in 0..64_u32 {
        let has = |bit: u32| bits >> bit & 1 == 1;
        for name in ["there", "none"] {
            let path = folder.join(name);
            let _ = fs::remove_file(&path);
            if name == "there" {
                fs::write(&path, "0123456789")?;
            }
            let mut options = OpenOptions::new();
            options.read(has(0)).write(has(1)).append(has(2));
            options.truncate(has(3)).create(has(4)).create_new(has(5));
            let opened = options.open(&path);
            let result = opened.and_then(|mut file| {
                let written = file.write(b"AB").map_err(|error| error.raw_os_error());
                let mut rest = String::new();
                let read = file
                    .read_to_string(&mut rest)
                    .map_err(|error| error.raw_os_error());
                Ok((written, read, rest, file.metadata()?.len()))
            });
            show(&format!("{name} {bits:06b}"), result);
        }
    }
    show(
        "a folder for writing",
        OpenOptions::new().write(true).open(folder).map(drop),
    );
    show("below a file", File::open(folder.join("there/x")).map(drop));
    show(
        "a long name",
        File::create(folder.join("n".repeat(256))).map(drop),
    );
    show(
        "the longest name",
        File::create(folder.join("n".repeat(255))).map(drop),
    );
    Ok(())
}

fn content(folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)?;
    let path = folder.join("file");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    show("write_at", file.write_at(b"far", 100_000));
    show("len", file.metadata().map(|facts| facts.len()));
    let mut hole = [1; 8];
    show(
        "hole",
        file.read_at(&mut hole, 50_000).map(|count| (count, hole)),
    );
    show(
        "blocks are few",
        file.metadata().map(|facts| facts.blocks() < 100),
    );
    show("position", file.stream_position());
    show(
        "vectored",
        file.write_vectored(&[IoSlice::new(b"one "), IoSlice::new(b"two")]),
    );
    file.rewind()?;
    let (mut first, mut second) = ([0; 2], [0; 6]);
    let parts = &mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
    show("vectored", file.read_vectored(parts));
    println!("parts {first:?} {second:?}");
    show("end", file.seek(SeekFrom::End(-3)));
    let mut rest = String::new();
    show("rest", file.read_to_string(&mut rest).map(|_| rest));
    show("before", file.seek(SeekFrom::Current(-200_000)));
    show("cut", file.set_len(5));
    show("longer", file.set_len(9));
    show("content", fs::read(&path));
    show("sync", file.sync_all());
    show("sync data", file.sync_data());
    let big: Vec<u8> = (0..700_000_u32).map(|index| (index % 251) as u8).collect();
    fs::write(folder.join("big"), &big)?;
    show("copy", fs::copy(folder.join("big"), folder.join("copy")));
    show(
        "equal",
        fs::read(folder.join("copy")).map(|copy| copy == big),
    );
    let mut from = File::open(folder.join("big"))?;
    show("io::copy", io::copy(&mut from, &mut file));
    show("len", file.metadata().map(|facts| facts.len()));
    let appending = OpenOptions::new().append(true).open(folder.join("copy"))?;
    let again = appending.try_clone()?;
    show(
        "append",
        (&appending).write(b"xy").and((&again).write(b"z")),
    );
    show("append_at", appending.write_at(b"!", 0));
    let mut tail = [0; 4];
    show(
        "tail",
        File::open(folder.join("copy"))?
            .read_at(&mut tail, 700_000)
            .map(|_| tail),
    );
    show("overwrite", {
        let other = OpenOptions::new().write(true).open(folder.join("copy"))?;
        other.write_at(&[9; 5000], 3000)
    });
    let sum = |bytes: Vec<u8>| {
        bytes
            .iter()
            .fold(0_u64, |sum, byte| sum * 31 % 1_000_003 + u64::from(*byte))
    };
    show("sum", fs::read(folder.join("copy")).map(sum));
    // SAFETY: an open descriptor.
    let allocated = unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, 800_000) };
    println!("allocate {allocated} {}", file.metadata()?.len());
    Ok(())
}

fn naming(folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)?;
    let at = |name: &str| folder.join(name);
    fs::write(at("a"), "a")?;
    fs::write(at("b"), "bb")?;
    show("rename over", fs::rename(at("a"), at("b")));
    show("b", fs::read_to_string(at("b")));
    show("a", fs::read_to_string(at("a")));
    show("rename none", fs::rename(at("a"), at("c")));
    fs::create_dir(at("d"))?;
    fs::create_dir(at("d/e"))?;
    show("file over folder", fs::rename(at("b"), at("d")));
    show("folder over file", fs::rename(at("d"), at("b")));
    show("folder into itself", fs::rename(at("d"), at("d/e/f")));
    fs::create_dir(at("full"))?;
    fs::write(at("full/x"), "")?;
    show("folder over full", fs::rename(at("d"), at("full")));
    fs::remove_file(at("full/x"))?;
    show("folder over empty", fs::rename(at("d"), at("full")));
    show("moved", names(&at("full")));
    let rename_to_free = |from: &str, to: &str| {
        let path = |name: &str| CString::new(at(name).as_os_str().as_bytes());
        let (from, to) = (path(from)?, path(to)?);
        let here = libc::AT_FDCWD;
        // SAFETY: C strings.
        let result = unsafe {
            libc::renameat2(
                here,
                from.as_ptr(),
                here,
                to.as_ptr(),
                libc::RENAME_NOREPLACE,
            )
        };
        match result {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    show("taken", rename_to_free("b", "full"));
    show("taken by itself", rename_to_free("b", "b"));
    show("free", rename_to_free("b", "free"));
    show("nothing", rename_to_free("b", "full"));
    show("back", rename_to_free("free", "b"));
    for len in [4096, 65_536] {
        show("long target", symlink("t".repeat(len), at("endless")));
    }
    show("rename itself", fs::rename(at("b"), at("b")));
    show("link", fs::hard_link(at("b"), at("hard")));
    show("links", fs::metadata(at("b")).map(|facts| facts.nlink()));
    show(
        "same",
        Ok(fs::metadata(at("b"))?.ino() == fs::metadata(at("hard"))?.ino()),
    );
    show("rename over own link", fs::rename(at("b"), at("hard")));
    show("both", Ok((at("b").exists(), at("hard").exists())));
    show("link again", fs::hard_link(at("b"), at("hard")));
    show("link of folder", fs::hard_link(at("full"), at("other")));
    show("symlink", symlink("b", at("soft")));
    show(
        "long symlink",
        symlink("../naming/".repeat(20) + "b", at("long")),
    );
    show("through", fs::read_to_string(at("soft")));
    show("through long", fs::read_to_string(at("long")));
    show("target", fs::read_link(at("soft")));
    show(
        "target len",
        fs::symlink_metadata(at("long")).map(|facts| facts.len()),
    );
    show(
        "symlink kind",
        fs::symlink_metadata(at("soft")).map(|facts| facts.is_symlink()),
    );
    show(
        "loop",
        symlink("loop", at("loop")).and_then(|()| fs::read(at("loop"))),
    );
    show("dangling", symlink("none", at("dangling")));
    show("create through", fs::write(at("dangling"), "made"));
    show("made", fs::read_to_string(at("none")));
    show(
        "canonical",
        fs::canonicalize(at("full/../soft")).map(|path| path.ends_with("naming/b")),
    );
    show("remove folder as file", fs::remove_file(at("full")));
    show("remove file as folder", fs::remove_dir(at("b")));
    show("remove full", fs::remove_dir(folder));
    let raw = folder.join(OsStr::from_bytes(b"not \xff utf-8"));
    show(
        "raw name",
        fs::write(&raw, "raw").and_then(|()| fs::read_to_string(&raw)),
    );
    fs::remove_file(raw)?;
    let mut open = OpenOptions::new().read(true).write(true).open(at("b"))?;
    fs::remove_file(at("b"))?;
    show(
        "unlinked",
        open.write_all(b"more")
            .and_then(|()| open.metadata())
            .map(|facts| facts.len()),
    );
    show("its links", open.metadata().map(|facts| facts.nlink()));
    show("names", names(folder));
    let c = |path: &Path| std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap_or_default();
    let no_replace = |from: &str, to: &str| {
        // SAFETY: C strings.
        let result = unsafe {
            libc::renameat2(
                libc::AT_FDCWD,
                c(&at(from)).as_ptr(),
                libc::AT_FDCWD,
                c(&at(to)).as_ptr(),
                libc::RENAME_NOREPLACE,
            )
        };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    };
    show("no replace", no_replace("hard", "none"));
    show("no replace", no_replace("hard", "free"));
    Ok(())
}

fn facts(folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)?;
    let path = folder.join("file");
    let before = SystemTime::now() - Duration::from_secs(2);
    let file = File::create(&path)?;
    show(
        "new",
        file.metadata()
            .map(|facts| (facts.len(), facts.is_file(), facts.mode() & 0o777)),
    );
    show(
        "is new",
        file.metadata()
            .and_then(|facts| Ok(facts.modified()? > before)),
    );
    for mode in [0o600, 0o755, 0o4711, 0o1777] {
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
        println!("mode {:o}", fs::metadata(&path)?.mode());
    }
    let time = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    let times = FileTimes::new()
        .set_accessed(time(1_000_000_000))
        .set_modified(time(1_234_567_890));
    show("times", file.set_times(times));
    let read = fs::metadata(&path)?;
    println!("times {} {}", read.atime(), read.mtime());
    (&file).write_all(b"x")?;
    show(
        "is changed",
        fs::metadata(&path).and_then(|facts| Ok(facts.modified()? > before)),
    );
    show(
        "folder",
        fs::metadata(folder).map(|facts| (facts.is_dir(), facts.mode() & 0o777)),
    );
    // SAFETY: a structure of integers, for which zeros are valid.
    let mut space: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: an open descriptor, and a structure of ours.
    let result = unsafe { libc::fstatvfs(file.as_raw_fd(), &raw mut space) };
    println!(
        "space {result} {}",
        space.f_bavail > 0 && space.f_bavail <= space.f_blocks && space.f_namemax == 255
    );
    Ok(())
}

fn directories(folder: &Path) -> io::Result<()> {
    show("deep", fs::create_dir_all(folder.join("a/b/c/d/e/f")));
    show("again", fs::create_dir_all(folder.join("a/b/c/d/e/f")));
    show("exists", fs::create_dir(folder.join("a")));
    let deepest = folder.join("deep/".repeat(120));
    show("very deep", fs::create_dir_all(&deepest));
    fs::write(deepest.join("bottom"), "here")?;
    show("bottom", fs::read_to_string(deepest.join("bottom")));
    let deepest = folder.join("500").join("d/".repeat(500));
    show("500 levels", fs::create_dir_all(&deepest));
    fs::write(deepest.join("bottom"), "there")?;
    show("bottom", fs::read_to_string(deepest.join("bottom")));
    show("up", fs::rename(deepest.join("bottom"), folder.join("top")));
    show("removed", fs::remove_dir_all(folder.join("500")));
    let many = folder.join("many");
    fs::create_dir(&many)?;
    for index in 0..3000 {
        File::create(many.join(format!("a file with number {index}")))?;
    }
    show(
        "many",
        names(&many).map(|names| (names.len(), names[1234].clone())),
    );
    // Entries that go while they are listed; all others are seen.
    let mut seen = 0;
    for (index, entry) in fs::read_dir(&many)?.enumerate() {
        let entry = entry?;
        seen += 1;
        if index % 2 == 0 {
            fs::remove_file(entry.path())?;
        }
    }
    println!("seen {seen}, left {}", fs::read_dir(&many)?.count());
    show("not empty", fs::remove_dir(&many));
    show("remove all", fs::remove_dir_all(&many));
    show("is gone", Ok(many.exists()));
    show("names", names(folder));
    Ok(())
}

fn locks(folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)?;
    let path = folder.join("lock");
    let (first, second) = (File::create(&path)?, File::open(&path)?);
    let try_show = |what: &str, result: Result<(), TryLockError>| match result {
        Ok(()) => println!("{what}: ok"),
        Err(TryLockError::WouldBlock) => println!("{what}: would block"),
        Err(TryLockError::Error(error)) => println!("{what}: {error}"),
    };
    show("lock", first.lock());
    try_show("other", second.try_lock());
    try_show("other shared", second.try_lock_shared());
    show("unlock", first.unlock());
    try_show("other shared", second.try_lock_shared());
    try_show("shared", first.try_lock_shared());
    try_show("exclusive", first.try_lock());
    drop(second);
    try_show("exclusive", first.try_lock());
    let waiting = std::thread::spawn(move || File::open(path).and_then(|file| file.lock()));
    drop(first);
    show(
        "waited",
        waiting
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("panicked"))),
    );
    // SAFETY: a structure of integers, for which zeros are valid.
    let mut range: libc::flock = unsafe { std::mem::zeroed() };
    range.l_type = libc::F_WRLCK as i16;
    let file = File::create(folder.join("range"))?;
    // SAFETY: an open descriptor, and a structure of ours.
    println!("range {}", unsafe {
        libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw mut range)
    });
    Ok(())
}

fn mappings(folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)?;
    let content: Vec<u8> = (0..100_000_u32).map(|index| (index % 249) as u8).collect();
    let path = folder.join("file");
    fs::write(&path, &content)?;
    let file = OpenOptions::new().read(true).write(true).open(&path)?;
    // SAFETY: nobody changes the file while it is mapped.
    let map = unsafe { memmap2::Mmap::map(&file) }?;
    println!("mapped {} {}", map.len(), map[..] == content[..]);
    // SAFETY: as above.
    let part = unsafe {
        memmap2::MmapOptions::new()
            .offset(12_345)
            .len(1000)
            .map(&file)
    }?;
    println!("part {}", part[..] == content[12_345..13_345]);
    // SAFETY: as above.
    let mut copy = unsafe { memmap2::MmapOptions::new().map_copy(&file) }?;
    copy[0] = 77;
    println!("copy {} {}", copy[0], fs::read(&path)?[0]);
    // SAFETY: as above.
    let none = unsafe { memmap2::Mmap::map(&File::open(folder)?) };
    println!("a folder is not mapped {}", none.is_err());
    Ok(())
}

fn crates(folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)?;
    let mut file = tempfile::tempfile_in(folder)?;
    file.write_all(b"temporary")?;
    file.rewind()?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    println!("tempfile {text}");
    let named = tempfile::NamedTempFile::new_in(folder)?;
    fs::write(named.path(), "kept")?;
    let kept = named.persist(folder.join("kept"));
    println!("persist {}", kept.is_ok());
    let inner = tempfile::tempdir_in(folder)?;
    fs::write(inner.path().join("x"), "x")?;
    println!("tempdir {}", inner.path().join("x").exists());
    inner.close()?;
    fs::create_dir_all(folder.join("w/x/y"))?;
    fs::write(folder.join("w/x/z"), "z")?;
    symlink("x", folder.join("w/link"))?;
    for follow in [false, true] {
        let walk = walkdir::WalkDir::new(folder)
            .sort_by_file_name()
            .follow_links(follow);
        for entry in walk {
            let entry = entry.map_err(io::Error::other)?;
            let path = entry
                .path()
                .strip_prefix(folder)
                .map_err(io::Error::other)?;
            println!(
                "walk {} {:?} {}",
                path.display(),
                entry.file_type().is_dir(),
                entry.depth()
            );
        }
    }
    Ok(())
}

/// Holes, as far as they are larger than the blocks of any file system, and room that is made.
fn holes(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)?;
    file.write_all_at(&[1; 65_536], 262_144)?;
    file.write_all_at(&[2; 65_536], 1_048_576)?;
    file.set_len(2_000_000)?;
    file.sync_all()?;
    for (name, whence) in [("data", libc::SEEK_DATA), ("hole", libc::SEEK_HOLE)] {
        for from in [
            0, 262_143, 262_144, 300_000, 327_680, 1_100_000, 1_114_112, 1_999_999, 2_000_000,
        ] {
            // SAFETY: an open file.
            let found = unsafe { libc::lseek(file.as_raw_fd(), from, whence) };
            let found = if found < 0 {
                Err(io::Error::last_os_error())
            } else {
                Ok(found)
            };
            show(&format!("{name} from {from}"), found);
        }
    }
    // SAFETY: an open file.
    let allocate = |offset, len| unsafe { libc::posix_fallocate(file.as_raw_fd(), offset, len) };
    println!(
        "allocated {} {} {}",
        allocate(0, 100_000),
        allocate(1_990_000, 20_000),
        allocate(0, 0)
    );
    show("longer", file.metadata().map(|facts| facts.len()));
    let mut start = [9; 4];
    show("zeros", file.read_at(&mut start, 50_000).map(|_| start));
    fs::remove_file(path)
}

fn devices() {
    show("null", fs::write("/dev/null", "x"));
    show("null", fs::read("/dev/null"));
    show("full", fs::write("/dev/full", "x"));
    let first = |path: &str, len: usize| {
        let mut bytes = vec![1; len];
        File::open(path)
            .and_then(|mut file| file.read_exact(&mut bytes))
            .map(|()| bytes)
    };
    show("zero", first("/dev/zero", 4));
    show(
        "urandom",
        first("/dev/urandom", 64).map(|bytes| bytes.iter().any(|byte| *byte != 1)),
    );
    show(
        "random",
        first("/dev/random", 64).map(|bytes| bytes.iter().any(|byte| *byte != 1)),
    );
}
