//! The head of a request, read in one pass (RFC 9112, sections 2 to 6).

use crate::response::{Persistence, Status};

/// The longest head that is read, in bytes.
pub(crate) const MAX_HEAD_BYTES: usize = 8 << 10;
/// The longest request target, in bytes.
const MAX_TARGET_BYTES: usize = 4 << 10;
/// The most header fields.
const MAX_FIELDS: usize = 64;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    /// Something that files do not do.
    Other,
}

/// What matters of a request; the rest of its head is checked and left.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    /// All of its first line.
    pub(crate) line: &'a [u8],
    /// Path and query, beginning with `/`.
    pub(crate) target: &'a [u8],
    pub(crate) range: Option<&'a [u8]>,
    pub(crate) if_range: Option<&'a [u8]>,
    pub(crate) if_modified_since: Option<&'a [u8]>,
    is_version_1_0: bool,
    is_close: bool,
    is_keep_alive: bool,
    has_body: bool,
    content_length: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// Reads the request at the start of `bytes`; gives it with its length. `None` if it is not complete; the
    /// status that refuses it if it is wrong, never `None` from [`MAX_HEAD_BYTES`] on.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, Status> {
        let mut lines = Lines { bytes, at: 0 };
        let line = loop {
            match lines.next()? {
                // Empty lines before a request are to be passed over (RFC 9112, 2.2).
                Some([]) => {}
                Some(line) => break line,
                None if bytes.len() >= MAX_HEAD_BYTES => return Err(Status::UriTooLong),
                None => return Ok(None),
            }
        };
        let mut request = Self::parse_request_line(line)?;
        let mut has_host = false;
        for _ in 0..=MAX_FIELDS {
            match lines.next()? {
                Some([]) if has_host || request.is_version_1_0 => {
                    return Ok(Some((request, lines.at)));
                }
                Some([]) => return Err(Status::BadRequest),
                Some(line) => request.parse_field(line, &mut has_host)?,
                None if bytes.len() >= MAX_HEAD_BYTES => break,
                None => return Ok(None),
            }
        }
        Err(Status::HeaderFieldsTooLarge)
    }

    /// Whether the connection goes on after the answer (RFC 9112, 9.3). A body is not read but ends the connection.
    pub(crate) fn persistence(&self) -> Persistence {
        if self.is_close || self.has_body || self.is_version_1_0 && !self.is_keep_alive {
            Persistence::Close
        } else if self.is_version_1_0 {
            Persistence::KeepAliveSaid
        } else {
            Persistence::KeepAlive
        }
    }

    fn parse_request_line(line: &'a [u8]) -> Result<Self, Status> {
        let mut words = line.split(|&byte| byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Status::BadRequest);
        };
        if !is_token(method) {
            return Err(Status::BadRequest);
        }
        let is_version_1_0 = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                // A later minor version is to be treated as the highest known one (RFC 9110, 2.5).
                if *major != b'1' {
                    return Err(Status::VersionNotSupported);
                }
                false
            }
            _ => return Err(Status::BadRequest),
        };
        if target.len() > MAX_TARGET_BYTES {
            return Err(Status::UriTooLong);
        }
        Ok(Self {
            line,
            method: match method {
                b"GET" => Method::Get,
                b"HEAD" => Method::Head,
                _ => Method::Other,
            },
            target: origin_form(target).ok_or(Status::BadRequest)?,
            range: None,
            if_range: None,
            if_modified_since: None,
            is_version_1_0,
            is_close: false,
            is_keep_alive: false,
            has_body: false,
            content_length: None,
        })
    }

    fn parse_field(&mut self, line: &'a [u8], has_host: &mut bool) -> Result<(), Status> {
        // No white space around the name: neither before the colon nor as the fold of an old line.
        let name_len = token_len(line);
        let (name, value) = line.split_at(name_len);
        if name.is_empty() || value.first() != Some(&b':') {
            return Err(Status::BadRequest);
        }
        let value = value[1..].trim_ascii();
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match name.len() {
            4 if is("host") && *has_host => return Err(Status::BadRequest),
            4 if is("host") => *has_host = true,
            5 if is("range") => self.range = Some(value),
            8 if is("if-range") => self.if_range = Some(value),
            10 if is("connection") => {
                for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                    self.is_close |= option.eq_ignore_ascii_case(b"close");
                    self.is_keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            14 if is("content-length") => {
                if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
                    return Err(Status::BadRequest);
                }
                // Two of them may not differ (RFC 9112, 6.3).
                if self
                    .content_length
                    .replace(value)
                    .is_some_and(|other| other != value)
                {
                    return Err(Status::BadRequest);
                }
                self.has_body |= value.iter().any(|&digit| digit != b'0');
            }
            17 if is("transfer-encoding") => self.has_body = true,
            17 if is("if-modified-since") => self.if_modified_since = Some(value),
            _ => {}
        }
        Ok(())
    }
}

