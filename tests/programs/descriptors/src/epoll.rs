//! `epoll` and `eventfd`.

use crate::{check, owned, pair, read, read_number, show, write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

const EDGE: u32 = libc::EPOLLET as u32;
const IN: u32 = libc::EPOLLIN as u32;
const OUT: u32 = libc::EPOLLOUT as u32;
const ONE_SHOT: u32 = libc::EPOLLONESHOT as u32;
const EXCLUSIVE: u32 = libc::EPOLLEXCLUSIVE as u32;

fn epoll() -> OwnedFd {
    // SAFETY: no pointers.
    owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })
}

fn event(flags: i32) -> OwnedFd {
    // SAFETY: no pointers.
    owned(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | flags) })
}

fn control(
    epoll: &OwnedFd,
    operation: i32,
    descriptor: i32,
    events: u32,
    data: u64,
) -> Result<i32, i32> {
    let mut event = libc::epoll_event { events, u64: data };
    // SAFETY: the event is a local variable.
    check(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), operation, descriptor, &raw mut event) })
}

fn add(epoll: &OwnedFd, descriptor: &impl AsRawFd, events: u32, data: u64) -> Result<i32, i32> {
    control(
        epoll,
        libc::EPOLL_CTL_ADD,
        descriptor.as_raw_fd(),
        events,
        data,
    )
}

/// Waits; events and data, in the order of data.
fn wait(epoll: &OwnedFd, timeout_ms: i32) -> Vec<(u32, u64)> {
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 8];
    // SAFETY: there is room for eight events.
    let count = unsafe { libc::epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr(), 8, timeout_ms) };
    let count = check(count).expect("events") as usize;
    let mut found: Vec<_> = events[..count].iter().map(|e| (e.events, e.u64)).collect();
    found.sort_by_key(|&(_, data)| data);
    found
}

fn one() -> [u8; 8] {
    1_u64.to_ne_bytes()
}

pub fn steps() {
    levels();
    edges();
    one_shot();
    closing();
    several();
    nested();
    refused();
    counters();
    wakes();
}

fn levels() {
    let (epoll, event) = (epoll(), event(0));
    show("added", add(&epoll, &event, IN, 7));
    show("added twice", add(&epoll, &event, IN, 8));
    show("nothing yet", wait(&epoll, 0));
    show("counted", write(&event, &one()));
    show("told", wait(&epoll, 1000));
    show("told again while it is so", wait(&epoll, 1000));
    show("read", read_number(&event));
    show("told no more", wait(&epoll, 0));
    let changed = control(&epoll, libc::EPOLL_CTL_MOD, event.as_raw_fd(), IN | OUT, 9);
    show("changed", changed);
    show("writable at once", wait(&epoll, 1000));
    let removed = control(&epoll, libc::EPOLL_CTL_DEL, event.as_raw_fd(), 0, 0);
    show("removed", removed);
    show("removed is silent", wait(&epoll, 0));
    let again = control(&epoll, libc::EPOLL_CTL_DEL, event.as_raw_fd(), 0, 0);
    show("removed twice", again);
}

fn edges() {
    let (epoll, event) = (epoll(), event(0));
    show("edge added", add(&epoll, &event, IN | OUT | EDGE, 1));
    show("first edge", wait(&epoll, 1000));
    show("an edge is told once", wait(&epoll, 0));
    show("a change", write(&event, &one()));
    show("second edge", wait(&epoll, 1000));
    show("another change", write(&event, &one()));
    show("third edge, though it was ready before", wait(&epoll, 1000));
    show("both changes are read", read_number(&event));
}

fn one_shot() {
    let (epoll, event) = (epoll(), event(0));
    show("one shot added", add(&epoll, &event, IN | ONE_SHOT, 1));
    show("shot", write(&event, &one()));
    show("told one shot", wait(&epoll, 1000));
    show("disarmed", write(&event, &one()));
    show("not told", wait(&epoll, 0));
    let armed = control(
        &epoll,
        libc::EPOLL_CTL_MOD,
        event.as_raw_fd(),
        IN | ONE_SHOT,
        2,
    );
    show("armed again", armed);
    show("told what had come meanwhile", wait(&epoll, 1000));
}

fn closing() {
    let epoll = epoll();
    let event_fd = event(0);
    let number = event_fd.as_raw_fd();
    show("watched", add(&epoll, &event_fd, OUT, 1));
    let copy = event_fd.try_clone().expect("a copy");
    drop(event_fd);
    show("a copy keeps the watch", wait(&epoll, 1000));
    let by_number = control(&epoll, libc::EPOLL_CTL_DEL, number, 0, 0);
    show("the number is nobody's", by_number);
    drop(copy);
    show("the last descriptor ends it", wait(&epoll, 0));
    let next = event(0);
    show("the number is used again", next.as_raw_fd() == number);
    show("and watched anew", add(&epoll, &next, OUT, 2));
    show("as itself", wait(&epoll, 1000));
}

