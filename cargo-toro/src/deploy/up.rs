//! Starting a service, and replacing it by a new build: all of it, or nothing.

use super::domain::Domain;
use super::health::{self, Health};
use super::host::{Host, word};
use super::libvirt::Libvirt;
use super::listening::{self, Listening};
use super::options::Up;
use super::service::Service;
use super::watch::{forwarded, is_forwarded};
use crate::build::{self, Format};
use crate::compile;
use crate::disks;
use crate::failure::Failure;
use crate::interrupt;
use crate::program::Program;
use crate::qemu::Accelerator;
use crate::settings::{Overrides, Settings};
use crate::shell::Shell;
use crate::values::{Accel, Nic, Port};
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// A program that was built for a host.
struct Built {
    settings: Settings,
    image: PathBuf,
    accelerator: Accelerator,
    health: Health,
}

/// What takes back the steps that were done, the last one first, unless all of them succeed; Ctrl-C is a failure of a step.
struct Undo<'a> {
    host: &'a Host,
    scripts: Vec<String>,
}

impl<'a> Undo<'a> {
    /// From now on Ctrl-C ends a step, and not the tool.
    fn begin(host: &'a Host) -> Result<Self> {
        interrupt::watch()?;
        Ok(Self {
            host,
            scripts: Vec::new(),
        })
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        for script in self.scripts.iter().rev() {
            // The error that leads here is the one to be told.
            let _ = self.host.attempt(script);
        }
    }
}

/// Builds and starts a service that is not there yet.
pub(super) fn up(options: &Up, shell: &Shell) -> Result<()> {
    let program = find(options)?;
    let host = Host::connect(&options.place, shell)?;
    let libvirt = Libvirt::new(&host);
    libvirt.check()?;
    let service = Service::new(&host, options.name.as_deref().unwrap_or(&program.name))?;
    if libvirt.state(&service.name)?.is_some() {
        let what = match libvirt.release(&service.name)? {
            Some(_) => Failure::new(
                format!(
                    "the service `{}` is on {} already",
                    service.name,
                    host.name()
                ),
                "`cargo toro deploy update` replaces it, `cargo toro deploy down` removes it; --name gives another name",
            ),
            None => Failure::new(
                format!(
                    "{} has a machine `{}` that was not made by this tool",
                    host.name(),
                    service.name
                ),
                "choose another name by --name",
            ),
        };
        bail!(what);
    }
    let built = build(options, &program, &host, shell)?;
    check_ports(&libvirt, &service, &built.settings.ports)?;
    let mut undo = Undo::begin(&host)?;
    let releases = format!("{} {}", word(&service.releases()), word(&service.disks()));
    // Left of a deployment that was broken off: no machine belongs to it.
    host.script(&format!(
        "rm -rf {}; mkdir -p {releases}; : > {log}",
        word(&service.releases()),
        log = word(&service.log())
    ))
    .with_context(|| format!("cannot make {} on {}", service.folder, host.name()))?;
    undo.scripts.push(format!(
        "rm -rf {} {log} {log}.*; rmdir {} {}",
        word(&service.releases()),
        word(&service.disks()),
        word(&service.folder),
        log = word(&service.log())
    ));
    send(&host, &service, &built, options, 1, &mut undo, shell)?;
    libvirt.define(&service, 1)?;
    undo.scripts
        .push(libvirt.words(&format!("undefine {}", word(&service.name))));
    if !options.no_autostart {
        libvirt.virsh(&format!("autostart {}", word(&service.name)))?;
    }
    undo.scripts
        .push(libvirt.words(&format!("destroy {}", word(&service.name))));
    shell.status("Starting", &service.name);
    libvirt.start(&service)?;
    await_health(&host, &service, &built, options, 0)
        .with_context(|| format!("`{}` did not come up and was removed again", service.name))?;
    note_that_it_came_up(&host, &service, 1)?;
    undo.scripts.clear();
    announce(&host, &service, &built.settings.ports, options, shell);
    Ok(())
}

