//! What `std::fs`, `std::io` and `std::path` promise.

use crate::{Kind, show};
use std::fs::{self, File, OpenOptions};
use std::io::{
    self, BufRead, BufReader, BufWriter, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write,
};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{
    DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink,
};
use std::path::Path;
use std::time::{Duration, SystemTime};

pub(crate) fn steps() {
    fs::create_dir("promises").expect("a directory");
    let back = std::env::current_dir().expect("a directory");
    std::env::set_current_dir("promises").expect("a directory");
    show!(
        "current",
        std::env::current_dir()
            .map(|path| path == back.join("promises"))
            .kind()
    );
    show!("nowhere", std::env::set_current_dir("nowhere").kind());
    opening();
    reading();
    names();
    trees();
    attributes();
    std::env::set_current_dir(back).expect("a directory");
    show!("all removed", fs::remove_dir_all("promises").kind());
}

fn opening() {
    show!("missing", File::open("missing").map(|_| ()).kind());
    show!("created", File::create_new("file").map(|_| ()).kind());
    show!("created again", File::create_new("file").map(|_| ()).kind());
    show!(
        "no access",
        OpenOptions::new().open("file").map(|_| ()).kind()
    );
    show!(
        "truncating without writing",
        OpenOptions::new()
            .read(true)
            .truncate(true)
            .open("file")
            .map(|_| ())
            .kind()
    );
    show!("a directory to write", File::create(".").map(|_| ()).kind());
    show!("reading a directory", fs::read(".").kind());
    show!(
        "a file as a directory",
        File::open("file/inside").map(|_| ()).kind()
    );
    show!("an empty name", File::open("").map(|_| ()).kind());
    show!("a zero in a name", File::open("a\0b").map(|_| ()).kind());
    show!(
        "a long name",
        File::create("x".repeat(256)).map(|_| ()).kind()
    );
    show!(
        "writing what is to read",
        File::open("file")
            .and_then(|mut file| file.write(b"x"))
            .kind()
    );
    show!(
        "reading what is to write",
        File::create("file")
            .and_then(|mut file| file.read(&mut [0]))
            .kind()
    );
    show!(
        "no link to follow",
        OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW)
            .open("file")
            .is_ok()
    );
}

