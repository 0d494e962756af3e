//! What the system promises of files in memory: each step shows what came of one promise, the same on every Linux. `test-mappings FOLDER` has its files there, else where it was
//! started. `keep FILE` writes to a mapping, syncs it, writes more and waits to be cut off, `end FILE` ends instead; `fail FILE` has a disk that fails, `beyond` touches
//! what is behind the end of a file.

mod map;
mod steps;

use std::path::Path;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["keep", file] => {
            let _map = steps::keep(Path::new(file));
            println!("waiting");
            loop {
                std::thread::park();
            }
        }
        ["end", file] => std::mem::forget(steps::keep(Path::new(file))),
        ["fail", file] => steps::fail(Path::new(file)),
        ["beyond"] => steps::beyond(),
        [folder] => steps::all(Path::new(folder)),
        _ => steps::all(Path::new(".")),
    }
    println!("all steps done");
}