/// Replaces a service by a new build; goes back when that does not come up.
pub(super) fn update(options: &Up, shell: &Shell) -> Result<()> {
    let program = find(options)?;
    let host = Host::connect(&options.place, shell)?;
    let libvirt = Libvirt::new(&host);
    libvirt.check()?;
    let service = Service::new(&host, options.name.as_deref().unwrap_or(&program.name))?;
    let current = libvirt.release_of(&service)?;
    let old = last_good(current, &proven(&host, &service)?);
    if old != current {
        shell.note(format_args!(
            "an update to release {current} was broken off: it is release {old} that is gone back to if this one fails"
        ));
    }
    let built = build(options, &program, &host, shell)?;
    // While the old release runs still: those that it has itself it gives away.
    let definition = libvirt.virsh(&format!("dumpxml {}", word(&service.name)))?;
    let is_new = |port: &&Port| !is_forwarded(&definition, port);
    let new_ports: Vec<_> = built
        .settings
        .ports
        .iter()
        .filter(is_new)
        .cloned()
        .collect();
    check_ports(&libvirt, &service, &new_ports)?;
    let mut later = releases(&host, &service)?;
    later.retain(|&number| number > old);
    let new = later.last().unwrap_or(&old).checked_add(1);
    let new = new.context("there are too many releases")?;
    // The machine may run from this one.
    later.retain(|&number| number != current);
    // What was gone back from, or what an update that was broken off left: nothing that a rollback from the new one shall find.
    remove(&host, &service, &later)?;
    let mut undo = Undo::begin(&host)?;
    send(&host, &service, &built, options, new, &mut undo, shell)?;
    shell.status(
        "Stopping",
        format_args!("release {current} of {}", service.name),
    );
    undo.scripts.push(back_to(&libvirt, &service, old));
    libvirt.stop(&service, shell)?;
    libvirt.define(&service, new)?;
    let toggle = if options.no_autostart {
        "autostart --disable"
    } else {
        "autostart"
    };
    libvirt.virsh(&format!("{toggle} {}", word(&service.name)))?;
    let log_start = log_bytes(&host, &service)?;
    shell.status(
        "Starting",
        format_args!("release {new} of {}", service.name),
    );
    let result = libvirt
        .start(&service)
        .and_then(|()| await_health(&host, &service, &built, options, log_start))
        .and_then(|()| note_that_it_came_up(&host, &service, new));
    if let Err(error) = result {
        // In good order, as far as it can: it may have begun to write.
        libvirt.stop(&service, shell)?;
        drop(undo);
        let (name, release) = (&service.name, libvirt.release(&service.name)?);
        if release != Some(old) || libvirt.state(name)? != Some(super::libvirt::State::Running) {
            let help = "see `cargo toro deploy logs` and `cargo toro deploy status`";
            return Err(error.context(Failure::new(
                format!("release {new} of `{name}` did not come up, nor did release {old} again"),
                help,
            )));
        }
        return Err(error.context(format!(
            "release {new} of `{name}` did not come up; release {old} runs again"
        )));
    }
    undo.scripts.clear();
    remove(
        &host,
        &service,
        &obsolete(&releases(&host, &service)?, [old, new]),
    )?;
    announce(&host, &service, &built.settings.ports, options, shell);
    shell.status(
        "Keeping",
        format_args!("release {old}, for `cargo toro deploy rollback`"),
    );
    Ok(())
}

