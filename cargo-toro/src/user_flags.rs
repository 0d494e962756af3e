//! Flags for rustc that are the user's: those of the environment, or of cargo's configuration files. Cargo takes one source alone, and
//! Toro's own flags go by the one that comes first; so what the user's would have been is found here (The Cargo Book, "Configuration",
//! `build.rustflags`).

use crate::compile::TARGET;
use crate::failure::Failure;
use crate::shell::Shell;
use anyhow::{Context, Result};
use cargo_metadata::cargo_platform::{Cfg, Platform};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

/// Options that say how a program of the host is linked. They are left out where they come from a file, which is not about Toro.
const OF_THE_LINK: [&str; 8] = [
    "linker",
    "linker-flavor",
    "link-arg",
    "link-args",
    "link-self-contained",
    "linker-plugin-lto",
    "prefer-dynamic",
    "relocation-model",
];

/// Toro's `flags`, then the user's own.
pub(crate) fn with_flags_of_user(mut flags: Vec<String>, shell: &Shell) -> Result<Vec<String>> {
    if let Some(user) = flags_of_user("RUSTFLAGS") {
        if !user.is_empty() {
            shell.note(format_args!(
                "the flags of RUSTFLAGS are used after Toro's own: {}",
                user.join(" ")
            ));
        }
        flags.extend(user);
        return Ok(flags);
    }
    let (kept, left_out) = of_files()?;
    if !left_out.is_empty() {
        shell.note(format_args!(
            "these flags of cargo's configuration are left out, as Toro links in its own way: {}",
            left_out.join(" ")
        ));
    }
    flags.extend(kept);
    Ok(flags)
}

/// The flags of the variable of that name, or of the one that stands for it with other separators.
pub(crate) fn flags_of_user(variable: &str) -> Option<Vec<String>> {
    if let Ok(flags) = std::env::var(format!("CARGO_ENCODED_{variable}")) {
        let flags = flags.split('\x1f').filter(|flag| !flag.is_empty());
        return Some(flags.map(str::to_owned).collect());
    }
    let flags = std::env::var(variable).ok()?;
    Some(words(&flags))
}

/// The flags of the configuration of the current folder, and those of them that Toro's link replaces.
fn of_files() -> Result<(Vec<String>, Vec<String>)> {
    let folder = std::env::current_dir().context("the current folder cannot be read")?;
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let mut configurations = configurations(&folder, home.as_deref())?;
    configurations.extend(of_variables(|name| std::env::var(name).ok()));
    Ok(without_link(flags(&configurations, host_cfgs)?))
}

/// The variables that stand for values of a configuration file.
fn of_variables(variable: impl Fn(&str) -> Option<String>) -> Vec<toml::Table> {
    let table =
        |key: &str, value: toml::Table| toml::Table::from_iter([(key.into(), value.into())]);
    let flags = |name: &str| {
        let flags = variable(name)?;
        Some(toml::Table::from_iter([("rustflags".into(), flags.into())]))
    };
    let of_build = flags("CARGO_BUILD_RUSTFLAGS").map(|flags| table("build", flags));
    let name = TARGET.to_uppercase().replace('-', "_");
    let of_target = flags(&format!("CARGO_TARGET_{name}_RUSTFLAGS"))
        .map(|flags| table("target", table(TARGET, flags)));
    of_build.into_iter().chain(of_target).collect()
}

/// The configuration files that cargo reads in `folder`, the least important first.
fn configurations(folder: &Path, home: Option<&Path>) -> Result<Vec<toml::Table>> {
    let mut folders: Vec<_> = folder
        .ancestors()
        .map(|folder| folder.join(".cargo"))
        .collect();
    if let Some(home) = home.filter(|home| !folders.iter().any(|folder| folder == home)) {
        folders.push(home.to_path_buf());
    }
    let mut tables = Vec::new();
    for folder in folders.iter().rev() {
        // Cargo takes the one without an extension where there are both.
        let files = ["config", "config.toml"].map(|name| folder.join(name));
        if let Some(file) = files.iter().find(|file| file.is_file()) {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            let table = text.parse().map_err(|error: toml::de::Error| {
                Failure::new(
                    format!("{}: {}", file.display(), error.message()),
                    "it is cargo's configuration: mend it, as cargo cannot read it either",
                )
            })?;
            tables.push(table);
        }
    }
    Ok(tables)
}

/// The flags that these files give for the target: those of `target.…`, or else those of `build`. What `cfgs` tells of the target is
/// asked only where a file has a condition.
fn flags(
    configurations: &[toml::Table],
    cfgs: impl FnOnce() -> Result<Vec<Cfg>>,
) -> Result<Vec<String>> {
    let targets: Vec<(&String, &toml::Value)> = configurations
        .iter()
        .filter_map(|file| file.get("target")?.as_table())
        .flatten()
        .filter_map(|(name, target)| Some((name, target.get("rustflags")?)))
        .collect();
    let has_conditions = targets.iter().any(|(name, _)| name.starts_with("cfg("));
    let cfgs = if has_conditions { cfgs()? } else { Vec::new() };
    // First those by name, then those by condition, as cargo has them.
    let (by_name, by_condition): (Vec<_>, Vec<_>) = targets
        .into_iter()
        .filter(|(name, _)| {
            Platform::from_str(name).is_ok_and(|platform| platform.matches(TARGET, &cfgs))
        })
        .partition(|(name, _)| name.as_str() == TARGET);
    let of_target: Vec<_> = by_name
        .into_iter()
        .chain(by_condition)
        .flat_map(|(_, flags)| list(flags))
        .collect();
    if !of_target.is_empty() {
        return Ok(of_target);
    }
    let builds = configurations.iter().filter_map(|file| file.get("build"));
    let of_build = builds.filter_map(|build| build.get("rustflags"));
    Ok(of_build.flat_map(list).collect())
}

