//! What the benchmark asks of the system: Toro, whose disk is mounted when the program starts.

unsafe extern "C" {
    safe fn sync();
}

pub(crate) fn begin() {}

/// Returns when all that was written is on the medium.
pub(crate) fn sync_all() {
    sync();
}

/// Blocks that were read so far from the cache of the disk, and from the disk.
pub(crate) fn cache_reads() -> Option<(u64, u64)> {
    let cache = toro::storage::disk("disk0").ok()?.cache;
    Some((cache.hits, cache.misses))
}