/// The lines of a head. They end with CR LF; a lone LF is taken for it (RFC 9112, 2.2).
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Result<Option<&'a [u8]>, Status> {
        let rest = &self.bytes[self.at..];
        // A line may hold tabs and bytes above ASCII, but no control characters, among them a CR that does not end it: the first ends it.
        let is_control = |byte: &u8| IS_CONTROL[usize::from(*byte)];
        let Some(len) = rest.iter().position(is_control) else {
            return Ok(None);
        };
        let (line, end) = rest.split_at(len);
        let end_len = match end {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            b"\r" => return Ok(None),
            _ => return Err(Status::BadRequest),
        };
        self.at += len + end_len;
        Ok(Some(line))
    }
}

/// Which bytes have no place within a line.
const IS_CONTROL: [bool; 256] = {
    let mut is_control = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        is_control[byte as usize] = matches!(byte, 0..=0x1f | 0x7f) && byte != b'\t';
        byte += 1;
    }
    is_control
};

/// Which bytes may be part of a token (RFC 9110, 5.6.2).
const IS_TOKEN: [bool; 256] = {
    let mut is_token = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        is_token[byte as usize] = matches!(byte,
            b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~'
                | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z');
        byte += 1;
    }
    is_token
};

/// Path and query of a target that is written as such or as a whole URI (RFC 9112, 3.2).
fn origin_form(target: &[u8]) -> Option<&[u8]> {
    if target.starts_with(b"/") {
        return Some(target);
    }
    let (scheme, rest) = target.split_at_checked(b"http://".len())?;
    if !scheme.eq_ignore_ascii_case(b"http://") {
        return None;
    }
    let authority_len = rest.iter().position(|&byte| byte == b'/' || byte == b'?');
    match rest.split_at(authority_len.unwrap_or(rest.len())) {
        ([], _) => None,
        (_, path) if path.starts_with(b"/") => Some(path),
        // The path is empty; a query of the root asks for nothing else than the root.
        _ => Some(b"/"),
    }
}

