//! Finds the program that is meant: by package, binary, example or path, or the crate in the current folder.
//!
//! Cargo's own description of the workspace (`cargo metadata`) is the only source of truth here.

use crate::failure::Failure;
use crate::metadata::{self, Metadata};
use anyhow::{Context, Result};
use cargo_metadata::{MetadataCommand, Package, Target, TargetKind};
use std::path::{Path, PathBuf};

/// The environment variable with Toro's own checkout, set by the wrapper `toro`: programs are looked for there when
/// the current folder does not have them.
pub const CHECKOUT_VARIABLE: &str = "TORO_CHECKOUT";

/// What kind of executable a program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A binary target.
    Binary,
    /// An example target.
    Example,
}

/// An executable target of a package.
#[derive(Debug, Clone)]
pub struct Program {
    /// The target's name; images are named for it.
    pub name: String,
    /// Binary or example.
    pub kind: Kind,
    /// The package's name.
    pub package: String,
    /// The package's Cargo.toml.
    pub manifest: PathBuf,
    /// The workspace's target folder.
    pub target_directory: PathBuf,
    /// `[package.metadata.toro]`.
    pub metadata: Metadata,
}

impl Program {
    /// Finds `name` (a package, binary, example or path), or without a name the program of the package that
    /// `manifest` names or the current folder is in.
    pub fn find(name: Option<&str>, manifest: Option<&Path>) -> Result<Self> {
        if let Some(name) = name {
            if let Some(manifest) = manifest_at(name) {
                return Self::of_folder(&manifest);
            }
            if is_path(name) {
                let message = format!("there is no Cargo.toml in {name}");
                let help = "name the folder of a crate, or make one with `cargo toro new PATH`";
                return Err(Failure::new(message, help).into());
            }
        } else {
            return Self::of_folder(&self::manifest(manifest)?);
        }
        let name = name.unwrap_or_default();
        let mut known = Vec::new();
        for manifest in places(manifest) {
            let workspace = workspace(&manifest)?;
            let found = Candidates::of(&workspace).named(name)?;
            if let Some(program) = found {
                return program.into_program(&workspace);
            }
            known.extend(Candidates::of(&workspace).names());
        }
        Err(no_such_program(name, known))
    }

    /// Finds the target of that kind and name, or without one the program of the package, as cargo's `--package`, `--bin`
    /// and `--example` name them.
    pub fn find_target(
        package: Option<&str>,
        target: Option<(Kind, &str)>,
        manifest: Option<&Path>,
    ) -> Result<Self> {
        let mut known = Vec::new();
        for manifest in places(manifest) {
            let workspace = workspace(&manifest)?;
            let mut candidates = Candidates::of(&workspace);
            candidates
                .retain(|candidate| package.is_none_or(|name| *candidate.package.name == name));
            let names = candidates.names();
            if let Some((kind, name)) = target {
                candidates.retain(|it| it.kind() == kind && it.target.name == name);
            }
            match (candidates.0.as_slice(), package) {
                ([], _) => known.extend(names),
                ([candidate], _) if target.is_some() => return candidate.into_program(&workspace),
                (_, Some(package)) => return candidates.only(package)?.into_program(&workspace),
                (several, None) => {
                    let packages = several.iter().map(|it| it.package.name.to_string());
                    let help = listing("name one of them with --package", packages.collect());
                    let name = target.map_or("", |(_, name)| name);
                    let message = format!("several packages have a program `{name}`");
                    return Err(Failure::new(message, help).into());
                }
            }
        }
        let name = target.map(|(_, name)| name).or(package);
        Err(no_such_program(name.unwrap_or_default(), known))
    }

    /// The folder of the package: the metadata's paths are relative to it.
    pub fn folder(&self) -> &Path {
        self.manifest.parent().unwrap_or(Path::new("."))
    }

    /// Where Toro keeps what it makes.
    pub fn output_folder(&self) -> PathBuf {
        self.target_directory.join("toro")
    }

