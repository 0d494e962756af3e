//! The suite of Toro itself: format, lints, tests of the host, tests in virtual machines.

use super::counts::Counts;
use super::has_package;
use crate::compile::cargo;
use crate::interrupt;
use crate::shell::{Shell, answer, quoted};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// The package of the tests that boot virtual machines.
const VM_TESTS: &str = "vm-tests";
/// The kernel is built apart from the rest: together, cargo gives its dependencies the features that programs of the host
/// want, `std` among them.
const KERNEL: &str = "toro-kernel";

/// Runs every step, whether those before failed or not.
pub(super) fn run(workspace: &cargo_metadata::Metadata, shell: &Shell) -> Result<Counts> {
    interrupt::watch()?;
    let root = workspace.workspace_root.as_std_path();
    let suite = Suite { root, shell };
    let rest = ["--workspace", "--exclude", KERNEL];
    let kernel = ["--package", KERNEL];
    let mut host = rest.to_vec();
    let has_vm_tests = has_package(workspace, VM_TESTS);
    if has_vm_tests {
        host.extend(["--exclude", VM_TESTS]);
    }
    let mut counts = suite.check("format", &["fmt", "--all", "--check"])?;
    counts = counts + suite.lints("lints of the kernel", &kernel)?;
    counts = counts + suite.lints("lints of the rest", &rest)?;
    counts = counts + suite.tests("the kernel on this host", &kernel)?;
    counts = counts + suite.tests("the rest on this host", &host)?;
    if has_vm_tests {
        counts = counts + suite.tests("in virtual machines", &["--package", VM_TESTS])?;
    }
    Ok(counts)
}

struct Suite<'a> {
    root: &'a Path,
    shell: &'a Shell,
}

impl Suite<'_> {
    fn lints(&self, what: &str, packages: &[&str]) -> Result<Counts> {
        let arguments = [
            &["clippy", "--quiet"],
            packages,
            &["--all-targets", "--", "-D", "warnings"],
        ]
        .concat();
        self.check(what, &arguments)
    }

    /// A run of cargo that succeeds or not.
    fn check(&self, what: &str, arguments: &[&str]) -> Result<Counts> {
        self.shell.status("Checking", format_args!("the {what}"));
        let status = cargo_in(self.root, arguments, self.shell)
            .status()
            .context("cannot start cargo")?;
        stop_if_interrupted()?;
        // Who has stopped reading is told by the status.
        let _ = answer(format_args!(
            "test {what} ... {}",
            if status.success() { "ok" } else { "FAILED" }
        ));
        Ok(Counts::one(status.success()))
    }

    fn tests(&self, what: &str, packages: &[&str]) -> Result<Counts> {
        self.shell.status("Testing", what);
        let arguments = [&["test", "--no-fail-fast"], packages].concat();
        tests(&mut cargo_in(self.root, &arguments, self.shell))
    }
}

fn stop_if_interrupted() -> Result<()> {
    if interrupt::count() > 0 {
        bail!("interrupted")
    } else {
        Ok(())
    }
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
pub(super) fn tests(command: &mut Command) -> Result<Counts> {
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
    stop_if_interrupted()?;
    Ok(Counts::of_output(&output, status.success()))
}
