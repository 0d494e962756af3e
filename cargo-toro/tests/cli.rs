//! The tool as a user meets it: what it prints and how it ends, for good and for bad input.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output};

const HELLO: &str = "fn main() { println!(\"hello\"); }";

/// A crate of its own in a temporary folder.
struct Crate {
    folder: tempfile::TempDir,
}

impl Crate {
    fn new(main: &str, metadata: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("src")).unwrap();
        std::fs::write(folder.path().join("src/main.rs"), main).unwrap();
        let manifest = format!(
            "[package]\nname = \"sample\"\nedition = \"2024\"\n[package.metadata.toro]\n{metadata}\n"
        );
        std::fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `cargo toro` in the crate's folder, with nothing of the environment that would change what it does.
    fn toro(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-toro"));
        command
            .arg("toro")
            .args(arguments)
            .current_dir(self.folder.path());
        for variable in [
            "TORO_CHECKOUT",
            "TORO_QEMU",
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_TARGET_DIR",
        ] {
            command.env_remove(variable);
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.toro(arguments).output().unwrap()
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn assert_fails(output: &Output, code: i32, parts: &[&str]) {
    let said = stderr(output);
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in:\n{said}");
    }
    assert_eq!(output.status.code(), Some(code), "{said}");
}

#[test]
fn a_program_that_is_not_there_is_answered_with_those_that_are() {
    let output = Crate::new(HELLO, "").run(&["run", "smaple"]);
    assert_fails(
        &output,
        1,
        &[
            "error: there is no program `smaple`",
            "help: name one of these: sample",
        ],
    );
}

#[test]
fn a_folder_without_a_crate_is_named() {
    let empty = tempfile::tempdir().unwrap();
    let sample = Crate::new(HELLO, "");
    let output = sample
        .toro(&["run"])
        .current_dir(empty.path())
        .output()
        .unwrap();
    assert_fails(&output, 1, &["error: there is no Cargo.toml in ", "help: "]);
}

#[test]
fn an_unknown_key_of_the_metadata_is_named_with_its_file() {
    let sample = Crate::new(HELLO, "memroy = \"64M\"");
    for command in ["run", "build", "test"] {
        let output = sample.run(&[command]);
        assert_fails(
            &output,
            1,
            &[
                "unknown field `memroy`",
                "Cargo.toml: [package.metadata.toro]",
            ],
        );
    }
}

#[test]
fn a_taken_port_is_named_before_anything_starts() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let sample = Crate::new(HELLO, &format!("ports = [\"{port}:80\"]"));
    let output = sample.run(&["run"]);
    assert_fails(
        &output,
        1,
        &[
            &format!("error: port {port} of this host is taken"),
            "--publish HOST:80",
        ],
    );
    assert!(!sample.path("target").exists());
}

#[test]
fn wrong_usage_ends_with_2() {
    let sample = Crate::new(HELLO, "");
    assert_fails(
        &sample.run(&["run", "--publish", "80"]),
        2,
        &["`80` is not a port mapping"],
    );
    assert_fails(
        &sample.run(&["run", "--memory", "much"]),
        2,
        &["`much` is not a size"],
    );
    assert_fails(&sample.run(&["fly"]), 2, &["fly"]);
}

#[test]
fn a_missing_disk_is_named() {
    let output = Crate::new(HELLO, "").run(&["run", "--disk", "web.img"]);
    assert_fails(
        &output,
        1,
        &[
            "error: there is no disk image web.img",
            "help: make one with `cargo toro mkfs",
        ],
    );
}

#[test]
fn a_disk_that_is_no_file_is_told_from_one_that_is_missing() {
    let sample = Crate::new(HELLO, "");
    std::fs::create_dir(sample.path("folder")).unwrap();
    let output = sample.run(&["run", "--disk", "folder"]);
    assert_fails(&output, 1, &["error: the disk image folder is not a file"]);
}

#[test]
fn a_missing_cargo_is_named() {
    let sample = Crate::new(HELLO, "");
    let mut tool = sample.toro(&["build"]);
    let output = tool.env("CARGO", "/nowhere/cargo").output().unwrap();
    assert_fails(
        &output,
        1,
        &["`cargo` cannot be started", "help: install Rust"],
    );
}

#[test]
fn formats_are_named_in_letters_of_any_case() {
    let sample = Crate::new(HELLO, "");
    let output = sample.run(&["build", "--format", "QCOW2", "-o", "new/"]);
    assert_fails(&output, 1, &["error: new/ is a folder"]);
}

#[test]
fn a_missing_qemu_is_named_with_the_way_to_get_it() {
    let sample = Crate::new(HELLO, "");
    let output = sample
        .toro(&["run"])
        .env("TORO_QEMU", "/nowhere/qemu")
        .output()
        .unwrap();
    assert_fails(
        &output,
        1,
        &[
            "QEMU (`/nowhere/qemu`) cannot be started",
            "help: install QEMU",
        ],
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_missing_tap_is_named() {
    let output = Crate::new(HELLO, "").run(&["run", "--tap", "no/such/tap"]);
    assert_fails(
        &output,
        1,
        &["error: there is no network interface `no/such/tap`"],
    );
}

#[test]
fn a_dry_run_prints_the_command_line_and_starts_nothing() {
    let sample = Crate::new(
        HELLO,
        "memory = \"32M\"\nports = [\"8080:80\"]\nargs = [\"a b\"]",
    );
    let output = sample
        .toro(&[
            "run",
            "--dry-run",
            "--boot",
            "kernel",
            "--accel",
            "tcg",
            "--nic",
            "virtio",
        ])
        .env("TORO_QEMU", "/nowhere/qemu")
        .output()
        .unwrap();
    let line = stdout(&output);
    assert!(
        line.starts_with("/nowhere/qemu -nodefaults "),
        "{line}{}",
        stderr(&output)
    );
    for part in [
        " -m 32768K ",
        " -netdev user,id=net0,hostfwd=tcp:127.0.0.1:8080-:80 -device virtio-net-pci,",
        "/target/toro/run/sample.elf ",
        " -append 'exit=0xf4 \"arg=a b\"'",
    ] {
        assert!(line.contains(part), "{part:?} is not in:\n{line}");
    }
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_symbol_that_toro_lacks_is_named() {
    let main = "unsafe extern \"C\" { fn open_the_pod_bay_doors(); } fn main() { unsafe { open_the_pod_bay_doors() } }";
    let output = Crate::new(main, "").run(&["build"]);
    let message = "error: cannot build `sample`: the program needs `open_the_pod_bay_doors`, which Toro does not have";
    assert_fails(
        &output,
        1,
        &[message, "`open_the_pod_bay_doors` is used by sample::main"],
    );
    assert!(
        !stderr(&output).contains("rust-lld: error"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn an_error_of_the_compiler_is_shown() {
    let output = Crate::new("fn main() { undeclared }", "").run(&["build"]);
    assert_fails(
        &output,
        1,
        &["error[E0425]", "error: cannot build `sample`"],
    );
}

#[test]
fn flags_of_the_user_are_kept() {
    let sample = Crate::new("#[cfg(mine)] fn main() {}", "");
    let output = sample
        .toro(&["build"])
        .env("RUSTFLAGS", "--cfg mine")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("note: the flags of RUSTFLAGS are used"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn flags_of_cargos_configuration_hold_but_for_the_linkers() {
    let source = "#[cfg(not(mine))] compile_error!(\"the flag is lost\"); fn main() {}";
    let sample = Crate::new(source, "");
    std::fs::create_dir(sample.path(".cargo")).unwrap();
    let flags = r#"["--cfg", "mine", "-Clink-arg=-fuse-ld=mold"]"#;
    let text = format!("[target.'cfg(unix)']\nrustflags = {flags}\n");
    std::fs::write(sample.path(".cargo/config.toml"), text).unwrap();
    let output = sample.run(&["build", "--release", "--bin", "sample"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let note = "left out, as Toro links in its own way: -Clink-arg=-fuse-ld=mold";
    assert!(stderr(&output).contains(note), "{}", stderr(&output));
}

#[test]
fn an_image_goes_where_it_is_asked_for() {
    let sample = Crate::new(HELLO, "");
    let output = sample.run(&["build", "--format", "elf", "-o", "out.elf"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        std::fs::read(sample.path("out.elf"))
            .unwrap()
            .starts_with(b"\x7fELF")
    );
}

#[test]
fn a_new_program_builds_and_an_old_one_is_not_touched() {
    let home = Crate::new(HELLO, "");
    let elsewhere = tempfile::tempdir().unwrap();
    let in_it = |arguments: &[&str]| {
        home.toro(arguments)
            .current_dir(elsewhere.path())
            .output()
            .unwrap()
    };
    let output = in_it(&["new", "service"]);
    assert!(output.status.success(), "{}", stderr(&output));
    for file in ["Cargo.toml", "README.md", "src/main.rs"] {
        assert!(
            elsewhere.path().join("service").join(file).is_file(),
            "{file}"
        );
    }
    let output = in_it(&["build", "./service"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_fails(&in_it(&["new", "service"]), 1, &["service exists already"]);
    // A folder whose name no package can have.
    let output = in_it(&["new", "my services ü/2nd one", "--name", "second"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let way = "Created second; `cd 'my services ü/2nd one'` and `cargo toro run`";
    assert!(stderr(&output).contains(way), "{}", stderr(&output));
    let output = home
        .toro(&["build", "-o", "an image.elf", "--format", "elf"])
        .current_dir(elsewhere.path().join("my services ü/2nd one"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_fails(&in_it(&["new", "my services ü/3rd"]), 1, &["--name"]);
    assert!(!elsewhere.path().join("my services ü/3rd").exists());
}

/// `cargo toro run` in the sample, with a shell script in QEMU's place.
#[cfg(unix)]
fn under(sample: &Crate, script: &str, options: &[&str]) -> Command {
    use std::os::unix::fs::PermissionsExt;
    let qemu = sample.path("qemu");
    let version = "case $1 in --version) echo QEMU emulator version 7.2.0; exit;; esac";
    std::fs::write(&qemu, format!("#!/bin/sh\n{version}\n{script}\n")).unwrap();
    std::fs::set_permissions(&qemu, std::fs::Permissions::from_mode(0o755)).unwrap();
    let arguments: Vec<_> = ["run", "--nic", "none"]
        .iter()
        .chain(options)
        .copied()
        .collect();
    let mut tool = sample.toro(&arguments);
    tool.env("TORO_QEMU", qemu);
    tool
}

/// The sample under a shell script in QEMU's place, with `input` typed.
#[cfg(unix)]
fn run_under(script: &str, options: &[&str], input: &str) -> Output {
    use std::io::Write;
    use std::process::Stdio;
    let sample = Crate::new(HELLO, "");
    let mut tool = under(&sample, script, options);
    tool.stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut tool = tool.spawn().unwrap();
    tool.stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    tool.wait_with_output().unwrap()
}

#[test]
#[cfg(unix)]
fn the_guests_status_is_the_tools() {
    let output = run_under(r"printf 'bye\r\n\033]toro;exit=42\007'; exit 85", &[], "");
    assert_eq!(
        (stdout(&output).as_str(), output.status.code()),
        ("bye\n", Some(42)),
        "{}",
        stderr(&output)
    );
}

#[test]
#[cfg(unix)]
fn a_machine_without_a_status_has_crashed() {
    let output = run_under("echo half a sent; echo bad disk >&2; exit 3", &[], "");
    assert_eq!(stdout(&output), "half a sent\n");
    assert_fails(
        &output,
        70,
        &["ended without an exit status of the program (QEMU: exit status: 3): bad disk"],
    );
}

#[test]
#[cfg(unix)]
fn a_machine_that_qemu_cannot_make_is_told_with_the_way_out() {
    for (said, help) in [
        (
            r#"Failed to get "write" lock"#,
            "another virtual machine has the disk",
        ),
        (
            "Could not set up host forwarding rule 'x'",
            "choose another with --publish",
        ),
        ("Unknown device", "--verbose shows its command line"),
    ] {
        let output = run_under(
            &format!("echo '{}' >&2; exit 1", said.replace('\'', "'\\''")),
            &[],
            "",
        );
        let error = format!("error: QEMU cannot start the machine: {said}");
        assert_fails(&output, 1, &[&error, help]);
    }
}

/// Commands that answer on standard output, as a user has them in a pipe or a file.
const ANSWERS: [&[&str]; 2] = [&["doctor"], &["run", "--dry-run"]];

#[test]
#[cfg(unix)]
fn who_has_seen_enough_is_no_error() {
    let sample = Crate::new(HELLO, "");
    for words in ANSWERS {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = sample.toro(words).stdout(writer).output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{words:?}: {}",
            stderr(&output)
        );
        assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_that_takes_no_more_is_told() {
    let full = || {
        std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap()
    };
    let sample = Crate::new(HELLO, "");
    let error = "error: cannot write to standard output: No space left on device";
    for words in ANSWERS {
        let output = sample.toro(words).stdout(full()).output().unwrap();
        assert_fails(&output, 1, &[error]);
    }
    let mut tool = under(&sample, "echo hello; sleep 1000", &[]);
    let output = tool.stdout(full()).output().unwrap();
    assert_fails(&output, 130, &[error]);
}

#[test]
#[cfg(unix)]
fn a_machine_that_takes_too_long_is_ended() {
    let output = run_under("exec sleep 1000", &["--timeout", "1"], "");
    assert_fails(&output, 124, &["error: sample ran out of its time of 1 s"]);
}

#[test]
#[cfg(unix)]
fn what_is_typed_reaches_the_guest() {
    let output = run_under(
        r"printf '\033]toro;keys=7\007'; read line; printf 'got %s\033]toro;exit=0\007' $line",
        &["--timeout", "100"],
        "word\n",
    );
    assert_eq!(
        (stdout(&output).as_str(), output.status.code()),
        ("got word", Some(0)),
        "{}",
        stderr(&output)
    );
}

/// Each prints the arguments in its image, the first one not before the second has started.
#[test]
#[cfg(unix)]
fn two_that_run_at_once_have_each_its_own_image() {
    use std::process::Stdio;
    let script = r#"
image=$(printf '%s\n' "$@" | sed -n 's/.*file=\([^,]*\).*/\1/p' | head -n 1)
word=started-$(mkdir started 2>/dev/null && echo first || echo second)
mkdir "$word"
while ! [ -d started-second ]; do sleep 0.1; done
printf '%s\033]toro;exit=0\007' "$(grep -a -o 'arg=own-[a-z]*' "$image")""#;
    let sample = Crate::new(HELLO, "");
    let start = |word| {
        let mut tool = under(&sample, script, &["--timeout", "100", "--", word]);
        tool.stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        tool.spawn().unwrap()
    };
    let one = start("own-one");
    while !sample.path("started-first").exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let two = start("own-two");
    for (child, expected) in [(one, "arg=own-one"), (two, "arg=own-two")] {
        let output = child.wait_with_output().unwrap();
        assert_eq!(stdout(&output), expected, "{}", stderr(&output));
    }
}

#[test]
fn a_profile_of_the_crate_is_used_and_what_the_compiler_says_is_said_once() {
    let main = "#[cfg(debug_assertions)] compile_error!(\"not this profile\"); fn unused() {} fn main() {}";
    let sample = Crate::new(main, "");
    let output = sample.run(&["build", "--profile", "dev"]);
    assert_fails(&output, 1, &["not this profile"]);
    let mut manifest = std::fs::read_to_string(sample.path("Cargo.toml")).unwrap();
    manifest += "[profile.service]\ninherits = \"release\"\nstrip = true\n";
    std::fs::write(sample.path("Cargo.toml"), manifest).unwrap();
    let output = sample.run(&["build", "--profile", "service"]);
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert_eq!(said.matches("is never used").count(), 1, "{said}");
    assert!(said.contains("`service` profile"), "{said}");
}

#[test]
fn a_library_of_the_host_is_named_without_the_linkers_words() {
    let main = "#[link(name = \"of-the-host\")] unsafe extern \"C\" { fn call(); } fn main() { unsafe { call() } }";
    let output = Crate::new(main, "").run(&["build"]);
    assert_fails(&output, 1, &["a crate wants `of-the-host` of the host"]);
    assert!(!stderr(&output).contains("rust-lld"), "{}", stderr(&output));
}

const PANICS: &str = "fn main() {
    inner();
}

#[inline(never)]
fn inner() {
    panic!(\"here\")
}
";

#[test]
fn backtraces_have_lines_where_the_profile_has_them() {
    const CALL: &str = "src/main.rs:2:5";
    let sample = Crate::new(PANICS, "env = { RUST_BACKTRACE = \"1\" }");
    let shown = |arguments: &[&str]| {
        let output = sample.run(arguments);
        assert_eq!(output.status.code(), Some(101), "{}", stderr(&output));
        stdout(&output)
    };
    let debug = shown(&["run", "--debug"]);
    assert!(debug.contains(CALL), "{debug}");
    let release = shown(&["run"]);
    assert!(release.contains("sample::inner"), "{release}");
    assert!(!release.contains(CALL), "{release}");
    let mut manifest = std::fs::read_to_string(sample.path("Cargo.toml")).unwrap();
    manifest += "[profile.release]\ndebug = \"line-tables-only\"\n";
    std::fs::write(sample.path("Cargo.toml"), manifest).unwrap();
    let release = shown(&["run"]);
    assert!(release.contains(CALL), "{release}");
}

/// A crate with libraries of its own, or of the host, may have the host's C library beside them.
#[test]
fn a_c_library_where_a_crate_looks_for_libraries_is_not_taken() {
    let sample = Crate::new(HELLO, "");
    std::fs::write(sample.path("libc.a"), "no archive at all").unwrap();
    let script = "fn main() { println!(\"cargo::rustc-link-search=native={}\", env!(\"CARGO_MANIFEST_DIR\")) }";
    std::fs::write(sample.path("build.rs"), script).unwrap();
    let output = sample.run(&["build"]);
    assert!(output.status.success(), "{}", stderr(&output));
}

/// What is piped in reaches the program as it is, from its first byte to its end, which stays.
#[test]
fn standard_input_reaches_the_program_whole() {
    let main = r#"use std::io::Read;
fn main() {
    let mut content = Vec::new();
    std::io::stdin().read_to_end(&mut content).unwrap();
    let as_written = content.iter().enumerate().all(|(index, byte)| *byte == index as u8);
    let after = std::io::stdin().read(&mut [0; 4]);
    println!("{} {as_written} {after:?}", content.len());
}"#;
    let sample = Crate::new(main, "");
    let bytes: Vec<u8> = (0..3000_u32).map(|index| index as u8).collect();
    std::fs::write(sample.path("input"), bytes).unwrap();
    let output = sample
        .toro(&["run"])
        .stdin(std::fs::File::open(sample.path("input")).unwrap())
        .output()
        .unwrap();
    assert!(
        stdout(&output).contains("3000 true Ok(0)"),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
}
