//! The callbacks.

use std::time::{Duration, Instant};

use toro::net::{Connection, Service};

use crate::pages::Pages;
use crate::request::{self, Persistence, Request};

/// How long a connection may be silent.
const SILENCE: Duration = Duration::from_secs(10);
/// How long a request may take from its first byte to its last, so that a client that sends byte by byte comes to an end, too.
const PATIENCE: Duration = Duration::from_secs(20);

/// The service.
pub(crate) struct Http {
    pages: Pages,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            pages: Pages::new(),
        }
    }
}

/// What is known of a connection.
#[derive(Default)]
pub(crate) struct Client {
    /// Bytes that are no whole request yet, or could not be answered yet.
    unread: Vec<u8>,
    /// When the first of them came.
    since: Option<Instant>,
}

impl Http {
    /// Answers the requests at the front of `data`; how many bytes that were.
    fn answer(&self, connection: &mut Connection<'_>, data: &[u8]) -> usize {
        let mut rest = data;
        while !rest.is_empty() {
            match self.answer_first(connection, rest) {
                0 => break,
                len => rest = rest.get(len..).unwrap_or_default(),
            }
        }
        data.len() - rest.len()
    }

    /// Answers the request at the front of `data`; how many bytes it has. Without one, and while the client does not take its answers, 0; where
    /// the connection ends with the answer, all.
    #[inline(never)]
    fn answer_first(&self, connection: &mut Connection<'_>, data: &[u8]) -> usize {
        let (answer, is_head, persistence, len) = match request::read(data) {
            Request::Partial => return 0,
            Request::Get {
                target,
                is_head,
                persistence,
                len,
            } => (self.pages.find(target), is_head, persistence, len),
            Request::TooLarge => (&self.pages.too_large, false, Persistence::Close, data.len()),
            Request::Unsupported => (
                &self.pages.not_allowed,
                false,
                Persistence::Close,
                data.len(),
            ),
            Request::Malformed => (
                &self.pages.bad_request,
                false,
                Persistence::Close,
                data.len(),
            ),
        };
        if connection
            .send_static(answer.bytes(is_head, persistence))
            .is_err()
        {
            // Too much waits for a client that asks faster than it reads: `on_writable` goes on.
            return 0;
        }
        if persistence == Persistence::Close {
            connection.close();
            return data.len();
        }
        len
    }
}

impl Service for Http {
    type State = Client;

    fn on_accept(&mut self, connection: &mut Connection<'_>) -> Option<Client> {
        connection.set_timeout(Some(SILENCE));
        Some(Client::default())
    }

    fn on_receive(&mut self, connection: &mut Connection<'_>, client: &mut Client, data: &[u8]) {
        if client.unread.is_empty() {
            // Nearly always: whole requests, which need not be kept.
            let first = self.answer_first(connection, data);
            if first == data.len() {
                return;
            }
            let done = match first {
                0 => 0,
                first => first + self.answer(connection, &data[first..]),
            };
            client.unread.extend_from_slice(&data[done..]);
        } else {
            client.unread.extend_from_slice(data);
            self.on_writable(connection, client);
        }
        if client.unread.is_empty() {
            client.since = None;
            return;
        }
        let since = *client.since.get_or_insert_with(Instant::now);
        if connection.waiting() == 0 && since.elapsed() > PATIENCE {
            self.on_timeout(connection, client);
        }
    }

    fn on_writable(&mut self, connection: &mut Connection<'_>, client: &mut Client) {
        let done = self.answer(connection, &client.unread);
        client.unread.drain(..done);
        if client.unread.is_empty() {
            client.since = None;
        }
    }

    fn on_timeout(&mut self, connection: &mut Connection<'_>, client: &mut Client) {
        if connection.waiting() != 0 {
            // It does not take its answers.
            connection.abort();
            return;
        }
        if !client.unread.is_empty() {
            // It may be gone: then there is nobody to tell.
            let answer = self.pages.timed_out.bytes(false, Persistence::Close);
            let _ = connection.send_static(answer);
        }
        connection.close();
    }
}
