//! `cargo toro test` on a crate of a user's: where tests run, what they find there, and how they are reported.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A package with unit tests, and files of integration tests by name and source.
fn package(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: PathBuf, text: &str| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let manifest = "[package]\nname = \"sample\"\nversion = \"1.2.3\"\nedition = \"2024\"\n";
    write(folder.path().join("Cargo.toml"), manifest);
    let library = "#[test] fn adds() { assert_eq!(1 + 1, 2) }\n";
    write(folder.path().join("src/lib.rs"), library);
    write(
        folder.path().join("tests/data/word.txt"),
        "a word of the host",
    );
    for (name, source) in files {
        write(folder.path().join("tests").join(name), source);
    }
    folder
}

fn test(folder: &Path, arguments: &[&str]) -> (String, String, Option<i32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-toro"));
    command.args(["toro", "test"]).args(arguments);
    command.current_dir(folder);
    for variable in [
        "TORO_CHECKOUT",
        "TORO_QEMU",
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_TARGET_DIR",
    ] {
        command.env_remove(variable);
    }
    // Unlike the rest of the suite's, the environment of these tests is a part of what is tested.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_PKG")) {
        command.env_remove(name);
    }
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(stdout), text(stderr), status.code())
}

#[test]
fn a_package_is_tested_that_depends_on_another_one_of_its_name() {
    let folder = package(&[]);
    // Elsewhere: what lies below a package belongs to its workspace.
    let elsewhere = tempfile::tempdir().unwrap();
    let older = elsewhere.path().join("older");
    std::fs::create_dir_all(older.join("src")).unwrap();
    std::fs::write(older.join("src/lib.rs"), "").unwrap();
    let manifest = "[package]\nname = \"sample\"\nversion = \"1.2.2\"\nedition = \"2024\"\n";
    std::fs::write(older.join("Cargo.toml"), manifest).unwrap();
    let path = folder.path().join("Cargo.toml");
    let manifest = std::fs::read_to_string(&path).unwrap();
    let dependency = format!(
        "[dev-dependencies]\nolder = {{ package = \"sample\", path = {older:?} }}\n[workspace]\n"
    );
    std::fs::write(&path, manifest + &dependency).unwrap();
    let (output, errors, code) = test(folder.path(), &[]);
    assert!(output.ends_with("1 passed, 0 failed\n"), "{output}{errors}");
    assert_eq!(code, Some(0));
}

#[test]
fn in_the_folder_of_a_member_of_a_workspace_that_member_is_tested() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        "Cargo.toml",
        "[workspace]\nresolver = \"3\"\nmembers = [\"parts/*\"]\n",
    );
    for name in ["first", "second"] {
        let manifest = format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n");
        write(&format!("parts/{name}/Cargo.toml"), &manifest);
        let library = format!("#[test] fn is_{name}() {{}}\n");
        write(&format!("parts/{name}/src/lib.rs"), &library);
    }
    // From a folder inside of the member, too.
    for place in ["parts/second", "parts/second/src"] {
        let (output, errors, code) = test(&folder.path().join(place), &[]);
        assert_eq!(code, Some(0), "{output}\n{errors}");
        assert!(
            output.contains("is_second") && !output.contains("is_first"),
            "{output}"
        );
        assert!(output.ends_with("1 passed, 0 failed\n"), "{output}");
    }
    let (output, errors, code) = test(&folder.path().join("parts/second"), &["-p", "first"]);
    assert_eq!(code, Some(0), "{output}\n{errors}");
    assert!(
        output.contains("is_first") && !output.contains("is_second"),
        "{output}"
    );
}

#[test]
fn tests_find_the_folder_and_the_variables_of_their_package() {
    let folder = package(&[(
        "finds.rs",
        r#"
        #[test]
        fn the_folder_is_the_current_one() {
            let here = std::env::current_dir().unwrap();
            assert_eq!(here, std::path::Path::new(env!("CARGO_MANIFEST_DIR")));
            assert_eq!(std::env::var_os("CARGO_MANIFEST_DIR").unwrap(), here);
            assert_eq!(std::fs::read_to_string("tests/data/word.txt").unwrap(), "a word of the host");
        }

        #[test]
        fn there_is_room_beside_the_folder() {
            for number in 0..2000 {
                std::fs::create_dir_all(format!("tests/temp/{number}/inner")).unwrap();
            }
            std::fs::write("tests/temp/large", vec![7; 100 << 20]).unwrap();
        }

        #[test]
        fn the_version_is_known_at_run_time() {
            assert_eq!(std::env::var("CARGO_PKG_VERSION").unwrap(), "1.2.3");
            assert_eq!(std::env::var("EXTRA").unwrap(), "two words");
        }
        "#,
    )]);
    let (output, errors, code) = test(folder.path(), &["--env", "EXTRA=two words"]);
    assert_eq!(code, Some(0), "{output}\n{errors}");
    assert!(output.ends_with("4 passed, 0 failed\n"), "{output}");
    for title in [
        "Running unittests src/lib.rs",
        "Running tests/finds.rs",
        "Doc-tests sample",
    ] {
        assert!(errors.contains(title), "{title:?} is not in:\n{errors}");
    }
}

