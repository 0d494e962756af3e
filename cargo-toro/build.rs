//! Builds what the tool carries inside itself: the kernel as one relocatable object, the BIOS loader as a flat binary, and the UEFI
//! loader as a PE32+.
//!
//! They go to `OUT_DIR` (`kernel.o`, `loader.bin`, `loader.efi`), from where `src/image/parts.rs` embeds them.
//! ARCHITECTURE.md, "From a program to an image", is the contract. The means are in
//! `boot/recipe.rs`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs, process};

use object::{Object as _, ObjectSymbol as _};

#[path = "build/pe.rs"]
mod pe;
#[path = "../boot/recipe.rs"]
mod recipe;
#[path = "build/unwind_tables.rs"]
mod unwind_tables;

/// Symbols that the kernel asks for and the final link supplies: the program's `main`, what `std`
/// defines, and those that the linker makes up (besides those of the linker script).
const FROM_FINAL_LINK: [&str; 10] = [
    "main",
    "rust_eh_personality",
    "__ehdr_start",
    "toro_fat",
    "toro_file_systems",
    "toro_further_sockets",
    "toro_socket_requests",
    "toro_proc",
    "toro_proc_net",
    "toro_system_calls",
];

/// Parts of the names of functions that programs unwind through, besides those of the ABI itself: its helpers, what ends a thread after a
/// fault, and the unwinder.
const UNWOUND: [&str; 4] = ["toro_kernel3abi", "toro_kernel5fault", "unwinding", "gimli"];

fn main() {
    if let Err(message) = build() {
        eprintln!("error: {message}");
        process::exit(1);
    }
}

fn build() -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let watched = [
        "cargo-toro/build.rs",
        "cargo-toro/build",
        "boot/src",
        "boot/Cargo.toml",
        "boot/loader.ld",
        "boot/recipe.rs",
        "boot/features.rs",
        "boot/uefi",
        "ext2/src",
        "ext2/Cargo.toml",
        "tcpip/src",
        "tcpip/Cargo.toml",
        "kernel",
        "Cargo.lock",
        "Cargo.toml",
    ];
    for path in watched {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: run by cargo")?);
    let toolchain = recipe::Toolchain::find()?;

    let loader = toolchain.boot_loader(&root.join("boot"), &out.join("boot"))?;
    copy(&loader, &out.join("loader.bin"))?;
    uefi_loader(&toolchain, &root.join("boot/uefi"), &out)?;
    kernel_object(&toolchain, &root.join("kernel"), &out)
}

/// Links the UEFI loader and makes a PE32+ of it.
fn uefi_loader(toolchain: &recipe::Toolchain, folder: &Path, out: &Path) -> Result<(), String> {
    let code = recipe::Code::PositionIndependent;
    let archive = toolchain.static_library(folder, "toro-boot-uefi", code, &out.join("uefi"))?;
    let linked = out.join("uefi/loader.elf");
    recipe::run(
        toolchain
            .tool("rust-lld")
            .args(["-flavor", "gnu", "-m", "elf_x86_64", "--gc-sections"])
            .args([
                "-pie",
                "-z",
                "norelro",
                "--no-dynamic-linker",
                "--undefined=efi_main",
                "-T",
            ])
            .arg(folder.join("loader.ld"))
            .arg("-o")
            .arg(&linked)
            .arg(archive),
    )?;
    let path = out.join("loader.efi");
    fs::write(&path, pe::from_elf(&read(&linked)?)?)
        .map_err(|error| format!("can't write {}: {error}", path.display()))
}

/// Links the kernel into one object that shows nothing but its ABI.
fn kernel_object(toolchain: &recipe::Toolchain, kernel: &Path, out: &Path) -> Result<(), String> {
    let archive = toolchain.static_library(
        kernel,
        "toro-kernel",
        recipe::Code::Static,
        &out.join("kernel"),
    )?;
    let whole = out.join("kernel-whole.o");
    let object = out.join("kernel.o");
    // No --gc-sections: with -r it drops .eh_frame; the final link collects.
    recipe::run(
        toolchain
            .tool("rust-lld")
            .args([
                "-flavor",
                "gnu",
                "-m",
                "elf_x86_64",
                "-r",
                "--whole-archive",
            ])
            .arg(archive)
            .arg("-o")
            .arg(&whole),
    )?;
    let mut keep = std::ffi::OsString::from("--keep-global-symbols=");
    keep.push(kernel.join("abi.txt"));
    recipe::run(
        toolchain
            .tool("rust-objcopy")
            .arg(keep)
            // A function that the program brings along takes the place of the kernel's, as it does with a shared C library.
            .arg("--weaken")
            .arg(&whole)
            .arg(&object),
    )?;
    let names = String::from_utf8_lossy(&read(&kernel.join("abi.txt"))?).into_owned();
    let abi: BTreeSet<&str> = names.lines().collect();
    let mut content = read(&object)?;
    unwind_tables::reduce(&mut content, |function| {
        abi.contains(function) || UNWOUND.iter().any(|part| function.contains(part))
    })?;
    fs::write(&object, &content)
        .map_err(|error| format!("can't write {}: {error}", object.display()))?;
    let missing = unexpected_undefined(&content, &read(&kernel.join("image.ld"))?)?;
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.into_iter().collect::<Vec<_>>().join(", ");
    Err(format!(
        "the kernel uses symbols that neither it nor kernel/image.ld defines: {names}"
    ))
}

/// The undefined symbols of the kernel object that no part of the final link defines. Every word
/// of the linker script counts as defined there: whatever slips through, the final link names.
fn unexpected_undefined(object: &[u8], script: &[u8]) -> Result<BTreeSet<String>, String> {
    let script = String::from_utf8_lossy(script);
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let words: BTreeSet<&str> = script.split(|c| !is_part(c)).collect();
    let file = object::File::parse(object).map_err(|error| format!("kernel.o: {error}"))?;
    Ok(file
        .symbols()
        .filter(|symbol| symbol.is_undefined() && !symbol.is_weak())
        .filter_map(|symbol| symbol.name().ok())
        .filter(|name| !name.is_empty() && !FROM_FINAL_LINK.contains(name) && !words.contains(name))
        .map(str::to_owned)
        .collect())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("can't read {}: {error}", path.display()))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::copy(from, to)
        .map(|_| ())
        .map_err(|error| format!("can't copy {} to {}: {error}", from.display(), to.display()))
}
