//! Requests of HTTP/1.1 (RFC 9112), as far as a server of fixed pages must understand them.
//!
//! What it does not take: lines that begin with a space (which section 5.2 has servers refuse), and versions other than 1.0 and 1.1.

/// Longest head of a request.
pub(crate) const MAX_HEAD_BYTES: usize = 8 << 10;
const MAX_FIELDS: usize = 64;

/// What the bytes at the front of a connection are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request<'a> {
    /// A request for a page.
    Get {
        /// What is asked for.
        target: &'a [u8],
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

/// Why there is no request to be had.
enum Stop {
    /// The bytes end before the request does.
    End,
    /// A byte that cannot stand where it stands.
    Wrong,
    TooManyFields,
}

/// Reads the request at the front of `data`.
pub(crate) fn read(data: &[u8]) -> Request<'_> {
    match read_head(data.get(..MAX_HEAD_BYTES).unwrap_or(data)) {
        Ok(request) => request,
        Err(Stop::End) if data.len() < MAX_HEAD_BYTES => Request::Partial,
        Err(Stop::End | Stop::TooManyFields) => Request::TooLarge,
        Err(Stop::Wrong) => Request::Malformed,
    }
}

fn read_head(head: &[u8]) -> Result<Request<'_>, Stop> {
    let piece = |start: usize, end: usize| head.get(start..end).unwrap_or_default();
    let mut at = 0;
    // Empty lines before a request are left over from the one before (section 2.2).
    while let Some(b'\r' | b'\n') = head.get(at) {
        at = behind_line(head, at)?;
    }
    let start = at;
    at = match piece(at, head.len()).starts_with(b"GET ") {
        true => at + 4,
        false => behind(head, at, TOKEN, b' ')?,
    };
    let method = piece(start, at - 1);
    let start = at;
    at = behind(head, at, TARGET, b' ')?;
    let target = piece(start, at - 1);
    let minor;
    (minor, at) = version(head, at)?;
    // Version 1.0 ends with each answer unless it is asked otherwise; 1.1 goes on unless it is asked otherwise (section 9.3).
    let mut is_last = minor == b'0';
    let mut has_host = minor == b'0';
    let mut has_body = false;
    let mut fields = 0;
    while !matches!(head.get(at).ok_or(Stop::End)?, b'\r' | b'\n') {
        fields += 1;
        if fields > MAX_FIELDS {
            return Err(Stop::TooManyFields);
        }
        let start = at;
        // As nearly all write it, and first.
        at = match piece(at, head.len()).starts_with(b"Host:") {
            true => at + 5,
            false => behind(head, at, TOKEN, b':')?,
        };
        let name = piece(start, at - 1);
        let start = at + usize::from(head.get(at) == Some(&b' '));
        let end = end_of(head, start, VALUE);
        let value = piece(start, end);
        at = behind_line(head, end)?;
        match name.len() {
            4 if name == b"Host" => has_host = true,
            4 if name.eq_ignore_ascii_case(b"host") => has_host = true,
            10 if name.eq_ignore_ascii_case(b"connection") => {
                is_last =
                    !has_option(value, b"keep-alive") && (is_last || has_option(value, b"close"));
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                has_body |= value.trim_ascii() != b"0";
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => has_body = true,
            _ => {}
        }
    }
    let len = behind_line(head, at)?;
    let is_head = method == b"HEAD";
    if has_body || !is_head && method != b"GET" {
        return Ok(Request::Unsupported);
    }
    if !has_host {
        return Err(Stop::Wrong);
    }
    Ok(Request::Get {
        target,
        is_head,
        is_last,
        len,
    })
}

/// In methods and names of fields (RFC 9110, section 5.6.2).
const TOKEN: u8 = 1 << 0;
/// In targets: what is visible, and what clients leave as it is though they should not.
const TARGET: u8 = 1 << 1;
/// In values of fields (RFC 9110, section 5.5).
const VALUE: u8 = 1 << 2;

/// Where each byte may stand.
static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let one = byte as u8;
        let is_mark = matches!(
            one,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        );
        if one.is_ascii_alphanumeric() || is_mark {
            classes[byte] |= TOKEN;
        }
        if one > b' ' && one != 0x7F {
            classes[byte] |= TARGET;
        }
        if one >= b' ' && one != 0x7F || one == b'\t' {
            classes[byte] |= VALUE;
        }
        byte += 1;
    }
    classes
};

/// Whether bytes are all visible characters of ASCII, which stand in targets and values.
#[inline]
fn are_plain(bytes: [u8; 8]) -> bool {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    let word = u64::from_ne_bytes(bytes);
    let is_low = word.wrapping_sub(EACH * 0x21);
    let is_high = word.wrapping_add(EACH);
    (word | is_low | is_high) & (EACH << 7) == 0
}

