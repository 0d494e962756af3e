//! Loaders that are none of ours: GRUB by Multiboot 1 and 2, and the 64-bit protocol of Linux, as Firecracker, Cloud Hypervisor and
//! crosvm have it. PVH is what QEMU starts by (`boot.rs`).

use std::path::{Path, PathBuf};
use std::process::Command;
use vm_tests::{Bare, Format};

const LINE: &str = "Hello from a virtual machine of my own!";
const END: &str = "\x1b]toro;exit=0\x07";

/// A CD with GRUB that starts the kernel by this command of GRUB's; `None` where there is no GRUB for `platform`.
fn grub_cd(folder: &Path, kernel: &Path, command: &str, platform: &str) -> Option<PathBuf> {
    let tree = folder.join("tree");
    std::fs::create_dir_all(tree.join("boot/grub")).expect("a folder");
    std::fs::copy(kernel, tree.join("boot/kernel.elf")).expect("the kernel");
    let words = "serial\nterminal_output serial\ninsmod all_video\n";
    let words = format!("{words}{command} /boot/kernel.elf log=info word=unknown\nboot\n");
    std::fs::write(tree.join("boot/grub/grub.cfg"), words).expect("GRUB's configuration");
    let modules = Path::new("/usr/lib/grub").join(platform);
    let cd = folder.join("grub.iso");
    let made = Command::new("grub-mkrescue")
        .arg("-d")
        .arg(&modules)
        .arg("-o")
        .args([&cd, &tree])
        .output();
    match made {
        Ok(output) if output.status.success() && modules.exists() => Some(cd),
        _ => {
            eprintln!("left out: there is no grub-mkrescue with {platform}, xorriso and mtools");
            None
        }
    }
}

fn grub_starts(command: &str, is_uefi: bool) {
    let platform = if is_uefi { "x86_64-efi" } else { "i386-pc" };
    let bare = Bare::new("q35");
    let kernel = bare.image("hello", Format::Elf);
    let Some(cd) = grub_cd(bare.folder(), &kernel, command, platform) else {
        return;
    };
    let bare = bare.file("-cdrom", "", &cd);
    let bare = if is_uefi { bare.uefi() } else { bare };
    // Of UEFI's tables Multiboot 1 tells nothing, so ACPI is not found, nor what powers the machine off.
    let console = match (command, is_uefi) {
        ("multiboot", true) => bare.run_until("this machine has no way to power itself off"),
        _ => bare.run(),
    };
    // The command line has arrived, without the file's name.
    let warning = "command line: `word=unknown` means nothing";
    assert!(
        console.contains(warning) && !console.contains("kernel.elf"),
        "{console}"
    );
    assert!(console.contains(LINE) && console.contains(END), "{console}");
}

#[test]
fn grub_starts_it_by_multiboot_1() {
    grub_starts("multiboot", false);
}

#[test]
fn grub_starts_it_by_multiboot_1_under_uefi() {
    grub_starts("multiboot", true);
}

#[test]
fn grub_starts_it_by_multiboot_2() {
    grub_starts("multiboot2", false);
}

#[test]
fn grub_starts_it_by_multiboot_2_under_uefi() {
    grub_starts("multiboot2", true);
}

/// A loader that QEMU starts by PVH and that starts by Linux's protocol an ELF that is in memory already: it makes the zero page of what
/// it was told itself, and goes to the entry in long mode with the page tables of a hypervisor.
#[cfg(target_arch = "x86_64")]
mod linux {
    use super::{Bare, END, Format, LINE};

    /// Where the loader is, and what it makes behind itself.
    const BASE: u32 = 64 << 20;
    const ZERO_PAGE: u32 = BASE + 0x1_0000;
    const TABLES: u32 = BASE + 0x2_0000;
    /// Where the loader finds the entry, from its start.
    const ENTRY_AT: usize = 8;
    const ROOT_AT: usize = 16;
    /// Memory that neither firmware nor kernel uses.
    const ACPI: u64 = 0x9_4000;

