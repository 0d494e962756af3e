//! The suite of Toro itself: format, lints, tests of the host, tests in virtual machines.

use super::counts::Counts;
use super::has_package;
use crate::compile::cargo;
use crate::interrupt;
use crate::shell::{Shell, quoted};
use anyhow::{Context, Result};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// The package of the tests that boot virtual machines.
const VM_TESTS: &str = "vm-tests";

/// Runs every step, whether those before failed or not.
pub(super) fn run(workspace: &cargo_metadata::Metadata, shell: &Shell) -> Result<Counts> {
    let root = workspace.workspace_root.as_std_path();
    let has_vm_tests = has_package(workspace, VM_TESTS);
    let mut counts = Counts::default();
    for (what, arguments) in [
        ("the format", &["fmt", "--all", "--check"][..]),
        (
            "the lints",
            &[
                "clippy",
                "--quiet",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ],
        ),
    ] {
        shell.status("Checking", what);
        let is_passed = cargo_in(root, arguments, shell)
            .status()
            .context("cannot start cargo")?
            .success();
        println!(
            "test {what} ... {}",
            if is_passed { "ok" } else { "FAILED" }
        );
        counts = counts + Counts::one(is_passed);
    }
    shell.status("Testing", "on this host");
    let mut arguments = vec!["test", "--workspace", "--no-fail-fast"];
    if has_vm_tests {
        arguments.extend(["--exclude", VM_TESTS]);
    }
    counts = counts + tests(&mut cargo_in(root, &arguments, shell))?;
    if has_vm_tests {
        shell.status("Testing", "in virtual machines");
        let arguments = ["test", "--package", VM_TESTS, "--no-fail-fast"];
        counts = counts + tests(&mut cargo_in(root, &arguments, shell))?;
    }
    Ok(counts)
}

fn cargo_in(folder: &Path, arguments: &[&str], shell: &Shell) -> Command {
    let mut command = Command::new(cargo());
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null());
    shell.command(&command);
    command
}

/// Runs a `cargo test`, shows what it prints, and counts.
fn tests(command: &mut Command) -> Result<Counts> {
    interrupt::watch()?;
    command.stdout(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start `{}`", quoted(command)))?;
    let mut output = String::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.context("cannot read the output of cargo")?;
            let line = String::from_utf8_lossy(&line);
            // Whoever reads this may have gone; the tests go on.
            let _ = writeln!(std::io::stdout(), "{line}");
            if line.contains("test result: ") {
                output.push_str(&line);
                output.push('\n');
            }
        }
    }
    let status = child.wait().context("cannot wait for cargo")?;
    if interrupt::count() > 0 {
        anyhow::bail!("interrupted");
    }
    Ok(Counts::of_output(&output, status.success()))
}
