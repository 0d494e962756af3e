//! `cargo toro build --format …`: every format boots, as QEMU reads it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = r#"
fn main() {
    let word = std::fs::read_to_string("/word.txt");
    println!("it says {:?}", word.map_err(|error| error.kind()));
}
"#;

fn toro(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-toro"));
    command.arg("toro").args(arguments).current_dir(folder);
    for variable in [
        "TORO_CHECKOUT",
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_TARGET_DIR",
    ] {
        command.env_remove(variable);
    }
    command.output().unwrap()
}

fn sample() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        "Cargo.toml",
        "[package]\nname = \"sample\"\nedition = \"2024\"\n\
         [package.metadata.toro]\ndisks = [{ image = \"data.img\", from = \"data\" }]\n",
    );
    write("src/main.rs", PROGRAM);
    write("data/word.txt", "all is well");
    folder
}

/// Boots disks, each of a format, and returns what the serial line says.
fn boot(disks: &[(&Path, &str)]) -> String {
    let mut command =
        Command::new(std::env::var("TORO_QEMU").unwrap_or("qemu-system-x86_64".into()));
    command.args([
        "-nodefaults",
        "-no-reboot",
        "-display",
        "none",
        "-accel",
        "tcg",
    ]);
    command.args(["-m", "64", "-serial", "stdio", "-monitor", "none"]);
    for (path, format) in disks {
        let path = path.to_str().unwrap();
        command.args(["-drive", &format!("if=ide,format={format},file={path}")]);
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut machine = command.spawn().unwrap();
    // Far beyond what it takes, so that only a machine that hangs meets it.
    let deadline = Instant::now() + Duration::from_secs(120);
    while machine.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            machine.kill().unwrap();
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = machine.wait_with_output().unwrap();
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn images_and_data_disks_boot_in_every_format() {
    let folder = sample();
    let here = folder.path();
    for (format, extension, of_qemu) in [
        ("raw", "img", "raw"),
        ("qcow2", "qcow2", "qcow2"),
        ("vmdk", "vmdk", "vmdk"),
        ("vmdk-stream", "vmdk", "vmdk"),
        ("vdi", "vdi", "vdi"),
        ("vhd", "vhd", "vpc"),
        ("vhdx", "vhdx", "vhdx"),
    ] {
        let image = format!("{format}.{extension}");
        let built = toro(
            here,
            &["build", "--format", format, "--with-disks", "-o", &image],
        );
        assert!(
            built.status.success(),
            "{}",
            String::from_utf8_lossy(&built.stderr)
        );
        let data = here.join(format!("{format}.disk1.{extension}"));
        let console = boot(&[(&here.join(&image), of_qemu), (&data, of_qemu)]);
        assert!(
            console.contains("it says Ok(\"all is well\")"),
            "{format}: {console}"
        );
    }
}

#[test]
fn an_appliance_contains_the_machine() {
    let folder = sample();
    let here = folder.path();
    let built = toro(here, &["build", "--format", "ova", "-o", "sample.ova"]);
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    let unpacked = Command::new("tar")
        .args(["-xf", "sample.ova"])
        .current_dir(here)
        .status();
    assert!(unpacked.unwrap().success());
    let disks = [1, 2].map(|number| -> PathBuf { here.join(format!("sample-disk{number}.vmdk")) });
    let console = boot(&[(&disks[0], "vmdk"), (&disks[1], "vmdk")]);
    assert!(console.contains("it says Ok(\"all is well\")"), "{console}");
}

#[test]
fn disks_of_an_elf_and_half_written_files_do_not_exist() {
    let folder = sample();
    let here = folder.path();
    let refused = toro(here, &["build", "--format", "elf", "--with-disks"]);
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{errors}");
    assert!(
        errors.contains("--with-disks makes disks in the image's format"),
        "{errors}"
    );

    // A file where the image's folder would be.
    let refused = toro(
        here,
        &["build", "--format", "vdi", "-o", "Cargo.toml/x.vdi"],
    );
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{errors}");
    assert!(errors.contains("cannot write Cargo.toml/x.vdi"), "{errors}");
}