/// Goes back to the release before the current one.
pub(super) fn rollback(host: &Host, service: &Service, shell: &Shell) -> Result<()> {
    let libvirt = Libvirt::new(host);
    libvirt.check()?;
    let current = libvirt.release_of(service)?;
    let mut earlier = releases(host, service)?;
    earlier.retain(|&number| number < current);
    let mut good = proven(host, service)?;
    good.retain(|number| earlier.contains(number));
    let Some(&previous) = good.last().or(earlier.last()) else {
        bail!(Failure::new(
            format!("there is no release of `{}` before {current}", service.name),
            "only the one before the current one is kept"
        ));
    };
    // Before it is said what is done: who reads that may press Ctrl-C at once.
    let mut undo = Undo::begin(host)?;
    shell.status(
        "Stopping",
        format_args!("release {current} of {}", service.name),
    );
    undo.scripts.push(back_to(&libvirt, service, current));
    libvirt.stop(service, shell)?;
    libvirt.define(service, previous)?;
    shell.status(
        "Starting",
        format_args!("release {previous} of {}", service.name),
    );
    libvirt.start(service)?;
    undo.scripts.clear();
    Ok(())
}

fn back_to(libvirt: &Libvirt<'_>, service: &Service, release: u32) -> String {
    let name = word(&service.name);
    format!(
        "{}; {} && {}",
        libvirt.words(&format!("destroy {name} 2>/dev/null")),
        libvirt.words(&format!("define {}", word(&service.definition(release)))),
        libvirt.words(&format!("start {name}"))
    )
}

fn find(options: &Up) -> Result<Program> {
    let which = &options.which;
    which.find()
}

/// The machine that the options and the metadata ask for.
pub(super) fn settings(
    program: &Program,
    which: &crate::cli::Which,
    machine: &super::options::MachineOptions,
    args: &[String],
) -> Result<Settings> {
    let overrides = Overrides {
        embed: which.how.embed.clone(),
        ports: machine.publish.clone(),
        args: args.to_vec(),
        ..machine.guest.overrides()
    };
    let mut settings = Settings::new(&program.metadata, program.folder(), overrides)?;
    for port in &mut settings.ports {
        // The address that a port has where none is written: right for trying it out, not for a service.
        if port.address.is_loopback() {
            port.address = machine.listen;
        }
        if port.host == 0 {
            let help = format!("write it as --publish HOST:{}", port.guest);
            bail!(Failure::new(
                "a service needs a certain port of its host, not 0",
                help
            ));
        }
    }
    if machine.bridge.is_some() {
        settings.ports.clear();
    }
    Ok(settings)
}

fn build(options: &Up, program: &Program, host: &Host, shell: &Shell) -> Result<Built> {
    let machine = &options.machine;
    let settings = settings(program, &options.which, machine, &options.args)?;
    let mut names = BTreeSet::new();
    if let Some(twice) = settings
        .disks
        .iter()
        .find(|disk| !names.insert(disk.image.file_name()))
    {
        let message = format!("two disks have the file name of {}", twice.image.display());
        bail!(Failure::new(
            message,
            "give each a name of its own: that is how a host keeps them"
        ));
    }
    let accelerator = match (machine.guest.accel, host.has_kvm) {
        (Accel::Kvm, false) => bail!(Failure::new(
            format!(
                "KVM is of no use on {}: no /dev/kvm, or no vmx or svm in /proc/cpuinfo",
                host.name()
            ),
            "choose --accel auto"
        )),
        (Accel::Tcg, _) | (Accel::Auto, false) => Accelerator::Tcg,
        (Accel::Auto | Accel::Kvm, true) => Accelerator::Kvm,
    };
    if accelerator == Accelerator::Tcg && machine.guest.accel == Accel::Auto {
        shell.note(format_args!(
            "{} has no KVM that works: the machine is emulated",
            host.name()
        ));
    }
    let health = match &options.health {
        Some(health) => health.clone(),
        None if settings.nic == Nic::None => Health::Running,
        None => Health::for_ports(&settings.ports),
    };
    if let Health::Http { port, .. } = &health
        && !settings.ports.iter().any(|one| one.guest == *port)
    {
        let help = format!("publish it by --publish HOST:{port}, or choose another --health");
        bail!(Failure::new(
            format!("port {port} of the health check is not published"),
            help
        ));
    }
    settings
        .disks
        .iter()
        .try_for_each(|disk| disks::prepare(disk, shell))?;
    let mut how = options.which.options();
    how.has_fat = disks::have_fat(&settings.disks);
    let linked = compile::compile(program, &how, shell)?;
    let image = program
        .output_folder()
        .join("deploy")
        .join(format!("{}.img", program.name));
    let line = settings.command_line(false);
    let contents = build::Contents {
        command_line: line.as_str(),
        embed: &settings.embed,
    };
    build::write_image(
        &linked,
        Format::Raw,
        contents,
        &image,
        Some(settings.memory),
    )?;
    Ok(Built {
        settings,
        image,
        accelerator,
        health,
    })
}

