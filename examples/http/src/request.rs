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
        /// Whether the connection goes on.
        persistence: Persistence,
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

/// Whether the connection goes on after the answer, and whether that has to be said (RFC 9112, section 9.3; a client of version 1.0 that asks for a
/// connection that goes on is told so, or it would wait for its end).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persistence {
    KeepAlive,
    KeepAliveSaid,
    Close,
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
#[inline]
pub(crate) fn read(data: &[u8]) -> Request<'_> {
    let head = data.get(..MAX_HEAD_BYTES).unwrap_or(data);
    if let Some(request) = read_shortest(head) {
        return request;
    }
    match read_head(head) {
        Ok(request) => request,
        Err(Stop::End) if data.len() < MAX_HEAD_BYTES => Request::Partial,
        Err(Stop::End | Stop::TooManyFields) => Request::TooLarge,
        Err(Stop::Wrong) => Request::Malformed,
    }
}

/// Reads the shortest request that is one, which programs send that ask much: `GET` with `Host` and nothing else.
#[inline]
fn read_shortest(head: &[u8]) -> Option<Request<'_>> {
    let rest = head.strip_prefix(b"GET ")?;
    let behind = skip(rest, TARGET);
    let target = &rest[..rest.len() - behind.len()];
    let value = behind.strip_prefix(b" HTTP/1.1\r\nHost: ")?;
    let rest = skip(value, VALUE).strip_prefix(b"\r\n\r\n")?;
    (!target.is_empty()).then(|| Request::Get {
        target,
        is_head: false,
        persistence: Persistence::KeepAlive,
        len: head.len() - rest.len(),
    })
}

/// What the fields of a head say.
struct Seen {
    hosts: usize,
    has_body: bool,
    persistence: Persistence,
}

#[inline]
fn read_head(head: &[u8]) -> Result<Request<'_>, Stop> {
    let mut rest = head;
    // Empty lines before a request are left over from the one before (section 2.2).
    while let [b'\r' | b'\n', ..] = rest {
        rest = behind_line(rest)?;
    }
    let (mut is_get, mut is_head) = (true, false);
    rest = match rest.strip_prefix(b"GET ") {
        Some(behind) => behind,
        None => {
            let (method, behind) = piece(rest, TOKEN, b' ')?;
            (is_get, is_head) = (method == b"GET", method == b"HEAD");
            behind
        }
    };
    let (target, behind) = piece(rest, TARGET, b' ')?;
    let (minor, mut rest) = version(behind)?;
    // Version 1.0 ends with each answer unless it is asked otherwise; 1.1 goes on unless it is asked otherwise (section 9.3).
    let mut seen = Seen {
        hosts: 0,
        has_body: false,
        persistence: match minor {
            b'0' => Persistence::Close,
            _ => Persistence::KeepAlive,
        },
    };
    let mut fields = 0;
    while !matches!(rest.first().ok_or(Stop::End)?, b'\r' | b'\n') {
        fields += 1;
        if fields > MAX_FIELDS {
            return Err(Stop::TooManyFields);
        }
        // As nearly all write it, and first.
        rest = match rest.strip_prefix(b"Host: ") {
            Some(value) => {
                seen.hosts += 1;
                behind_line(skip(value, VALUE))?
            }
            None => read_field(rest, &mut seen)?,
        };
    }
    rest = behind_line(rest)?;
    if seen.has_body || !is_head && !is_get {
        return Ok(Request::Unsupported);
    }
    // One, or none before version 1.1 (section 3.2).
    if seen.hosts > 1 || seen.hosts == 0 && minor != b'0' {
        return Err(Stop::Wrong);
    }
    Ok(Request::Get {
        target,
        is_head,
        persistence: seen.persistence,
        len: head.len() - rest.len(),
    })
}

/// Reads a field; what is behind it.
#[inline(never)]
fn read_field<'a>(rest: &'a [u8], seen: &mut Seen) -> Result<&'a [u8], Stop> {
    let (name, rest) = piece(rest, TOKEN, b':')?;
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    let behind = skip(rest, VALUE);
    let value = &rest[..rest.len() - behind.len()];
    match name.len() {
        4 if name.eq_ignore_ascii_case(b"host") => seen.hosts += 1,
        10 if name.eq_ignore_ascii_case(b"connection") => {
            if has_option(value, b"close") {
                seen.persistence = Persistence::Close;
            } else if has_option(value, b"keep-alive") {
                seen.persistence = Persistence::KeepAliveSaid;
            }
        }
        14 if name.eq_ignore_ascii_case(b"content-length") => {
            seen.has_body |= value.trim_ascii() != b"0";
        }
        17 if name.eq_ignore_ascii_case(b"transfer-encoding") => seen.has_body = true,
        _ => {}
    }
    behind_line(behind)
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

/// How many of these bytes, from the first on, are visible characters of ASCII, which stand in targets and values.
#[inline]
fn plain_bytes(bytes: [u8; 8]) -> usize {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    let word = u64::from_le_bytes(bytes);
    // What is borrowed or carried comes only behind the first byte that is not plain.
    let is_low = word.wrapping_sub(EACH * 0x21);
    let is_high = word.wrapping_add(EACH);
    let other = (word | is_low | is_high) & (EACH << 7);
    other.trailing_zeros() as usize / 8
}

