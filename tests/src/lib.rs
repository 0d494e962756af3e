//! The harness of the tests that boot virtual machines: `cargo test -p vm-tests` (the tests are in `vm/`).
//!
//! A test names a program and a machine ([`Guest`]), starts it, and judges the [`Running`] machine from outside: its
//! console, its end, its network ([`http`], frame by frame [`wire`], or with Linux at the other end of a bad cable [`relay`]). What the tool itself does not start is a [`Bare`] machine. A program is built once in a test run. Whatever
//! fails shows the console. Deadlines are far beyond what a machine needs: only what hangs meets them.

mod bare;
pub mod crowd;
pub mod frame;
mod guest;
pub mod http;
pub mod namespace;
mod program;
pub mod relay;
mod site;
pub mod wire;

pub use bare::Bare;
pub use cargo_toro::build::Format;
pub use cargo_toro::terminal::Wishes;
pub use cargo_toro::values::{Boot, DiskBus, Machine, Nic, Size};
pub use guest::{Ended, Guest, Running};
pub use program::build_error;
pub use site::{Site, ext2_image};

use std::time::Duration;

/// How long anything may take: far longer than it does, on the slowest of hosts.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// How long a stress test goes on: as many seconds as the environment variable TORO_STRESS says, or few.
pub fn stress_time() -> Duration {
    let seconds = std::env::var("TORO_STRESS").ok();
    Duration::from_secs(seconds.and_then(|text| text.parse().ok()).unwrap_or(2))
}
