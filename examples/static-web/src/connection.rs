//! One connection: reads requests, has them answered in order, and ends when either side has had enough.
//!
//! In the usual case a request costs one `read` and one `write`, and allocates nothing. Requests that came together
//! (pipelining) are answered together.

use std::cell::LazyCell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::access_log::{self, AccessLog};
use crate::date::Clock;
use crate::files::Files;
use crate::places::Guest;
use crate::request::{MAX_HEAD_BYTES, Request};
use crate::respond::Responder;
use crate::response::{Persistence, Status};

/// What the input starts with; most requests are smaller.
const FIRST_INPUT_BYTES: usize = 2 << 10;
/// And the output: the head of an answer with a small page.
const FIRST_OUTPUT_BYTES: usize = 1 << 10;
/// Answers are collected up to here before they are sent.
pub(crate) const MAX_OUTPUT_BYTES: usize = 16 << 10;
/// How much of what a refused peer still sends is read, and how long, before the connection is closed.
const MAX_LINGER_BYTES: usize = 256 << 10;
const LINGER: Duration = Duration::from_secs(1);

/// Serves `guest` until the connection ends.
pub(crate) fn serve(
    guest: &Guest,
    files: &Files,
    log: &Arc<AccessLog>,
    idle: Duration,
) -> io::Result<()> {
    let stream = &guest.stream;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(idle))?;
    stream.set_write_timeout(Some(idle))?;
    let mut input = Input::new(guest, idle);
    let mut output = Output::new(guest);
    let mut responder = Responder::new(files, Clock::new());
    let peer = LazyCell::new(|| access_log::name(guest.peer));
    loop {
        let before = output.count();
        let mut is_refused = false;
        let persistence = match Request::parse(input.pending()) {
            Ok(Some((request, len))) => {
                let mut answered = responder.respond(&request, &mut output);
                let bytes = output.count() - before;
                if len == input.pending().len() {
                    // Who waits for the last answer does not wait for the log.
                    answered = answered.and_then(|()| output.flush());
                }
                log.add(&peer, responder.date(), request.line, output.status, bytes);
                answered?;
                let persistence = request.persistence();
                input.consume(len)?;
                persistence
            }
            Ok(None) => {
                output.flush()?;
                match input.fill()? {
                    Filled::More => continue,
                    Filled::End => return Ok(()),
                    Filled::Late => {
                        is_refused = true;
                        responder.refuse(Status::RequestTimeout, &mut output);
                        Persistence::Close
                    }
                }
            }
            Err(status) => {
                is_refused = true;
                responder.refuse(status, &mut output);
                Persistence::Close
            }
        };
        if is_refused {
            let line = first_line(input.pending());
            let bytes = output.count() - before;
            log.add(&peer, responder.date(), line, output.status, bytes);
        }
        if persistence == Persistence::Close {
            output.flush()?;
            return linger(stream);
        }
    }
}

/// What came of a request line that is wrong, or not all there.
fn first_line(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !b"\r\n".contains(byte));
    let bytes = &bytes[start.unwrap_or(bytes.len())..];
    let end = bytes.iter().position(|byte| b"\r\n".contains(byte));
    &bytes[..end.unwrap_or(bytes.len())]
}

/// Closes in a way that lets the peer read the answer although it may still be sending (RFC 9112, 9.6).
fn linger(mut stream: &TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(LINGER))?;
    let (mut buffer, mut left, start) = ([0; 1024], MAX_LINGER_BYTES, Instant::now());
    while left > 0 && start.elapsed() < LINGER {
        match stream.read(&mut buffer)? {
            0 => break,
            count => left = left.saturating_sub(count),
        }
    }
    Ok(())
}

/// What came of waiting for the peer.
enum Filled {
    /// Some bytes.
    More,
    /// The end of the connection, or silence where no request had begun.
    End,
    /// A request that has begun takes too long.
    Late,
}

/// What the peer has sent and what is not yet answered of it.
struct Input<'a> {
    guest: &'a Guest,
    idle: Duration,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// When the request that is only partly there began.
    began: Option<Instant>,
}

impl<'a> Input<'a> {
    fn new(guest: &'a Guest, idle: Duration) -> Self {
        let buffer = vec![0; FIRST_INPUT_BYTES];
        Self {
            guest,
            idle,
            buffer,
            start: 0,
            end: 0,
            began: None,
        }
    }

    fn pending(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    fn consume(&mut self, len: usize) -> io::Result<()> {
        self.start += len;
        if self.began.take().is_some() {
            self.guest.stream.set_read_timeout(Some(self.idle))?;
        }
        Ok(())
    }

    /// Waits for more. There is room for it: a head of `MAX_HEAD_BYTES` is either complete or refused.
    fn fill(&mut self) -> io::Result<Filled> {
        self.make_room();
        let is_started = self.start < self.end;
        if is_started {
            let began = *self.began.get_or_insert_with(Instant::now);
            let left = self.idle.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Ok(Filled::Late);
            }
            self.guest.stream.set_read_timeout(Some(left))?;
        } else {
            self.guest.rests();
        }
        let mut stream = &self.guest.stream;
        loop {
            match stream.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Ok(Filled::End),
                Ok(count) => {
                    self.guest.moved();
                    self.end += count;
                    return Ok(Filled::More);
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock | ErrorKind::TimedOut if is_started => {
                        return Ok(Filled::Late);
                    }
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Ok(Filled::End),
                    _ => return Err(error),
                },
            }
        }
    }

    fn make_room(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.end == self.buffer.len() {
                self.buffer.resize(MAX_HEAD_BYTES, 0);
            }
        }
    }
}

/// What is to be sent to the peer.
pub(crate) struct Output<'a> {
    guest: &'a Guest,
    buffer: Vec<u8>,
    /// Bytes that are no longer in the buffer.
    sent: u64,
    /// Of the answer that was begun last.
    pub(crate) status: Status,
}

impl<'a> Output<'a> {
    fn new(guest: &'a Guest) -> Self {
        Self {
            guest,
            buffer: Vec::with_capacity(FIRST_OUTPUT_BYTES),
            sent: 0,
            status: Status::Ok,
        }
    }

    /// How many bytes were sent and are to be sent.
    fn count(&self) -> u64 {
        self.sent + self.buffer.len() as u64
    }

    /// Where answers are written.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Appends `bytes`: with what is already there in one piece if they are few, else as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.buffer.len() + bytes.len() > MAX_OUTPUT_BYTES {
            self.flush()?;
        }
        if bytes.len() >= MAX_OUTPUT_BYTES {
            write_out(self.guest, bytes)?;
            self.sent += bytes.len() as u64;
            return Ok(());
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Sends what is there.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            write_out(self.guest, &self.buffer)?;
            self.sent += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }
}

/// Writes all, noting each part that the peer has made room for.
fn write_out(guest: &Guest, mut bytes: &[u8]) -> io::Result<()> {
    let mut stream = &guest.stream;
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => {
                guest.moved();
                bytes = &bytes[count..];
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