    core::arch::global_asm!(
        r#"
        .section .rodata.test_loader, "a"
        .code32
        .global test_loader, test_loader_end
test_loader:
        jmp 1f
        .balign 8
        .quad 0                               // the entry, filled in
        .quad 0                               // ACPI's root pointer, filled in; 0: the one it was told itself
        .quad 0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF
        .word 23                              // at 48
        .long {BASE} + 24
1:      cli
        cld
        // The memory map, the command line, the root pointer.
        mov esi, [ebx + 40]
        mov edx, [ebx + 48]
        mov [{ZERO_PAGE} + 0x1E8], dl
        mov edi, {ZERO_PAGE} + 0x2D0
2:      mov ecx, 5
        rep movsd
        add esi, 4
        dec edx
        jnz 2b
        mov eax, [ebx + 24]
        mov [{ZERO_PAGE} + 0x228], eax
        mov eax, [ebx + 32]
        mov ecx, [{BASE} + 16]
        test ecx, ecx
        cmovnz eax, ecx
        mov [{ZERO_PAGE} + 0x70], eax
        // The first GiB in pages of 2 MiB.
        mov dword ptr [{TABLES}], {TABLES} + 0x1003
        mov dword ptr [{TABLES} + 0x1000], {TABLES} + 0x2003
        mov ecx, 511
3:      mov eax, ecx
        shl eax, 21
        or eax, 0x83
        mov [{TABLES} + 0x2000 + ecx * 8], eax
        dec ecx
        jns 3b
        mov eax, {TABLES}
        mov cr3, eax
        mov eax, 0x20
        mov cr4, eax
        mov ecx, 0xC0000080
        rdmsr
        or eax, 0x100
        wrmsr
        lgdt [{BASE} + 48]
        mov eax, 0x80000011
        mov cr0, eax
        .byte 0xEA
        .long {BASE} + 4f - test_loader
        .word 8
        .code64
4:      mov eax, 16
        mov ds, eax
        mov es, eax
        mov ss, eax
        mov esp, {ZERO_PAGE}
        mov esi, {ZERO_PAGE}
        mov rax, [{BASE} + 8]
        jmp rax
test_loader_end:
        .text
        "#,
        BASE = const BASE,
        ZERO_PAGE = const ZERO_PAGE,
        TABLES = const TABLES,
    );

    unsafe extern "C" {
        static test_loader: u8;
        static test_loader_end: u8;
    }

    /// The loader as an ELF with a PVH note, which goes on to `entry` and passes the root pointer on that lies at `root`, if it is not 0.
    fn loader(entry: u64, root: u64) -> Vec<u8> {
        const CODE_AT: u32 = 0x100;
        // SAFETY: both are labels of the code above, which is read-only data, in this order.
        let mut code = unsafe {
            let start = &raw const test_loader;
            let len = (&raw const test_loader_end).offset_from_unsigned(start);
            std::slice::from_raw_parts(start, len).to_vec()
        };
        code[ENTRY_AT..ENTRY_AT + 8].copy_from_slice(&entry.to_le_bytes());
        code[ROOT_AT..ROOT_AT + 8].copy_from_slice(&root.to_le_bytes());
        let note = [4, 4, 18, u32::from_le_bytes(*b"Xen\0"), BASE]
            .map(u32::to_le_bytes)
            .concat();
        let mut elf = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        // A 32-bit executable: its header, two program headers.
        elf.extend([2_u16, 3].iter().flat_map(|n| n.to_le_bytes()));
        elf.extend(
            [1, BASE, 52, 0, 0]
                .iter()
                .flat_map(|n: &u32| n.to_le_bytes()),
        );
        elf.extend(
            [52_u16, 32, 2, 0, 0, 0]
                .iter()
                .flat_map(|n| n.to_le_bytes()),
        );
        let len = code.len() as u32;
        let program = [1, CODE_AT, BASE, BASE, len, len, 5, 16];
        let note_at = 52 + 64;
        let notes = [4, note_at, 0, 0, note.len() as u32, note.len() as u32, 4, 4];
        elf.extend(
            program
                .iter()
                .chain(&notes)
                .flat_map(|n: &u32| n.to_le_bytes()),
        );
        elf.extend(note);
        elf.resize(CODE_AT as usize, 0);
        elf.extend(code);
        elf
    }

