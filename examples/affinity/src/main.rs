//! The network on core 0, the disk and its file system on core 1, messages between them.
//!
//! [`answer`] is the service: its callbacks run where the network card is, answer each request at once, and send a message about it.
//! [`journal`] is a thread where the disk is; it writes what the messages say to a file. So no request waits for the disk, and the core of
//! the network never has to.

mod answer;
mod journal;

use std::process::ExitCode;

use toro::net::{self, Addressing};
use toro::{core, message, storage};

use crate::answer::Answer;

const NETWORK: usize = 0;
const PORT: u16 = 80;
/// Requests of which the disk has not heard yet. More are answered and not logged.
const MESSAGES: usize = 1024;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("affinity: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    // With one core, both are there.
    let disk_core = 1.min(core::count() - 1);
    let card = net::dedicate("net0", NETWORK, Addressing::Keep)?;
    let disk = storage::dedicate("disk0", disk_core)?;
    println!(
        "{} ({}) belongs to core {}",
        card.name, card.driver, card.core
    );
    println!(
        "{} ({}) belongs to core {}",
        disk.name, disk.model, disk.core
    );
    let (sender, receiver) = message::channel(MESSAGES)?;
    let journal = journal::open()?;
    let writer = core::Builder::new(disk_core).name("journal");
    writer.spawn(move || journal::keep(journal, &receiver))?;
    let service = net::serve("net0", PORT, Answer::new(sender))?;
    println!("Serving on port {PORT}, logging to {}", journal::PATH);
    Ok(service.join()?)
}
