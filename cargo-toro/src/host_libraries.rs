//! Libraries of C that crates take from the host where it has them, and else compile of source that they bring along. The host's are not for the
//! guest, so a build must not depend on what is installed here: these crates are told to take their own.

use std::process::Command;

/// What their build scripts go by. `…_NO_PKG_CONFIG` is of the crate `pkg-config`, by the library's name.
const CHOICES: [(&str, &str); 6] = [
    ("LIBZ_SYS_STATIC", "1"),
    ("LZMA_API_STATIC", "1"),
    ("PCRE2_SYS_STATIC", "1"),
    ("BZIP2_NO_PKG_CONFIG", "1"),
    ("LIBCURL_NO_PKG_CONFIG", "1"),
    ("LIBGIT2_NO_PKG_CONFIG", "1"),
];

/// Has a build leave them out, except where the user has chosen: `is_chosen` says of a variable whether it is set.
pub(crate) fn leave_out(command: &mut Command, is_chosen: impl Fn(&str) -> bool) {
    let choices = CHOICES.into_iter().filter(|(name, _)| !is_chosen(name));
    command.envs(choices);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn crates_compile_their_own_libraries_unless_the_user_chose() {
        let mut command = Command::new("cargo");
        leave_out(&mut command, |name| name == "LZMA_API_STATIC");
        let value = |name: &str| {
            let mut set = command.get_envs();
            set.find_map(|(known, value)| if known == name { value } else { None })
        };
        assert_eq!(value("LIBZ_SYS_STATIC"), Some(OsStr::new("1")));
        assert_eq!(value("BZIP2_NO_PKG_CONFIG"), Some(OsStr::new("1")));
        assert_eq!(value("LZMA_API_STATIC"), None);
    }
}
