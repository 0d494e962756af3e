//! Looking at services: state, console, log, screen.

use super::host::{Host, word};
use super::libvirt::{Libvirt, State};
use super::options::{Logs, Screen};
use super::png;
use super::service::Service;
use super::up::{last_good, proven, releases};
use crate::console::EndFilter;
use crate::failure::{Failure, exit_code};
use crate::parts;
use crate::shell::{Shell, answer};
use crate::values::{Port, Protocol};
use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Stdio;

/// Shows one service in full, or a line for each; the exit code tells whether it runs.
pub(super) fn status(host: &Host, service: Option<&Service>) -> Result<u8> {
    let libvirt = Libvirt::new(host);
    libvirt.check()?;
    let Some(service) = service else {
        for name in libvirt.names()? {
            if let Some(release) = libvirt.release(&name)? {
                let state = libvirt.state(&name)?;
                answer(format_args!(
                    "{name:<24} {:<10} release {release}",
                    said(state)
                ))?;
            }
        }
        return Ok(0);
    };
    let release = libvirt.release_of(service)?;
    let state = libvirt.state(&service.name)?;
    answer(format_args!(
        "{} on {}: {}, release {release}",
        service.name,
        host.name(),
        said(state)
    ))?;
    let name = word(&service.name);
    let xml = libvirt.virsh(&format!("dumpxml {name}"))?;
    for Port {
        protocol,
        address,
        host,
        guest,
    } in forwarded(&xml)
    {
        let protocol = match protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        answer(format_args!(
            "  port     {protocol} {address}:{host} -> {guest}"
        ))?;
    }
    if state == Some(State::Running)
        && let Ok(display) = libvirt.virsh(&format!("vncdisplay {name}"))
        && let Some(number) = display
            .trim()
            .rsplit(':')
            .next()
            .and_then(|text| text.parse::<u16>().ok())
    {
        let port = number.saturating_add(5900);
        answer(format_args!("  screen   VNC, 127.0.0.1:{port} of the host"))?;
        if !host.option().is_empty() {
            answer(format_args!(
                "           from here: ssh -L {port}:127.0.0.1:{port} {}",
                host.name()
            ))?;
        }
    }
    let releases: Vec<_> = releases(host, service)?
        .iter()
        .map(u32::to_string)
        .collect();
    answer(format_args!(
        "  releases {} in {}",
        releases.join(", "),
        service.releases()
    ))?;
    let good = last_good(release, &proven(host, service)?);
    if good != release {
        answer(format_args!(
            "           release {release} is of an update that was broken off: `update` begins it anew, `rollback` goes back to {good}"
        ))?;
    }
    let disks = host.script(&format!("ls {} 2>/dev/null; :", word(&service.disks())))?;
    for disk in disks.lines() {
        answer(format_args!("  disk     {}/{disk}", service.disks()))?;
    }
    answer(format_args!("  console  {}", service.log()))?;
    Ok(if state == Some(State::Running) {
        0
    } else {
        exit_code::ERROR
    })
}

fn said(state: Option<State>) -> &'static str {
    match state {
        Some(State::Running) => "running",
        Some(State::Other) => "waiting",
        Some(State::Off) => "stopped",
        None => "not there",
    }
}

/// The forwarded ports in the definition of a machine: `hostfwd=tcp:0.0.0.0:80-:8080`.
pub(super) fn forwarded(xml: &str) -> Vec<Port> {
    let words = xml.split("hostfwd=").skip(1);
    let rules = words.filter_map(|rest| rest.split([',', '\'', '"']).next()?.split_once('-'));
    let port = |(from, to): (&str, &str)| {
        let (protocol, host) = from.split_once(':')?;
        let guest = to.rsplit(':').next()?;
        format!("{host}:{guest}/{protocol}").parse().ok()
    };
    rules.filter_map(port).collect()
}

/// Whether a machine has that port of its host, at whatever address.
pub(super) fn is_forwarded(xml: &str, port: &Port) -> bool {
    forwarded(xml)
        .iter()
        .any(|one| (one.protocol, one.host) == (port.protocol, port.host))
}

