//! A service that comes late to its connections: their bytes are there before it looks at them for the first time.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use toro::net::{self, Connection, Service};

const PORT: u16 = 90;
/// The client has sent everything.
static IS_SENT: AtomicBool = AtomicBool::new(false);
/// The service is to close the connection without a look at what has come.
static SHALL_CLOSE: AtomicBool = AtomicBool::new(false);

struct Late;

impl Service for Late {
    type State = ();

    fn on_accept(&mut self, connection: &mut Connection<'_>) -> Option<()> {
        while !IS_SENT.swap(false, Ordering::Acquire) {
            thread::sleep(Duration::from_millis(1));
        }
        // Meanwhile the loopback delivers it: the first piece is put aside, and the second waits in the connection's buffer.
        thread::sleep(Duration::from_millis(20));
        if SHALL_CLOSE.load(Ordering::Acquire) {
            connection.close();
        }
        Some(())
    }

    fn on_receive(&mut self, connection: &mut Connection<'_>, (): &mut (), data: &[u8]) {
        connection.send(data).expect("little waits");
    }
}

/// Bytes that came before the first look stay in order; closed without a look, the connection is reset.
pub(crate) fn run() {
    let service = net::serve("net0", PORT, Late).expect("a free port");
    let mut stream = sent(&[b"first ", b"second"]);
    stream.shutdown(Shutdown::Write).expect("a stream");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an end in order");
    assert_eq!(text, "first second");
    SHALL_CLOSE.store(true, Ordering::Release);
    for pieces in [&[&b"unheard"[..]][..], &[b"unheard", b"too"]] {
        let broken = sent(pieces).read(&mut [0; 1]).expect_err("a reset");
        assert_eq!(broken.kind(), ErrorKind::ConnectionReset);
    }
    service.stop();
    service.join().expect("no panic in on_init");
    println!("late: done");
}

/// A connection by which these pieces were sent.
fn sent(pieces: &[&[u8]]) -> TcpStream {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).expect("a service");
    stream.set_nodelay(true).expect("a stream");
    for piece in pieces {
        stream.write_all(piece).expect("a service");
    }
    IS_SENT.store(true, Ordering::Release);
    stream
}
