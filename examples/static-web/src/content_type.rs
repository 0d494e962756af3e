//! Media types by the end of a file's name.

/// Of everything else (RFC 9110, 8.3).
const UNKNOWN: &str = "application/octet-stream";

/// Endings of names and their types.
static TYPES: [(&[u8], &str); 27] = [
    (b"html", "text/html; charset=utf-8"),
    (b"htm", "text/html; charset=utf-8"),
    (b"css", "text/css; charset=utf-8"),
    (b"js", "text/javascript; charset=utf-8"),
    (b"mjs", "text/javascript; charset=utf-8"),
    (b"txt", "text/plain; charset=utf-8"),
    (b"md", "text/plain; charset=utf-8"),
    (b"log", "text/plain; charset=utf-8"),
    (b"csv", "text/csv; charset=utf-8"),
    (b"json", "application/json"),
    (b"map", "application/json"),
    (b"xml", "application/xml"),
    (b"pdf", "application/pdf"),
    (b"wasm", "application/wasm"),
    (b"svg", "image/svg+xml"),
    (b"png", "image/png"),
    (b"jpg", "image/jpeg"),
    (b"jpeg", "image/jpeg"),
    (b"gif", "image/gif"),
    (b"webp", "image/webp"),
    (b"avif", "image/avif"),
    (b"ico", "image/vnd.microsoft.icon"),
    (b"woff", "font/woff"),
    (b"woff2", "font/woff2"),
    (b"mp3", "audio/mpeg"),
    (b"mp4", "video/mp4"),
    (b"webm", "video/webm"),
];

/// The media type of the file at `path`: that of what is behind the last dot of its name.
pub(crate) fn of(path: &[u8]) -> &'static str {
    let is_end = |byte: &u8| matches!(byte, b'.' | b'/');
    let ending = match path.iter().rposition(is_end) {
        Some(place) if path[place] == b'.' => &path[place + 1..],
        _ => return UNKNOWN,
    };
    let known = TYPES
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(ending));
    known.map_or(UNKNOWN, |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ending_of_the_name_decides() {
        assert_eq!(of(b"a/index.HTML"), "text/html; charset=utf-8");
        assert_eq!(of(b"a.html/b.svg"), "image/svg+xml");
        assert_eq!(of(b"a.css.png"), "image/png");
        for unknown in ["a", "a.", "a.css/b", "a.html~"] {
            assert_eq!(
                of(unknown.as_bytes()),
                "application/octet-stream",
                "{unknown}"
            );
        }
    }
}
