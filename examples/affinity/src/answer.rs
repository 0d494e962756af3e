//! The service, on the network's core.

use std::time::{Duration, SystemTime};

use toro::message::Sender;
use toro::net::{Connection, Service};

use crate::journal::Request;

const SILENCE: Duration = Duration::from_secs(10);
const MAX_HEAD_BYTES: usize = 4096;

pub(crate) struct Answer {
    journal: Sender<Request>,
    count: u64,
    /// Requests that the journal had no room for since the last that it had.
    unlogged: u64,
}

impl Answer {
    pub(crate) fn new(journal: Sender<Request>) -> Self {
        Self {
            journal,
            count: 0,
            unlogged: 0,
        }
    }

    /// Answers a request, and has it logged.
    fn answer(&mut self, connection: &mut Connection<'_>, line: String) -> toro::Result<()> {
        self.count += 1;
        let body = format!(
            "Request {}, answered on core {}.\n",
            self.count,
            toro::core::current()
        );
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        connection.send((head + &body).as_bytes())?;
        let request = Request {
            time: SystemTime::now(),
            peer: connection.peer(),
            line,
            unlogged: self.unlogged,
        };
        // A callback does not wait for a disk.
        match self.journal.try_send(request) {
            Ok(()) => self.unlogged = 0,
            Err(_) => self.unlogged += 1,
        }
        Ok(())
    }

    /// Answers the requests at the front of `data`; how many bytes that were, or none if there is no sense in them.
    fn answer_all(&mut self, connection: &mut Connection<'_>, data: &[u8]) -> Option<usize> {
        let mut done = 0;
        loop {
            let mut fields = [httparse::EMPTY_HEADER; 32];
            let mut request = httparse::Request::new(&mut fields);
            match request.parse(&data[done..]).ok()? {
                httparse::Status::Complete(len) => {
                    let line = format!("{} {}", request.method?, request.path?);
                    self.answer(connection, line).ok()?;
                    done += len;
                }
                httparse::Status::Partial if data.len() - done < MAX_HEAD_BYTES => {
                    return Some(done);
                }
                httparse::Status::Partial => return None,
            }
        }
    }
}

impl Service for Answer {
    /// What is not a whole request yet.
    type State = Vec<u8>;

    fn on_accept(&mut self, connection: &mut Connection<'_>) -> Option<Vec<u8>> {
        connection.set_timeout(Some(SILENCE));
        Some(Vec::new())
    }

    fn on_receive(&mut self, connection: &mut Connection<'_>, rest: &mut Vec<u8>, data: &[u8]) {
        rest.extend_from_slice(data);
        match self.answer_all(connection, rest) {
            Some(done) => drop(rest.drain(..done)),
            None => connection.close(),
        }
    }

    fn on_timeout(&mut self, connection: &mut Connection<'_>, _: &mut Vec<u8>) {
        connection.close();
    }
}
