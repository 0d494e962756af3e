//! Trees of files as streams: `fts_open` and its kin.

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_void};
use std::os::unix::fs::symlink;
use std::{env, fs, io, ptr};

#[repr(C)]
struct Found {
    cycle: *mut Found,
    parent: *mut Found,
    link: *mut Found,
    number: c_long,
    pointer: *mut c_void,
    access_path: *const c_char,
    path: *const c_char,
    error: c_int,
    symlink_descriptor: c_int,
    path_len: u16,
    name_len: u16,
    inode: u64,
    device: u64,
    links: u64,
    level: i16,
    info: u16,
    flags: u16,
    instruction: u16,
    stat: *const libc::stat,
    name: [c_char; 0],
}

type Compare = extern "C" fn(*const *const Found, *const *const Found) -> c_int;

unsafe extern "C" {
    fn fts_open(
        paths: *const *const c_char,
        options: c_int,
        compare: Option<Compare>,
    ) -> *mut c_void;
    fn fts_read(tree: *mut c_void) -> *mut Found;
    fn fts_children(tree: *mut c_void, instruction: c_int) -> *mut Found;
    fn fts_set(tree: *mut c_void, found: *mut Found, instruction: c_int) -> c_int;
    fn fts_close(tree: *mut c_void) -> c_int;
}

const FOLLOW_ROOTS: c_int = 1;
const LOGICAL: c_int = 2;
const STAY: c_int = 4;
const NO_STAT: c_int = 8;
const PHYSICAL: c_int = 16;
const WITH_DOTS: c_int = 32;
const NAMES_ONLY: c_int = 0x100;
const FOLLOW: c_int = 2;
const SKIP: c_int = 4;
const DIRECTORY: u16 = 1;
const CYCLE: u16 = 2;

fn text(start: *const c_char) -> String {
    // SAFETY: the stream gives C strings.
    unsafe { CStr::from_ptr(start) }
        .to_string_lossy()
        .into_owned()
}

fn name(found: &Found) -> String {
    text((&raw const found.name).cast())
}

extern "C" fn by_name(one: *const *const Found, other: *const *const Found) -> c_int {
    // SAFETY: two that the stream has.
    let (one, other) = unsafe { (&**one, &**other) };
    // SAFETY: the names are behind the structures.
    let order = unsafe {
        libc::strcmp(
            (&raw const *one).cast::<c_char>().add(112),
            (&raw const *other).cast::<c_char>().add(112),
        )
    };
    order.signum()
}

fn error() -> Option<i32> {
    io::Error::last_os_error().raw_os_error()
}

/// Opens a stream.
fn open(paths: &[&str], options: c_int) -> *mut c_void {
    let paths: Vec<CString> = paths
        .iter()
        .map(|path| CString::new(*path).expect("a path"))
        .collect();
    let mut list: Vec<*const c_char> = paths.iter().map(|path| path.as_ptr()).collect();
    list.push(ptr::null());
    // SAFETY: C strings, and null behind them.
    unsafe { fts_open(list.as_ptr(), options, Some(by_name)) }
}

/// Shows all that comes; what `choose` says of each is told to the stream.
fn show(title: &str, paths: &[&str], options: c_int, choose: fn(&str, u16) -> c_int) {
    println!("{title}:");
    let tree = open(paths, options);
    let home = env::current_dir().expect("a directory");
    // SAFETY: the stream is open until the end; what it gives stays until the next is read.
    unsafe {
        loop {
            let found = fts_read(tree);
            let Some(this) = found.as_ref() else { break };
            let above = this
                .parent
                .as_ref()
                .map(|parent| (parent.level, parent.info == DIRECTORY));
            let there = text(this.access_path);
            println!(
                "  {} {} {} kind {} level {} lengths {} {} error {} above {above:?}",
                text(this.path),
                name(this),
                if options & STAY != 0 || this.level == 0 {
                    there.clone()
                } else {
                    format!("in place {there}")
                },
                this.info,
                this.level,
                this.path_len,
                this.name_len,
                this.error,
            );
            let is_here = fs::symlink_metadata(&there).is_ok();
            let size = if this.info == 8 {
                (*this.stat).st_size
            } else {
                0
            };
            println!(
                "    is here {is_here} size {size} cycle {}",
                this.info == CYCLE && !this.cycle.is_null()
            );
            match choose(&name(this), this.info) {
                0 => {}
                instruction => println!("    set {}", fts_set(tree, found, instruction)),
            }
        }
        println!("  the end {:?} then {}", error(), fts_read(tree).is_null());
        println!("  closed {}", fts_close(tree));
    }
    println!(
        "  back {}",
        env::current_dir().expect("a directory") == home
    );
}

