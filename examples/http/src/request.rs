//! Requests of HTTP/1.1 (RFC 9112), as far as a server of fixed pages must understand them.

use std::mem::MaybeUninit;

/// Longest head of a request.
pub(crate) const MAX_HEAD_BYTES: usize = 8 << 10;
const MAX_FIELDS: usize = 64;

/// What the bytes at the front of a connection are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request<'a> {
    /// A request for a page.
    Get {
        /// What is asked for.
        target: &'a str,
        /// Only the head of the answer is wanted.
        is_head: bool,
        /// Nothing follows.
        is_last: bool,
        /// Length of the request, in bytes.
        len: usize,
    },
    /// The rest is still to come.
    Partial,
    /// Nothing that HTTP knows.
    Malformed,
    /// Too long, or with too many fields.
    TooLarge,
    /// Another method, or a request with a body.
    Unsupported,
}

/// Reads the request at the front of `data`.
pub(crate) fn read(data: &[u8]) -> Request<'_> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let len = match request.parse_with_uninit_headers(data, &mut fields) {
        Ok(httparse::Status::Complete(len)) if len <= MAX_HEAD_BYTES => len,
        Ok(httparse::Status::Partial) if data.len() < MAX_HEAD_BYTES => return Request::Partial,
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Request::TooLarge,
        Err(_) => return Request::Malformed,
    };
    let (Some(method), Some(target), Some(version)) =
        (request.method, request.path, request.version)
    else {
        return Request::Malformed;
    };
    let is_head = match method {
        "GET" => false,
        "HEAD" => true,
        _ => return Request::Unsupported,
    };
    // Version 1.0 ends with each answer unless it is asked otherwise; 1.1 goes on unless it is asked otherwise (section 9.3).
    let mut is_last = version == 0;
    let mut has_host = version == 0;
    for field in request.headers.iter() {
        if field.name.eq_ignore_ascii_case("connection") {
            is_last = !has_option(field.value, b"keep-alive")
                && (is_last || has_option(field.value, b"close"));
        } else if field.name.eq_ignore_ascii_case("host") {
            has_host = true;
        } else if field.name.eq_ignore_ascii_case("transfer-encoding")
            || field.name.eq_ignore_ascii_case("content-length") && field.value != b"0"
        {
            return Request::Unsupported;
        }
    }
    if !has_host {
        return Request::Malformed;
    }
    Request::Get {
        target,
        is_head,
        is_last,
        len,
    }
}

/// Whether an option is in a list with commas.
fn has_option(list: &[u8], option: &[u8]) -> bool {
    list.split(|byte| *byte == b',')
        .any(|one| one.trim_ascii().eq_ignore_ascii_case(option))
}

#[cfg(test)]
mod tests {
    use super::{MAX_HEAD_BYTES, Request, read};

    fn get(text: &str) -> (String, bool, bool, usize) {
        match read(text.as_bytes()) {
            Request::Get {
                target,
                is_head,
                is_last,
                len,
            } => (target.to_owned(), is_head, is_last, len),
            other => panic!("{text:?} is {other:?}"),
        }
    }

    #[test]
    fn requests_are_read_one_after_the_other() {
        let text = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
        let two = format!("{text}HEAD /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert_eq!(get(&two), ("/a".into(), false, false, text.len()));
        let rest = &two[text.len()..];
        assert_eq!(get(rest), ("/b".into(), true, true, rest.len()));
        for end in 1..text.len() {
            assert_eq!(read(&text.as_bytes()[..end]), Request::Partial, "{end}");
        }
    }

    #[test]
    fn the_version_says_whether_more_follows_unless_the_client_does() {
        for (text, is_last) in [
            ("GET / HTTP/1.0\r\n\r\n", true),
            ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", false),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nConnection: x, close\r\n\r\n",
                true,
            ),
        ] {
            assert_eq!(get(text).2, is_last, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_request_for_a_page_is_told_apart() {
        let read = |text: &str| format!("{:?}", read(text.as_bytes()));
        assert_eq!(read("GET / HTTP/1.1\r\n\r\n"), "Malformed");
        assert_eq!(read("\x01\x02\x03"), "Malformed");
        assert_eq!(read("POST / HTTP/1.1\r\nHost: x\r\n\r\n"), "Unsupported");
        let body = "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(read(body), "Unsupported");
        let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(MAX_HEAD_BYTES));
        assert_eq!(read(&long), "TooLarge");
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(65));
        assert_eq!(read(&many), "TooLarge");
    }
}
