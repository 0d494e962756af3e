//! An HTTP/1.1 client that sends just what a test writes and reads whole answers.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// A connection to a server.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Names in lower case, and values.
    pub fields: Vec<(String, String)>,
    /// The content.
    pub content: Vec<u8>,
}

impl Response {
    /// The value of the first field of that name.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        let found = fields.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The content as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }
}

impl Client {
    /// A client on a stream that is connected.
    pub fn new(stream: TcpStream) -> Self {
        // A request is one packet, also if it follows another.
        stream.set_nodelay(true).expect("a TCP stream");
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream
            .get_mut()
            .write_all(bytes.as_ref())
            .expect("a server that reads");
    }

    /// Sends a request with `fields` (each ending in CR LF) besides `Host`, and reads the answer.
    pub fn ask(&mut self, method: &str, target: &str, fields: &str) -> Response {
        self.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: toro\r\n{fields}\r\n"
        ));
        self.response(method == "HEAD")
    }

    /// GET without more.
    pub fn get(&mut self, target: &str) -> Response {
        self.ask("GET", target, "")
    }

    /// Reads an answer; `is_head` says that it has no content whatever its fields say.
    pub fn response(&mut self, is_head: bool) -> Response {
        self.try_response(is_head).expect("an answer")
    }

    /// Reads an answer, or the error that came instead.
    pub fn try_response(&mut self, is_head: bool) -> io::Result<Response> {
        let wrong = |line: &str| io::Error::other(format!("not an answer: {line:?}"));
        let line = self.line()?;
        let status = line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.ok_or_else(|| wrong(&line))?;
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").ok_or_else(|| wrong(&line))?;
            fields.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut response = Response {
            status,
            fields,
            content: Vec::new(),
        };
        if !is_head && status != 304 {
            let len = response
                .field("content-length")
                .and_then(|len| len.parse().ok());
            let len = len.ok_or_else(|| io::Error::other("an answer without its length"))?;
            response.content = vec![0; len];
            self.stream.read_exact(&mut response.content)?;
        }
        Ok(response)
    }

    /// What comes until the server closes.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).expect("an orderly end");
        rest
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the end after {line:?}"),
            )),
        }
    }
}