fn reading() {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open("data")
        .expect("a file");
    show!(
        "written",
        file.write_vectored(&[IoSlice::new(b"hello "), IoSlice::new(b"world\n")])
            .kind()
    );
    show!("at", file.stream_position().kind());
    show!("sought", file.seek(SeekFrom::End(-6)).kind());
    let mut text = String::new();
    show!("rest", (file.read_to_string(&mut text).kind(), &text));
    show!(
        "before the start",
        file.seek(SeekFrom::Current(-100)).kind()
    );
    file.rewind().expect("seeks");
    let (mut first, mut second) = ([0; 4], [0; 5]);
    show!(
        "read",
        file.read_vectored(&mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)])
            .kind()
    );
    show!("read", (first, second));
    show!(
        "at an offset",
        (
            file.write_at(b"HELLO", 0).kind(),
            file.read_at(&mut second, 1).kind(),
            second
        )
    );
    show!("beyond the end", file.read_at(&mut second, 100).kind());
    show!("hole", file.write_at(b"end", 5000).kind());
    show!(
        "hole",
        fs::read("data")
            .map(|data| (data.len(), data[12..5000].iter().all(|byte| *byte == 0)))
            .kind()
    );
    show!(
        "shortened",
        (file.set_len(5).kind(), fs::read_to_string("data").kind())
    );
    show!(
        "lengthened",
        (file.set_len(8).kind(), fs::read("data").kind())
    );
    show!("synced", (file.sync_all().kind(), file.sync_data().kind()));
    let other = file.try_clone().expect("a second descriptor");
    file.seek(SeekFrom::Start(3)).expect("seeks");
    show!("shared place", (&other).stream_position().kind());
    let mut appended = OpenOptions::new()
        .append(true)
        .open("data")
        .expect("a file");
    appended.seek(SeekFrom::Start(0)).expect("seeks");
    show!(
        "appended",
        (
            appended.write(b"+").kind(),
            fs::read("data").map(|data| data.len()).kind()
        )
    );
    show!("locked", file.lock().kind());
    show!(
        "locked by another",
        File::open("data").expect("a file").try_lock().is_err()
    );
    show!(
        "unlocked",
        (
            file.unlock().kind(),
            File::open("data")
                .expect("a file")
                .try_lock_shared()
                .is_ok()
        )
    );
    show!(
        "not utf-8",
        fs::write("bytes", [0xFF])
            .and_then(|()| fs::read_to_string("bytes"))
            .kind()
    );

    let mut writer = BufWriter::with_capacity(7, File::create("lines").expect("a file"));
    (0..100).for_each(|n| writeln!(writer, "line {n}").expect("written"));
    writer.flush().expect("written");
    let lines: Vec<_> = BufReader::with_capacity(5, File::open("lines").expect("a file"))
        .lines()
        .map_while(Result::ok)
        .collect();
    show!("lines", (lines.len(), &lines[99]));
    show!("copied", fs::copy("lines", "copy").kind());
    show!("equal", fs::read("lines").ok() == fs::read("copy").ok());
    show!(
        "io::copy",
        io::copy(
            &mut File::open("lines").expect("a file"),
            &mut File::create("copy").expect("a file")
        )
        .kind()
    );
    let (mut reader, mut writer) = io::pipe().expect("a pipe");
    writer.write_all(b"through a pipe").expect("written");
    drop(writer);
    text.clear();
    show!("pipe", (reader.read_to_string(&mut text).kind(), &text));
    let (reader, mut writer) = io::pipe().expect("a pipe");
    drop(reader);
    show!("broken pipe", writer.write(b"x").kind());
    show!("terminal", io::IsTerminal::is_terminal(&file));
    show!("descriptor", file.as_fd().as_raw_fd() > 2);
    let owned = file.as_fd().try_clone_to_owned().expect("a descriptor");
    show!(
        "owned",
        File::from(owned).metadata().map(|data| data.len()).kind()
    );
}

fn names() {
    fs::write("a", "1").expect("written");
    fs::write("b", "2").expect("written");
    show!(
        "renamed over",
        (
            fs::rename("a", "b").kind(),
            fs::read_to_string("b").kind(),
            fs::exists("a").kind()
        )
    );
    show!("renaming nothing", fs::rename("a", "c").kind());
    show!(
        "hard link",
        (
            fs::hard_link("b", "c").kind(),
            fs::metadata("c").map(|data| data.nlink()).kind()
        )
    );
    show!(
        "same",
        fs::metadata("b").map(|data| data.ino()).ok()
            == fs::metadata("c").map(|data| data.ino()).ok()
    );
    show!("hard link over", fs::hard_link("b", "c").kind());
    show!(
        "symbolic link",
        (
            symlink("b", "link").kind(),
            fs::read_link("link").kind(),
            fs::read_to_string("link").kind()
        )
    );
    show!(
        "link itself",
        fs::symlink_metadata("link")
            .map(|data| (data.is_symlink(), data.len()))
            .kind()
    );
    show!(
        "dangling",
        (
            symlink("nowhere", "dangling").kind(),
            fs::read("dangling").kind(),
            fs::exists("dangling").kind()
        )
    );
    show!(
        "circle",
        (
            symlink("circle", "circle").kind(),
            fs::read("circle").map_err(|error| error.raw_os_error())
        )
    );
    show!(
        "canonical",
        fs::canonicalize("./link")
            .map(|path| path.ends_with("promises/b"))
            .kind()
    );
    show!(
        "removed",
        (fs::remove_file("link").kind(), fs::exists("b").kind())
    );
    show!("removing nothing", fs::remove_file("link").kind());
    show!(
        "removing a directory as a file",
        fs::create_dir("dir")
            .and_then(|()| fs::remove_file("dir"))
            .kind()
    );
    show!("removing a file as a directory", fs::remove_dir("b").kind());
    let mut open = File::open("b").expect("a file");
    fs::remove_file("b").expect("removed");
    let mut text = String::new();
    show!(
        "open without a name",
        (
            open.read_to_string(&mut text).kind(),
            text,
            open.metadata().map(|data| data.nlink()).kind()
        )
    );
    let path = Path::new("/x/./y/../file.tar.gz");
    show!(
        "path",
        (
            path.file_name(),
            path.extension(),
            path.file_stem(),
            path.parent(),
            path.components().count()
        )
    );
    show!(
        "joined",
        (
            Path::new("/a").join("b"),
            Path::new("a").join("/b"),
            Path::new("/a/b").strip_prefix("/a").ok()
        )
    );
    show!(
        "absolute",
        std::path::absolute("x")
            .is_ok_and(|path| path.is_absolute() && path.ends_with("promises/x"))
    );
}

