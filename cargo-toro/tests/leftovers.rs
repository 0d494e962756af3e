//! What commands leave behind when they cannot go on: nothing that is half.
#![cfg(unix)]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const TOOL: &str = env!("CARGO_BIN_EXE_cargo-toro");

/// Where files have no name until they are whole, a signal that cannot be handled leaves nothing either.
#[cfg(target_os = "linux")]
const ENDING_SIGNALS: [&str; 3] = ["-INT", "-TERM", "-KILL"];
#[cfg(not(target_os = "linux"))]
const ENDING_SIGNALS: [&str; 2] = ["-INT", "-TERM"];

fn toro(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(TOOL);
    command.arg("toro").args(arguments).current_dir(folder);
    command.stdin(Stdio::null());
    command
}

/// Runs a command to which the host refuses files longer than 64 KiB.
fn toro_with_little_room(folder: &Path, arguments: &str) -> Output {
    // 64 KiB is 128 blocks of POSIX. A signal tells of a file that is too long, unless it is ignored.
    let script = format!("trap '' XFSZ; ulimit -f 128; exec \"$0\" toro {arguments}");
    let mut command = Command::new("sh");
    command.args(["-c", &script, TOOL]).current_dir(folder);
    command.output().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A folder `files` with a file of so many bytes in it, none of them zero.
fn sample(len_bytes: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("files")).unwrap();
    std::fs::write(folder.path().join("files/large"), vec![7; len_bytes]).unwrap();
    folder
}

#[test]
fn an_image_that_does_not_fit_is_not_left_and_the_host_says_why() {
    let folder = sample(1 << 20);
    let output = toro_with_little_room(folder.path(), "mkfs a.img --from files");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let told = "cannot make the disk image a.img: File too large";
    assert!(stderr.contains(told), "{stderr}");
    assert_eq!(names(folder.path()), ["files"]);
}

#[test]
fn a_copy_that_does_not_fit_is_not_left_and_named() {
    let folder = sample(1 << 20);
    let made = toro(folder.path(), &["mkfs", "a.img", "--from", "files"]).output();
    assert!(made.unwrap().status.success());
    let output = toro_with_little_room(folder.path(), "disk cp a.img:/large copy");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let told = "cannot write copy: File too large";
    assert!(stderr.contains(told), "{stderr}");
    assert_eq!(names(folder.path()), ["a.img", "files"]);
}

#[test]
fn a_command_that_is_ended_by_a_signal_leaves_no_half_image() {
    let folder = sample(64 << 20);
    for signal in ENDING_SIGNALS {
        // One that is done before the signal arrives says nothing.
        let deadline = Instant::now() + Duration::from_secs(120);
        while !is_ended_while_it_writes(folder.path(), signal) {
            assert!(Instant::now() < deadline, "it is always done before");
        }
        let left = names(folder.path());
        assert!(
            left.iter().all(|name| !name.starts_with(".tmp")),
            "{left:?}"
        );
    }
}

/// A build script that goes on for as long as cargo does, and says which process that is.
#[cfg(target_os = "linux")]
const BUILD_SCRIPT: &str = "fn main() {
    let cargo = std::os::unix::process::parent_id();
    std::fs::write(\"cargo.new\", cargo.to_string()).unwrap();
    std::fs::rename(\"cargo.new\", \"cargo\").unwrap();
    while std::os::unix::process::parent_id() == cargo {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}";

#[cfg(target_os = "linux")]
#[test]
fn a_command_that_is_ended_by_a_signal_leaves_no_cargo() {
    for signal in ENDING_SIGNALS {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("src")).unwrap();
        for (name, content) in [
            (
                "Cargo.toml",
                "[package]\nname = \"sample\"\nedition = \"2024\"",
            ),
            ("src/main.rs", "fn main() {}"),
            ("build.rs", BUILD_SCRIPT),
        ] {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let mut command = toro(folder.path(), &["build"]);
        command.env_remove("CARGO_TARGET_DIR").stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let note = folder.path().join("cargo");
        while !note.exists() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(10));
        }
        let cargo = std::fs::read_to_string(&note).expect("the build script has run");
        let id = child.id().to_string();
        let kill = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(kill.success());
        assert!(!child.wait().unwrap().success());
        let process = Path::new("/proc").join(cargo);
        let deadline = Instant::now() + Duration::from_secs(60);
        while is_running(&process) {
            assert!(Instant::now() < deadline, "{signal}: cargo goes on");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Whether there is a process, and one that was not only not waited for.
#[cfg(target_os = "linux")]
fn is_running(process: &Path) -> bool {
    let stat = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn is_ended_while_it_writes(folder: &Path, signal: &str) -> bool {
    let mut command = toro(folder, &["mkfs", "a.img", "--from", "files"]);
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let id = child.id().to_string();
    let is_writing = || is_making_a_file(folder, &id);
    while !is_writing() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let kill = Command::new("kill").args([signal, &id]).output().unwrap();
    let status = child.wait().unwrap();
    if status.success() {
        return false;
    }
    assert!(kill.status.success());
    let code = (signal != "-KILL").then_some(130);
    assert_eq!(status.code(), code, "{status}");
    std::fs::remove_file(folder.join("a.img")).unwrap_or_default();
    true
}

/// Whether a process has a file in `folder` that has no name yet, or none that stays.
fn is_making_a_file(folder: &Path, process: &str) -> bool {
    let is_named = names(folder).iter().any(|name| name.starts_with(".tmp"));
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{process}/fd")) else {
        return is_named;
    };
    let folder = folder.canonicalize().unwrap();
    let targets = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let mut files = targets.filter(|target| target.starts_with(&folder));
    is_named || files.any(|file| file.to_string_lossy().ends_with(" (deleted)"))
}
