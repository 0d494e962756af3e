//! Shows what it was given: arguments, environment, standard input.

use std::io::BufRead;

fn main() {
    println!(
        "arguments {:?}",
        std::env::args().skip(1).collect::<Vec<_>>()
    );
    for (name, value) in std::env::vars() {
        println!("variable {name}={value}");
    }
    println!("folder {:?}", std::env::current_dir());
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        match line.as_deref() {
            Ok("end") => break,
            Ok("tty") => {
                let terminal = std::fs::File::open("/dev/tty").expect("a terminal");
                println!("say it to the terminal");
                let mut line = String::new();
                let read = std::io::BufReader::new(terminal).read_line(&mut line);
                println!("on the terminal {line:?}, {read:?}");
            }
            Ok(line) => println!("you said {line:?}"),
            Err(error) => println!("error {error}"),
        }
    }
    println!("done");
}
