//! The C symbols that programs link against, one file per family, and the table of objects behind small integers.

mod convert;
pub mod descriptor;
pub mod directory;
pub mod file;
pub mod metadata;
pub mod object;
pub mod path;
