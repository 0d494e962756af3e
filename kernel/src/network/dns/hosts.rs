//! Names that a file tells (`/etc/hosts`; hosts(5)).

use alloc::vec::Vec;
use core::net::IpAddr;

/// The addresses of a name in the text of such a file.
pub fn find(text: &str, name: &str) -> Vec<IpAddr> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse().ok()) else {
            continue;
        };
        if words.any(|word| word.eq_ignore_ascii_case(name)) && !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn all_lines_of_a_name_count_and_comments_do_not() {
        let text = "# 9.9.9.9 db\n10.0.0.5\tdb.local db # and not web\n\n\
                    2001:db8::5 DB\nnonsense db\n10.0.0.5 db\n";
        let found: Vec<String> = find(text, "db").iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.0.0.5", "2001:db8::5"]);
        assert_eq!(find(text, "db.local.").len(), 1);
        assert!(find(text, "web").is_empty() && find(text, "10.0.0.5").is_empty());
    }
}
