//! Pages from memory over HTTP/1.1, by callbacks: no thread and no system call for a connection.
//!
//! Every network card is given to a core, one after the other, and has a service of its own there; a card with several queues has one on each
//! core that serves a queue. [`service`] has the callbacks,
//! [`request`] reads what clients ask, [`pages`] has the answers.

mod pages;
mod request;
mod service;

use std::process::ExitCode;

use toro::net::{self, Addressing};

use crate::service::Http;

const PORT: u16 = 80;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("http: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> toro::Result<()> {
    let cards = net::interfaces()?;
    let cards = cards.iter().filter(|card| card.name != "lo");
    let mut services = Vec::new();
    for (card, core) in cards.zip((0..toro::core::count()).cycle()) {
        if card.queues == 1 {
            net::dedicate(&card.name, core, Addressing::Keep)?;
        }
        for service in net::serve_each(&card.name, PORT, |_| Http::default())? {
            let core = service.core();
            println!("Serving on port {PORT} of {} on core {core}", card.name);
            services.push(service);
        }
    }
    for service in services {
        service.join()?;
    }
    Ok(())
}