/// The content of directories, before it comes.
fn children() {
    let tree = open(&["stream/a", "stream/top"], PHYSICAL);
    let list = |instruction| {
        // SAFETY: the stream is open; the list stays until the next is read.
        unsafe {
            let mut next = fts_children(tree, instruction);
            println!("  asked {:?}", next.is_null().then(error));
            while let Some(this) = next.as_ref() {
                println!("  {} kind {}", name(this), this.info);
                if name(this) == "link" {
                    println!("  follow {}", fts_set(tree, next, FOLLOW));
                }
                next = this.link;
            }
        }
    };
    println!("children:");
    list(0);
    list(77);
    // SAFETY: as above.
    unsafe {
        println!("  {}", name(&*fts_read(tree)));
        list(0);
        while let Some(this) = fts_read(tree).as_ref() {
            println!("  read {} kind {}", name(this), this.info);
            if name(this) == "b" && this.info == DIRECTORY {
                list(NAMES_ONLY);
            }
            if name(this) == "top" {
                list(0);
                println!(
                    "  wrong {} {:?}",
                    fts_set(tree, ptr::from_ref(this).cast_mut(), 9),
                    error()
                );
            }
        }
        fts_close(tree);
    }
}

pub(crate) fn steps() {
    fs::create_dir_all("stream/a/b/c").expect("folders");
    fs::create_dir_all("stream/a/empty").expect("folders");
    for (path, len) in [
        ("stream/top", 3),
        ("stream/a/file", 5),
        ("stream/a/b/c/deep", 9),
    ] {
        fs::write(path, vec![b'x'; len]).expect("a file");
    }
    symlink("../top", "stream/a/link").expect("a link");
    symlink("nowhere", "stream/dangling").expect("a link");
    symlink("..", "stream/a/b/round").expect("a link");
    symlink("a", "stream/way").expect("a link");
    let all = |_: &str, _| 0;
    show("there", &["stream"], PHYSICAL, all);
    show("without moving", &["stream/"], PHYSICAL | STAY, all);
    show("links followed", &["stream"], LOGICAL | STAY, all);
    show(
        "first ones followed",
        &["stream/way", "stream/dangling"],
        PHYSICAL | FOLLOW_ROOTS,
        all,
    );
    show("not followed", &["stream/way"], PHYSICAL, all);
    show("without facts", &["stream/a"], PHYSICAL | NO_STAT, all);
    show(
        "with dots",
        &["stream/a/b", "."],
        PHYSICAL | WITH_DOTS,
        |name, kind| {
            if name == "." && kind == DIRECTORY {
                SKIP
            } else {
                0
            }
        },
    );
    show(
        "skipped",
        &["stream", "stream/a"],
        PHYSICAL,
        |name, kind| match (name, kind) {
            ("b", DIRECTORY) => SKIP,
            ("link", 12) => FOLLOW,
            _ => 0,
        },
    );
    show(
        "missing",
        &["stream/none", "stream/top"],
        PHYSICAL | STAY,
        all,
    );
    children();
    println!(
        "empty name {} {:?}",
        open(&[""], PHYSICAL).is_null(),
        error()
    );
    println!(
        "unknown option {} {:?}",
        open(&["stream"], 1 << 12).is_null(),
        error()
    );
    fs::remove_dir_all("stream").expect("all can go");
}
