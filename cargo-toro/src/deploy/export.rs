//! placeholder
use super::options::Export;
use crate::shell::Shell;
use anyhow::Result;
pub(super) fn run(_: &Export, _: &Shell) -> Result<()> {
    Ok(())
}
