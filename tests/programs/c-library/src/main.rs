//! Functions of the C library, as C code that crates bring along calls them. Each step shows what came of it; the same on every Linux.

mod cleanups;
mod contexts;
mod conversions;
mod cookies;
mod dates;
mod directories;
mod expressions;
mod formats;
mod jumps;
mod memory_streams;
mod requests;
mod scans;
mod streams;
mod tables;
mod threads;
mod tree_streams;
mod trees;
mod wide;
mod words;

fn main() {
    formats::steps();
    requests::steps();
    scans::steps();
    streams::steps();
    jumps::steps();
    cleanups::steps();
    dates::steps();
    directories::steps();
    trees::steps();
    tree_streams::steps();
    cookies::steps();
    words::steps();
    memory_streams::steps();
    tables::steps();
    contexts::steps();
    expressions::steps();
    conversions::steps();
    threads::steps();
    wide::steps();
    println!("all steps done");
}
