//! The program: the only process, number 1, with its threads, descriptors and mappings.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::sync::atomic::Ordering;

use super::text;
use crate::abi::directory::umask_now;
use crate::abi::limits::limits_of;
use crate::abi::signal;
use crate::abi::{capabilities, credentials, load, machine, object, process};
use crate::error::{Errno, Result};
use crate::image;
use crate::memory::areas::{self, Access};
use crate::memory::frames::{self, FRAME_BYTES};
use crate::scheduler::{self, Thread, registry};
use crate::start::command_line;
use crate::storage::vfs;
use crate::storage::vfs::file::OpenFile;
use crate::storage::vfs::made::Item;
use crate::storage::vfs::node::FileSystem;

/// Time is told in hundredths of a second (`_SC_CLK_TCK`).
pub(super) const TICK_NS: u64 = 10_000_000;

/// The program as a file, as far as it is one.
const PROGRAM: &str = "/dev/program";

/// The program's descriptors, each a link to what it is of.
pub(super) static DESCRIPTORS: Item = Item::Numbers(descriptors, &Item::Link(descriptor));

/// `/proc/1`, which `/proc/self` leads to.
pub(super) static PROCESS: [(&str, Item); 20] = [
    ("auxv", Item::File(auxiliary_vector)),
    ("cgroup", Item::File(|_| Ok(Vec::from(b"0::/\n")))),
    ("cmdline", Item::File(command)),
    ("comm", Item::File(|_| super::line(name_of(1)?))),
    ("cwd", Item::Link(|_| vfs::current_path())),
    ("environ", Item::File(environment)),
    ("exe", Item::Link(|_| Ok(PROGRAM.into()))),
    ("fd", Item::Numbers(descriptors, &Item::Link(descriptor))),
    ("limits", Item::File(limits)),
    ("maps", Item::File(mappings)),
    ("mountinfo", Item::File(mount_info)),
    ("mounts", Item::File(mounts)),
    // Where the network is shown; else nowhere.
    ("net", Item::Link(|_| Ok(Vec::from(b"/proc/net")))),
    ("oom_score", Item::File(|_| super::line(0))),
    ("oom_score_adj", Item::File(|_| super::line(0))),
    ("root", Item::Link(|_| Ok(Vec::from(b"/")))),
    ("stat", Item::File(|_| stat(1))),
    ("statm", Item::File(memory)),
    ("status", Item::File(|_| status(1))),
    (
        "task",
        Item::Numbers(
            || threads().iter().map(|thread| thread.id).collect(),
            &Item::Directory(&[
                ("children", Item::File(|_| Ok(Vec::new()))),
                ("cgroup", Item::File(|_| Ok(Vec::from(b"0::/\n")))),
                ("cmdline", Item::File(command)),
                ("comm", Item::File(|thread| super::line(name_of(thread)?))),
                ("cwd", Item::Link(|_| vfs::current_path())),
                ("environ", Item::File(environment)),
                ("exe", Item::Link(|_| Ok(PROGRAM.into()))),
                ("fd", Item::Numbers(descriptors, &Item::Link(descriptor))),
                ("limits", Item::File(limits)),
                ("maps", Item::File(mappings)),
                ("root", Item::Link(|_| Ok(Vec::from(b"/")))),
                ("stat", Item::File(stat)),
                ("statm", Item::File(memory)),
                ("status", Item::File(status)),
            ]),
        ),
    ),
];

/// A thread, as it is now.
#[derive(Clone)]
pub(super) struct Task {
    pub(super) id: u64,
    /// It has a core or waits for one; others wait for something else.
    pub(super) runs: bool,
    core: usize,
    name: scheduler::Name,
    stack: (usize, usize),
    is_main: bool,
    /// Signals that are not delivered to it.
    blocked: u64,
}

/// All threads of the program, in the order of their numbers. The list is locked while it is looked at, so that there must be room before.
pub(super) fn threads() -> Vec<Task> {
    let mut tasks = Vec::new();
    loop {
        let mut count = 0;
        let look = |thread: &Thread| {
            if thread.is_idle() {
                return;
            }
            count += 1;
            if tasks.len() < tasks.capacity() {
                tasks.push(Task {
                    id: thread.id().into(),
                    runs: !thread.is_blocked() && !thread.has_ended(),
                    core: thread.core(),
                    name: thread.name(),
                    stack: thread.stack(),
                    is_main: thread.is_main(),
                    blocked: thread.signals.blocked.load(Ordering::Relaxed),
                });
            }
        };
        registry::for_each_thread(look);
        if count == tasks.len() {
            tasks.sort_by_key(|task| task.id);
            return tasks;
        }
        tasks.clear();
        tasks.reserve(count);
    }
}

