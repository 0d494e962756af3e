//! Walks through trees of files: `ftw`, `nftw`.

use std::ffi::{CStr, CString, c_char, c_int};
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Mutex;

#[repr(C)]
struct Position {
    base: c_int,
    level: c_int,
}

type Visit = extern "C" fn(*const c_char, *const libc::stat, c_int, *mut Position) -> c_int;

unsafe extern "C" {
    fn ftw(
        path: *const c_char,
        visit: extern "C" fn(*const c_char, *const libc::stat, c_int) -> c_int,
        open: c_int,
    ) -> c_int;
    fn nftw(path: *const c_char, visit: Visit, open: c_int, flags: c_int) -> c_int;
}

const PHYSICAL: c_int = 1;
const CHANGE: c_int = 4;
const CONTENT_FIRST: c_int = 8;
const ACTIONS: c_int = 16;

/// What was met, in the order of the walk.
static MET: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn note(line: String) {
    MET.lock().expect("one walk at a time").push(line);
}

fn text(path: *const c_char) -> String {
    // SAFETY: the walk gives a C string.
    unsafe { CStr::from_ptr(path) }
        .to_string_lossy()
        .into_owned()
}

extern "C" fn visit(
    path: *const c_char,
    stat: *const libc::stat,
    kind: c_int,
    at: *mut Position,
) -> c_int {
    // SAFETY: the walk gives both.
    let (size, at) = unsafe { ((*stat).st_size, &*at) };
    let size = if kind == 0 { size } else { 0 };
    let path = text(path);
    note(format!(
        "{path} {} kind {kind} level {} size {size}",
        &path[at.base as usize..],
        at.level
    ));
    0
}

extern "C" fn visit_there(
    path: *const c_char,
    _: *const libc::stat,
    kind: c_int,
    at: *mut Position,
) -> c_int {
    let path = text(path);
    // SAFETY: the walk gives it.
    let name = &path[unsafe { (*at).base } as usize..];
    note(format!(
        "{path} is here: {} kind {kind}",
        fs::symlink_metadata(name).is_ok()
    ));
    0
}

extern "C" fn old_visit(path: *const c_char, _: *const libc::stat, kind: c_int) -> c_int {
    note(format!("{} kind {kind}", text(path)));
    0
}

extern "C" fn stop(_: *const c_char, _: *const libc::stat, kind: c_int, _: *mut Position) -> c_int {
    if kind == 0 { 42 } else { 0 }
}

/// Skips what is in `b`, and all that comes after the first file of a folder.
extern "C" fn choose(
    path: *const c_char,
    _: *const libc::stat,
    kind: c_int,
    _: *mut Position,
) -> c_int {
    let path = text(path);
    note(format!("{path} kind {kind}"));
    match path.ends_with("/b") {
        true => 2,
        false if kind == 0 => 3,
        false => 0,
    }
}

/// What a walk met, sorted where the order is that of a directory.
fn show(what: &str, result: c_int) {
    let mut met = std::mem::take(&mut *MET.lock().expect("one walk at a time"));
    met.sort();
    println!(
        "{what}: {result} {}",
        std::io::Error::last_os_error()
            .raw_os_error()
            .filter(|_| result == -1)
            .unwrap_or(0)
    );
    met.iter().for_each(|line| println!("  {line}"));
}

pub(crate) fn steps() {
    fs::create_dir_all("tree/a/b/c").expect("folders");
    for (path, len) in [
        ("tree/top", 3),
        ("tree/a/file", 5),
        ("tree/a/b/one", 1),
        ("tree/a/b/c/deep", 9),
    ] {
        fs::write(path, vec![b'x'; len]).expect("a file");
    }
    symlink("../top", "tree/a/link").expect("a link");
    symlink("nowhere", "tree/dangling").expect("a link");
    symlink("..", "tree/a/b/round").expect("a link");
    let walk = |path: &str, visit: Visit, flags| {
        let path = CString::new(path).expect("a path");
        // SAFETY: a C string, and functions of the right type.
        unsafe { nftw(path.as_ptr(), visit, 8, flags) }
    };
    show("links followed", walk("tree", visit, 0));
    show("links met", walk("tree/", visit, PHYSICAL));
    // The last is the start, the first is deep.
    let result = walk("tree/a", visit, PHYSICAL | CONTENT_FIRST);
    let met = MET.lock().expect("one walk at a time").clone();
    let place = |end: &str| met.iter().position(|line| line.contains(end)).expect("met");
    println!(
        "content first: {}",
        place("deep ") < place("/c ")
            && place("/c ") < place("/b ")
            && place("tree/a a") + 1 == met.len()
    );
    show("content first", result);
    show(
        "in each directory",
        walk("tree", visit_there, PHYSICAL | CHANGE),
    );
    println!("back: {}", fs::metadata("tree").is_ok());
    show("stopped", walk("tree", stop, PHYSICAL));
    show("chosen", walk("tree/a/b", choose, PHYSICAL | ACTIONS));
    show("one file", walk("tree/top", visit, 0));
    show("nothing there", walk("tree/nothing", visit, 0));
    show("no name", walk("", visit, 0));
    show("unknown flags", walk("tree", visit, 1 << 10));
    // SAFETY: a C string, and a function of the right type.
    show("the old one", unsafe {
        ftw(c"tree".as_ptr(), old_visit, 8)
    });
    fs::remove_dir_all("tree").expect("all can go");
}
