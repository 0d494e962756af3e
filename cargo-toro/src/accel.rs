//! Chooses what executes the guest: KVM only where it can run a 64-bit guest.
//!
//! A `/dev/kvm` that opens is not enough: some hosts offer KVM without hardware virtualisation, which interprets the guest
//! hundreds of times slower than QEMU's own translator, or cannot start it. The CPU's flags tell the two apart.

use crate::failure::Failure;
use crate::qemu::Accelerator;
use crate::values::Accel;
use anyhow::{Result, bail};

/// What was chosen and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The accelerator.
    pub accelerator: Accelerator,
    /// The reason, for the user.
    pub reason: String,
}

/// Chooses for `wish`; an error if KVM is demanded and of no use.
pub fn choose(wish: Accel) -> Result<Choice> {
    let (accelerator, reason) = match (wish, kvm_fault()) {
        (Accel::Tcg, _) => (Accelerator::Tcg, "asked for".into()),
        (Accel::Kvm, None) => (Accelerator::Kvm, "asked for".into()),
        (Accel::Kvm, Some(fault)) => {
            bail!(Failure::new(
                format!("KVM is of no use here: {fault}"),
                "choose --accel auto or --accel tcg"
            ))
        }
        (Accel::Auto, None) => (Accelerator::Kvm, "KVM works here".into()),
        (Accel::Auto, Some(fault)) => (Accelerator::Tcg, fault),
    };
    Ok(Choice {
        accelerator,
        reason,
    })
}

/// Why KVM cannot be used on this host; `None` if it can.
pub fn kvm_fault() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("KVM is part of Linux".into());
    }
    if let Err(error) = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm")
    {
        return Some(format!("/dev/kvm cannot be opened: {error}"));
    }
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    (!has_virtualisation(&cpuinfo))
        .then(|| "the CPU has neither vmx nor svm (/proc/cpuinfo)".into())
}

fn has_virtualisation(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().filter(|line| line.starts_with("flags"));
    flags
        .flat_map(str::split_whitespace)
        .any(|flag| flag == "vmx" || flag == "svm")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_virtualisation_is_a_flag_of_its_own() {
        assert!(has_virtualisation(
            "processor\t: 0\nflags\t\t: fpu svm sse\n"
        ));
        assert!(has_virtualisation("flags\t\t: fpu vmx"));
        assert!(!has_virtualisation(
            "flags\t\t: fpu svm_lock\nvmx flags\t: vnmi\nmodel name: vmx"
        ));
        assert!(!has_virtualisation(""));
    }

    #[test]
    fn emulation_can_always_be_had() {
        assert_eq!(choose(Accel::Tcg).unwrap().accelerator, Accelerator::Tcg);
    }
}
