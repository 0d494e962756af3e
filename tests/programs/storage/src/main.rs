//! Uses file systems: `steps FOLDER` does each thing once, `random FOLDER SEED COUNT` many in any order, `plain FOLDER SEED COUNT`
//! those of them that need no links, `fat FOLDER` what is different on a FAT, `cut FOLDER SEED` works until it is
//! cut off and says what is durable, `verify FOLDER COUNT` looks whether that is there, `fail FOLDER` goes on after errors, `rest FOLDER`
//! writes something and waits for ever, `exit FOLDER` writes and ends as abruptly as a program can. What `steps`, `random` and `plain` print is the same
//! on Linux.

mod cut;
mod fail;
mod fat;
mod random;
mod steps;

use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| {
        args.get(index)
            .and_then(|arg| arg.parse().ok())
            .unwrap_or(0)
    };
    let folder = Path::new(args.get(1).map_or("", String::as_str));
    match args.first().map_or("", String::as_str) {
        "steps" => steps::run(folder)?,
        "random" => random::run(folder, number(2), number(3), true)?,
        "plain" => random::run(folder, number(2), number(3), false)?,
        "fat" => fat::run(folder)?,
        "cut" => cut::work(folder, number(2))?,
        "verify" => cut::verify(folder, number(2))?,
        "fail" => fail::run(folder),
        "rest" => {
            std::fs::write(folder.join("written"), "before the rest")?;
            println!("resting");
            loop {
                std::thread::park();
            }
        }
        "abort" | "panic" | "exit" => {
            let file = std::fs::File::create(folder.join("open and removed"))?;
            std::fs::write(folder.join("written"), args.concat())?;
            std::fs::remove_file(folder.join("open and removed"))?;
            file.set_len(100_000)?;
            match args[0].as_str() {
                "abort" => std::process::abort(),
                "panic" => panic!("as asked for"),
                _ => std::process::exit(7),
            }
        }
        _ => return Err(io::Error::other("say what to do")),
    }
    println!("all steps done");
    Ok(())
}
