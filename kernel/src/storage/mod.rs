//! Disks, partitions, file systems.
