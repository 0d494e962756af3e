//! The C symbols that programs link against, one file per family, and the table of objects behind small integers.

pub mod object;