fn trees() {
    show!("there already", fs::create_dir("dir").kind());
    show!("no parent", fs::create_dir("x/y").kind());
    show!(
        "all",
        (
            fs::create_dir_all("x/y/z").kind(),
            fs::create_dir_all("x/y/z").kind()
        )
    );
    (0..50).for_each(|n| fs::write(format!("x/y/{n}"), "").expect("written"));
    let mut found: Vec<_> = fs::read_dir("x/y")
        .expect("a directory")
        .map_while(Result::ok)
        .collect();
    found.sort_by_key(fs::DirEntry::path);
    show!(
        "entries",
        (
            found.len(),
            found[0].path(),
            found[50].file_name(),
            found[50].file_type().map(|kind| kind.is_dir()).kind()
        )
    );
    show!("not empty", fs::remove_dir("x/y").kind());
    show!("into itself", fs::rename("x", "x/y/inside").kind());
    show!(
        "over a directory with entries",
        fs::rename("dir", "x").kind()
    );
    show!(
        "over an empty one",
        (
            fs::rename("x/y/z", "dir").kind(),
            fs::exists("x/y/z").kind()
        )
    );
    show!(
        "a list of nothing",
        fs::read_dir("nowhere").map(|_| ()).kind()
    );
    show!("a list of a file", fs::read_dir("data").map(|_| ()).kind());
    symlink("../../data", "x/y/link").expect("a link");
    show!(
        "tree removed",
        (
            fs::remove_dir_all("x").kind(),
            fs::exists("x").kind(),
            fs::exists("data").kind()
        )
    );
    show!(
        "mode",
        fs::DirBuilder::new()
            .mode(0o700)
            .create("private")
            .and_then(|()| fs::metadata("private"))
            .map(|data| data.mode() & 0o7777)
            .kind()
    );
}

fn attributes() {
    fs::write("mode", "").expect("written");
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 0);
    let file = File::options().write(true).open("mode").expect("a file");
    show!(
        "times set",
        file.set_times(fs::FileTimes::new().set_modified(time).set_accessed(time))
            .kind()
    );
    let data = file.metadata().expect("metadata");
    show!(
        "times",
        (
            data.modified().kind() == Ok(time),
            data.accessed().kind() == Ok(time),
            data.mtime()
        )
    );
    show!(
        "mode set",
        fs::set_permissions("mode", fs::Permissions::from_mode(0o440)).kind()
    );
    let data = fs::metadata("mode").expect("metadata");
    show!(
        "mode",
        (
            data.mode() & 0o7777,
            data.permissions().readonly(),
            data.is_file(),
            data.is_dir(),
            data.file_type().is_symlink()
        )
    );
    show!("size", (data.len(), data.nlink(), data.blksize() > 0));
}
