//! Boot loader.
#![no_std]
