//! The host that machines are deployed to: this one, or another that is reached by the user's own `ssh`.
//!
//! All that is done there is shell scripts (`bash`), as root where libvirt's system daemon needs it. Files travel over the
//! standard input of such a script, so nothing but `ssh` is needed, and `sudo` works for them too.

use super::options::Where;
use crate::failure::Failure;
use crate::host::spawn;
use crate::interrupt;
use crate::shell::{Shell, quoted_word};
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The status with which `ssh` tells of failures of its own (ssh(1), "EXIT STATUS").
const SSH_FAILED: i32 = 255;

/// The system daemon of libvirt, which machines outlive a login with.
pub(super) const SYSTEM: &str = "qemu:///system";

/// A host and how to work on it.
#[derive(Debug)]
pub(super) struct Host {
    destination: Option<String>,
    ssh: Vec<String>,
    /// libvirt's connection URI on that host.
    pub(super) uri: String,
    is_by_sudo: bool,
    /// The folder of all deployments.
    pub(super) folder: String,
    /// Whether KVM can run a 64-bit guest there.
    pub(super) has_kvm: bool,
    pub(super) has_virsh: bool,
    shell: Shell,
}

/// What the first script finds: `key=value` lines.
const PROBE: &str = r#"
echo uid=$(id -u); echo home=$HOME; echo system=$(uname -s)
command -v virsh >/dev/null && echo virsh=yes
grep -Eqw 'vmx|svm' /proc/cpuinfo 2>/dev/null && [ -c /dev/kvm ] && echo kvm=yes
[ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null && echo sudo=yes; }
:"#;

impl Host {
    /// Reaches the host and finds out what it can do.
    pub(super) fn connect(place: &Where, shell: &Shell) -> Result<Self> {
        let mut ssh = vec!["-o".into(), "BatchMode=yes".into()];
        ssh.extend(["-o".into(), "ConnectTimeout=15".into()]);
        if let Some(config) = &place.ssh_config {
            ssh.extend(["-F".into(), config.display().to_string()]);
        }
        if let Some(name) = place.host.as_deref().filter(|name| name.starts_with('-')) {
            bail!(Failure::new(
                format!("`{name}` is not the name of a host"),
                "write it as --host USER@HOST"
            ));
        }
        let mut host = Self {
            destination: place.host.clone(),
            ssh,
            uri: place.connect.clone(),
            is_by_sudo: false,
            folder: String::new(),
            has_kvm: false,
            has_virsh: false,
            shell: *shell,
        };
        let found = host.script(PROBE)?;
        let value = |key: &str| {
            let mut lines = found.lines().filter_map(|line| line.split_once('='));
            lines.find_map(|(name, value)| (name == key).then(|| value.trim().to_owned()))
        };
        if value("system").as_deref() != Some("Linux") {
            bail!(Failure::new(
                format!("{} is not a Linux host", host.name()),
                "name one by --host USER@HOST: machines are deployed to libvirt on Linux"
            ));
        }
        let is_system = host.uri == SYSTEM;
        let is_root = value("uid").as_deref() == Some("0");
        if is_system && !is_root {
            if value("sudo").is_none() {
                bail!(Failure::new(
                    format!(
                        "deploying to {} needs root, or sudo without a password",
                        host.name()
                    ),
                    "log in as root (--host root@HOST), allow sudo without a password for that user, \
                     or use a session of your own: --connect qemu:///session"
                ));
            }
            host.is_by_sudo = true;
        }
        host.folder = match is_system {
            true => "/var/lib/toro".into(),
            false => format!("{}/.local/share/toro", value("home").unwrap_or_default()),
        };
        host.has_kvm = value("kvm").is_some();
        host.has_virsh = value("virsh").is_some();
        Ok(host)
    }

    /// As messages name it.
    pub(super) fn name(&self) -> &str {
        self.destination.as_deref().unwrap_or("this host")
    }

    /// As its ports are reached.
    pub(super) fn address(&self) -> &str {
        let Some(destination) = &self.destination else {
            return "127.0.0.1";
        };
        destination
            .rsplit_once('@')
            .map_or(destination, |(_, host)| host)
    }

    /// `--host …` for advice, or nothing.
    pub(super) fn option(&self) -> String {
        let option = |name: &String| format!(" --host {name}");
        self.destination.as_ref().map(option).unwrap_or_default()
    }

    /// The command that runs `script` there; with a terminal if it is to be talked to.
    pub(super) fn command(&self, script: &str, is_interactive: bool) -> Command {
        let mut words = vec!["bash", "-c", script];
        if self.is_by_sudo {
            words.splice(0..0, ["sudo", "-n"]);
        }
        let Some(destination) = &self.destination else {
            let mut command = Command::new(words[0]);
            command.args(&words[1..]);
            return command;
        };
        let mut command = Command::new("ssh");
        command.args(&self.ssh);
        if is_interactive {
            command.arg("-t");
        }
        let line: Vec<_> = words.iter().map(|word| quoted_word(word)).collect();
        command.args(["--", destination, &line.join(" ")]);
        command
    }

