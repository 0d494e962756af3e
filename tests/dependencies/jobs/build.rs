//! A table of names made at build time.

use std::io::Write;

fn main() {
    let folder = std::env::var("OUT_DIR").expect("set by cargo");
    let path = std::path::Path::new(&folder).join("jobs.rs");
    let mut file = std::fs::File::create(path).expect("a new file");
    let mut map = phf_codegen::Map::new();
    for (name, job) in [("resize", "Job::Resize"), ("compress", "Job::Compress")] {
        map.entry(name, job);
    }
    writeln!(
        file,
        "static JOBS: phf::Map<&'static str, Job> = {};",
        map.build()
    )
    .expect("room");
    println!("cargo::rerun-if-changed=build.rs");
}
