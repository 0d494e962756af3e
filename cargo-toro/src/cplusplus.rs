//! The library of C++ that the host's compiler brings along. Crates that compile C++ ask the linker for it; as an archive it is linked into the
//! program like everything else, and what it wants of the C library is the kernel's.

use crate::compile::TARGET;
use crate::parts::replace;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the libraries of GCC and of Clang are called, in the linker's words. GCC keeps its file systems apart for old programs.
pub(crate) const LIBRARIES: [&str; 4] = ["stdc++", "stdc++fs", "c++", "c++abi"];

/// Puts the libraries that the compiler has into `folder`; none where there is no compiler.
pub(crate) fn provide(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let places = places();
    for library in LIBRARIES {
        let file = format!("lib{library}.a");
        if let Some(found) = places
            .iter()
            .map(|place| place.join(&file))
            .find(|path| path.is_file())
        {
            copy(&found, &folder.join(&file))?;
        }
    }
    Ok(())
}

/// Copies a library, unless the copy is as long and no older.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let is_current = || -> std::io::Result<bool> {
        let (from, to) = (from.metadata()?, to.metadata()?);
        Ok(from.len() == to.len() && from.modified()? <= to.modified()?)
    };
    if is_current().unwrap_or(false) {
        return Ok(());
    }
    let content = std::fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    replace(to, &content)
}

/// Where the compiler of C++ looks for libraries.
fn places() -> Vec<PathBuf> {
    let Some(output) = compilers()
        .into_iter()
        .find_map(|words| search_directories(&words))
    else {
        return Vec::new();
    };
    let lines = output.lines();
    let list = lines.filter_map(|line| line.strip_prefix("libraries: ="));
    list.flat_map(std::env::split_paths).collect()
}

/// What a compiler says of the places where it looks; `None` if it cannot be started.
fn search_directories(words: &[String]) -> Option<String> {
    let (compiler, options) = words.split_first()?;
    let mut command = Command::new(compiler);
    command.args(options).arg("-print-search-dirs");
    command.stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().ok()?;
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(shown)
}

/// The compilers that the crate `cc` would take, as words of a command.
fn compilers() -> Vec<Vec<String>> {
    let variables = [
        format!("CXX_{TARGET}"),
        format!("CXX_{}", TARGET.replace('-', "_")),
        "TARGET_CXX".into(),
        "CXX".into(),
    ];
    let asked = variables.iter().find_map(|name| std::env::var(name).ok());
    let usual: &[&str] = if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        &["c++", "g++", "clang++"]
    } else {
        &["x86_64-linux-gnu-g++", "x86_64-unknown-linux-gnu-g++"]
    };
    match asked {
        Some(line) => vec![line.split_whitespace().map(str::to_owned).collect()],
        None => usual.iter().map(|name| vec![(*name).to_owned()]).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_copied_again_when_it_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["from.a", "to.a"].map(|name| folder.path().join(name));
        for content in ["one", "another"] {
            std::fs::write(&from, content).unwrap();
            copy(&from, &to).unwrap();
            assert_eq!(std::fs::read_to_string(&to).unwrap(), content);
        }
    }

    #[test]
    fn a_host_without_a_compiler_has_no_library() {
        let words = ["/there/is/no/compiler".to_owned()];
        assert_eq!(search_directories(&words), None);
        assert_eq!(search_directories(&[]), None);
    }
}
