//! Functions of the C library, as C code that crates bring along calls them. Each step shows what came of it; the same on every Linux.

mod dates;
mod formats;
mod jumps;
mod scans;
mod streams;

fn main() {
    formats::steps();
    scans::steps();
    streams::steps();
    jumps::steps();
    dates::steps();
    println!("all steps done");
}
