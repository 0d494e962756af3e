//! What does not depend on where the program runs, of processes and their environment.

use crate::{check, show};
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
    show("numbers", numbers.map(|number| format!("{number:.12}")));
}
