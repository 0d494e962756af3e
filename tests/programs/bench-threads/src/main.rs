//! The smallest service of std, for measuring: a thread for each connection, which answers every request the same.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// Of the threads, in bytes.
const STACK_BYTES: usize = 64 << 10;
/// As long as the head of a request may be, in bytes.
const MAX_HEAD_BYTES: usize = 4096;
const HEAD_END: &[u8] = b"\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 13\r\n\r\nHello, World!";
const LAST_ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 13\r\nconnection: close\r\n\r\nHello, World!";

fn main() -> io::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:80")?;
    println!("Serving");
    for stream in listener.incoming() {
        let stream = stream?;
        // A connection that breaks is its client's affair.
        let serve = move || drop(serve(stream));
        thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn(serve)?;
    }
    Ok(())
}

/// Answers the requests of a connection until its client has no more.
fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; MAX_HEAD_BYTES];
    let mut len = 0;
    loop {
        let count = stream.read(&mut buffer[len..])?;
        if count == 0 {
            return Ok(());
        }
        len += count;
        while let Some(end) = head_end(&buffer[..len]) {
            if is_last(&buffer[..end]) {
                return stream.write_all(LAST_ANSWER);
            }
            stream.write_all(ANSWER)?;
            buffer.copy_within(end..len, 0);
            len -= end;
        }
    }
}

/// Where a request ends that begins here.
fn head_end(bytes: &[u8]) -> Option<usize> {
    let place = bytes
        .windows(HEAD_END.len())
        .position(|window| window == HEAD_END)?;
    Some(place + HEAD_END.len())
}

/// Whether a request says that it is the connection's last.
fn is_last(head: &[u8]) -> bool {
    head.split(|&byte| byte == b'\n').any(|line| {
        let (name, value) = line.split_at_checked(11).unwrap_or_default();
        name.eq_ignore_ascii_case(b"connection:")
            && value.trim_ascii().eq_ignore_ascii_case(b"close")
    })
}
