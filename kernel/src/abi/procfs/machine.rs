//! The machine: processors, memory, what it was built of.

use alloc::string::String;
use alloc::vec::Vec;
use core::arch::x86_64::{__cpuid_count, CpuidResult};
use core::ffi::c_int;
use core::fmt::{self, Write};

use super::process::TICK_NS;
use super::{line, text};
use crate::abi::generated::Generated;
use crate::abi::machine::{HOST_NAME, RELEASE, VERSION};
use crate::abi::pipe::MAX_PIPE_BYTES;
use crate::abi::{capabilities, load, memfd, object};
use crate::arch::clock;
use crate::arch::x86_64::{cpu, entropy};
use crate::error::Result;
use crate::memory::frames;
use crate::network::ports::{EPHEMERAL, MAX_BACKLOG};
use crate::scheduler;
use crate::storage::vfs;
use crate::storage::vfs::made::Item;
use crate::storage::vfs::watch::inotify::{MAX_QUEUED, MAX_WATCHES};
use crate::sync::OnceCell;

const SECOND_NS: u64 = 1_000_000_000;
/// Threads and numbers of processes that there can be at most (`PID_MAX_LIMIT`): no limit of ours, but programs make room for so many digits.
const MAX_THREADS: u32 = 1 << 22;

/// `/proc/sys`.
pub(super) static SETTINGS: [(&str, Item); 4] = [
    (
        "fs",
        Item::Directory(&[
            ("file-max", Item::File(|_| line(object::MAX_DESCRIPTORS))),
            (
                "inotify",
                Item::Directory(&[
                    ("max_queued_events", Item::File(|_| line(MAX_QUEUED))),
                    // As many as there can be descriptors.
                    (
                        "max_user_instances",
                        Item::File(|_| line(object::MAX_DESCRIPTORS)),
                    ),
                    ("max_user_watches", Item::File(|_| line(MAX_WATCHES))),
                ]),
            ),
            ("nr_open", Item::File(|_| line(object::MAX_DESCRIPTORS))),
            ("pipe-max-size", Item::File(|_| line(MAX_PIPE_BYTES))),
        ]),
    ),
    (
        "kernel",
        Item::Directory(&[
            ("cap_last_cap", Item::File(|_| line(capabilities::LAST))),
            ("hostname", Item::File(|_| line(HOST_NAME))),
            ("osrelease", Item::File(|_| line(RELEASE))),
            ("ostype", Item::File(|_| line("Linux"))),
            ("pid_max", Item::File(|_| line(MAX_THREADS))),
            (
                "random",
                Item::Directory(&[
                    ("boot_id", Item::File(boot_id)),
                    ("entropy_avail", Item::File(|_| line(256))),
                    ("poolsize", Item::File(|_| line(256))),
                    ("uuid", Item::File(|_| line(Uuid::new()))),
                ]),
            ),
            ("threads-max", Item::File(|_| line(MAX_THREADS))),
            ("version", Item::File(|_| line(VERSION))),
        ]),
    ),
    (
        "net",
        Item::Directory(&[
            (
                "core",
                Item::Directory(&[("somaxconn", Item::File(|_| line(MAX_BACKLOG)))]),
            ),
            (
                "ipv4",
                Item::Directory(&[
                    (
                        "ip_local_port_range",
                        Item::File(|_| {
                            line(format_args!("{}\t{}", EPHEMERAL.start(), EPHEMERAL.end()))
                        }),
                    ),
                    // Those of a new socket (`TcpSocket::new`).
                    ("tcp_congestion_control", Item::File(|_| line("cubic"))),
                    ("tcp_keepalive_intvl", Item::File(|_| line(75))),
                    ("tcp_keepalive_probes", Item::File(|_| line(9))),
                    ("tcp_keepalive_time", Item::File(|_| line(7200))),
                ]),
            ),
        ]),
    ),
    (
        "vm",
        Item::Directory(&[
            // No limit.
            ("max_map_count", Item::File(|_| line(i32::MAX))),
            // Mappings are granted without a look at how much memory there is.
            ("overcommit_memory", Item::File(|_| line(1))),
            // Nothing is swapped out.
            ("swappiness", Item::File(|_| line(0))),
        ]),
    ),
];