/// The length of the token that `bytes` begin with.
fn token_len(bytes: &[u8]) -> usize {
    let is_part = |byte: &u8| IS_TOKEN[usize::from(*byte)];
    bytes.iter().take_while(|byte| is_part(byte)).count()
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && token_len(bytes) == bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Request<'_>, Status> {
        Request::parse(text.as_bytes()).map(|found| found.expect("complete").0)
    }

    fn refusal(text: &str) -> Status {
        parse(text).expect_err(text)
    }

    #[test]
    fn a_request_is_read_up_to_its_end() {
        let text = "GET /a?b HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1 \r\n\r\nGET /next";
        let (request, len) = Request::parse(text.as_bytes()).unwrap().unwrap();
        assert_eq!(
            (request.method, request.target),
            (Method::Get, &b"/a?b"[..])
        );
        assert_eq!(request.range, Some(&b"bytes=0-1"[..]));
        assert_eq!(&text[len..], "GET /next");
    }

    #[test]
    fn every_beginning_of_a_request_is_incomplete() {
        let text = "\r\nGET / HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n";
        for len in 0..text.len() {
            assert!(
                matches!(Request::parse(&text.as_bytes()[..len]), Ok(None)),
                "{len}"
            );
        }
        assert!(parse(text).is_ok());
    }

    #[test]
    fn connections_last_as_the_version_and_the_field_say() {
        let persistence = |line, fields| {
            let text = format!("GET / HTTP/{line}\r\nHost: x\r\n{fields}\r\n");
            parse(&text).unwrap().persistence()
        };
        assert_eq!(persistence("1.1", ""), Persistence::KeepAlive);
        assert_eq!(persistence("1.2", ""), Persistence::KeepAlive);
        assert_eq!(
            persistence("1.1", "Connection: Upgrade, Close\r\n"),
            Persistence::Close
        );
        assert_eq!(persistence("1.0", ""), Persistence::Close);
        assert_eq!(
            persistence("1.0", "connection:keep-alive\r\n"),
            Persistence::KeepAliveSaid
        );
        assert_eq!(
            persistence("1.1", "Content-Length: 3\r\n"),
            Persistence::Close
        );
        assert_eq!(
            persistence("1.1", "Content-Length: 0\r\nContent-Length: 0\r\n"),
            Persistence::KeepAlive
        );
        assert_eq!(
            persistence("1.1", "Transfer-Encoding: chunked\r\n"),
            Persistence::Close
        );
    }

    #[test]
    fn malformed_requests_are_bad() {
        for text in [
            "GET /\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1 \r\nHost: x\r\n\r\n",
            "GET / http/1.1\r\nHost: x\r\n\r\n",
            "G(T / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET x HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\ry\r\n\r\n",
            "GET / HTTP/1.1\r\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\x01\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\x7fy\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA(B: y\r\n\r\n",
            "GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
        ] {
            assert_eq!(refusal(text), Status::BadRequest, "{text:?}");
        }
        assert_eq!(
            refusal("GET / HTTP/2.0\r\nHost: x\r\n\r\n"),
            Status::VersionNotSupported
        );
    }

    #[test]
    fn tabs_letters_above_ascii_and_lone_line_feeds_are_taken() {
        let text = "GET / HTTP/1.1\nHost:\tx\nX-!#$%&'*+-.^_`|~09: \u{e4}\t\u{f6}\r\n\n";
        assert_eq!(parse(text).unwrap().target, b"/");
    }

    #[test]
    fn a_whole_uri_is_taken_for_its_path() {
        let target = |uri: &str| {
            let text = format!("GET {uri} HTTP/1.1\r\nHost: x\r\n\r\n");
            parse(&text).map(|request| request.target.to_vec())
        };
        assert_eq!(target("HTTP://x:80/a?b").unwrap(), b"/a?b");
        assert_eq!(target("http://x").unwrap(), b"/");
        assert_eq!(target("http:///a").unwrap_err(), Status::BadRequest);
        assert_eq!(target("https://x/").unwrap_err(), Status::BadRequest);
        assert_eq!(target("*").unwrap_err(), Status::BadRequest);
    }

    #[test]
    fn heads_are_bounded() {
        let long = "a".repeat(MAX_HEAD_BYTES);
        assert_eq!(
            Request::parse(long.as_bytes()).unwrap_err(),
            Status::UriTooLong
        );
        let target = "a".repeat(MAX_TARGET_BYTES);
        assert_eq!(
            refusal(&format!("GET /{target} HTTP/1.1\r\n\r\n")),
            Status::UriTooLong
        );
        let field = format!("GET / HTTP/1.1\r\nHost: x\r\nCookie: {long}");
        let refused = Request::parse(field.as_bytes()).unwrap_err();
        assert_eq!(refused, Status::HeaderFieldsTooLarge);
        let fields = "A: b\r\n".repeat(MAX_FIELDS + 1);
        let text = format!("GET / HTTP/1.0\r\n{fields}\r\n");
        assert_eq!(refusal(&text), Status::HeaderFieldsTooLarge);
        let empty = "\r\n".repeat(MAX_HEAD_BYTES / 2);
        assert_eq!(
            Request::parse(empty.as_bytes()).unwrap_err(),
            Status::UriTooLong
        );
    }
}
