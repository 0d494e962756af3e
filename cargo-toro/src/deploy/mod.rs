//! Services on hosts: `cargo toro deploy`. It stands on libvirt, on this host or on one that `ssh` reaches.
//!
//! A [`host`] runs scripts, a [`service`] is a name with a folder there, [`libvirt`] starts and stops its machine, which
//! [`domain`] describes. What libvirt has defined is the only state there is: which release is current is in the definition.
//! [`up`] brings services there and changes them, [`watch`] looks at them; [`export`] is for other orchestrators.

mod domain;
mod export;
mod health;
mod host;
mod libvirt;
mod listening;
pub mod options;
mod png;
mod prepare;
mod service;
mod up;
mod watch;

pub use health::Health;

use crate::program::Program;
use crate::shell::Shell;
use anyhow::Result;
use host::{Host, word};
use libvirt::Libvirt;
use options::{Action, Deploy, Down, Named};
use service::Service;

/// Does what the options say; returns the exit code.
pub fn run(options: &Deploy, shell: &Shell) -> Result<u8> {
    let reach = |named: &Named| -> Result<(Host, Service)> {
        let host = Host::connect(&named.place, shell)?;
        let service = Service::named(&host, named.name.as_deref())?;
        Ok((host, service))
    };
    match &options.action {
        Action::Prepare(options) => prepare::run(options, shell)?,
        Action::Up(options) => up::up(options, shell)?,
        Action::Update(options) => up::update(options, shell)?,
        Action::Rollback(named) => {
            let (host, service) = reach(named)?;
            up::rollback(&host, &service, shell)?;
        }
        Action::Status(named) => {
            let host = Host::connect(&named.place, shell)?;
            let name = named.name.clone();
            // Without a name and outside of a crate: all there are.
            let name = name.or_else(|| Program::find(None, None).ok().map(|program| program.name));
            let service = name.map(|name| Service::new(&host, &name)).transpose()?;
            return watch::status(&host, service.as_ref());
        }
        Action::Console(named) => {
            let (host, service) = reach(named)?;
            return watch::console(&host, &service, shell);
        }
        Action::Logs(options) => {
            let (host, service) = reach(&options.named)?;
            return watch::logs(&host, &service, options, shell);
        }
        Action::Screen(options) => {
            let (host, service) = reach(&options.named)?;
            return watch::screen(&host, &service, options, shell);
        }
        Action::Stop(named) => {
            let (host, service) = reach(named)?;
            let libvirt = Libvirt::new(&host);
            libvirt.check()?;
            libvirt.release_of(&service)?;
            shell.status("Stopping", &service.name);
            libvirt.stop(&service, shell)?;
        }
        Action::Start(named) => {
            let (host, service) = reach(named)?;
            let libvirt = Libvirt::new(&host);
            libvirt.check()?;
            libvirt.release_of(&service)?;
            if libvirt.state(&service.name)? == Some(libvirt::State::Running) {
                shell.note(format_args!("`{}` runs already", service.name));
                return Ok(0);
            }
            shell.status("Starting", &service.name);
            libvirt.start(&service)?;
        }
        Action::Down(options) => {
            let (host, service) = reach(&options.named)?;
            down(&host, &service, options, shell)?;
        }
        Action::Export(options) => export::run(options, shell)?,
    }
    Ok(0)
}

/// Removes a service. Its data disks stay unless they are to go.
fn down(host: &Host, service: &Service, options: &Down, shell: &Shell) -> Result<()> {
    let libvirt = Libvirt::new(host);
    libvirt.check()?;
    libvirt.release_of(service)?;
    shell.status(
        "Removing",
        format_args!("{} from {}", service.name, host.name()),
    );
    libvirt.stop(service, shell)?;
    libvirt.virsh(&format!("undefine {}", word(&service.name)))?;
    let (folder, disks) = (word(&service.folder), word(&service.disks()));
    if options.delete_disks {
        host.script(&format!("rm -rf {folder}"))?;
        return Ok(());
    }
    let log = word(&service.log());
    host.script(&format!(
        "rm -rf {} {log} {log}.*; rmdir {disks} {folder} 2>/dev/null; :",
        word(&service.releases())
    ))?;
    let left = host.script(&format!("ls {disks} 2>/dev/null; :"))?;
    if !left.trim().is_empty() {
        shell.note(format_args!(
            "its data disks stay in {}; the next `up` uses them, `rm -r` removes them",
            service.disks()
        ));
    }
    Ok(())
}