    fn of_folder(manifest: &Path) -> Result<Self> {
        let workspace = workspace(manifest)?;
        let manifest = std::path::absolute(manifest)?;
        let is_it = |package: &&Package| is_of(package, &manifest);
        let Some(package) = workspace.packages.iter().find(is_it) else {
            let names = Candidates::of(&workspace).names();
            let message = format!("{} is a workspace, not a program", manifest.display());
            return Err(Failure::new(message, listing("name one of its programs", names)).into());
        };
        Candidates::of_package(package)
            .only(&package.name)?
            .into_program(&workspace)
    }
}

/// An executable target with its package.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    package: &'a Package,
    target: &'a Target,
}

impl Candidate<'_> {
    fn kind(&self) -> Kind {
        match self.is_binary() {
            true => Kind::Binary,
            false => Kind::Example,
        }
    }

    fn into_program(self, workspace: &cargo_metadata::Metadata) -> Result<Program> {
        let manifest = self.package.manifest_path.clone().into_std_path_buf();
        Ok(Program {
            name: self.target.name.clone(),
            kind: self.kind(),
            package: self.package.name.to_string(),
            metadata: metadata::parse(&self.package.metadata, &manifest)?,
            target_directory: workspace.target_directory.clone().into_std_path_buf(),
            manifest,
        })
    }

    fn is_binary(&self) -> bool {
        self.target.kind.contains(&TargetKind::Bin)
    }

    fn is_default(&self) -> bool {
        self.package.default_run.as_ref() == Some(&self.target.name)
    }
}

struct Candidates<'a>(Vec<Candidate<'a>>);

impl<'a> Candidates<'a> {
    fn of(workspace: &'a cargo_metadata::Metadata) -> Self {
        Self(
            workspace
                .workspace_packages()
                .into_iter()
                .flat_map(|package| Self::of_package(package).0)
                .collect(),
        )
    }

    fn retain(&mut self, is_meant: impl Fn(&Candidate<'_>) -> bool) {
        self.0.retain(is_meant);
    }

    fn of_package(package: &'a Package) -> Self {
        let is_program = |target: &&Target| {
            target
                .kind
                .iter()
                .any(|kind| matches!(kind, TargetKind::Bin | TargetKind::Example))
        };
        Self(
            package
                .targets
                .iter()
                .filter(is_program)
                .map(|target| Candidate { package, target })
                .collect(),
        )
    }

    /// The target of that name, else the only (or default) binary of the package of that name.
    fn named(self, name: &str) -> Result<Option<Candidate<'a>>> {
        if let Some(candidate) = self
            .0
            .iter()
            .find(|candidate| candidate.target.name == name)
        {
            return Ok(Some(*candidate));
        }
        let of_package: Vec<_> = self
            .0
            .into_iter()
            .filter(|candidate| candidate.package.name.as_str() == name)
            .collect();
        if of_package.is_empty() {
            Ok(None)
        } else {
            Self(of_package).only(name).map(Some)
        }
    }

    /// The one binary, or the package's `default-run` among several.
    fn only(self, package: &str) -> Result<Candidate<'a>> {
        let names = self.names();
        let binaries: Vec<_> = self.0.into_iter().filter(Candidate::is_binary).collect();
        let default = binaries.iter().find(|candidate| candidate.is_default());
        match (binaries.as_slice(), default) {
            ([candidate], _) | (_, Some(candidate)) => Ok(*candidate),
            ([], _) => {
                let message = format!("`{package}` has no binary");
                let help = match names.is_empty() {
                    true => "give it a src/main.rs, or run its tests with `cargo toro test`".into(),
                    false => listing("name a program", names),
                };
                Err(Failure::new(message, help).into())
            }
            _ => {
                let message = format!("`{package}` has several binaries");
                Err(Failure::new(message, listing("name one of them", names)).into())
            }
        }
    }

    fn names(&self) -> Vec<String> {
        self.0
            .iter()
            .map(|candidate| candidate.target.name.clone())
            .collect()
    }
}

