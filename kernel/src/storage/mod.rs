//! Disks, partitions, file systems.
pub mod block_cache;
pub mod partition;
pub mod turn;
pub mod vfs;
