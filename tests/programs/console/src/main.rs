//! Shows what it was given: arguments, environment, standard input.
#![allow(unsafe_code, reason = "it calls C functions of terminals")]

use std::io::BufRead;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Reads what is typed byte by byte, up to a `q`, with a terminal that leaves bytes as they are.
fn raw() {
    // SAFETY: a structure of integers that is filled in, and buffers of the lengths that are told.
    unsafe {
        let mut settings: libc::termios = std::mem::zeroed();
        let mut size: libc::winsize = std::mem::zeroed();
        println!(
            "settings {} {}",
            libc::tcgetattr(0, &raw mut settings),
            libc::ioctl(1, libc::TIOCGWINSZ, &raw mut size)
        );
        println!("{} rows, {} columns", size.ws_row, size.ws_col);
        let before = settings;
        libc::cfmakeraw(&raw mut settings);
        libc::tcsetattr(0, libc::TCSAFLUSH, &raw const settings);
        print!("type\r\n");
        std::io::Write::flush(&mut std::io::stdout()).expect("a console");
        let mut typed = Vec::new();
        while typed.last() != Some(&b'q') {
            let mut byte = 0_u8;
            if libc::read(0, (&raw mut byte).cast(), 1) == 1 {
                typed.push(byte);
            }
        }
        // A read that must not wait.
        settings.c_cc[libc::VMIN] = 0;
        libc::tcsetattr(0, libc::TCSANOW, &raw const settings);
        let mut byte = 0_u8;
        let nothing = libc::read(0, (&raw mut byte).cast(), 1);
        libc::tcsetattr(0, libc::TCSANOW, &raw const before);
        println!("typed {typed:?}, then {nothing}");
    }
}

/// What the handler of `late` has to do, once that is known.
static IS_KNOWN: AtomicBool = AtomicBool::new(false);

extern "C" fn handle(_: i32) {
    println!("interrupted, known: {}", IS_KNOWN.load(Ordering::Relaxed));
    std::process::exit(0);
}

/// Sets a handler and takes a moment, as a slow or loaded machine does, until it is known what it shall do.
fn late() {
    let handler: extern "C" fn(i32) = handle;
    // SAFETY: the handler may do what it does: here signals interrupt nobody.
    unsafe { libc::signal(libc::SIGINT, handler as libc::sighandler_t) };
    println!("set");
    std::thread::sleep(Duration::from_millis(50));
    IS_KNOWN.store(true, Ordering::Relaxed);
}

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
            Ok("raw") => raw(),
            Ok("late") => late(),
            Ok("lines") => loop {
                println!("a line");
            },
            Ok(line) => println!("you said {line:?}"),
            Err(error) => println!("error {error}"),
        }
    }
    println!("done");
}