/// Copies image, definition and those data disks that the host does not have yet.
fn send(
    host: &Host,
    service: &Service,
    built: &Built,
    options: &Up,
    release: u32,
    undo: &mut Undo<'_>,
    shell: &Shell,
) -> Result<()> {
    let mut disks = Vec::new();
    for disk in &built.settings.disks {
        let name = disk.image.file_name().unwrap_or_default().to_string_lossy();
        disks.push(format!("{}/{name}", service.disks()));
    }
    let domain = Domain {
        service,
        release,
        settings: &built.settings,
        accelerator: built.accelerator,
        bridge: options.machine.bridge.as_deref(),
        restart: options.restart,
        disks: &disks,
    };
    let xml = domain.xml()?;
    let folder = word(&service.release(release));
    undo.scripts.push(format!("rm -rf {folder}"));
    host.script(&format!("mkdir -p {folder} {}", word(&service.disks())))?;
    let bytes = std::fs::metadata(&built.image)?.len();
    shell.status(
        "Copying",
        format_args!(
            "the image to {} ({} KiB)",
            host.name(),
            bytes.div_ceil(1024)
        ),
    );
    host.copy(&built.image, &service.boot_image(release))?;
    let len_bytes = xml.len() as u64;
    host.write(xml.as_bytes(), len_bytes, &service.definition(release))?;
    for (disk, path) in built.settings.disks.iter().zip(&disks) {
        if host
            .attempt(&format!("[ -e {} ]", word(path)))?
            .status
            .success()
        {
            shell.status(
                "Keeping",
                format_args!("the disk {path} as the service left it"),
            );
            continue;
        }
        shell.status(
            "Copying",
            format_args!("the disk {} to {path}", disk.image.display()),
        );
        undo.scripts.push(format!("rm -f {}", word(path)));
        host.copy(&disk.image, path)?;
    }
    Ok(())
}

fn await_health(
    host: &Host,
    service: &Service,
    built: &Built,
    options: &Up,
    log_start: u64,
) -> Result<()> {
    let timeout = Duration::from_secs(options.health_timeout);
    health::wait(
        host,
        service,
        &built.health,
        &built.settings.ports,
        log_start,
        timeout,
    )
}

/// An error that names a port which another service of the host has, running or not, or another program.
fn check_ports(libvirt: &Libvirt<'_>, service: &Service, ports: &[Port]) -> Result<()> {
    if ports.is_empty() {
        return Ok(());
    }
    let host = libvirt.host;
    let taken = |port: &Port, by: &str| {
        let message = format!("port {} of {} is taken by {by}", port.host, host.name());
        let help = format!("choose another by --publish HOST:{}", port.guest);
        Err(Failure::new(message, help).into())
    };
    for name in libvirt.names()? {
        if name == service.name || libvirt.release(&name)?.is_none() {
            continue;
        }
        let definition = libvirt.virsh(&format!("dumpxml {} --inactive", word(&name)))?;
        let others = forwarded(&definition);
        let is_taken = |port: &&Port| others.iter().any(|other| other.clashes(port));
        if let Some(port) = ports.iter().find(is_taken) {
            return taken(port, &format!("the service `{name}`"));
        }
    }
    let sockets = Listening::parse(&host.script(listening::SCRIPT)?);
    match ports.iter().find(|port| sockets.has(port)) {
        None => Ok(()),
        Some(port) => taken(port, "another program"),
    }
}

