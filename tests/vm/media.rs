//! The image of a CD, wherever it can be put.

use vm_tests::{Bare, Format};

const LINE: &str = "Hello from a virtual machine of my own!";
const END: &str = "\x1b]toro;exit=0\x07";

/// How QEMU is given the image.
const PLACES: [(&str, &[&str], &str); 4] = [
    ("pc", &["-cdrom"], ""),
    ("q35", &["-cdrom"], ""),
    ("pc", &["-drive"], "format=raw,file="),
    (
        "q35",
        &[
            "-device",
            "qemu-xhci",
            "-device",
            "usb-storage,drive=stick",
            "-drive",
        ],
        "if=none,id=stick,format=raw,file=",
    ),
];

fn starts(is_uefi: bool) {
    for (machine, words, prefix) in PLACES {
        let (last, words) = words.split_last().expect("a word");
        let bare = Bare::new(machine).qemu(words);
        let image = bare.image("hello", Format::Iso);
        let bare = bare.file(last, prefix, &image);
        let bare = if is_uefi { bare.uefi() } else { bare };
        let console = bare.run();
        assert!(
            console.contains(LINE) && console.contains(END),
            "{machine} {words:?}: {console}"
        );
    }
}

#[test]
fn a_cd_starts_by_bios_as_cd_as_disk_and_as_stick() {
    starts(false);
}

#[test]
fn a_cd_starts_by_uefi_as_cd_as_disk_and_as_stick() {
    starts(true);
}

#[test]
fn another_reader_finds_the_files_of_a_cd() {
    if std::process::Command::new("xorriso")
        .arg("-version")
        .output()
        .is_err()
    {
        eprintln!("left out: there is no xorriso to judge");
        return;
    }
    let bare = Bare::new("pc");
    let image = bare.image("hello", Format::Iso);
    let kernel = std::fs::read(bare.image("hello", Format::Elf)).expect("an ELF");
    let found = bare.folder().join("found.elf");
    let output = std::process::Command::new("xorriso")
        .args(["-osirrox", "on", "-report_about", "WARNING", "-indev"])
        .arg(&image)
        .args(["-report_el_torito", "plain", "-extract", "/TORO.ELF"])
        .arg(&found)
        .output()
        .expect("xorriso");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    for platform in ["BIOS", "UEFI"] {
        assert!(said.contains(&format!("{platform}  y   none")), "{said}");
    }
    assert_eq!(std::fs::read(found).expect("the ELF of the CD"), kernel);
}
