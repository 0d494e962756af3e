//! Goes on after errors: whatever fails is an error, and the program lives.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

fn show<T>(what: &str, result: io::Result<T>) {
    match result {
        Ok(_) => println!("{what}: ok"),
        Err(error) => println!("{what}: error {}", error.raw_os_error().unwrap_or(0)),
    }
}

pub(crate) fn run(folder: &Path) {
    for round in 0..3 {
        let path = folder.join(format!("new{round}"));
        let file = File::create(&path);
        show(
            "create",
            file.as_ref()
                .map(drop)
                .map_err(|error| io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(0))),
        );
        if let Ok(mut file) = file {
            show("write", file.write_all(&[7; 200_000]));
            show("sync", file.sync_all());
        }
        show("mkdir", fs::create_dir(folder.join(format!("dir{round}"))));
        show("read", fs::read(folder.join("a.txt")));
        show("list", fs::read_dir(folder).map(Iterator::count));
        show("remove", fs::remove_file(path));
    }
    println!("still here");
}
