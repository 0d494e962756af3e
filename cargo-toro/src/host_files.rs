//! Files that programs expect of any system, and that a machine has only if they are brought along: the certificates of authorities, and time zones.

use crate::settings::Settings;
use crate::shell::Shell;
use anyhow::{Context, Result};
use std::path::Path;

/// Where the files are that such a program looks for.
const AUTHORITIES: &str = "/etc/ssl/certs";
const TIME_ZONES: &str = "/usr/share/zoneinfo";

/// Says what the `linked` program will look for in vain on the machine of `settings`.
pub(crate) fn tell_of_missing(linked: &Path, settings: &Settings, shell: &Shell) -> Result<()> {
    let linked =
        std::fs::read(linked).with_context(|| format!("cannot read {}", linked.display()))?;
    let has_variable = |names: &[&str]| names.iter().any(|name| settings.env.contains_key(*name));
    // Who names its certificates has them; who names no time zone is content with UTC.
    if !has_variable(&["SSL_CERT_FILE", "SSL_CERT_DIR"])
        && is_missing(AUTHORITIES, &linked, settings)
    {
        shell.note(format_args!(
            "the program can trust the authorities in {AUTHORITIES}, and the machine has none; \
             `--embed {AUTHORITIES}:{AUTHORITIES}` takes the host's along"
        ));
    }
    if has_variable(&["TZ"]) && is_missing(TIME_ZONES, &linked, settings) {
        shell.note(format_args!(
            "the time zones of {TIME_ZONES} are not on the machine; \
             `--embed {TIME_ZONES}:{TIME_ZONES}` takes the host's along"
        ));
    }
    Ok(())
}

/// Whether a program names a folder that can be neither in its image nor on a disk of the machine.
fn is_missing(folder: &str, linked: &[u8], settings: &Settings) -> bool {
    let embedded = settings.embed.iter().map(|embed| embed.path.as_str());
    let mounted = settings
        .disks
        .iter()
        .filter_map(|disk| disk.mount.as_deref());
    let is_brought = embedded
        .chain(mounted)
        .any(|place| Path::new(folder).starts_with(place));
    !is_brought
        && linked
            .windows(folder.len())
            .any(|window| window == folder.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Metadata;
    use crate::settings::Overrides;

    #[test]
    fn what_is_named_and_not_brought_along_is_missing() {
        let with = |path: Option<&str>| {
            let embed = path.map(|path| format!("/host:{path}").parse().expect("a folder"));
            let overrides = Overrides {
                embed: embed.into_iter().collect(),
                ..Overrides::default()
            };
            Settings::new(&Metadata::default(), Path::new("/"), overrides).expect("settings")
        };
        let program = b"\x7fELF/usr/lib/ssl/etc/ssl/certs/ca-certificates.crt";
        assert!(is_missing(AUTHORITIES, program, &with(None)));
        assert!(is_missing(
            AUTHORITIES,
            program,
            &with(Some("/etc/ssl/certs2"))
        ));
        for place in ["/etc", "/etc/ssl/certs"] {
            assert!(
                !is_missing(AUTHORITIES, program, &with(Some(place))),
                "{place}"
            );
        }
        assert!(!is_missing(TIME_ZONES, program, &with(None)));
    }
}
