//! What the standard library promises: each step shows what came of one promise, the same on every Linux.

#![allow(
    clippy::join_absolute_paths,
    clippy::missing_const_for_thread_local,
    clippy::nonsensical_open_options,
    reason = "what comes of odd calls is shown too"
)]

mod ends;
mod files;
mod locks;
mod net;
mod netlink;
mod options;
mod sockets;
mod threads;
mod unix;
mod values;

/// Shows what came of a step: a value, or the kind of its error.
macro_rules! show {
    ($what:expr, $value:expr $(,)?) => {
        println!("{}: {:?}", $what, $value)
    };
}
pub(crate) use show;

/// An outcome to compare between systems: errors by their kind.
pub(crate) trait Kind<T> {
    fn kind(self) -> Result<T, std::io::ErrorKind>;
}

impl<T> Kind<T> for std::io::Result<T> {
    fn kind(self) -> Result<T, std::io::ErrorKind> {
        self.map_err(|error| error.kind())
    }
}

fn main() {
    values::steps();
    locks::steps();
    threads::steps();
    files::steps();
    net::steps();
    sockets::steps();
    options::steps();
    netlink::steps();
    unix::steps();
    ends::steps();
    println!("all steps done");
}
