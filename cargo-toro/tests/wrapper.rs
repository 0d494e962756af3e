//! The wrapper `toro`, as a shell runs it.
#![cfg(unix)]

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A script in `folder` that is found as a program.
fn script(folder: &Path, name: &str, content: &str) {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{content}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn wrapper() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../toro")
}

#[test]
fn a_wrapper_that_cannot_get_rust_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    for tool in ["sh", "dirname", "readlink"] {
        let found = ["/bin", "/usr/bin"].map(|place| PathBuf::from(place).join(tool));
        let found = found.iter().find(|file| file.exists()).unwrap();
        symlink(found, bin.join(tool)).unwrap();
    }
    script(&bin, "curl", "echo no network >&2; exit 6");
    let mut shell = Command::new("/bin/sh");
    shell.arg(wrapper()).arg("--version");
    shell
        .env_clear()
        .env("PATH", &bin)
        .env("HOME", folder.path());
    let output = shell.output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in ["no network", "Rust could not be installed"] {
        assert!(said.contains(part), "{part:?} is not in:\n{said}");
    }
    assert!(!said.contains("not found"), "{said}");
}

/// A checkout with a space in its name, built from two sources, of which one is a folder.
#[test]
fn a_wrapper_says_when_it_builds_and_else_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("a checkout");
    let bin = folder.path().join("bin");
    for folder in [&bin, &root.join("target/debug"), &root.join("kernel/src")] {
        std::fs::create_dir_all(folder).unwrap();
    }
    std::fs::copy(wrapper(), root.join("toro")).unwrap();
    let content = format!("exec printf '%s\\n' \"{}\"", folder.path().display());
    for program in ["rustc", "cc"] {
        script(&bin, program, &content);
    }
    script(&bin, "cargo", "echo \"cargo $*\" >&2");
    let run = || {
        let path = format!("{}:/bin:/usr/bin", bin.display());
        let mut shell = Command::new("/bin/sh");
        shell.arg(root.join("toro")).arg("--version");
        let output = shell
            .env("PATH", path)
            .env_remove("CARGO_TARGET_DIR")
            .output();
        said(&output.unwrap())
    };
    let first = run();
    assert!(
        first.starts_with(
            "toro: building the tool and the kernel, for the first time\ncargo run --manifest-path "
        ),
        "{first}"
    );

    let now = SystemTime::now();
    let write = |name: &str, age: u64| {
        let path = root.join(name);
        let is_new = !path.exists();
        let file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&path)
            .unwrap();
        if is_new && name.ends_with("cargo-toro") {
            file.set_permissions(std::fs::Permissions::from_mode(0o755))
                .unwrap();
        }
        file.set_modified(now - Duration::from_secs(age)).unwrap();
    };
    let sources = ["kernel/src/main.rs", "tool.rs"];
    for source in sources {
        write(source, 100);
    }
    for folder in ["kernel", "kernel/src"] {
        let folder = std::fs::File::open(root.join(folder)).unwrap();
        folder.set_modified(now - Duration::from_secs(100)).unwrap();
    }
    write("target/debug/cargo-toro", 50);
    let listed = |name: &str| root.join(name).display().to_string().replace(' ', "\\ ");
    let list = format!(
        "{}: {} {}\n",
        listed("target/debug/cargo-toro"),
        listed("kernel"),
        listed("tool.rs")
    );
    std::fs::write(root.join("target/debug/cargo-toro.d"), list).unwrap();
    let unchanged = run();
    assert!(unchanged.starts_with("cargo run --quiet "), "{unchanged}");

    let again = "toro: building the tool and the kernel again, as their sources have changed: a minute or two\ncargo run --quiet ";
    for source in sources {
        write(source, 10);
        let changed = run();
        assert!(changed.starts_with(again), "{source}: {changed}");
        write(source, 100);
    }
    std::fs::remove_file(root.join("tool.rs")).unwrap();
    let removed = run();
    assert!(removed.starts_with(again), "{removed}");
}