/// The numbers of the releases on the host, in order.
pub(super) fn releases(host: &Host, service: &Service) -> Result<Vec<u32>> {
    let list = host.script(&format!("ls {} 2>/dev/null; :", word(&service.releases())))?;
    let mut numbers: Vec<u32> = list
        .lines()
        .filter_map(|line| line.trim().parse().ok())
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The numbers of the releases that were seen to come up, in order.
pub(super) fn proven(host: &Host, service: &Service) -> Result<Vec<u32>> {
    let mut numbers = releases(host, service)?;
    let each: Vec<_> = numbers
        .iter()
        .map(|&number| format!("[ -e {} ] && echo {number}", word(&service.came_up(number))))
        .collect();
    let list = host.script(&format!("{}\n:", each.join("\n")))?;
    numbers.retain(|number| list.lines().any(|line| line.trim().parse() == Ok(*number)));
    Ok(numbers)
}

/// The release to go back to when the next one fails: the current one, unless that is of an update that was broken off.
pub(super) fn last_good(current: u32, proven: &[u32]) -> u32 {
    let until_now = proven.iter().copied().filter(|&number| number <= current);
    until_now.max().unwrap_or(current)
}

fn note_that_it_came_up(host: &Host, service: &Service, release: u32) -> Result<()> {
    host.script(&format!("touch {}", word(&service.came_up(release))))
        .map(drop)
}

/// Removes releases.
fn remove(host: &Host, service: &Service, numbers: &[u32]) -> Result<()> {
    let folder = |&number: &u32| word(&service.release(number));
    let folders: Vec<_> = numbers.iter().map(folder).collect();
    host.script(&format!("rm -rf {}", folders.join(" ")))
        .map(drop)
}

/// Releases that are not to be kept once an update has succeeded: all but those two.
fn obsolete(releases: &[u32], kept: [u32; 2]) -> Vec<u32> {
    let is_obsolete = |number: &u32| !kept.contains(number);
    releases.iter().copied().filter(is_obsolete).collect()
}

fn log_bytes(host: &Host, service: &Service) -> Result<u64> {
    let size = host.script(&format!(
        "stat -c %s {} 2>/dev/null || echo 0",
        word(&service.log())
    ))?;
    size.trim()
        .parse()
        .context("the length of the console log is no number")
}

fn announce(host: &Host, service: &Service, ports: &[Port], options: &Up, shell: &Shell) {
    shell.status(
        "Running",
        format_args!("{} on {}", service.name, host.name()),
    );
    for port in ports {
        let address = match port.address.is_unspecified() {
            true => host.address().to_owned(),
            false => port.address.to_string(),
        };
        let text = listening::place(port, &address);
        shell.status("Publishing", text);
    }
    if let Some(bridge) = &options.machine.bridge {
        shell.status(
            "Connected",
            format_args!("to the bridge {bridge}; `cargo toro deploy logs` may show its address"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{last_good, obsolete};

    #[test]
    fn a_release_that_was_not_seen_to_come_up_is_not_gone_back_to() {
        assert_eq!(last_good(3, &[2, 3]), 3);
        assert_eq!(last_good(3, &[1, 2]), 2);
        assert_eq!(last_good(2, &[1, 2, 3]), 2);
        assert_eq!(last_good(1, &[]), 1);
    }

    #[test]
    fn an_update_keeps_the_release_that_ran_before_it_and_none_besides() {
        assert!(obsolete(&[1, 2], [1, 2]).is_empty());
        assert_eq!(obsolete(&[1, 2, 3], [2, 3]), [1]);
        assert_eq!(obsolete(&[1, 2, 3, 4], [2, 4]), [1, 3]);
    }
}