/// A thread by its number: of the process itself, the main thread.
fn task(id: u64) -> Result<Task> {
    let mut threads = threads().into_iter();
    let found = threads.find(|task| if id == 1 { task.is_main } else { task.id == id });
    found.ok_or(Errno(libc::ESRCH))
}

fn name_of(thread: u64) -> Result<String> {
    let task = task(thread)?;
    let name = String::from_utf8_lossy(task.name.as_bytes()).into_owned();
    Ok(match name.is_empty() {
        true => String::from("program"),
        false => name,
    })
}

pub(super) fn thread_link(_: u64) -> Result<Vec<u8>> {
    text(|out| write!(out, "1/task/{}", scheduler::thread::current().id()))
}

/// Strings, each with a zero behind it.
fn strings<'a>(all: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut content = Vec::new();
    for one in all {
        content.extend_from_slice(one);
        content.push(0);
    }
    content
}

fn command(_: u64) -> Result<Vec<u8>> {
    let arguments = command_line().arguments();
    let arguments = arguments.iter().map(|argument| argument.as_bytes());
    Ok(strings(core::iter::once(&b"/program"[..]).chain(arguments)))
}

/// The environment that the program began with.
fn environment(_: u64) -> Result<Vec<u8>> {
    let all = command_line().environment();
    Ok(strings(all.iter().map(|variable| variable.as_bytes())))
}

/// What the loader told, closed by a pair of zeros.
fn auxiliary_vector(_: u64) -> Result<Vec<u8>> {
    let vector = machine::auxiliary_vector();
    let facts = vector.as_flattened().iter().chain(&[0, 0]);
    Ok(facts.flat_map(|fact| fact.to_ne_bytes()).collect())
}

/// Names of limits and their units, in the order of their numbers.
const LIMITS: [(&str, &str); 16] = [
    ("Max cpu time", "seconds"),
    ("Max file size", "bytes"),
    ("Max data size", "bytes"),
    ("Max stack size", "bytes"),
    ("Max core file size", "bytes"),
    ("Max resident set", "bytes"),
    ("Max processes", "processes"),
    ("Max open files", "files"),
    ("Max locked memory", "bytes"),
    ("Max address space", "bytes"),
    ("Max file locks", "locks"),
    ("Max pending signals", "signals"),
    ("Max msgqueue size", "bytes"),
    ("Max nice priority", ""),
    ("Max realtime priority", ""),
    ("Max realtime timeout", "us"),
];

fn limits(_: u64) -> Result<Vec<u8>> {
    let shown = |limit| match limit {
        libc::RLIM64_INFINITY => String::from("unlimited"),
        limit => alloc::format!("{limit}"),
    };
    text(|out| {
        let titles = ["Limit", "Soft Limit", "Hard Limit", "Units"];
        let [name, soft, hard, unit] = titles;
        writeln!(out, "{name:25} {soft:20} {hard:20} {unit:10}")?;
        for ((name, unit), resource) in LIMITS.iter().zip(0..) {
            let (soft, hard) = limits_of(resource).map_err(|_| core::fmt::Error)?;
            let (soft, hard) = (shown(soft), shown(hard));
            writeln!(out, "{name:25} {soft:20} {hard:20} {unit:10}")?;
        }
        Ok(())
    })
}

fn descriptors() -> Vec<u64> {
    let all = 0..=object::highest();
    all.filter(|descriptor| object::get(*descriptor as i32).is_ok())
        .map(u64::from)
        .collect()
}

/// What a descriptor is of: a path, or what it is called where it has none.
fn descriptor(number: u64) -> Result<Vec<u8>> {
    let number = i32::try_from(number).map_err(|_| Errno(libc::ENOENT))?;
    let description = object::get(number).map_err(|_| Errno(libc::ENOENT))?;
    if let Some(file) = description.downcast::<OpenFile>() {
        return Ok(file.entry().path());
    }
    // SAFETY: a structure of integers, for which zeros are values.
    let mut stat: libc::stat64 = unsafe { core::mem::zeroed() };
    description.object().stat(&mut stat)?;
    let what = match stat.st_mode & libc::S_IFMT {
        libc::S_IFSOCK => "socket:",
        libc::S_IFIFO => "pipe:",
        libc::S_IFCHR => return Ok(Vec::from(b"/dev/console")),
        _ => "anon_inode:",
    };
    text(|out| write!(out, "{what}[{}]", description.number()))
}

