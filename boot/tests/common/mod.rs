//! What the tests of the loader share: a kernel that reports how it was started, a disk for it
//! (written here by the letter of ARCHITECTURE.md, not by the tool's code), and a QEMU to boot it.

pub mod disk;
pub mod kernel;
pub mod machine;
