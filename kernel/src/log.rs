//! Kernel messages, on the console, by level.

use core::fmt::Write;

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::devices::console::Console;

struct ConsoleLog;

impl Log for ConsoleLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let name = match record.level() {
            Level::Error => "\x1b[1;31merror\x1b[0m",
            Level::Warn => "\x1b[1;33mwarning\x1b[0m",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        };
        let _ = writeln!(Console, "toro: {name}: {}", record.args());
    }

    fn flush(&self) {}
}

/// Shows messages of `level` and above from now on.
pub fn initialise(level: LevelFilter) {
    let _ = log::set_logger(&ConsoleLog);
    log::set_max_level(level);
}
