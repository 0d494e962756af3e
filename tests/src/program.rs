//! Programs as linked ELF files, each built once by the library of the host tool.

use anyhow::Result;
use cargo_toro::compile::{self, Options, Profile};
use cargo_toro::program::Program;
use cargo_toro::shell::Shell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A linked program.
#[derive(Debug)]
pub(crate) struct Linked {
    pub(crate) program: Program,
    pub(crate) elf: PathBuf,
}

pub(crate) const QUIET: Shell = Shell {
    verbose: false,
    quiet: true,
};

/// The linked program `name` of this workspace.
pub(crate) fn linked(name: &str) -> Arc<Linked> {
    static LINKED: Mutex<Option<HashMap<String, Arc<Linked>>>> = Mutex::new(None);
    // One build at a time: cargo would let the others wait anyway. A build that failed has failed its test, no other.
    let mut linked = LINKED.lock().unwrap_or_else(PoisonError::into_inner);
    let linked = linked.get_or_insert_default();
    if let Some(linked) = linked.get(name) {
        return Arc::clone(linked);
    }
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let build = || -> Result<Linked> {
        let program = Program::find(Some(name), Some(&manifest))?;
        let elf = compile(&program)?;
        Ok(Linked { program, elf })
    };
    let built = build().unwrap_or_else(|error| panic!("cannot build {name}: {error:#}"));
    let built = Arc::new(built);
    linked.insert(name.to_owned(), Arc::clone(&built));
    built
}

fn compile(program: &Program) -> Result<PathBuf> {
    let options = Options {
        profile: Profile::Release,
        ..Options::default()
    };
    Ok(compile::compile(program, &options, &QUIET)?.to_path_buf())
}

/// What the tool says about a program, of this source, that cannot be built.
pub fn build_error(source: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = folder.path().join("Cargo.toml");
    let package = "[package]\nname = \"wrong\"\nedition = \"2024\"\n[workspace]\n";
    std::fs::write(&manifest, package).expect("a manifest");
    std::fs::create_dir(folder.path().join("src")).expect("a folder");
    std::fs::write(folder.path().join("src/main.rs"), source).expect("a source file");
    let program = Program::find(None, Some(&manifest)).expect("a program");
    format!("{:#}", compile(&program).expect_err("it must not be built"))
}