/// A value of flags: words in one string, or a list of strings.
fn list(value: &toml::Value) -> Vec<String> {
    match value {
        toml::Value::String(text) => words(text),
        toml::Value::Array(items) => items
            .iter()
            .filter_map(|item| item.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    }
}

/// `flags` without those about the linker, which come second, in both ways of writing: `-Clink-arg=…` and `-C link-arg=…`.
fn without_link(flags: Vec<String>) -> (Vec<String>, Vec<String>) {
    let is_of_the_link = |option: &str| {
        let name = option.split('=').next().unwrap_or(option);
        OF_THE_LINK.contains(&name.replace('_', "-").as_str())
            || (name == "target-feature" && option.contains("crt-static"))
    };
    let (mut kept, mut left_out) = (Vec::new(), Vec::new());
    let mut flags = flags.into_iter();
    while let Some(flag) = flags.next() {
        let joined = flag.strip_prefix("-C").or(flag.strip_prefix("--codegen="));
        let option = match flag.as_str() {
            "-C" | "--codegen" => flags.next(),
            _ => None,
        };
        let is_left_out = option.as_deref().or(joined).is_some_and(is_of_the_link);
        let place = if is_left_out {
            &mut left_out
        } else {
            &mut kept
        };
        place.extend([Some(flag), option].into_iter().flatten());
    }
    (kept, left_out)
}

/// What holds for the target, as rustc says.
fn host_cfgs() -> Result<Vec<Cfg>> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    command.args(["--print", "cfg", "--target", TARGET]);
    let output = command.output().context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text
        .lines()
        .filter_map(|line| Cfg::from_str(line).ok())
        .collect())
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> toml::Table {
        text.parse().unwrap()
    }

    fn of(texts: &[&str]) -> Vec<String> {
        let tables: Vec<_> = texts.iter().map(|text| table(text)).collect();
        let cfgs = || {
            Ok(["unix", "target_os=\"linux\""]
                .map(|cfg| cfg.parse().unwrap())
                .to_vec())
        };
        flags(&tables, cfgs).unwrap()
    }

    #[test]
    fn flags_of_the_target_come_before_those_of_the_build() {
        let build = "[build]\nrustflags = \"--cfg a\"";
        let target = "[target.x86_64-unknown-linux-gnu]\nrustflags = [\"-Ctarget-cpu=native\"]";
        assert_eq!(of(&[build]), ["--cfg", "a"]);
        assert_eq!(of(&[build, target]), ["-Ctarget-cpu=native"]);
        assert_eq!(of(&[]), [""; 0]);
    }

    #[test]
    fn files_are_joined_with_the_nearest_last() {
        let far = "[build]\nrustflags = [\"-Copt-level=1\"]";
        let near = "[build]\nrustflags = [\"-Copt-level=2\"]";
        assert_eq!(of(&[far, near]), ["-Copt-level=1", "-Copt-level=2"]);
    }

    #[test]
    fn conditions_and_other_targets_are_judged() {
        let linux =
            "[target.'cfg(target_os = \"linux\")']\nrustflags = [\"--cfg\", \"tokio_unstable\"]";
        let windows = "[target.'cfg(windows)']\nrustflags = [\"--cfg\", \"w\"]";
        let other = "[target.aarch64-unknown-linux-gnu]\nrustflags = [\"--cfg\", \"arm\"]";
        assert_eq!(of(&[windows, other]), [""; 0]);
        assert_eq!(of(&[windows, linux, other]), ["--cfg", "tokio_unstable"]);
    }

    #[test]
    fn a_linker_of_the_host_is_left_out() {
        let flags = [
            "-C",
            "link-arg=-fuse-ld=mold",
            "-Clinker=clang",
            "-C",
            "target-cpu=native",
            "--cfg",
            "x",
            "-Ctarget-feature=-crt-static",
        ];
        let (kept, left_out) = without_link(flags.map(str::to_owned).to_vec());
        assert_eq!(kept, ["-C", "target-cpu=native", "--cfg", "x"]);
        assert_eq!(left_out.len(), 4);
    }

    #[test]
    fn variables_stand_for_files() {
        let name = "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS";
        let tables = of_variables(|it| (it == name).then(|| "--cfg a".into()));
        assert_eq!(flags(&tables, || Ok(Vec::new())).unwrap(), ["--cfg", "a"]);
        assert!(of_variables(|_| None).is_empty());
    }

    #[test]
    fn the_files_of_a_folder_are_found_from_the_outside_in() {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("inner");
        for (folder, level) in [(outer.path(), 1), (inner.as_path(), 2)] {
            let folder = folder.join(".cargo");
            std::fs::create_dir_all(&folder).unwrap();
            let text = format!("[build]\nrustflags = \"-Copt-level={level}\"");
            std::fs::write(folder.join("config.toml"), text).unwrap();
        }
        let tables = configurations(&inner, None).unwrap();
        let found = flags(&tables, || Ok(Vec::new())).unwrap();
        assert_eq!(found, ["-Copt-level=1", "-Copt-level=2"]);
        std::fs::write(inner.join(".cargo/config.toml"), "[build").unwrap();
        let error = configurations(&inner, None).unwrap_err().to_string();
        assert!(error.contains("config.toml"), "{error}");
    }
}
