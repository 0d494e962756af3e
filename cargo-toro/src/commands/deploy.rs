//! `cargo toro deploy`: services on hosts with libvirt.

use crate::deploy::{self, options::Deploy};
use crate::shell::Shell;
use anyhow::Result;

/// Does what the options say.
pub(super) fn run(options: &Deploy, shell: &Shell) -> Result<u8> {
    deploy::run(options, shell)
}
