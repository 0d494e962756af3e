//! Opening within bounds (`openat2`), and names that are exchanged (`renameat2`).

use rustix::fs::{self, CWD, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::{self, Errno};
use std::fs as files;

fn open(directory: impl std::os::fd::AsFd, path: &str, how: ResolveFlags) -> Result<String, Errno> {
    let file = fs::openat2(directory, path, OFlags::RDONLY, Mode::empty(), how)?;
    let mut content = [0; 20];
    let len = io::read(&file, &mut content)?;
    Ok(String::from_utf8_lossy(&content[..len]).into_owned())
}

fn exchanged(one: &str, other: &str) -> Result<(), Errno> {
    fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)
}

pub(crate) fn run() {
    files::create_dir_all("bounds/inner").expect("folders");
    files::write("bounds/inner/file", "inside").expect("a file");
    files::write("outside", "outside").expect("a file");
    let _ = fs::symlinkat("inner/file", CWD, "bounds/in");
    let _ = fs::symlinkat("../outside", CWD, "bounds/up");
    let _ = fs::symlinkat("/inner/file", CWD, "bounds/from-root");
    let directory = files::File::open("bounds").expect("a folder");
    for how in [
        ResolveFlags::empty(),
        ResolveFlags::BENEATH,
        ResolveFlags::IN_ROOT,
        ResolveFlags::NO_SYMLINKS,
        ResolveFlags::NO_MAGICLINKS,
        ResolveFlags::NO_XDEV,
        ResolveFlags::BENEATH | ResolveFlags::IN_ROOT,
    ] {
        for path in [
            "inner/file",
            "in",
            "up",
            "from-root",
            "../outside",
            "inner/../in",
            "inner/../../outside",
            "/inner/file",
            "nothing",
        ] {
            // Whether the root is on another file system is the host's own affair.
            if how != ResolveFlags::NO_XDEV || !matches!(path, "from-root" | "/inner/file") {
                println!("{how:?} {path}: {:?}", open(&directory, path, how));
            }
        }
    }
    let device = open(CWD, "/dev/null", ResolveFlags::NO_XDEV);
    println!("another file system: {device:?}");
    let new = fs::openat2(
        &directory,
        "new",
        OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY,
        Mode::from_raw_mode(0o640),
        ResolveFlags::BENEATH,
    );
    println!("new {:?}", new.map(drop));
    let mode =
        fs::statat(&directory, "new", fs::AtFlags::empty()).map(|facts| facts.st_mode & 0o777);
    println!("its permissions {mode:?}");

    println!("exchange {:?}", exchanged("outside", "bounds/inner"));
    println!("nothing there {:?}", exchanged("outside", "nothing"));
    println!("in itself {:?}", exchanged("bounds", "bounds/in"));
    println!("the same {:?}", exchanged("bounds/in", "bounds/in"));
    println!("dots {:?}", exchanged("bounds/in", "bounds/."));
    let both = RenameFlags::EXCHANGE | RenameFlags::NOREPLACE;
    println!(
        "both {:?}",
        fs::renameat_with(CWD, "bounds/in", CWD, "bounds/up", both)
    );
    println!("moved {:?}", files::read_to_string("outside/file").ok());
    println!("moved {:?}", files::read_to_string("bounds/inner").ok());
    println!("by links {:?}", files::read_to_string("bounds/up").ok());
    let links = |path| fs::stat(path).map(|facts| facts.st_nlink);
    println!("links {:?} {:?}", links("outside"), links("bounds"));
    println!(
        "removed {:?}",
        files::remove_dir_all("bounds")
            .and(files::remove_dir_all("outside"))
            .is_ok()
    );
}
