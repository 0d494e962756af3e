//! A service whose last answer is long, and whose program ends at once after it: in the callback itself, by itself while the service runs, or
//! after the service was stopped.

use std::process;
use std::sync::mpsc::{Sender, channel};

use toro::Error;
use toro::net::{self, Connection, Service};

use crate::PORT;

const PIECE: [u8; 10_000] = [b'l'; 10_000];

struct Leave {
    exits: bool,
    said: Sender<usize>,
}

impl Service for Leave {
    type State = ();

    fn on_accept(&mut self, _: &mut Connection<'_>) -> Option<()> {
        Some(())
    }

    fn on_receive(&mut self, connection: &mut Connection<'_>, (): &mut (), _: &[u8]) {
        // Until no more may wait.
        let mut sent = 0;
        loop {
            match connection.send(&PIECE) {
                Ok(()) => sent += PIECE.len(),
                Err(Error::Full) => break,
                Err(error) => panic!("{error}"),
            }
        }
        println!("leave: {sent} bytes, {} wait", connection.waiting());
        if self.exits {
            process::exit(0);
        }
        self.said.send(sent).expect("main waits for it");
    }
}

pub(crate) fn run(how: &str) {
    let (said, hears) = channel();
    let exits = how == "in the callback";
    let service = net::serve("net0", PORT, Leave { exits, said }).expect("a free port");
    println!("leave: ready");
    hears.recv().expect("a client");
    if how == "after the service" {
        service.stop();
        service.join().expect("no panic in on_init");
    }
}