    /// Runs `script`; returns what it printed. A script that fails is an error with its last words.
    pub(super) fn script(&self, script: &str) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.bytes(script)?).into_owned())
    }

    /// As [`Self::script`], for what is no text.
    pub(super) fn bytes(&self, script: &str) -> Result<Vec<u8>> {
        let output = self.attempt(script)?;
        match output.status.success() {
            true => Ok(output.stdout),
            false => bail!("{}", last_words(&output)),
        }
    }

    /// Runs `script`; that it fails is an answer.
    pub(super) fn attempt(&self, script: &str) -> Result<Output> {
        let mut command = self.command(script, false);
        self.shell.command(&command);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = self.started(spawn(command))?;
        self.judge(child.wait_with_output())
    }

    /// Writes `content` of `len_bytes` to `path` there: all of it or nothing. Runs of zeros become holes.
    pub(super) fn write(&self, content: impl Read, len_bytes: u64, path: &str) -> Result<()> {
        let path = quoted_word(path);
        // That the input ends says nothing: it does so as well when this tool is killed or the network fails.
        let script = format!(
            "set -e; part={path}.part; trap 'rm -f \"$part\"' EXIT; dd of=\"$part\" bs=1M iflag=fullblock conv=sparse status=none; \
             [ \"$(stat -c %s \"$part\")\" = {len_bytes} ] || {{ echo 'the transfer was broken off' >&2; exit 1; }}; \
             sync \"$part\"; mv \"$part\" {path}"
        );
        let mut content = content.take(len_bytes);
        let mut command = self.command(&script, false);
        self.shell.command(&command);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.started(spawn(command))?;
        let sent = match child.stdin.take() {
            Some(mut input) => std::io::copy(&mut UntilInterrupted(&mut content), &mut input)
                .and_then(|_| input.flush()),
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        };
        let output = self.judge(child.wait_with_output())?;
        if !output.status.success() {
            bail!(
                "cannot write {path} on {}: {}",
                self.name(),
                last_words(&output)
            );
        }
        sent.with_context(|| format!("cannot send {path} to {}", self.name()))
    }

    /// Copies the file `from` to `path` there.
    pub(super) fn copy(&self, from: &Path, path: &str) -> Result<()> {
        let open = || {
            let file = File::open(from)?;
            let len_bytes = file.metadata()?.len();
            Ok::<_, std::io::Error>((file, len_bytes))
        };
        let (file, len_bytes) =
            open().with_context(|| format!("cannot read {}", from.display()))?;
        self.write(file, len_bytes, path)
    }

    fn started<T>(&self, result: std::io::Result<T>) -> Result<T> {
        result.map_err(|error| {
            let (program, help) = match self.destination {
                Some(_) => ("ssh", "install an SSH client (OpenSSH)"),
                None => ("bash", "deploy to a Linux host by --host USER@HOST"),
            };
            Failure::new(format!("`{program}` cannot be started: {error}"), help).into()
        })
    }

    fn judge(&self, output: std::io::Result<Output>) -> Result<Output> {
        // Only now: what runs there would go on without its `ssh`, and meet what takes it back.
        interrupt::check()?;
        let output = self.started(output)?;
        if self.destination.is_some() && output.status.code() == Some(SSH_FAILED) {
            let message = format!(
                "{} cannot be reached by SSH: {}",
                self.name(),
                last_words(&output)
            );
            let help = format!(
                "try `ssh {}`: it must log in without asking for anything (a key, and the host's key accepted)",
                self.name()
            );
            bail!(Failure::new(message, help));
        }
        Ok(output)
    }
}

/// What is read until Ctrl-C.
struct UntilInterrupted<R>(R);

impl<R: Read> Read for UntilInterrupted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match interrupt::count() {
            0 => self.0.read(buffer),
            _ => Ok(0),
        }
    }
}

/// The last line that is not empty of what a program complained.
fn last_words(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let words: Vec<_> = lines.collect();
    match words.as_slice() {
        [] => output.status.to_string(),
        // What libvirt reports may be two lines: that it failed, and why.
        [.., first, last] if first.starts_with("error:") => format!(
            "{} {}",
            first.trim_start_matches("error:").trim(),
            last.trim_start_matches("error:").trim()
        ),
        [.., last] => last.trim_start_matches("error:").trim().to_owned(),
    }
}

/// A word of a script.
pub(super) fn word(text: &str) -> String {
    quoted_word(text)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_comes_in_part_only_is_not_put_in_its_place() {
        let place = Where {
            host: None,
            connect: "test:///default".into(),
            ssh_config: None,
        };
        let host = Host::connect(&place, &Shell::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a disk");
        let name = path.to_str().unwrap();
        let content = [b"data".as_slice(), &[0; 3 << 20]].concat();
        let sent = content.len() as u64;
        let error = host.write(&content[..], sent + 1, name).unwrap_err();
        assert!(error.to_string().contains("broken off"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        host.write(&content[..], sent, name).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
}
