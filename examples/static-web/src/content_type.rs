//! Media types by the end of a file's name.

/// The media type of the file at `path`.
pub(crate) fn of(path: &[u8]) -> &'static str {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    let Some(dot) = name.iter().rposition(|&byte| byte == b'.') else {
        return "application/octet-stream";
    };
    match name[dot + 1..].to_ascii_lowercase().as_slice() {
        b"html" | b"htm" => "text/html; charset=utf-8",
        b"css" => "text/css; charset=utf-8",
        b"js" | b"mjs" => "text/javascript; charset=utf-8",
        b"txt" | b"md" | b"log" => "text/plain; charset=utf-8",
        b"csv" => "text/csv; charset=utf-8",
        b"json" | b"map" => "application/json",
        b"xml" => "application/xml",
        b"pdf" => "application/pdf",
        b"wasm" => "application/wasm",
        b"svg" => "image/svg+xml",
        b"png" => "image/png",
        b"jpg" | b"jpeg" => "image/jpeg",
        b"gif" => "image/gif",
        b"webp" => "image/webp",
        b"avif" => "image/avif",
        b"ico" => "image/vnd.microsoft.icon",
        b"woff" => "font/woff",
        b"woff2" => "font/woff2",
        b"mp3" => "audio/mpeg",
        b"mp4" => "video/mp4",
        b"webm" => "video/webm",
        _ => "application/octet-stream",
    }
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