/// A part of the address space, with how it may be used.
struct Mapping {
    start: usize,
    end: usize,
    access: &'static str,
    name: &'static str,
}

/// The image and what is mapped beside it. Memory is mapped one to one besides, and the heap is there; of that nothing is told.
fn all_mappings() -> Vec<Mapping> {
    let layout = image::layout();
    let mut mappings = Vec::new();
    for (start, end, access) in [
        (layout.start, layout.text, "r--p"),
        (layout.text, layout.data, "r-xp"),
        (layout.data, layout.hold, "rw-p"),
        (layout.hold, layout.end, "r--p"),
    ] {
        mappings.push(Mapping {
            start,
            end,
            access,
            name: PROGRAM,
        });
    }
    let main = threads().into_iter().find(|task| task.is_main);
    let (stack, _) = main.map_or((0, 0), |main| main.stack);
    for (start, end, access) in areas::list() {
        let access = match access {
            Access::None => "---p",
            Access::Read => "r--p",
            Access::ReadWrite => "rw-p",
            Access::Execute => "r-xp",
        };
        let name = match (start..end).contains(&stack) {
            true => "[stack]",
            false => "",
        };
        mappings.push(Mapping {
            start,
            end,
            access,
            name,
        });
    }
    mappings
}

fn mappings(_: u64) -> Result<Vec<u8>> {
    let image = image::layout().start;
    text(|out| {
        for mapping in all_mappings() {
            let Mapping {
                start,
                end,
                access,
                name,
            } = mapping;
            let (offset, node) = match name == PROGRAM {
                true => (start - image, 1),
                false => (0, 0),
            };
            let before = out.len();
            write!(
                out,
                "{start:08x}-{end:08x} {access} {offset:08x} 00:00 {node} "
            )?;
            // Names begin in one column.
            let width = 73_usize.saturating_sub(out.len() - before);
            match name {
                "" => writeln!(out)?,
                name => writeln!(out, "{:width$}{name}", "")?,
            }
        }
        Ok(())
    })
}

/// Bytes of address space, and of memory: what the kernel has in the same address space counts too.
fn sizes() -> (usize, usize) {
    let (free, total) = frames::usage();
    let mapped = all_mappings().iter().map(|one| one.end - one.start).sum();
    (mapped, total.saturating_sub(free))
}

fn memory(_: u64) -> Result<Vec<u8>> {
    let (mapped, used) = sizes();
    let layout = image::layout();
    let pages = |bytes: usize| bytes / FRAME_BYTES;
    super::line(format_args!(
        "{} {} 0 {} 0 {} 0",
        pages(mapped),
        pages(used),
        pages(layout.data - layout.text),
        pages(used)
    ))
}

/// The state that a task is in, as a letter.
fn state(task: &Task) -> char {
    if task.runs { 'R' } else { 'S' }
}

/// `stat`: 52 numbers, 0 where nothing is known.
fn stat(thread: u64) -> Result<Vec<u8>> {
    let (task, name) = (task(thread)?, name_of(thread)?);
    let (mapped, used) = sizes();
    let layout = image::layout();
    let count = threads().len();
    text(|out| {
        write!(
            out,
            "{thread} ({name}) {} 0 1 1 0 -1 0 0 0 0 0 ",
            state(&task)
        )?;
        let (busy, nice) = (load::busy_ns() / TICK_NS, process::niceness());
        write!(out, "{busy} 0 0 0 {} {nice} {count} 0 0 ", 20 + nice)?;
        write!(out, "{mapped} {} {} ", used / FRAME_BYTES, u64::MAX)?;
        write!(
            out,
            "{} {} {} ",
            layout.text,
            layout.data,
            task.stack.0 + task.stack.1
        )?;
        // Registers, signals, where it waits, what it swapped; then how it ends, and its core.
        write!(out, "0 0 0 0 0 0 0 0 0 17 {} ", task.core)?;
        writeln!(out, "0 0 0 0 0 {} {} 0 0 0 0 0 0", layout.data, layout.hold)
    })
}

