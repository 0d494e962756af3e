//! libvirt on a host, by its shell `virsh`: what a service's machine does, and what it is told.

use super::domain;
use super::host::{Host, SYSTEM, word};
use super::service::Service;
use crate::failure::Failure;
use crate::interrupt::Interrupted;
use crate::shell::Shell;
use anyhow::{Context, Result, bail};
use std::time::{Duration, Instant};

/// How long a machine may take to end after its power button was pressed.
const POWER_OFF: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(200);

/// What a machine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Running,
    /// Paused, shutting down, and the like.
    Other,
    Off,
}

/// libvirt on a host.
pub(super) struct Libvirt<'a> {
    pub(super) host: &'a Host,
}

impl<'a> Libvirt<'a> {
    pub(super) fn new(host: &'a Host) -> Self {
        Self { host }
    }

    /// An error with advice unless libvirt works there.
    pub(super) fn check(&self) -> Result<()> {
        let name = self.host.name();
        let help = match self.host.uri == SYSTEM {
            true => format!("run `cargo toro deploy prepare{}`", self.host.option()),
            false => format!("leave --connect away for the system's libvirt, {SYSTEM}"),
        };
        if !self.host.has_virsh {
            bail!(Failure::new(
                format!("{name} has no libvirt (no `virsh`)"),
                help
            ));
        }
        self.answers(help)
    }

    /// An error with this advice unless the daemon answers.
    pub(super) fn answers(&self, help: String) -> Result<()> {
        let answer = self.virsh("version --daemon");
        answer.map(drop).map_err(|error| {
            let name = self.host.name();
            Failure::new(format!("libvirt on {name} does not answer: {error}"), help).into()
        })
    }

    /// The words for `virsh` in a script.
    pub(super) fn words(&self, words: &str) -> String {
        format!("LC_ALL=C virsh -q -c {} {words}", word(&self.host.uri))
    }

    /// Runs `virsh` with `words`, which are those of a script; returns what it printed.
    pub(super) fn virsh(&self, words: &str) -> Result<String> {
        self.host.script(&self.words(words))
    }

    /// What the machine does; `None` if there is none of that name.
    pub(super) fn state(&self, name: &str) -> Result<Option<State>> {
        let output = self
            .host
            .attempt(&self.words(&format!("domstate {}", word(name))))?;
        if output.status.success() {
            let state = String::from_utf8_lossy(&output.stdout);
            return Ok(Some(match state.trim() {
                "running" | "idle" => State::Running,
                "shut off" | "crashed" => State::Off,
                _ => State::Other,
            }));
        }
        // The error may also be that libvirt cannot be asked.
        self.names()?;
        Ok(None)
    }

    /// All machines, of whomever.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        let list = self.virsh("list --all --name")?;
        Ok(list
            .lines()
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect())
    }

    /// The release that a machine is defined as; `None` for a machine that is not one of these services.
    pub(super) fn release(&self, name: &str) -> Result<Option<u32>> {
        let words = format!(
            "metadata {} --uri {} --config",
            word(name),
            domain::NAMESPACE
        );
        let output = self.host.attempt(&self.words(&words))?;
        Ok(domain::release_of(&String::from_utf8_lossy(&output.stdout)))
    }

    /// The release of a service that must be there.
    pub(super) fn release_of(&self, service: &Service) -> Result<u32> {
        let (name, place) = (&service.name, self.host.name());
        if self.state(name)?.is_none() {
            let help = format!(
                "start it by `cargo toro deploy up{}`; `cargo toro deploy status{}` lists what there is",
                self.host.option(),
                self.host.option()
            );
            bail!(Failure::new(
                format!("there is no service `{name}` on {place}"),
                help
            ));
        }
        match self.release(name)? {
            Some(release) => Ok(release),
            None => bail!(Failure::new(
                format!("the machine `{name}` on {place} was not made by this tool"),
                "choose another name by --name; virsh is for machines of others"
            )),
        }
    }

    /// Makes a release the one that is started.
    pub(super) fn define(&self, service: &Service, release: u32) -> Result<()> {
        self.virsh(&format!("define {}", word(&service.definition(release))))
            .map(drop)
            .with_context(|| format!("libvirt does not take the definition of `{}`", service.name))
    }

    pub(super) fn start(&self, service: &Service) -> Result<()> {
        let result = self.virsh(&format!("start {}", word(&service.name)));
        result.map(drop).map_err(|error| {
            if error.is::<Interrupted>() {
                return error;
            }
            let message = format!("{error:#}");
            let help = if message.contains("host forwarding") {
                "another program has one of the ports: choose others by --publish HOST:GUEST"
            } else {
                "the message is libvirt's; its logs are in /var/log/libvirt/qemu"
            };
            Failure::new(
                format!("`{}` cannot be started: {message}", service.name),
                help,
            )
            .into()
        })
    }

    /// Presses the power button, so that the program ends in good order; pulls the plug when it does not.
    pub(super) fn stop(&self, service: &Service, shell: &Shell) -> Result<()> {
        let name = word(&service.name);
        if matches!(self.state(&service.name)?, None | Some(State::Off)) {
            return Ok(());
        }
        // Else the restart policy would start it again. A machine that has ended meanwhile is what is wanted.
        let _ = self.virsh(&format!(
            "set-lifecycle-action {name} poweroff destroy --live"
        ));
        let _ = self.virsh(&format!("shutdown {name} --mode acpi"));
        let start = Instant::now();
        while start.elapsed() < POWER_OFF {
            if matches!(self.state(&service.name)?, None | Some(State::Off)) {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
        shell.note(format_args!(
            "`{}` did not end by itself in {} s; it is ended",
            service.name,
            POWER_OFF.as_secs()
        ));
        self.kill(service)
    }

    /// Ends the machine at once.
    fn kill(&self, service: &Service) -> Result<()> {
        let result = self.virsh(&format!("destroy {}", word(&service.name)));
        match self.state(&service.name)? {
            None | Some(State::Off) => Ok(()),
            Some(_) => result.map(drop).context("it cannot be ended"),
        }
    }
}
