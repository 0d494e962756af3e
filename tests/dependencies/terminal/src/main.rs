//! Crates for the terminal. Without arguments only what needs nobody to type; `line`, `keys` and `password` read.

use clap::Parser;
use crossterm::{cursor, event, execute, style, terminal};
use std::io::{IsTerminal, Write};
use std::time::Duration;

#[derive(Parser)]
struct Options {
    what: Option<String>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    match options.what.as_deref() {
        Some("line") => {
            let mut editor = rustyline::DefaultEditor::new()?;
            let line = editor.readline("? ")?;
            println!("read {line:?}");
        }
        Some("keys") => {
            terminal::enable_raw_mode()?;
            print!("type\r\n");
            std::io::stdout().flush()?;
            let mut keys = Vec::new();
            while keys.len() < 3 {
                if let event::Event::Key(key) = event::read()? {
                    keys.push(format!("{:?}", key.code));
                }
            }
            terminal::disable_raw_mode()?;
            println!("keys {keys:?}");
        }
        Some("password") => println!("{:?}", rpassword::read_password()),
        _ => {
            println!("terminal {} {:?}", std::io::stdout().is_terminal(), terminal::size());
            terminal::enable_raw_mode()?;
            println!("raw {:?} {:?}\r", terminal::is_raw_mode_enabled(), event::poll(Duration::from_millis(1)));
            terminal::disable_raw_mode()?;
            execute!(std::io::stdout(), style::SetForegroundColor(style::Color::Green), cursor::Show)?;
            execute!(std::io::stdout(), style::ResetColor)?;
            println!();
            let bar = indicatif::ProgressBar::new(10);
            (0..10).for_each(|_| bar.inc(1));
            bar.finish_and_clear();
            println!("bar {}", bar.position());
            tracing_subscriber::fmt().init();
            tracing::info!(answer = 42, "traced");
        }
    }
    println!("all done");
    Ok(())
}
