//! What `cargo toro bench net` loads: HTTP/1.1 over one callback service. `GET /N` is answered with N bytes, at most [`BYTES`], `GET /N/R` too, after R rounds of a hash;
//! what is posted is taken and answered with 204. A card with several queues has a service on each core that serves one.

use std::process::ExitCode;

use toro::net::{self, Addressing, Connection, Service};

/// How many bytes can be asked for.
const BYTES: usize = 64 << 20;
const PORT: u16 = 80;
const SMALL_BYTES: usize = 1024;
const MAX_HEAD_BYTES: usize = 8192;
const MAX_HEADERS: usize = 32;
/// A second or so.
const MAX_ROUNDS: u64 = 1 << 30;

/// Something to compute.
fn hash(rounds: u64) -> u64 {
    (0..rounds).fold(0xCBF2_9CE4_8422_2325, |hash: u64, round| {
        std::hint::black_box(hash ^ round).wrapping_mul(0x100_0000_01B3)
    })
}

struct Load {
    /// What is sent.
    bytes: &'static [u8],
}

/// What is known of a connection.
#[derive(Default)]
struct Client {
    /// The beginning of a request.
    head: Vec<u8>,
    /// Bytes of a body that are still to come.
    body_bytes: usize,
}

impl Client {
    /// Answers what can be answered; `None` if the client makes no sense.
    fn go_on(
        &mut self,
        connection: &mut Connection<'_>,
        bytes: &'static [u8],
        data: &[u8],
    ) -> Option<()> {
        let taken = self.body_bytes.min(data.len());
        let (body, head) = data.split_at(taken);
        if !body.is_empty() {
            self.body_bytes -= taken;
            if self.body_bytes == 0 {
                connection.send(b"HTTP/1.1 204 No Content\r\n\r\n").ok()?;
            }
        }
        if head.is_empty() {
            return Some(());
        }
        self.head.extend_from_slice(head);
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let len = match request.parse(&self.head).ok()? {
            httparse::Status::Complete(len) => len,
            httparse::Status::Partial => return (self.head.len() < MAX_HEAD_BYTES).then_some(()),
        };
        if request.method == Some("POST") {
            let mut headers = request.headers.iter();
            let length = headers.find(|one| one.name.eq_ignore_ascii_case("content-length"))?;
            self.body_bytes = std::str::from_utf8(length.value).ok()?.parse().ok()?;
        } else {
            let path = request.path?.strip_prefix('/')?;
            let (count, rounds) = path.split_once('/').unwrap_or((path, "0"));
            let count: usize = count.parse().ok()?;
            let body = bytes.get(..count)?;
            let rounds = rounds.parse().ok().filter(|&rounds| rounds <= MAX_ROUNDS)?;
            let result = match rounds {
                0 => String::new(),
                _ => format!("X-Hash: {:x}\r\n", hash(rounds)),
            };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {count}\r\n{result}\r\n");
            if count <= SMALL_BYTES {
                // In one segment.
                connection.send(&[head.as_bytes(), body].concat()).ok()?;
            } else {
                connection.send(head.as_bytes()).ok()?;
                connection.send_static(body).ok()?;
            }
        }
        // Clients here ask for one thing after the other, so a body may follow, but no request.
        let rest = self.head.split_off(len);
        self.head.clear();
        match rest.len() <= self.body_bytes {
            true => self.go_on(connection, bytes, &rest),
            false => None,
        }
    }
}

impl Service for Load {
    type State = Client;

    fn on_accept(&mut self, _: &mut Connection<'_>) -> Option<Client> {
        Some(Client::default())
    }

    fn on_receive(&mut self, connection: &mut Connection<'_>, client: &mut Client, data: &[u8]) {
        if client.go_on(connection, self.bytes, data).is_none() {
            connection.abort();
        }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-net: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> toro::Result<()> {
    let cards = net::interfaces()?;
    let Some(card) = cards.iter().find(|card| card.name != "lo") else {
        eprintln!("bench-net: there is no network card");
        return Ok(());
    };
    if card.queues == 1 {
        net::dedicate(&card.name, 0, Addressing::Keep)?;
    }
    let bytes: &'static [u8] = vec![0; BYTES].leak();
    let services = net::serve_each(&card.name, PORT, |_| Load { bytes })?;
    println!("Serving on port {PORT}");
    services.into_iter().try_for_each(|service| service.join())
}
