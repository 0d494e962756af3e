//! ext2.
#![no_std]
#![forbid(unsafe_code)]