fn several() {
    let epoll = epoll();
    let events: Vec<_> = (0..100).map(|_| event(0)).collect();
    for (event, data) in events.iter().zip(0..) {
        add(&epoll, event, IN | EDGE, data).expect("a watch");
    }
    for index in [3, 50, 97] {
        write(&events[index], &one()).expect("room");
    }
    show("those that are ready, of a hundred", wait(&epoll, 1000));
    drop(events);
    show("none is left", wait(&epoll, 0));
}

fn nested() {
    let (inner, outer, event) = (epoll(), epoll(), event(0));
    show("inner watch", add(&inner, &event, IN, 1));
    show("an instance in another", add(&outer, &inner, IN, 2));
    show("in a circle", add(&inner, &outer, IN, 3));
    show("in itself", add(&inner, &inner, IN, 3));
    show("outer waits", wait(&outer, 0));
    show("inner event", write(&event, &one()));
    show("outer tells of inner", wait(&outer, 1000));
    show("inner tells", wait(&inner, 1000));
}

fn refused() {
    let epoll = epoll();
    let file = std::fs::File::open("/").expect("the root");
    show("files are always ready", add(&epoll, &file, IN, 1));
    show("not open", add(&epoll, &1_000_000, IN, 1));
    let event = event(0);
    show("exclusive", add(&epoll, &event, IN | EXCLUSIVE, 1));
    let changed = control(&epoll, libc::EPOLL_CTL_MOD, event.as_raw_fd(), IN, 1);
    show("exclusive cannot be changed", changed);
    let mut none = libc::epoll_event { events: 0, u64: 0 };
    // SAFETY: no event is written: their number is wrong.
    let no_room = unsafe { libc::epoll_wait(epoll.as_raw_fd(), &raw mut none, 0, 0) };
    show("no room for events", check(no_room));
    // SAFETY: as above: the descriptor is wrong.
    let other = unsafe { libc::epoll_wait(event.as_raw_fd(), &raw mut none, 1, 0) };
    show("no instance", check(other));
    // SAFETY: no pointers.
    show("unknown flag", check(unsafe { libc::epoll_create1(1) }));
}

fn counters() {
    let event = event(0);
    show("empty", read_number(&event));
    show("three", write(&event, &3_u64.to_ne_bytes()));
    show("and four", write(&event, &4_u64.to_ne_bytes()));
    show("are seven", read_number(&event));
    show("too short", write(&event, &[1, 2, 3]));
    show("too much", write(&event, &u64::MAX.to_ne_bytes()));
    let full = (u64::MAX - 1).to_ne_bytes();
    show("as much as it holds", write(&event, &full));
    show("more", write(&event, &one()));
    show("all of it", read_number(&event) == Ok(u64::MAX - 1));
    let semaphore = self::event(libc::EFD_SEMAPHORE);
    show(
        "two for a semaphore",
        write(&semaphore, &2_u64.to_ne_bytes()),
    );
    let taken: Vec<_> = (0..3).map(|_| read_number(&semaphore)).collect();
    show("are taken one by one", taken);
}

fn wakes() {
    let (epoll, event) = (epoll(), event(0));
    add(&epoll, &event, IN, 5).expect("a watch");
    let found = thread::scope(|scope| {
        let waiter = scope.spawn(|| wait(&epoll, -1));
        thread::sleep(Duration::from_millis(20));
        write(&event, &one()).expect("room");
        waiter.join().expect("a waiter")
    });
    show("a sleeper is woken", found);
    read_number(&event).expect("a number");
    let start = Instant::now();
    show("a timeout without events", wait(&epoll, 30));
    let waited = start.elapsed();
    show("after the time", waited >= Duration::from_millis(30));
    let (mine, other) = pair(|both| {
        // SAFETY: there is room for two descriptors.
        unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, both) }
    });
    let all = IN | OUT | libc::EPOLLRDHUP as u32 | EDGE;
    show("a socket", add(&epoll, &mine, all, 6));
    show("is writable", wait(&epoll, 1000));
    show("the other writes", write(&other, b"x"));
    show("it is readable", wait(&epoll, 1000));
    show("and read", read(&mine));
    drop(other);
    show("the other is gone", wait(&epoll, 1000));
    show("end", read(&mine));
}