/// What is left from the first byte on that is not of a class.
#[inline]
fn skip(mut rest: &[u8], class: u8) -> &[u8] {
    loop {
        // Eight at a time while all are plain, which a token need not be.
        while class != TOKEN
            && let Some((eight, behind)) = rest.split_first_chunk()
        {
            match plain_bytes(*eight) {
                8 => rest = behind,
                plain => {
                    rest = rest.get(plain..).unwrap_or_default();
                    break;
                }
            }
        }
        match rest {
            [byte, behind @ ..] if CLASSES[usize::from(*byte)] & class != 0 => rest = behind,
            _ => return rest,
        }
    }
}

/// Bytes of a class, one at least, and what is behind the byte that ends them.
#[inline]
fn piece(rest: &[u8], class: u8, end: u8) -> Result<(&[u8], &[u8]), Stop> {
    let behind = skip(rest, class);
    let piece = &rest[..rest.len() - behind.len()];
    match behind {
        [] => Err(Stop::End),
        [byte, behind @ ..] if *byte == end && !piece.is_empty() => Ok((piece, behind)),
        _ => Err(Stop::Wrong),
    }
}

/// What is behind the end of a line, which must be here. A bare line feed is one, too (section 2.2).
#[inline]
fn behind_line(rest: &[u8]) -> Result<&[u8], Stop> {
    match rest {
        [b'\r', b'\n', behind @ ..] | [b'\n', behind @ ..] => Ok(behind),
        [] | [b'\r'] => Err(Stop::End),
        _ => Err(Stop::Wrong),
    }
}

/// The last digit of the version, which is here, and what is behind its line.
#[inline]
fn version(rest: &[u8]) -> Result<(u8, &[u8]), Stop> {
    // Nearly always.
    match rest.strip_prefix(b"HTTP/1.1\r\n") {
        Some(behind) => Ok((b'1', behind)),
        None => other_version(rest),
    }
}

#[cold]
fn other_version(rest: &[u8]) -> Result<(u8, &[u8]), Stop> {
    const NAME: &[u8] = b"HTTP/1.";
    let name = rest.get(..NAME.len()).unwrap_or(rest);
    match rest.get(NAME.len()) {
        None if NAME.starts_with(name) => Err(Stop::End),
        Some(minor @ (b'0' | b'1')) if name == NAME => {
            Ok((*minor, behind_line(&rest[NAME.len() + 1..])?))
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
    use super::{MAX_HEAD_BYTES, Persistence, Request, plain_bytes, read};

    fn get(text: &str) -> (String, bool, Persistence, usize) {
        match read(text.as_bytes()) {
            Request::Get {
                target,
                is_head,
                persistence,
                len,
            } => (
                String::from_utf8_lossy(target).into(),
                is_head,
                persistence,
                len,
            ),
            other => panic!("{text:?} is {other:?}"),
        }
    }

    #[test]
    fn requests_are_read_one_after_the_other() {
        let text = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
        let two = format!("{text}HEAD /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert_eq!(
            get(&two),
            ("/a".into(), false, Persistence::KeepAlive, text.len())
        );
        let rest = &two[text.len()..];
        assert_eq!(
            get(rest),
            ("/b".into(), true, Persistence::Close, rest.len())
        );
        for end in 1..text.len() {
            assert_eq!(read(&text.as_bytes()[..end]), Request::Partial, "{end}");
        }
    }

    #[test]
    fn the_version_says_whether_more_follows_unless_the_client_does() {
        use Persistence::{Close, KeepAlive, KeepAliveSaid};
        for (version, options, persistence) in [
            ("1.0", "", Close),
            ("1.0", "Connection: Keep-Alive\r\n", KeepAliveSaid),
            ("1.1", "", KeepAlive),
            ("1.1", "Connection: keep-alive\r\n", KeepAliveSaid),
            ("1.1", "Connection: x, close\r\n", Close),
            ("1.1", "Connection: close, keep-alive\r\n", Close),
        ] {
            let text = format!("GET / HTTP/{version}\r\nHost: x\r\n{options}\r\n");
            assert_eq!(get(&text).2, persistence, "{text:?}");
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
    fn of_eight_bytes_those_before_the_first_that_is_not_plain_are_counted() {
        for byte in 0..=u8::MAX {
            for place in 0..8 {
                for other in [b'!', b'~'] {
                    for behind in [b' ', other, 0xFF] {
                        let mut bytes = [behind; 8];
                        bytes[..place].fill(other);
                        bytes[place] = byte;
                        let plain = bytes.iter().take_while(|byte| byte.is_ascii_graphic());
                        assert_eq!(plain_bytes(bytes), plain.count(), "{bytes:?}");
                    }
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
            assert_eq!(
                get(text),
                ("/a".into(), false, Persistence::KeepAlive, text.len())
            );
        }
        let empty = "GET / HTTP/1.1\r\nHost: x\r\nContent-Length:  0 \r\n\r\n";
        assert_eq!(get(empty).0, "/");
    }

    #[test]
    fn a_byte_where_it_cannot_stand_is_told_as_soon_as_it_is_there() {
        for text in [
            "GET  HTTP/1.1\r\n",
            "GET  HTTP/1.1\r\nHost: x\r\n\r\n",
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
            "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: x\r\nhost:y\r\n\r\n",
        ] {
            assert_eq!(read(text.as_bytes()), Request::Malformed, "{text:?}");
        }
    }
}
