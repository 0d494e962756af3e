//! From the target of a request to a path below the served folder, which it cannot leave.

/// The target names nothing that could be served.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadPath;

/// Writes the path that `target` (percent-encoded, maybe with a query) means to `path`, without a `/` in front; it
/// ends with `/`, or is empty, if a folder is meant.
///
/// What is decoded is what is judged: no `..`, however it is written, no NUL, no `\`. Empty parts and `.` are left out.
pub(crate) fn decode(target: &[u8], path: &mut Vec<u8>) -> Result<(), BadPath> {
    path.clear();
    path.reserve(target.len());
    let mut bytes = target.iter().copied().take_while(|&byte| byte != b'?');
    if bytes.next() != Some(b'/') {
        return Err(BadPath);
    }
    let mut part_start = 0;
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => {
                let digits = bytes.next().zip(bytes.next()).ok_or(BadPath)?;
                hex(digits.0)? << 4 | hex(digits.1)?
            }
            b'#' => return Err(BadPath),
            byte => byte,
        };
        match byte {
            0 | b'\\' => return Err(BadPath),
            b'/' => {
                end_part(path, part_start)?;
                if path.len() > part_start {
                    path.push(b'/');
                }
                part_start = path.len();
            }
            byte => path.push(byte),
        }
    }
    end_part(path, part_start)
}

/// Judges the part that begins at `start` and now is complete.
fn end_part(path: &mut Vec<u8>, start: usize) -> Result<(), BadPath> {
    match &path[start..] {
        b".." => return Err(BadPath),
        b"." => path.truncate(start),
        _ => {}
    }
    Ok(())
}

fn hex(digit: u8) -> Result<u8, BadPath> {
    let value = char::from(digit).to_digit(16).ok_or(BadPath)?;
    u8::try_from(value).map_err(|_| BadPath)
}

/// `path` as a target, with everything percent-encoded that has a meaning anywhere in a URI.
pub(crate) fn encode(path: &[u8]) -> String {
    let mut target = String::from("/");
    for &byte in path {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            target.push(char::from(byte));
        } else {
            target.push_str(&format!("%{byte:02X}"));
        }
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(target: &str) -> Result<String, BadPath> {
        let mut path = b"old".to_vec();
        decode(target.as_bytes(), &mut path)?;
        Ok(String::from_utf8(path).unwrap())
    }

    #[test]
    fn targets_become_paths_below_the_root() {
        for (target, path) in [
            ("/", ""),
            ("/a/b.html", "a/b.html"),
            ("/a/", "a/"),
            ("//a//./b/.", "a/b/"),
            ("/a%20b?c=../d", "a b"),
            ("/%C3%A4", "ä"),
            ("/...", "..."),
            ("/a..b/.c", "a..b/.c"),
            ("/a%2fb", "a/b"),
            ("/%2e/a", "a"),
        ] {
            assert_eq!(decoded(target).as_deref(), Ok(path), "{target}");
        }
    }

    #[test]
    fn paths_that_climb_are_refused() {
        for target in [
            "/..",
            "/../etc/passwd",
            "/a/../b",
            "/a/..",
            "/%2e%2e/a",
            "/.%2E/a",
            "/a%2f..%2f..%2fb",
            "/..%2fa",
            "/..?x",
            "/..\\a",
            "/a%5c..%5cb",
            "/a%00",
        ] {
            assert_eq!(decoded(target), Err(BadPath), "{target}");
        }
    }

    #[test]
    fn broken_encodings_are_refused() {
        for target in ["", "a", "/%", "/%4", "/%4?1", "/%gg", "/%+1", "/a#b"] {
            assert_eq!(decoded(target), Err(BadPath), "{target}");
        }
    }

    #[test]
    fn what_is_encoded_decodes_to_itself() {
        for path in ["a/b", "a b/ä?#%", "..a/'\""] {
            let mut back = Vec::new();
            decode(encode(path.as_bytes()).as_bytes(), &mut back)
                .unwrap_or_else(|_| panic!("{path}"));
            assert_eq!(back, path.as_bytes());
        }
        assert_eq!(encode(b"a b/"), "/a%20b/");
    }
}
