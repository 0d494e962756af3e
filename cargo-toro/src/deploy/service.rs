//! A service by name, and where its things are on a host.
//!
//! ```text
//! FOLDER/NAME/releases/N/boot.img     the image of a release, never written by the guest
//! FOLDER/NAME/releases/N/domain.xml   the machine of that release
//! FOLDER/NAME/releases/N/came-up      empty: the release was seen to come up
//! FOLDER/NAME/disks/FILE              data disks, which stay over releases and after `down`
//! FOLDER/NAME/console.log             what all releases wrote to their consoles
//! ```

use super::host::Host;
use crate::failure::Failure;
use crate::program::Program;
use anyhow::{Result, bail};
use sha2::{Digest, Sha256};

/// A name that libvirt, file systems and container registries all take is no longer than this.
const MAX_NAME_BYTES: usize = 50;

/// A service on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) name: String,
    /// Its folder on the host.
    pub(super) folder: String,
}

impl Service {
    pub(super) fn new(host: &Host, name: &str) -> Result<Self> {
        check_name(name)?;
        Ok(Self {
            name: name.to_owned(),
            folder: format!("{}/{name}", host.folder),
        })
    }

    /// The service of that name, else that of the program in the current folder.
    pub(super) fn named(host: &Host, name: Option<&str>) -> Result<Self> {
        match name {
            Some(name) => Self::new(host, name),
            None => Self::new(host, &Program::find(None, None)?.name),
        }
    }

    pub(super) fn log(&self) -> String {
        format!("{}/console.log", self.folder)
    }

    pub(super) fn releases(&self) -> String {
        format!("{}/releases", self.folder)
    }

    pub(super) fn release(&self, number: u32) -> String {
        format!("{}/{number}", self.releases())
    }

    pub(super) fn boot_image(&self, number: u32) -> String {
        format!("{}/boot.img", self.release(number))
    }

    pub(super) fn definition(&self, number: u32) -> String {
        format!("{}/domain.xml", self.release(number))
    }

    /// The file that says that a release was seen to come up.
    pub(super) fn came_up(&self, number: u32) -> String {
        format!("{}/came-up", self.release(number))
    }

    pub(super) fn disks(&self) -> String {
        format!("{}/disks", self.folder)
    }

    /// The same for each release, as libvirt wants it of a machine that is defined anew: made of the name (RFC 9562, version 8).
    pub(super) fn uuid(&self) -> uuid::Uuid {
        let digest = Sha256::digest(format!("toro:{}", self.name));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }
}

/// An error for a name that is not taken everywhere.
pub(super) fn check_name(name: &str) -> Result<()> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins_well && name.len() <= MAX_NAME_BYTES && name.chars().all(is_plain) {
        return Ok(());
    }
    let help = format!(
        "choose one of letters, digits, `-`, `_` and `.`, with at most {MAX_NAME_BYTES} characters"
    );
    bail!(Failure::new(
        format!("`{name}` is not a name for a service"),
        help
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_paths_and_scripts() {
        for good in ["web", "web-2.test_x", "9"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "..", "-x", "a/b", "a b", "a;b", "ä", &"x".repeat(51)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
