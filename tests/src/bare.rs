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
        let serial = self.folder().join("serial");
        let mut line = OsString::from("file:");
        line.push(&serial);
        let mut machine = Command::new(qemu())
            .args(&self.words)
            .args([OsString::from("-serial"), line])
            .stdin(Stdio::null())
            .spawn()
            .expect("QEMU");
        let has_ended = wait(&mut machine);
        let console = std::fs::read(&serial).unwrap_or_default();
        let console = String::from_utf8_lossy(&console).into_owned();
        assert!(has_ended, "it does not end; its console shows:\n{console}");
        console
    }
}

/// Waits for the end; one that does not come in time is made.
fn wait(machine: &mut Child) -> bool {
    let start = Instant::now();
    while start.elapsed() < DEADLINE {
        if machine.try_wait().expect("QEMU's end").is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    machine.kill().expect("a process of ours");
    machine.wait().expect("QEMU's end");
    false
}