fn status(thread: u64) -> Result<Vec<u8>> {
    let (task, name) = (task(thread)?, name_of(thread)?);
    let (mapped, used) = sizes();
    let state = match state(&task) {
        'R' => "R (running)",
        _ => "S (sleeping)",
    };
    let (count, cores) = (threads().len(), scheduler::core_count());
    let layout = image::layout();
    let (user, group) = (credentials::user(), credentials::group());
    let (other_groups, held) = (credentials::other_groups(), capabilities::held());
    text(|out| {
        writeln!(
            out,
            "Name:\t{name}\nUmask:\t{:04o}\nState:\t{state}",
            umask_now()
        )?;
        writeln!(
            out,
            "Tgid:\t1\nNgid:\t0\nPid:\t{thread}\nPPid:\t0\nTracerPid:\t0"
        )?;
        for (what, own) in [("Uid", user), ("Gid", group)] {
            let [real, effective, saved] = own.all();
            // The last one is whose files it asks for.
            writeln!(out, "{what}:\t{real}\t{effective}\t{saved}\t{effective}")?;
        }
        write!(out, "FDSize:\t{}\nGroups:\t", object::highest() + 1)?;
        for group in &other_groups {
            write!(out, "{group} ")?;
        }
        writeln!(out)?;
        for (what, bytes) in [
            ("VmSize", mapped),
            ("VmRSS", used),
            ("VmExe", layout.data - layout.text),
        ] {
            writeln!(out, "{what}:\t{:8} kB", bytes >> 10)?;
        }
        writeln!(out, "Threads:\t{count}\nSigQ:\t0/{}", u32::MAX)?;
        let [pending, ignored, caught] = signal::sets();
        for (what, set) in [
            ("SigPnd", 0),
            ("ShdPnd", pending),
            ("SigBlk", task.blocked),
            ("SigIgn", ignored),
            ("SigCgt", caught),
            ("CapInh", held.inheritable),
            ("CapPrm", held.permitted),
            ("CapEff", held.effective),
            ("CapBnd", held.bounding),
            ("CapAmb", held.ambient),
        ] {
            writeln!(out, "{what}:\t{set:016x}")?;
        }
        writeln!(out, "Cpus_allowed_list:\t{}", super::machine::Cores(cores))
    })
}

/// What Linux calls a kind of file system (statfs(2)).
pub(super) fn kind_of(file_system: &dyn FileSystem) -> &'static str {
    match file_system.usage().magic {
        0xEF53 => "ext2",
        0x4D44 => "vfat",
        0x0102_1994 => "tmpfs",
        super::PROC_MAGIC => "proc",
        super::SYS_MAGIC => "sysfs",
        0 => "devtmpfs",
        _ => "rootfs",
    }
}

/// Whether what is in a file system can be changed, as an option of a mount.
fn access_of(file_system: &dyn FileSystem) -> &'static str {
    match file_system.is_read_only() {
        true => "ro",
        false => "rw",
    }
}

fn mounts(_: u64) -> Result<Vec<u8>> {
    let all = vfs::names()?.mounts();
    text(|out| {
        for mount in all {
            let (kind, access) = (kind_of(&*mount.file_system), access_of(&*mount.file_system));
            writeln!(out, "{kind} {} {kind} {access} 0 0", Escaped(&mount.path()))?;
        }
        Ok(())
    })
}

fn mount_info(_: u64) -> Result<Vec<u8>> {
    let all = vfs::names()?.mounts();
    text(|out| {
        for mount in all {
            let (kind, access) = (kind_of(&*mount.file_system), access_of(&*mount.file_system));
            let (device, path) = (mount.device, mount.path());
            // All are mounted in the root, which is the first.
            let above = if path == b"/" { 0 } else { 1 };
            write!(
                out,
                "{device} {above} 0:{device} / {} {access} ",
                Escaped(&path)
            )?;
            writeln!(out, "- {kind} {kind} {access}")?;
        }
        Ok(())
    })
}

/// A path in a line of words: what separates them is written as octal numbers (proc_pid_mounts(5), getmntent(3)).
struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in String::from_utf8_lossy(self.0).chars() {
            match letter {
                ' ' | '\t' | '\n' | '\\' => write!(out, "\\{:03o}", u32::from(letter))?,
                letter => out.write_char(letter)?,
            }
        }
        Ok(())
    }
}
