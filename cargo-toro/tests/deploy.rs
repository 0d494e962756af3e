//! `cargo toro deploy` against a real libvirt and a real SSH server, which `deploy/host.sh` starts in namespaces of their own.
//!
//! Where that cannot be done (no root, no libvirt) the test says so and passes: nothing of it can be told there.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// Set for the test inside the namespaces: the folder with `ssh_config`.
const INSIDE: &str = "TORO_TEST_DEPLOY_HOST";

const SERVICE: &str = r#"
use std::io::{Read, Write};
fn main() -> std::io::Result<()> {
    if option_env!("SAMPLE_BREAKS").is_some() { panic!("broken on purpose"); }
    let starts = std::fs::read_to_string("/starts").unwrap_or_default() + "x";
    std::fs::write("/starts", &starts)?;
    let listener = std::net::TcpListener::bind("0.0.0.0:80")?;
    println!("start number {}", starts.len());
    loop {
        let (mut stream, _) = listener.accept()?;
        let mut buffer = [0; 512];
        let _ = stream.read(&mut buffer)?;
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{:02}", starts.len());
    }
}
"#;

fn missing() -> Option<&'static str> {
    let has = |program: &str, option: &str| {
        let mut command = Command::new(program);
        command
            .arg(option)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok()
    };
    let is_root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout == b"0\n");
    match () {
        () if !is_root => Some("root"),
        () if !has("/usr/sbin/libvirtd", "--version") || !has("virsh", "--version") => {
            Some("libvirt")
        }
        () if !Path::new("/usr/sbin/sshd").exists() => Some("an SSH server"),
        () if !has("unshare", "--version") => Some("unshare"),
        () => None,
    }
}

#[test]
fn a_service_lives_on_a_host_through_updates_failures_and_its_end() {
    if let Ok(folder) = std::env::var(INSIDE) {
        return life_of_a_service(Path::new(&folder));
    }
    if let Some(what) = missing() {
        eprintln!("skipped: this test needs {what}, which is not here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deploy/host.sh");
    let status = Command::new("unshare")
        .args([
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ])
        .arg(script)
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_service_lives_on_a_host_through_updates_failures_and_its_end",
            "--nocapture",
        ])
        .env(INSIDE, folder.path())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

struct Box {
    config: PathBuf,
    sample: PathBuf,
}

impl Box {
    fn toro(&self, words: &[&str], more: &[&str], envs: &[(&str, &str)]) -> Output {
        self.command(words, more, envs).output().unwrap()
    }

    /// Presses Ctrl-C when the tool has said `said`; everything that it says.
    #[track_caller]
    fn interrupted(&self, words: &[&str], more: &[&str], said: &str) -> String {
        let (status, all) = self.ended(words, more, said, "-INT");
        assert_eq!(status.code(), Some(130), "{words:?}: {all}");
        all
    }

    /// Sends the tool and what it has started a signal when it has said `said`.
    #[track_caller]
    fn ended(
        &self,
        words: &[&str],
        more: &[&str],
        said: &str,
        signal: &str,
    ) -> (ExitStatus, String) {
        let mut command = self.command(words, more, &[]);
        command.process_group(0).stdout(Stdio::null());
        let mut tool = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(tool.stderr.take().unwrap());
        let mut all = String::new();
        while !all.contains(said) {
            assert_ne!(lines.read_line(&mut all).unwrap(), 0, "{all}");
        }
        let group = format!("-{}", tool.id());
        let kill = Command::new("kill").args([signal, "--", &group]).status();
        assert!(kill.unwrap().success());
        lines.read_to_string(&mut all).unwrap();
        (tool.wait().unwrap(), all)
    }

    fn command(&self, words: &[&str], more: &[&str], envs: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-toro"));
        command.args(["toro", "deploy"]).args(words);
        command
            .args(["--host", "box", "--ssh-config"])
            .arg(&self.config)
            .args(more);
        command
            .current_dir(&self.sample)
            .stdin(Stdio::null())
            .envs(envs.iter().copied());
        for variable in [
            "TORO_CHECKOUT",
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_TARGET_DIR",
        ] {
            command.env_remove(variable);
        }
        command
    }

