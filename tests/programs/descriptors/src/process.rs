//! What does not depend on where the program runs, of processes and their environment.

use crate::{check, owned, show};
use std::process::Command;

pub(crate) fn steps() {
    let missing = Command::new("/no/such/program").spawn();
    show(
        "no such program",
        missing.map(drop).map_err(|error| error.kind()),
    );
    let unknown = Command::new("surely-no-such-program").output();
    show(
        "nor by its name",
        unknown.map(drop).map_err(|error| error.kind()),
    );
    // SAFETY: the status is not wanted.
    let waited = unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) };
    show("no children", check(waited));
    // SAFETY: no function is given.
    let handlers = unsafe { libc::pthread_atfork(None, None, None) };
    show("handlers of a fork", handlers);
    // SAFETY: a C string.
    let named = unsafe { libc::mkfifo(c"/".as_ptr(), 0o600) };
    show("a pipe where something is", check(named));
    // SAFETY: no other thread runs.
    unsafe {
        std::env::set_var("A_VARIABLE", "one");
        std::env::set_var("A_VARIABLE", "two");
    }
    show("a variable", std::env::var("A_VARIABLE"));
    // SAFETY: as above.
    unsafe { std::env::remove_var("A_VARIABLE") };
    show("taken away", std::env::var("A_VARIABLE"));
    let numbers = [
        2_f64.powf(0.5),
        10_f64.ln(),
        1000_f64.log2(),
        0.5_f64.sin(),
        3_f64.cbrt(),
        2_f64.exp(),
        (-1_f64).atan2(2.0),
    ];
    limits();
    kept();
    show("numbers", numbers.map(|number| format!("{number:.12}")));
}

/// What `prctl` sets, it also tells.
fn kept() {
    let mut number = -1;
    // SAFETY: a number can be written.
    let mut call = |option: i32, argument: usize| unsafe {
        number = -1;
        let is_told = matches!(
            option,
            libc::PR_GET_PDEATHSIG | libc::PR_GET_CHILD_SUBREAPER
        );
        let argument = match is_told {
            true => (&raw mut number) as usize,
            false => argument,
        };
        (check(libc::prctl(option, argument, 0, 0, 0)), number)
    };
    for (set, get, value) in [
        (libc::PR_SET_PDEATHSIG, libc::PR_GET_PDEATHSIG, 10),
        (libc::PR_SET_PDEATHSIG, libc::PR_GET_PDEATHSIG, 99),
        (libc::PR_SET_PDEATHSIG, libc::PR_GET_PDEATHSIG, 0),
        (
            libc::PR_SET_CHILD_SUBREAPER,
            libc::PR_GET_CHILD_SUBREAPER,
            1,
        ),
        (
            libc::PR_SET_CHILD_SUBREAPER,
            libc::PR_GET_CHILD_SUBREAPER,
            0,
        ),
        (libc::PR_SET_KEEPCAPS, libc::PR_GET_KEEPCAPS, 1),
        (libc::PR_SET_KEEPCAPS, libc::PR_GET_KEEPCAPS, 2),
        (libc::PR_SET_KEEPCAPS, libc::PR_GET_KEEPCAPS, 0),
        (libc::PR_SET_TIMERSLACK, libc::PR_GET_TIMERSLACK, 7000),
        (libc::PR_SET_TIMERSLACK, libc::PR_GET_TIMERSLACK, 0),
        (libc::PR_SET_THP_DISABLE, libc::PR_GET_THP_DISABLE, 1),
        (libc::PR_SET_THP_DISABLE, libc::PR_GET_THP_DISABLE, 0),
    ] {
        show(
            &format!("option {set} as {value}"),
            (call(set, value), call(get, 0)),
        );
    }
}

/// Of descriptors, and some that do not bind the user 0.
fn limits() {
    let limit_of = |resource| {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: there is room for a limit.
        check(unsafe { libc::getrlimit(resource, &raw mut limit) }).map(|_| limit)
    };
    let set = |resource, limit: libc::rlimit| {
        // SAFETY: a limit.
        check(unsafe { libc::setrlimit(resource, &raw const limit) })
    };
    let before = limit_of(libc::RLIMIT_NOFILE).expect("a limit");
    let fewer = libc::rlimit {
        rlim_cur: 40,
        ..before
    };
    show("fewer descriptors", set(libc::RLIMIT_NOFILE, fewer));
    // SAFETY: no pointers.
    let next = || check(unsafe { libc::fcntl(0, libc::F_DUPFD_CLOEXEC, 0) });
    let (more, error) = until_error(next);
    show("the last of them", more.last());
    show("and no more", error);
    drop(more.into_iter().map(owned).collect::<Vec<_>>());
    // SAFETY: no pointers.
    show("nor by its number", check(unsafe { libc::dup2(0, 40) }));
    let too_many = libc::rlimit {
        rlim_cur: 41,
        rlim_max: 40,
    };
    show("more than allowed", set(libc::RLIMIT_NOFILE, too_many));
    show("as before", set(libc::RLIMIT_NOFILE, before));
    show("no such limit", set(99, before));
    let threads = limit_of(libc::RLIMIT_NPROC).map(|limit| libc::rlimit {
        rlim_cur: 2,
        ..limit
    });
    show(
        "few threads",
        threads.and_then(|limit| set(libc::RLIMIT_NPROC, limit)),
    );
    show(
        "is what is said",
        limit_of(libc::RLIMIT_NPROC).map(|limit| limit.rlim_cur),
    );
    let spawned = std::thread::Builder::new().spawn(|| std::thread::spawn(|| 7).join());
    let result = spawned.map(|thread| thread.join().expect("no panic").expect("no panic"));
    show("but does not bind", result.map_err(|error| error.kind()));
}

fn until_error(mut next: impl FnMut() -> Result<i32, i32>) -> (Vec<i32>, i32) {
    let mut all = Vec::new();
    loop {
        match next() {
            Ok(one) => all.push(one),
            Err(error) => return (all, error),
        }
    }
}