/// Hands the terminal to the machine's console.
pub(super) fn console(host: &Host, service: &Service, shell: &Shell) -> Result<u8> {
    let libvirt = Libvirt::new(host);
    libvirt.check()?;
    libvirt.release_of(service)?;
    let mut command = host.command(
        &libvirt.words(&format!("console {}", word(&service.name))),
        true,
    );
    shell.command(&command);
    shell.status(
        "Connecting",
        format_args!("the console of {}; Ctrl-] ends this", service.name),
    );
    let status = command.status().context("the console cannot be opened")?;
    Ok(if status.success() {
        0
    } else {
        exit_code::ERROR
    })
}

/// Shows the console's log, without the marks of ends.
pub(super) fn logs(host: &Host, service: &Service, options: &Logs, shell: &Shell) -> Result<u8> {
    let log = word(&service.log());
    if !host.attempt(&format!("[ -e {log} ]"))?.status.success() {
        Libvirt::new(host).check()?;
        Libvirt::new(host).release_of(service)?;
        bail!("`{}` has written nothing yet", service.name);
    }
    let from = options
        .lines
        .map_or_else(|| "+1".into(), |lines| lines.to_string());
    let follow = if options.follow { "-F" } else { "" };
    let mut command = host.command(&format!("tail -n {from} {follow} {log} 2>/dev/null"), false);
    shell.command(&command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut output = child.stdout.take().context("the log cannot be read")?;
    let (mut filter, mut visible, mut buffer) = (EndFilter::default(), Vec::new(), [0; 4096]);
    loop {
        let count = output.read(&mut buffer)?;
        match count {
            0 => filter.finish(&mut visible),
            _ => filter.push(&buffer[..count], &mut visible),
        }
        let mut stdout = std::io::stdout().lock();
        let is_gone = stdout
            .write_all(&visible)
            .and_then(|()| stdout.flush())
            .is_err();
        visible.clear();
        if is_gone || count == 0 {
            break;
        }
    }
    // With nobody who reads it, or at its end.
    let _ = child.kill();
    child.wait()?;
    Ok(0)
}

/// Saves the screen as a PNG.
pub(super) fn screen(
    host: &Host,
    service: &Service,
    options: &Screen,
    shell: &Shell,
) -> Result<u8> {
    let libvirt = Libvirt::new(host);
    libvirt.check()?;
    libvirt.release_of(service)?;
    if libvirt.state(&service.name)? != Some(State::Running) {
        let help = "start it by `cargo toro deploy start`";
        bail!(Failure::new(
            format!("`{}` does not run: it has no screen", service.name),
            help
        ));
    }
    let shot = libvirt.words(&format!(
        "screenshot {} --file \"$file\"",
        word(&service.name)
    ));
    let script =
        format!("file=$(mktemp) && trap 'rm -f \"$file\"' EXIT && {shot} >&2 && cat \"$file\"");
    let picture = png::from_screenshot(host.bytes(&script)?)?;
    let path = options.output.clone();
    let path = path.unwrap_or_else(|| PathBuf::from(format!("{}.png", service.name)));
    parts::replace(&path, &picture)?;
    shell.status(
        "Saved",
        format_args!("the screen of {} as {}", service.name, path.display()),
    );
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarded_ports_are_read_from_the_definition() {
        let xml = "<qemu:arg value='user,id=net0,hostfwd=tcp:0.0.0.0:80-:8080,hostfwd=udp:1.2.3.4:53-10.0.2.15:53'/>";
        let port = |text: &str| text.parse::<Port>().unwrap();
        let expected = [port("0.0.0.0:80:8080"), port("1.2.3.4:53:53/udp")];
        assert_eq!(forwarded(xml), expected);
        assert!(forwarded("<domain/>").is_empty());
        assert!(is_forwarded(xml, &port("80:9")));
        assert!(is_forwarded(xml, &port("127.0.0.1:53:53/udp")));
        assert!(!is_forwarded(xml, &port("80:9/udp")));
        assert!(!is_forwarded(xml, &port("8080:8080")));
    }
}