/// Where the first byte from `at` on is that is not of a class.
#[inline]
fn end_of(head: &[u8], mut at: usize, class: u8) -> usize {
    // Eight at a time while all are plain, which a token need not be.
    while class != TOKEN
        && let Some(eight) = head.get(at..).and_then(<[u8]>::first_chunk)
        && are_plain(*eight)
    {
        at += 8;
    }
    while let Some(byte) = head.get(at)
        && CLASSES[usize::from(*byte)] & class != 0
    {
        at += 1;
    }
    at
}

/// The place behind bytes of a class, one at least, and the byte behind them, which must be `end`.
#[inline]
fn behind(head: &[u8], at: usize, class: u8, end: u8) -> Result<usize, Stop> {
    let stop = end_of(head, at, class);
    match head.get(stop) {
        None => Err(Stop::End),
        Some(byte) if *byte == end && stop != at => Ok(stop + 1),
        Some(_) => Err(Stop::Wrong),
    }
}

/// The place behind the end of a line, which must be here. A bare line feed is one, too (section 2.2).
#[inline]
fn behind_line(head: &[u8], at: usize) -> Result<usize, Stop> {
    match (head.get(at), head.get(at + 1)) {
        (Some(b'\r'), Some(b'\n')) => Ok(at + 2),
        (Some(b'\n'), _) => Ok(at + 1),
        (None, _) | (Some(b'\r'), None) => Err(Stop::End),
        _ => Err(Stop::Wrong),
    }
}

/// The last digit of the version, which is here, and the place behind its line.
#[inline]
fn version(head: &[u8], at: usize) -> Result<(u8, usize), Stop> {
    const NAME: &[u8] = b"HTTP/1.";
    let rest = head.get(at..).unwrap_or_default();
    // Nearly always.
    if rest.starts_with(b"HTTP/1.1\r\n") {
        return Ok((b'1', at + 10));
    }
    let name = rest.get(..NAME.len()).unwrap_or(rest);
    match rest.get(NAME.len()) {
        None if NAME.starts_with(name) => Err(Stop::End),
        Some(minor @ (b'0' | b'1')) if name == NAME => {
            Ok((*minor, behind_line(head, at + NAME.len() + 1)?))
        }
        _ => Err(Stop::Wrong),
    }
}

/// Whether an option is in a list with commas.
fn has_option(list: &[u8], option: &[u8]) -> bool {
    list.split(|byte| *byte == b',')
        .any(|one| one.trim_ascii().eq_ignore_ascii_case(option))
}

#[cfg(test)]
mod tests {
    use super::{MAX_HEAD_BYTES, Request, are_plain, read};

    fn get(text: &str) -> (String, bool, bool, usize) {
        match read(text.as_bytes()) {
            Request::Get {
                target,
                is_head,
                is_last,
                len,
            } => (
                String::from_utf8_lossy(target).into(),
                is_head,
                is_last,
                len,
            ),
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

    #[test]
    fn eight_bytes_are_plain_if_each_is() {
        for byte in 0..=u8::MAX {
            for place in 0..8 {
                for other in [b'!', b'~'] {
                    let mut bytes = [other; 8];
                    bytes[place] = byte;
                    assert_eq!(are_plain(bytes), byte.is_ascii_graphic(), "{bytes:?}");
                }
            }
        }
    }

    #[test]
    fn lines_may_end_and_begin_as_the_standard_lets_them() {
        for text in [
            "\r\n\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /a HTTP/1.1\nHost: x\n\n",
            "GET /a HTTP/1.1\r\nhOST:x\r\nA:\r\nB:\t \u{fc}\r\n\r\n",
        ] {
            assert_eq!(get(text), ("/a".into(), false, false, text.len()));
        }
        let empty = "GET / HTTP/1.1\r\nHost: x\r\nContent-Length:  0 \r\n\r\n";
        assert_eq!(get(empty).0, "/");
    }

    #[test]
    fn a_byte_where_it_cannot_stand_is_told_as_soon_as_it_is_there() {
        for text in [
            "GET  HTTP/1.1\r\n",
            " GET",
            "GET /a\r\n",
            "GET / HTTP/2",
            "GET / HTTX",
            "GET / HTTP/1.2",
            "GET / HTTP/1.1 ",
            "GET / HTTP/1.1\r\r",
            "GET / HTTP/1.1\r\n: a",
            "GET / HTTP/1.1\r\nHo st",
            "GET / HTTP/1.1\r\nHost: x\r\n folded",
            "GET / HTTP/1.1\r\nHost: x\0",
            "GET / HTTP/1.1\r\nHost: x\rA",
        ] {
            assert_eq!(read(text.as_bytes()), Request::Malformed, "{text:?}");
        }
    }
}
