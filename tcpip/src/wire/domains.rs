//! Domains in which short names are looked for, as servers and routers tell them.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Domains that are kept, and the bytes of the longest.
pub(crate) const MAX_DOMAINS: usize = 6;
const MAX_DOMAIN: usize = 253;

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
        && let Some((name, next)) = read_labels(bytes, at)
    {
        domains.extend(read_domain(&name));
        at = next;
    }
    domains
}

/// Reads the domain at a place, its labels with dots between them; and where the next is.
fn read_labels(bytes: &[u8], mut at: usize) -> Option<(Vec<u8>, usize)> {
    let mut name = Vec::new();
    let mut end = None;
    while name.len() <= MAX_DOMAIN {
        let (len, rest) = bytes.get(at..)?.split_first()?;
        match len >> 6 {
            0 if *len == 0 => return Some((name, end.unwrap_or(at + 1))),
            0 => {
                if !name.is_empty() {
                    name.push(b'.');
                }
                name.extend_from_slice(rest.get(..usize::from(*len))?);
                at += 1 + usize::from(*len);
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
    None
}