/// The workspace that `manifest`, or the current folder, belongs to.
pub fn workspace_of(manifest: Option<&Path>) -> Result<cargo_metadata::Metadata> {
    workspace(&self::manifest(manifest)?)
}

/// The Cargo.toml that is meant: `chosen`, or the one nearest to the current folder.
pub fn manifest(chosen: Option<&Path>) -> Result<PathBuf> {
    chosen
        .map(Path::to_path_buf)
        .map_or_else(nearest_manifest, Ok)
}

/// Whether `manifest` is the Cargo.toml of `package`.
pub fn is_of(package: &Package, manifest: &Path) -> bool {
    same_file(package.manifest_path.as_std_path(), manifest)
}

fn workspace(manifest: &Path) -> Result<cargo_metadata::Metadata> {
    let mut command = MetadataCommand::new();
    command.no_deps().manifest_path(manifest);
    command.exec().map_err(|error| {
        let help = "mend the Cargo.toml, or name another with --manifest-path";
        let message = match error {
            cargo_metadata::Error::Io(error) => {
                let message = format!("`cargo` cannot be started: {error}");
                let help = "install Rust: https://rustup.rs; a cargo elsewhere is named by CARGO";
                return Failure::new(message, help).into();
            }
            cargo_metadata::Error::CargoMetadata { stderr } => stderr.trim().replace("error: ", ""),
            other => other.to_string(),
        };
        anyhow::Error::from(Failure::new(message, help))
            .context(format!("cannot read {}", manifest.display()))
    })
}

/// The Cargo.toml that `name` names if it is a path to a folder or to a Cargo.toml.
fn manifest_at(name: &str) -> Option<PathBuf> {
    let path = Path::new(name);
    if path.file_name().is_some_and(|file| file == "Cargo.toml") && path.is_file() {
        return Some(path.to_path_buf());
    }
    let manifest = path.join("Cargo.toml");
    (is_path(name) && manifest.is_file()).then_some(manifest)
}

/// Whether a name is a path, which no package and no target can be named.
fn is_path(name: &str) -> bool {
    name == "." || name == ".." || name.contains(['/', std::path::MAIN_SEPARATOR])
}

fn nearest_manifest() -> Result<PathBuf> {
    let folder = std::env::current_dir().context("the current folder cannot be read")?;
    let manifests = folder.ancestors().map(|folder| folder.join("Cargo.toml"));
    manifests
        .into_iter()
        .find(|manifest| manifest.is_file())
        .ok_or_else(|| {
            let message = format!("there is no Cargo.toml in {} or above it", folder.display());
            let help =
                "name a program, go to a crate's folder, or make one with `cargo toro new PATH`";
            Failure::new(message, help).into()
        })
}

/// The workspaces to look for a name in: the one asked for, or the current one and then Toro's own.
fn places(manifest: Option<&Path>) -> Vec<PathBuf> {
    if let Some(manifest) = manifest {
        return vec![manifest.to_path_buf()];
    }
    let checkout =
        std::env::var_os(CHECKOUT_VARIABLE).map(|folder| Path::new(&folder).join("Cargo.toml"));
    let mut places: Vec<_> = nearest_manifest().ok().into_iter().collect();
    places.extend(checkout.filter(|manifest| manifest.is_file()));
    places.dedup();
    places
}

fn no_such_program(name: &str, mut known: Vec<String>) -> anyhow::Error {
    known.sort();
    known.dedup();
    let help = if known.is_empty() {
        "go to a crate's folder, or make one with `cargo toro new PATH`".to_owned()
    } else {
        listing("name one of these", known)
    };
    Failure::new(format!("there is no program `{name}`"), help).into()
}

fn listing(what: &str, names: Vec<String>) -> String {
    if names.is_empty() {
        what.to_owned()
    } else {
        format!("{what}: {}", names.join(", "))
    }
}