/// `/sys`.
pub(super) static SYS: [(&str, Item); 2] = [
    (
        "devices",
        Item::Directory(&[(
            "system",
            Item::Directory(&[
                (
                    "cpu",
                    Item::Directory(&[
                        ("online", Item::File(cores)),
                        ("possible", Item::File(cores)),
                        ("present", Item::File(cores)),
                    ]),
                ),
                // All memory is equally far.
                (
                    "node",
                    Item::Directory(&[("online", Item::File(|_| line(0)))]),
                ),
            ]),
        )]),
    ),
    (
        "kernel",
        Item::Directory(&[(
            "mm",
            Item::Directory(&[(
                "transparent_hugepage",
                // Mappings are made of small pages.
                Item::Directory(&[("enabled", Item::File(|_| line("always madvise [never]")))]),
            )]),
        )]),
    ),
];

/// A random name for once (RFC 9562, version 4).
struct Uuid([u8; 16]);

impl Uuid {
    fn new() -> Self {
        let mut bytes = [0; 16];
        entropy::fill(&mut bytes);
        bytes[6] = bytes[6] & 0x0F | 0x40;
        bytes[8] = bytes[8] & 0x3F | 0x80;
        Self(bytes)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                out.write_char('-')?;
            }
            write!(out, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// The name of this run of the machine.
fn boot_id(_: u64) -> Result<Vec<u8>> {
    static BOOT: OnceCell<Uuid> = OnceCell::new();
    line(BOOT.get_or_find(Uuid::new))
}

/// `/etc/machine-id` where the file system has none (machine-id(5)): the name of a machine that keeps nothing, which lasts for one run.
fn machine_id(flags: c_int) -> Result<c_int> {
    static MACHINE: OnceCell<Uuid> = OnceCell::new();
    let Uuid(bytes) = MACHINE.get_or_find(Uuid::new);
    let content = text(|out| {
        bytes
            .iter()
            .try_for_each(|byte| write!(out, "{byte:02x}"))?;
        writeln!(out)
    })?;
    memfd::of_content(b"machine-id", &content, flags)
}

#[unsafe(link_section = ".toro.generated.machine")]
static MACHINE_ID: Generated = Generated::at(b"/etc/machine-id", machine_id);

/// Programs that ask about the machine have this.
pub(super) fn bring_machine_id() {
    core::hint::black_box(&raw const MACHINE_ID);
}

/// So many cores, as a range.
pub(super) struct Cores(pub(super) usize);

impl fmt::Display for Cores {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => write!(out, "0"),
            count => write!(out, "0-{}", count - 1),
        }
    }
}

fn cores(_: u64) -> Result<Vec<u8>> {
    line(Cores(scheduler::core_count()))
}

/// `/proc/loadavg`: the averages, threads that run and all, and the number of the youngest.
pub(super) fn load(_: u64) -> Result<Vec<u8>> {
    let [one, five, fifteen] = load::averages();
    let threads = super::process::threads();
    let runs = threads.iter().filter(|thread| thread.runs).count();
    let youngest = threads.last().map_or(1, |thread| thread.id);
    line(format_args!(
        "{one:.2} {five:.2} {fifteen:.2} {runs}/{} {youngest}",
        threads.len()
    ))
}

pub(super) fn memory(_: u64) -> Result<Vec<u8>> {
    let (free, total) = frames::usage();
    text(|out| {
        for (name, bytes) in [
            ("MemTotal", total),
            ("MemFree", free),
            ("MemAvailable", free),
            ("Buffers", 0),
            ("Cached", 0),
            ("SwapCached", 0),
            // Nothing is ever taken away from a program, so all of it is as if in use.
            ("Active", total - free),
            ("Inactive", 0),
            ("SwapTotal", 0),
            ("SwapFree", 0),
            // What waits to be written is not counted; the others are parts of Linux's kernel.
            ("Dirty", 0),
            ("Writeback", 0),
            ("Mapped", 0),
            ("Slab", 0),
            ("Committed_AS", total - free),
            ("VmallocTotal", 0),
            ("VmallocUsed", 0),
            ("VmallocChunk", 0),
        ] {
            writeln!(out, "{:<15} {:>8} kB", MemoryName(name), bytes >> 10)?;
        }
        Ok(())
    })
}

/// A name with its colon, as one word to be padded.
struct MemoryName(&'static str);

impl fmt::Display for MemoryName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut name = String::from(self.0);
        name.push(':');
        out.pad(&name)
    }
}

