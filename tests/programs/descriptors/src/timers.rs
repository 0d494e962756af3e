//! `timerfd`.

use crate::{check, owned, read_number, show};
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

fn timer(flags: i32) -> OwnedFd {
    // SAFETY: no pointers.
    owned(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })
}

fn time(ns: i64) -> libc::timespec {
    libc::timespec {
        tv_sec: ns / 1_000_000_000,
        tv_nsec: ns % 1_000_000_000,
    }
}

fn set(timer: &OwnedFd, flags: i32, first_ns: i64, interval_ns: i64) -> Result<i32, i32> {
    let new = libc::itimerspec {
        it_value: time(first_ns),
        it_interval: time(interval_ns),
    };
    // SAFETY: the time is a local variable, and the old one is not wanted.
    check(unsafe { libc::timerfd_settime(timer.as_raw_fd(), flags, &new, std::ptr::null_mut()) })
}

/// Whether it is readable within some time.
fn is_ready(timer: &OwnedFd, timeout_ms: i32) -> bool {
    let mut request = libc::pollfd {
        fd: timer.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one request.
    check(unsafe { libc::poll(&raw mut request, 1, timeout_ms) }) == Ok(1)
}

pub(crate) fn steps() {
    let timer_once = timer(libc::TFD_NONBLOCK);
    show("a new timer", read_number(&timer_once));
    // Longer than anything stands still between two calls, on a host that has more to do.
    show("armed", set(&timer_once, 0, 1_000_000_000, 0));
    show("not at once", read_number(&timer_once));
    show("but soon", is_ready(&timer_once, 60_000));
    show("once", read_number(&timer_once));
    show("and no more", is_ready(&timer_once, 20));
    let often = timer(0);
    let start = Instant::now();
    show("armed to repeat", set(&often, 0, 5_000_000, 5_000_000));
    let mut count = 0;
    while count < 5 {
        count += read_number(&often).expect("a count");
    }
    let waited = start.elapsed();
    show(
        "five times take their time",
        waited >= Duration::from_millis(25),
    );
    thread::sleep(Duration::from_millis(30));
    let missed = read_number(&often).expect("a count");
    show("those that were missed are counted", missed >= 5);
    show("disarmed", set(&often, 0, 0, 0));
    show("and silent", is_ready(&often, 20));
    show("in the past", set(&often, libc::TFD_TIMER_ABSTIME, 1, 0));
    show("is now", read_number(&often));
    show("no time", set(&often, 0, -1, 0));
    let mut left = libc::itimerspec {
        it_value: time(0),
        it_interval: time(0),
    };
    show("far", set(&often, 0, 3_600_000_000_000, 60_000_000_000));
    // SAFETY: the time is a local variable.
    let asked = check(unsafe { libc::timerfd_gettime(often.as_raw_fd(), &raw mut left) });
    let is_near = (3590..=3600).contains(&left.it_value.tv_sec);
    show("what is left", (asked, is_near, left.it_interval.tv_sec));
    // SAFETY: no pointers.
    show(
        "no such clock",
        check(unsafe { libc::timerfd_create(99, 0) }),
    );
}