/// Examples that rustdoc puts together into one program, and one by itself; one that must panic, and two that are only compiled.
const DOCUMENTED: &str = r#"
//! ```
//! let text = std::fs::read_to_string("tests/data/word.txt").unwrap();
//! assert_eq!(text, "a word of the host");
//! assert!(std::fs::read_to_string("/proc/version").unwrap().contains("Toro"));
//! ```
//! ```standalone_crate
//! assert_eq!(std::env::var("CARGO_PKG_VERSION").unwrap(), "1.2.3");
//! assert_eq!(std::env::var("EXTRA").unwrap(), "two words");
//! ```
//! ```should_panic
//! panic!("as it shall");
//! ```
//! ```should_panic,standalone_crate
//! panic!("as it shall");
//! ```
//! ```compile_fail
//! let number: u32 = "";
//! ```
//! ```no_run
//! loop {}
//! ```
"#;

#[test]
fn examples_of_the_documentation_run_in_machines_too() {
    let folder = package(&[]);
    std::fs::write(folder.path().join("src/lib.rs"), DOCUMENTED).unwrap();
    let (output, errors, code) = test(folder.path(), &["--env", "EXTRA=two words"]);
    assert_eq!(code, Some(0), "{output}\n{errors}");
    assert!(output.ends_with("6 passed, 0 failed\n"), "{output}");
    // From elsewhere, with a folder that is named from there.
    let reads =
        "//! ```\n//! assert!(std::path::Path::new(\"/given/word.txt\").is_file());\n//! ```\n";
    std::fs::write(folder.path().join("src/lib.rs"), reads).unwrap();
    let elsewhere = folder.path().join("tests");
    let manifest = ["--doc", "--manifest-path", "../Cargo.toml"];
    let arguments = [&manifest[..], &["--embed", "data:/given"]].concat();
    let (output, errors, code) = test(&elsewhere, &arguments);
    assert_eq!(code, Some(0), "{output}\n{errors}");
    assert!(output.ends_with("1 passed, 0 failed\n"), "{output}");
    // One that fails in a machine, chosen by its name; what rustdoc made is gone.
    let wrong = "/// ```standalone_crate\n/// std::process::exit(7);\n/// ```\npub fn wrong() {}\n";
    std::fs::write(folder.path().join("src/lib.rs"), wrong).unwrap();
    let (output, errors, code) = test(folder.path(), &["--doc", "--", "wrong"]);
    assert_eq!(code, Some(1), "{output}\n{errors}");
    assert!(output.contains("(exit status: 7)"), "{output}");
    assert!(output.ends_with("0 passed, 1 failed\n"), "{output}");
    assert!(!errors.contains("Running unittests"), "{errors}");
    let (output, errors, code) = test(folder.path(), &["--tests"]);
    assert_eq!(code, Some(0), "{output}\n{errors}");
    assert!(output.ends_with("0 passed, 0 failed\n"), "{output}");
    let left = std::fs::read_dir(folder.path().join("target/toro/test")).unwrap();
    let left = left.filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    let left: Vec<_> = left.filter(|name| name.starts_with(".tmp")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_failure_is_reported_and_ends_the_run_unless_asked_otherwise() {
    let folder = package(&[
        (
            "a_wrong.rs",
            "#[test] fn is_wrong() { panic!(\"on purpose\") }",
        ),
        ("b_right.rs", "#[test] fn is_right() {}"),
        (
            "c_endless.rs",
            "#[test] fn is_endless() { loop { std::thread::sleep(std::time::Duration::from_secs(1)) } }",
        ),
    ]);
    let (output, errors, code) = test(folder.path(), &["--jobs", "1", "--timeout", "60"]);
    assert_eq!(code, Some(1), "{output}\n{errors}");
    assert!(output.ends_with("1 passed, 1 failed\n"), "{output}");
    assert!(output.contains("on purpose"), "{output}");
    assert!(
        errors.contains("to rerun pass `-p sample --test a_wrong`"),
        "{errors}"
    );
    assert!(
        errors.contains("2 more test binaries were not run"),
        "{errors}"
    );

    let all = [
        "--no-fail-fast",
        "--timeout",
        "5",
        "--test",
        "c_endless",
        "--test",
        "b_right",
    ];
    let (output, errors, code) = test(folder.path(), &all);
    assert_eq!(code, Some(1), "{output}\n{errors}");
    assert!(output.ends_with("1 passed, 1 failed\n"), "{output}");
    assert!(
        errors.contains("tests/c_endless.rs ran out of its time of 5 s"),
        "{errors}"
    );
}

/// All of the list takes long; these are quick, and ask much of files and sockets.
#[test]
#[cfg(unix)]
fn published_crates_pass_their_own_tests() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/crates/run");
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(script)
        .args(["walkdir", "tempfile", "socket2"])
        .env("TORO_TOOL", env!("CARGO_BIN_EXE_cargo-toro"))
        .env("TORO_CRATES", folder.path())
        .env_remove("TORO_CHECKOUT")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{shown}");
}
