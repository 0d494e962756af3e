//! Makes system calls by the instruction, as rustix does without a C library; each line is the same on Linux.
#![allow(unsafe_code, reason = "it makes system calls itself")]

mod bounds;
mod others;
mod signals;

use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::fs::{self, AtFlags, CWD, MemfdFlags, Mode, OFlags, SeekFrom, StatxFlags};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::rand::{GetRandomFlags, getrandom};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec,
};
use rustix::{io, net, process, system, thread, time};
use std::hint::black_box;
use std::mem::MaybeUninit;

fn main() {
    descriptors();
    files();
    registers();
    signals::run();
    others::run();
    bounds::run();
    println!(
        "pages {} ticks {}",
        rustix::param::page_size(),
        rustix::param::clock_ticks_per_second()
    );
    println!("all steps done");
}

fn span(ns: i64) -> Timespec {
    Timespec {
        tv_sec: 0,
        tv_nsec: ns,
    }
}

fn descriptors() {
    let mut buf = [0; 16];
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
    println!("written {:?}", io::write(&writer, b"hello"));
    println!("read {:?} {buf:?}", io::read(&reader, &mut buf));
    drop(writer);
    println!("at the end {:?}", io::read(&reader, &mut buf));
    let event = eventfd(3, EventfdFlags::CLOEXEC).expect("a counter");
    println!("counter {:?} {}", io::read(&event, &mut buf), buf[0]);
    let instance = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an instance");
    let data = epoll::EventData::new_u64(7);
    println!(
        "watched {:?}",
        epoll::add(&instance, &event, data, epoll::EventFlags::IN)
    );
    let mut events = Vec::with_capacity(4);
    let soon = span(1_000_000);
    println!(
        "nothing {:?}",
        epoll::wait(&instance, spare_capacity(&mut events), Some(&soon))
    );
    println!("counted {:?}", io::write(&event, &1_u64.to_ne_bytes()));
    println!(
        "one {:?}",
        epoll::wait(&instance, spare_capacity(&mut events), None)
    );
    let data = events[0].data;
    println!("of {}", data.u64());
    let timer = time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC);
    let timer = timer.expect("a timer");
    let once = Itimerspec {
        it_interval: span(0),
        it_value: span(2_000_000),
    };
    let armed = time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &once);
    println!("armed {:?}", armed.map(drop));
    println!("expired {:?}", io::read(&timer, &mut buf));
    let flags = SocketFlags::CLOEXEC;
    let pair = net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None);
    let (first, second) = pair.expect("two sockets");
    println!("sent {:?}", net::send(&first, b"hi", SendFlags::empty()));
    println!(
        "received {:?}",
        net::recv(&second, &mut buf[..], RecvFlags::empty())
    );
}

fn files() {
    let folder = "made-by-system-calls";
    println!("made {:?}", fs::mkdir(folder, Mode::RWXU));
    let path = "made-by-system-calls/file";
    let flags = OFlags::CREATE | OFlags::RDWR;
    let file = fs::open(path, flags, Mode::RUSR | Mode::WUSR).expect("a file");
    println!("written {:?}", io::write(&file, b"abc"));
    println!("size {:?}", fs::fstat(&file).map(|stat| stat.st_size));
    let facts = fs::statx(CWD, path, AtFlags::empty(), StatxFlags::ALL);
    println!("statx {:?}", facts.map(|facts| facts.stx_size));
    let directory = fs::open(folder, OFlags::DIRECTORY, Mode::empty()).expect("a folder");
    let names = fs::Dir::read_from(&directory).expect("entries");
    let mut names: Vec<_> = names
        .map(|entry| entry.expect("an entry").file_name().to_owned())
        .collect();
    names.sort();
    println!("names {names:?}");
    // As much as fits, then as little: the next call goes on where that ended.
    fs::seek(&directory, SeekFrom::Start(0)).expect("the start");
    let mut counts = Vec::new();
    for len in [60, 60, 60, 20] {
        let mut buf = vec![MaybeUninit::uninit(); len];
        let mut entries = fs::RawDir::new(&directory, &mut buf);
        let mut count = 0;
        let end = loop {
            match entries.next() {
                Some(Ok(_)) => count += 1,
                end => break end.map(|end| end.map(drop)),
            }
            if entries.is_buffer_empty() {
                break None;
            }
        };
        counts.push((count, end));
    }
    println!("in pieces {counts:?}");
    println!("removed {:?} {:?}", fs::unlink(path), fs::rmdir(folder));
    let missing = fs::open(path, OFlags::RDONLY, Mode::empty());
    println!("gone {:?}", missing.map(drop));
    println!(
        "at / {:?} {:?}",
        process::chdir("/"),
        process::getcwd(Vec::new())
    );
    let memory = fs::memfd_create("unnamed", MemfdFlags::CLOEXEC).expect("a file");
    println!("kept {:?}", io::write(&memory, b"memory"));
    println!("sought {:?}", fs::seek(&memory, SeekFrom::Start(2)));
    let mut buf = [0; 16];
    println!("left {:?}", io::read(&memory, &mut buf));
}

/// What a system call must leave alone: the caller's stack below its pointer, vector registers, `errno`.
fn registers() {
    println!("a system {:?}", system::uname().sysname());
    println!("thread {}", thread::gettid() == process::getpid());
    let mut random = [0; 32];
    let filled = getrandom(&mut random, GetRandomFlags::empty());
    println!("random {filled:?} {}", random != [0; 32]);
    let before = time::clock_gettime(ClockId::Monotonic);
    let slept = thread::nanosleep(&span(5_000_000));
    let after = time::clock_gettime(ClockId::Monotonic);
    println!("slept {slept:?} {}", after > before);
    let factors = black_box([1.5_f64, 2.5, 3.5, 4.5]);
    let sum: f64 = (0..1000_i32)
        .map(|index| {
            thread::sched_yield();
            factors
                .iter()
                .map(|factor| factor * f64::from(index))
                .sum::<f64>()
        })
        .sum();
    println!("sum {sum}");
    let missing = std::fs::File::open("/no/such/file");
    drop(fs::open("/", OFlags::WRONLY, Mode::empty()));
    println!(
        "error {:?}",
        missing.map(drop).map_err(|error| error.kind())
    );
}