pub(super) fn uptime(_: u64) -> Result<Vec<u8>> {
    let halted_ns: u64 = all_statistics().map(|core| core.halted_ns).sum();
    let hundredths = |ns: u64| (ns / SECOND_NS, ns % SECOND_NS / (SECOND_NS / 100));
    let (up, idle) = (hundredths(clock::now_ns()), hundredths(halted_ns));
    line(format_args!(
        "{}.{:02} {}.{:02}",
        up.0, up.1, idle.0, idle.1
    ))
}

pub(super) fn version(_: u64) -> Result<Vec<u8>> {
    line(format_args!("Linux version {RELEASE} ({VERSION})"))
}

/// The kinds of file systems that are mounted; none of them needs a device that programs could name.
pub(super) fn file_systems(_: u64) -> Result<Vec<u8>> {
    let mut kinds = Vec::new();
    for mount in vfs::names()?.mounts() {
        let kind = super::process::kind_of(&*mount.file_system);
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    text(|out| {
        kinds
            .iter()
            .try_for_each(|kind| writeln!(out, "nodev\t{kind}"))
    })
}

fn all_statistics() -> impl Iterator<Item = scheduler::Statistics> {
    (0..scheduler::core_count()).filter_map(scheduler::statistics)
}

/// `/proc/stat`: time is either a program's or idle, as far as is counted.
pub(super) fn statistics(_: u64) -> Result<Vec<u8>> {
    let now_ns = clock::now_ns();
    let times = |halted_ns: u64| {
        let busy_ns = now_ns.saturating_sub(halted_ns);
        (busy_ns / TICK_NS, halted_ns / TICK_NS)
    };
    let all: Vec<_> = all_statistics().collect();
    text(|out| {
        let each = all.iter().map(|core| times(core.halted_ns));
        let (busy, idle) = each
            .clone()
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        writeln!(out, "cpu  {busy} 0 0 {idle} 0 0 0 0 0 0")?;
        for (core, (busy, idle)) in each.enumerate() {
            writeln!(out, "cpu{core} {busy} 0 0 {idle} 0 0 0 0 0 0")?;
        }
        let interrupts: u64 = all.iter().map(|core| core.interrupts).sum();
        let switches: u64 = all.iter().map(|core| core.switches).sum();
        let booted_s = clock::wall_ns().saturating_sub(now_ns) / SECOND_NS;
        writeln!(out, "intr {interrupts}\nctxt {switches}\nbtime {booted_s}")?;
        let threads = super::process::threads();
        let runs = threads.iter().filter(|thread| thread.runs).count();
        writeln!(out, "processes {}", threads.len())?;
        writeln!(out, "procs_running {runs}\nprocs_blocked 0")
    })
}

/// Features by the registers of CPUID that tell them, each with its bit, by Linux's names (Intel SDM volume 2A, CPUID; AMD APM volume 3, E.3).
const FEATURES_1_EDX: &[(u32, &str)] = &[
    (0, "fpu"),
    (3, "pse"),
    (4, "tsc"),
    (5, "msr"),
    (6, "pae"),
    (7, "mce"),
    (8, "cx8"),
    (9, "apic"),
    (11, "sep"),
    (12, "mtrr"),
    (13, "pge"),
    (14, "mca"),
    (15, "cmov"),
    (16, "pat"),
    (17, "pse36"),
    (19, "clflush"),
    (23, "mmx"),
    (24, "fxsr"),
    (25, "sse"),
    (26, "sse2"),
    (28, "ht"),
];
const FEATURES_1_ECX: &[(u32, &str)] = &[
    (0, "pni"),
    (1, "pclmulqdq"),
    (9, "ssse3"),
    (12, "fma"),
    (13, "cx16"),
    (19, "sse4_1"),
    (20, "sse4_2"),
    (21, "x2apic"),
    (22, "movbe"),
    (23, "popcnt"),
    (24, "tsc_deadline_timer"),
    (25, "aes"),
    (26, "xsave"),
    (28, "avx"),
    (29, "f16c"),
    (30, "rdrand"),
    (31, "hypervisor"),
];
const FEATURES_7_EBX: &[(u32, &str)] = &[
    (0, "fsgsbase"),
    (3, "bmi1"),
    (5, "avx2"),
    (7, "smep"),
    (8, "bmi2"),
    (9, "erms"),
    (16, "avx512f"),
    (17, "avx512dq"),
    (18, "rdseed"),
    (19, "adx"),
    (20, "smap"),
    (23, "clflushopt"),
    (24, "clwb"),
    (29, "sha_ni"),
    (30, "avx512bw"),
    (31, "avx512vl"),
];
const FEATURES_EXTENDED_EDX: &[(u32, &str)] = &[
    (11, "syscall"),
    (20, "nx"),
    (26, "pdpe1gb"),
    (27, "rdtscp"),
    (29, "lm"),
];
const FEATURES_EXTENDED_ECX: &[(u32, &str)] = &[(0, "lahf_lm"), (5, "abm"), (6, "sse4a")];

/// Letters of CPUID, up to the first zero.
fn letters(registers: &[u32]) -> String {
    let bytes = registers.iter().flat_map(|register| register.to_le_bytes());
    let text: Vec<u8> = bytes.take_while(|byte| *byte != 0).collect();
    String::from(String::from_utf8_lossy(&text).trim())
}

/// The name of the model, if the processor tells it.
fn model_name() -> String {
    let registers: Vec<u32> = (0x8000_0002..=0x8000_0004)
        .flat_map(|leaf| {
            let CpuidResult { eax, ebx, ecx, edx } = cpu::cpuid(leaf);
            [eax, ebx, ecx, edx]
        })
        .collect();
    letters(&registers)
}

fn has_leaf(leaf: u32) -> bool {
    __cpuid_count(0, 0).eax >= leaf
}

/// `/proc/cpuinfo`, by what the processor that asks tells of itself: the others are alike.
pub(super) fn processors(_: u64) -> Result<Vec<u8>> {
    let vendor = cpu::cpuid(0);
    let vendor = letters(&[vendor.ebx, vendor.edx, vendor.ecx]);
    let one = cpu::cpuid(1);
    let seven = if has_leaf(7) {
        __cpuid_count(7, 0).ebx
    } else {
        0
    };
    let extended = cpu::cpuid(0x8000_0001);
    let (base_family, base_model) = (one.eax >> 8 & 15, one.eax >> 4 & 15);
    let family = match base_family {
        15 => 15 + (one.eax >> 20 & 0xFF),
        family => family,
    };
    let model = match base_family {
        6 | 15 => base_model | (one.eax >> 16 & 15) << 4,
        _ => base_model,
    };
    let khz = clock::tsc_hz() / 1000;
    let sizes = cpu::cpuid(0x8000_0008).eax;
    let name = model_name();
    let count = scheduler::core_count();
    text(|out| {
        for core in 0..count {
            writeln!(out, "processor\t: {core}\nvendor_id\t: {vendor}")?;
            writeln!(out, "cpu family\t: {family}\nmodel\t\t: {model}")?;
            writeln!(out, "model name\t: {name}\nstepping\t: {}", one.eax & 15)?;
            writeln!(out, "cpu MHz\t\t: {}.{:03}", khz / 1000, khz % 1000)?;
            writeln!(out, "physical id\t: 0\nsiblings\t: {count}")?;
            writeln!(out, "core id\t\t: {core}\ncpu cores\t: {count}")?;
            writeln!(out, "fpu\t\t: yes\nfpu_exception\t: yes")?;
            write!(out, "flags\t\t:")?;
            for (register, names) in [
                (one.edx, FEATURES_1_EDX),
                (extended.edx, FEATURES_EXTENDED_EDX),
                (one.ecx, FEATURES_1_ECX),
                (extended.ecx, FEATURES_EXTENDED_ECX),
                (seven, FEATURES_7_EBX),
            ] {
                let has = |(bit, _): &&(u32, &str)| register >> bit & 1 != 0;
                let mut names = names.iter().filter(has);
                names.try_for_each(|(_, name)| write!(out, " {name}"))?;
            }
            writeln!(out, "\nclflush size\t: {}", (one.ebx >> 8 & 0xFF) * 8)?;
            writeln!(
                out,
                "address sizes\t: {} bits physical, {} bits virtual\n",
                sizes & 0xFF,
                sizes >> 8 & 0xFF
            )?;
        }
        Ok(())
    })
}