    /// `hello` in a machine with one core, which gets these tables of ACPI at [`ACPI`], or its own; the console.
    fn run(tables: Option<&[u8]>) -> String {
        let bare = Bare::new("q35");
        let kernel = bare.image("hello", Format::Elf);
        let elf = std::fs::read(&kernel).expect("an ELF");
        let entry = u64::from_le_bytes(elf[24..32].try_into().expect("an entry"));
        let path = bare.folder().join("loader.elf");
        std::fs::write(&path, loader(entry, tables.map_or(0, |_| ACPI))).expect("a file");
        let given = bare.folder().join("acpi");
        std::fs::write(&given, tables.unwrap_or_default()).expect("a file");
        let mut bare = bare
            .file("-kernel", "", &path)
            .file("-device", "loader,file=", &kernel)
            .qemu(&["-append", "word=unknown"]);
        if tables.is_some() {
            let prefix = format!("loader,addr={ACPI:#x},force-raw=on,file=");
            bare = bare.file("-device", &prefix, &given);
        }
        bare.run()
    }

    #[test]
    fn the_64_bit_protocol_of_linux_starts_it() {
        let console = run(None);
        assert!(
            console.contains("command line: `word=unknown`"),
            "{console}"
        );
        assert!(console.contains(LINE) && console.contains(END), "{console}");
    }

    /// Has the sum of all bytes be 0, by the one at `place`.
    fn with_sum(mut bytes: Vec<u8>, place: usize) -> Vec<u8> {
        bytes[place] = 0;
        bytes[place] = bytes.iter().fold(0, |sum, byte| sum.wrapping_sub(*byte));
        bytes
    }

    /// A table of ACPI (ACPI 6.5, section 5.2.6).
    fn table(signature: &str, content: &[u8]) -> Vec<u8> {
        let len = u32::try_from(36 + content.len()).expect("a small table");
        let mut bytes = signature.as_bytes().to_vec();
        bytes.extend(len.to_le_bytes());
        bytes.resize(36, 0);
        bytes.extend(content);
        with_sum(bytes, 9)
    }

    /// Tables that list these cores by the numbers of their local APICs.
    fn tables(cores: &[u8]) -> Vec<u8> {
        let mut listed = [0xFEE0_0000_u32.to_le_bytes(), 1_u32.to_le_bytes()].concat();
        for core in cores {
            listed.extend([0, 8, *core, *core, 1, 0, 0, 0]);
        }
        let madt = table("APIC", &listed);
        let xsdt = table("XSDT", &(ACPI + 0x200).to_le_bytes());
        // The root pointer (section 5.2.5.3): a sum over its first 20 bytes, and one over all.
        let mut root = b"RSD PTR \0toro  \x02\0\0\0\0".to_vec();
        root = with_sum(root, 8);
        root.extend(36_u32.to_le_bytes());
        root.extend((ACPI + 0x100).to_le_bytes());
        root.extend([0; 4]);
        let mut bytes = with_sum(root, 32);
        for (place, table) in [(0x100, xsdt), (0x200, madt)] {
            bytes.resize(place, 0);
            bytes.extend(table);
        }
        bytes
    }

    #[test]
    fn a_core_that_does_not_answer_is_named_and_left_out() {
        let console = run(Some(&tables(&[0, 5])));
        assert!(
            console.contains("core with local APIC 5 does not answer: left out"),
            "{console}"
        );
        assert!(console.contains(LINE) && console.contains(END), "{console}");
    }
}