    #[track_caller]
    fn works(&self, words: &[&str], more: &[&str]) -> String {
        let output = self.toro(words, more, &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    #[track_caller]
    fn fails(&self, words: &[&str], more: &[&str], envs: &[(&str, &str)], parts: &[&str]) {
        let output = self.toro(words, more, envs);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        for part in parts {
            assert!(said.contains(part), "{part:?} is not in:\n{said}");
        }
    }
}

/// The number of starts that the service counted on its disk.
fn starts(port: u16) -> String {
    let url = format!("http://127.0.0.1:{port}/");
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "60", &url])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits until it is so; what a killed tool has begun may go on for a moment.
#[track_caller]
fn until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "it is not so for a minute");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn virsh(words: &[&str]) -> String {
    let output = Command::new("virsh")
        .args(["-q", "-c", "qemu:///system"])
        .args(words)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn life_of_a_service(folder: &Path) {
    let sample = folder.join("sample");
    std::fs::create_dir_all(sample.join("src")).unwrap();
    std::fs::create_dir_all(sample.join("data")).unwrap();
    std::fs::write(sample.join("src/main.rs"), SERVICE).unwrap();
    let manifest = "[package]\nname = \"sample\"\nedition = \"2024\"\n[package.metadata.toro]\nmemory = \"32M\"\n\
        disks = [{ image = \"data.img\", from = \"data\", mount = \"/\", size = \"4M\" }]\n";
    std::fs::write(sample.join("Cargo.toml"), manifest).unwrap();
    let host = Box {
        config: folder.join("ssh_config"),
        sample,
    };
    let port = 8080;
    let publish = ["-p", "8080:80", "--health-timeout", "300"];

    // The host is ready, and asking again changes nothing.
    host.works(&["prepare"], &["--yes"]);
    // What cannot be is said, and leaves nothing behind.
    let taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    host.fails(
        &["up"],
        &publish,
        &[],
        &[
            "port 8080 of box is taken",
            "help: choose another by --publish",
        ],
    );
    drop(taken);
    host.fails(
        &["up"],
        &publish,
        &[("SAMPLE_BREAKS", "1")],
        &["did not come up and was removed again", "broken on purpose"],
    );
    assert_eq!(virsh(&["list", "--all", "--name"]).trim(), "");
    let left = std::fs::read_dir("/var/lib/toro").unwrap().count();
    assert_eq!(left, 0, "files of a service that did not come up");
    host.fails(
        &["status", "sample"],
        &[],
        &[],
        &["there is no service `sample` on box"],
    );
    let foreign = "<domain type='qemu'><name>foreign</name><memory>65536</memory><os><type arch='x86_64'>hvm</type></os></domain>";
    std::fs::write(folder.join("foreign.xml"), foreign).unwrap();
    virsh(&["define", folder.join("foreign.xml").to_str().unwrap()]);
    host.fails(
        &["up", "--name", "foreign"],
        &publish,
        &[],
        &["was not made by this tool"],
    );
    host.fails(
        &["down", "foreign"],
        &[],
        &[],
        &["was not made by this tool"],
    );

    host.works(&["up"], &publish);
    assert_eq!(starts(port), "01");
    let status = host.works(&["status"], &[]);
    for part in [
        "sample on box: running, release 1",
        "tcp 0.0.0.0:8080 -> 80",
        "VNC, 127.0.0.1:59",
    ] {
        assert!(status.contains(part), "{part:?} is not in:\n{status}");
    }
    assert!(
        virsh(&["dominfo", "sample"])
            .lines()
            .any(|line| line.starts_with("Autostart") && line.ends_with("enable"))
    );
    assert!(host.works(&["logs"], &[]).contains("start number 1"));
    let picture = folder.join("screen.png");
    host.works(&["screen"], &["-o", picture.to_str().unwrap()]);
    assert!(std::fs::read(&picture).unwrap().starts_with(b"\x89PNG"));
    host.fails(&["up"], &publish, &[], &["is on box already"]);

    // An update keeps the disk; one that does not come up gives way to what was there.
    host.works(&["update"], &publish);
    assert_eq!(starts(port), "02");
    host.fails(
        &["update"],
        &publish,
        &[("SAMPLE_BREAKS", "1")],
        &["release 3 of `sample` did not come up; release 2 runs again"],
    );
    // Ctrl-C takes back what was begun, and what was left of it is nothing to go back to.
    for said in ["Copying", "Stopping", "Starting"] {
        host.interrupted(&["update"], &publish, said);
        let status = host.works(&["status"], &[]);
        assert!(status.contains("running, release 2"), "{said}: {status}");
        assert!(status.contains("releases 1, 2 in"), "{said}: {status}");
    }
    host.interrupted(&["rollback"], &[], "Stopping");
    assert!(host.works(&["status"], &[]).contains("running, release 2"));
    host.works(&["rollback"], &[]);
    assert!(host.works(&["status"], &[]).contains("release 1"));
    // A tool that is killed takes nothing back: the next one does, and goes by what was seen to come up.
    for said in ["Copying", "Stopping", "Starting"] {
        host.ended(&["update"], &publish, said, "-KILL");
    }
    until(|| virsh(&["dumpxml", "sample"]).contains("/releases/5/"));
    let status = host.toro(&["status"], &[], &[]);
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    let note = "release 5 is of an update that was broken off";
    assert!(status.contains(note), "{status}");
    host.fails(
        &["update"],
        &publish,
        &[("SAMPLE_BREAKS", "1")],
        &["release 6 of `sample` did not come up; release 1 runs again"],
    );
    host.works(&["stop"], &[]);
    assert_eq!(virsh(&["domstate", "sample"]).trim(), "shut off");
    host.fails(
        &["up", "--name", "other"],
        &publish,
        &[],
        &["port 8080 of box is taken by the service `sample`"],
    );
    host.fails(&["screen"], &[], &[], &["does not run"]);
    host.works(&["start"], &[]);
    // As `stop` does, it says nothing against what is so already.
    host.works(&["start"], &[]);

    host.works(&["down"], &[]);
    assert!(!virsh(&["list", "--all", "--name"]).contains("sample"));
    assert!(
        Path::new("/var/lib/toro/sample/disks/data.img").exists(),
        "data disks stay"
    );
    assert!(!Path::new("/var/lib/toro/sample/releases").exists());
    host.works(&["up"], &publish);
    let after: u32 = starts(port).parse().unwrap();
    assert!(
        after >= 4,
        "the disk of before is used again, which counted {after} starts"
    );
    host.works(&["down"], &["--delete-disks"]);
    assert!(!Path::new("/var/lib/toro/sample").exists());

    let output = Command::new(env!("CARGO_BIN_EXE_cargo-toro"))
        .args([
            "toro",
            "deploy",
            "status",
            "x",
            "--host",
            "nobody-there",
            "--ssh-config",
        ])
        .arg(&host.config)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("nobody-there cannot be reached by SSH"),
        "{said}"
    );
}
