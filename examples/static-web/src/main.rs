//! A file server: ordinary Rust, nothing of Toro in it. It runs on Linux as well (`cargo run`).
//!
//! A request goes from [`server`] (accepts, one thread a connection) to [`connection`] (reads, answers, keeps alive),
//! which asks [`request`] what was sent, [`path`] which file is meant, [`files`] for that file, and [`respond`] for
//! the answer, in the words of [`response`]; [`access_log`] keeps a line of it. HTTP/1.1 is RFC 9110 (semantics) and RFC 9112 (messages).

mod access_log;
mod connection;
mod content_type;
mod date;
mod files;
mod path;
mod places;
mod range;
mod request;
mod respond;
mod response;
mod server;

use std::process::ExitCode;

fn main() -> ExitCode {
    match server::Settings::from_environment().and_then(|settings| server::run(&settings)) {
        Ok(never) => match never {},
        Err(message) => {
            eprintln!("static-web: {message}");
            ExitCode::FAILURE
        }
    }
}
