//! Uses std's files in the folders its arguments name.
fn main() {}