fn same_file(left: &Path, right: &Path) -> bool {
    match (left.canonicalize(), right.canonicalize()) {
        (Ok(left), Ok(right)) => left == right,
        _ => left == right,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKAGE: &str = "[package]\nname = \"shop\"\nedition = \"2024\"\n";

    /// A package with the source files `sources`.
    fn package(manifest: &str, sources: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
        for source in sources {
            let path = folder.path().join(source);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "fn main() {}").unwrap();
        }
        folder
    }

    fn find(folder: &tempfile::TempDir, name: Option<&str>) -> Result<(String, Kind), String> {
        let found = Program::find(name, Some(&folder.path().join("Cargo.toml")));
        found
            .map(|program| (program.name, program.kind))
            .map_err(|error| format!("{error:#}"))
    }

    fn is(name: &str, kind: Kind) -> Result<(String, Kind), String> {
        Ok((name.into(), kind))
    }

    #[test]
    fn a_program_is_named_by_package_binary_example_or_path() {
        let folder = package(
            PACKAGE,
            &["src/main.rs", "src/bin/till.rs", "examples/shelf.rs"],
        );
        assert_eq!(find(&folder, Some("shop")), is("shop", Kind::Binary));
        assert_eq!(find(&folder, Some("till")), is("till", Kind::Binary));
        assert_eq!(find(&folder, Some("shelf")), is("shelf", Kind::Example));
        let single = package(PACKAGE, &["src/main.rs"]);
        assert_eq!(
            find(&folder, single.path().to_str()),
            is("shop", Kind::Binary)
        );
        assert_eq!(find(&single, None), is("shop", Kind::Binary));
    }

    #[test]
    fn a_program_is_named_as_cargo_names_it() {
        let folder = package(
            PACKAGE,
            &["src/main.rs", "src/bin/till.rs", "examples/till.rs"],
        );
        let manifest = folder.path().join("Cargo.toml");
        let find = |package, target| {
            let found = Program::find_target(package, target, Some(&manifest));
            found
                .map(|program| (program.name, program.kind))
                .map_err(|error| format!("{error:#}"))
        };
        let binary = Some((Kind::Binary, "till"));
        assert_eq!(find(None, binary), is("till", Kind::Binary));
        assert_eq!(find(Some("shop"), binary), is("till", Kind::Binary));
        let example = Some((Kind::Example, "till"));
        assert_eq!(find(None, example), is("till", Kind::Example));
        let missing = Err("there is no program `shop`".to_owned());
        assert_eq!(find(None, Some((Kind::Example, "shop"))), missing);
        let missing = Err("there is no program `till`".to_owned());
        assert_eq!(find(Some("other"), binary), missing);
        assert_eq!(
            find(Some("shop"), None),
            Err("`shop` has several binaries".into())
        );
    }

    #[test]
    fn several_binaries_need_a_name_or_a_default() {
        let sources = ["src/bin/till.rs", "src/bin/door.rs"];
        let folder = package(PACKAGE, &sources);
        assert_eq!(
            find(&folder, None),
            Err("`shop` has several binaries".into())
        );
        assert_eq!(
            find(&folder, Some("shop")),
            Err("`shop` has several binaries".into())
        );
        let folder = package(&format!("{PACKAGE}default-run = \"door\"\n"), &sources);
        assert_eq!(find(&folder, None), is("door", Kind::Binary));
    }

    #[test]
    fn a_library_is_no_program() {
        let folder = package(PACKAGE, &["src/lib.rs"]);
        assert_eq!(find(&folder, None), Err("`shop` has no binary".into()));
    }

    #[test]
    fn a_broken_manifest_is_named() {
        let folder = package("[package", &[]);
        let error = find(&folder, None).unwrap_err();
        assert!(
            error.starts_with("cannot read ") && error.contains("Cargo.toml"),
            "{error}"
        );
    }
}
