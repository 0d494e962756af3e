//! What the benchmark asks of the system: Toro, whose disk is mounted when the program starts.

unsafe extern "C" {
    safe fn sync();
}

pub(crate) fn begin() {}

/// Returns when all that was written is on the medium.
pub(crate) fn sync_all() {
    sync();
}
