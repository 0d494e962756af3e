//! A machine by words for QEMU alone: for media and loaders that the tool itself does not start machines with.

use crate::DEADLINE;
use crate::program;
use cargo_toro::build::{Contents, Format, write_image};
use cargo_toro::qemu::qemu;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A folder for one machine's files, and the words that describe the machine.
#[derive(Debug)]
pub struct Bare {
    folder: TempDir,
    words: Vec<OsString>,
}

impl Bare {
    /// A machine of a model, as `q35`.
    pub fn new(machine: &str) -> Self {
        let words = ["-M", machine, "-accel", "tcg", "-net", "none", "-no-reboot"];
        let words = words.iter().map(OsString::from).collect();
        let folder = tempfile::tempdir().expect("a folder for the machine");
        let machine = Self { folder, words };
        machine.qemu(&["-display", "none", "-monitor", "none"])
    }

    /// More words for QEMU.
    pub fn qemu(mut self, words: &[&str]) -> Self {
        self.words.extend(words.iter().map(OsString::from));
        self
    }

    /// Starts by UEFI.
    pub fn uefi(mut self) -> Self {
        let firmware = cargo_toro::qemu::ovmf().expect("firmware for UEFI");
        self.words.extend(["-bios".into(), firmware.into()]);
        self.qemu(&["-m", "256"])
    }

    /// A word of QEMU's and, behind `prefix`, the path of a file.
    pub fn file(mut self, option: &str, prefix: &str, path: &Path) -> Self {
        let mut value = OsString::from(prefix);
        value.push(path);
        self.words.extend([option.into(), value]);
        self
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The image of a program of this workspace, in the folder.
    pub fn image(&self, name: &str, format: Format) -> PathBuf {
        let path = cargo_toro::build::image_path(self.folder(), name, format);
        let linked = program::linked(name);
        write_image(&linked.elf, format, Contents::default(), &path, None).expect("an image");
        path
    }

    /// Runs it until it ends by itself; returns what came on its serial line.
    pub fn run(self) -> String {
        let mut machine = self.start();
        let has_ended = wait(|| machine.try_wait().expect("QEMU's end").is_some());
        end(machine);
        let console = self.console();
        assert!(has_ended, "it does not end; its console shows:\n{console}");
        console
    }

    /// Runs one that does not end by itself, until a text comes on its serial line; returns all that came.
    pub fn run_until(self, text: &str) -> String {
        let machine = self.start();
        let has_come = wait(|| self.console().contains(text));
        end(machine);
        let console = self.console();
        assert!(has_come, "no `{text}`; its console shows:\n{console}");
        console
    }

    fn start(&self) -> Child {
        let mut line = OsString::from("file:");
        line.push(self.serial());
        Command::new(qemu())
            .args(&self.words)
            .args([OsString::from("-serial"), line])
            .stdin(Stdio::null())
            .spawn()
            .expect("QEMU")
    }

    fn serial(&self) -> PathBuf {
        self.folder().join("serial")
    }

    fn console(&self) -> String {
        let console = std::fs::read(self.serial()).unwrap_or_default();
        String::from_utf8_lossy(&console).into_owned()
    }
}

/// Waits until something is so, as long as a test may last.
fn wait(mut is_so: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < DEADLINE {
        if is_so() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

/// Ends a machine that may have ended.
fn end(mut machine: Child) {
    machine.kill().expect("a process of ours");
    machine.wait().expect("QEMU's end");
}
