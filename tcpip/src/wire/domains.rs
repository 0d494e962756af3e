//! Names in messages, and domains in which short names are looked for, as servers and routers tell them.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Domains that are kept, and the bytes of the longest.
pub(crate) const MAX_DOMAINS: usize = 6;
const MAX_DOMAIN: usize = 253;
/// Bytes of the longest name in messages, with the lengths of its labels (RFC 1035, section 2.3.4).
pub const MAX_NAME: usize = 255;

/// A domain, if the bytes are one: letters, digits and hyphens between dots.
pub(crate) fn read_domain(bytes: &[u8]) -> Option<String> {
    let text = core::str::from_utf8(bytes).ok()?;
    let text = text.trim_end_matches(['\0', '.']);
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| (1..64).contains(&label.len()) && label.bytes().all(is_known);
    (text.len() <= MAX_DOMAIN && text.split('.').all(is_label)).then(|| text.to_string())
}

/// Reads a list of domains as messages of the name system have them: ends may be somewhere before (RFC 3397).
pub(crate) fn read_domains(bytes: &[u8]) -> Vec<String> {
    let mut domains = Vec::new();
    let mut at = 0;
    while domains.len() < MAX_DOMAINS
        && let Some((name, next)) = read_name(bytes, at)
    {
        domains.extend(read_domain(&dotted(&name)));
        at = next;
    }
    domains
}

/// Reads the name at a place in a message of the name system (RFC 1035, sections 3.1 and 4.1.4), of which the end may be somewhere before it: its
/// labels with their lengths, to the empty one; and where it ends at its own place. `None` if it is cut off, too long, or no name.
#[must_use]
pub fn read_name(message: &[u8], mut at: usize) -> Option<(Vec<u8>, usize)> {
    let mut name = Vec::new();
    let mut end = None;
    loop {
        let (len, rest) = message.get(at..)?.split_first()?;
        match len >> 6 {
            0 => {
                let label = rest.get(..usize::from(*len))?;
                name.push(*len);
                name.extend_from_slice(label);
                if name.len() > MAX_NAME {
                    return None;
                }
                at += 1 + label.len();
                if *len == 0 {
                    return Some((name, end.unwrap_or(at)));
                }
            }
            3 => {
                let to = usize::from(u16::from_be_bytes([len & 0x3F, *rest.first()?]));
                // Only backwards, so that there is an end.
                if to >= at {
                    return None;
                }
                end.get_or_insert(at + 2);
                at = to;
            }
            _ => return None,
        }
    }
}

/// The labels of a name, with dots between them.
fn dotted(mut name: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(name.len());
    while let [len, rest @ ..] = name
        && *len != 0
        && let Some((label, rest)) = rest.split_at_checked(usize::from(*len))
    {
        if !text.is_empty() {
            text.push(b'.');
        }
        text.extend_from_slice(label);
        name = rest;
    }
    text
}
