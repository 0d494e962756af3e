//! Making a bare Debian or Ubuntu host ready: packages, and the daemon of libvirt. Doing it again changes nothing.

use super::host::{Host, SYSTEM, word};
use super::libvirt::Libvirt;
use super::options::Prepare;
use crate::failure::Failure;
use crate::shell::{Shell, answer};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, IsTerminal, Write};
use std::process::Stdio;

/// The packages of Debian and Ubuntu.
const PACKAGES: [&str; 4] = [
    "qemu-system-x86",
    "libvirt-daemon-system",
    "libvirt-daemon-driver-qemu",
    "libvirt-clients",
];

/// Looks what is missing; one word a line.
const LOOK: &str = r#"
command -v apt-get >/dev/null || echo no-apt
for package in $PACKAGES; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' $package 2>/dev/null)" = installed ] || echo package=$package
done
if [ -d /run/systemd/system ]; then
    for is in is-enabled is-active; do
        systemctl $is -q libvirtd.service 2>/dev/null || systemctl $is -q libvirtd.socket 2>/dev/null || { echo enable; break; }
    done
fi
[ -d "$FOLDER" ] || echo folder
:"#;

/// A step that is still to be done.
struct Step {
    what: String,
    script: String,
}

/// Shows what is to be done, asks, and does it.
pub(super) fn run(options: &Prepare, shell: &Shell) -> Result<()> {
    let host = Host::connect(&options.place, shell)?;
    if host.uri != SYSTEM {
        bail!(Failure::new(
            format!("`{}` is not the system's libvirt", host.uri),
            "leave --connect away: only the system's libvirt is prepared"
        ));
    }
    let steps = missing(&host)?;
    if steps.is_empty() {
        check(&host)?;
        shell.status(
            "Ready",
            format_args!("{}: there is nothing to do", host.name()),
        );
        return Ok(());
    }
    answer(format_args!("On {}:", host.name()))?;
    for step in &steps {
        answer(format_args!("  {}", step.what))?;
    }
    if options.dry_run {
        return Ok(());
    }
    if !options.yes && !agreed()? {
        bail!(Failure::new(
            "nothing was done",
            "answer `y`, or give --yes"
        ));
    }
    for step in &steps {
        shell.status("Doing", &step.what);
        let mut command = host.command(&step.script, false);
        shell.command(&command);
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
        if !status.context("the step cannot be started")?.success() {
            bail!(Failure::new(
                format!("{} failed on {}", step.what, host.name()),
                "the messages above say why; what was done so far does no harm, and the command can be repeated"
            ));
        }
    }
    let host = Host::connect(&options.place, shell)?;
    check(&host)?;
    shell.status(
        "Ready",
        format_args!(
            "{}; next: `cargo toro deploy up PROGRAM{}`",
            host.name(),
            host.option()
        ),
    );
    Ok(())
}

/// An error unless libvirt works, now that there is nothing more to do for it.
fn check(host: &Host) -> Result<()> {
    let help = "start `libvirtd` there; `journalctl -u libvirtd` may say why it does not run";
    Libvirt::new(host).answers(help.into())
}

fn missing(host: &Host) -> Result<Vec<Step>> {
    let script = format!(
        "PACKAGES={}; FOLDER={}; {LOOK}",
        word(&PACKAGES.join(" ")),
        word(&host.folder)
    );
    let found = host.script(&script)?;
    let packages: Vec<_> = found
        .lines()
        .filter_map(|line| line.strip_prefix("package="))
        .collect();
    let has = |what: &str| found.lines().any(|line| line == what);
    if !packages.is_empty() && has("no-apt") {
        bail!(Failure::new(
            format!("{} is neither Debian nor Ubuntu (no apt-get)", host.name()),
            "install QEMU and libvirt there by its own means, and start libvirtd; the other commands work then"
        ));
    }
    let mut steps = Vec::new();
    if !packages.is_empty() {
        let names = packages.join(" ");
        steps.push(Step {
            what: format!("apt-get install {names}"),
            script: format!(
                "export DEBIAN_FRONTEND=noninteractive; apt-get -o DPkg::Lock::Timeout=300 update -qq && \
                 apt-get -o DPkg::Lock::Timeout=300 install -qq -y --no-install-recommends {names}"
            ),
        });
    }
    if !packages.is_empty() || has("enable") {
        steps.push(Step {
            what: "start libvirtd, now and with the host".into(),
            script: "if [ -d /run/systemd/system ]; then systemctl enable --now -q libvirtd; else \
                     pidof libvirtd >/dev/null || { (pidof virtlogd || virtlogd -d) >/dev/null; libvirtd -d; }; fi"
                .into(),
        });
    }
    if has("folder") {
        let folder = word(&host.folder);
        steps.push(Step {
            what: format!("make the folder {} for images and disks", host.folder),
            script: format!("mkdir -p {folder} && chmod 711 {folder}"),
        });
    }
    Ok(steps)
}

fn agreed() -> Result<bool> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Ok(false);
    }
    print!("Do this? [y/N] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    input.lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
