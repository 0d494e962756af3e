//! Images that end the machine at once: what is executed until then is the firmware's own share of a start.

use super::subject::Way;
use crate::qemu::Source;
use crate::values::Boot;
use anyhow::Result;
use std::path::Path;

/// Writes the exit status 0 to QEMU's `isa-debug-exit` (port 0xf4): mov al, 0; out 0xf4, al; hlt; and back to the hlt.
/// The same bytes in 16-bit and in 32-bit mode.
const END: [u8; 7] = [0xb0, 0x00, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd];
/// Where the ELF is loaded.
const ADDRESS: u32 = 0x10_0000;
const ELF_HEADER: u32 = 52;
const PROGRAM_HEADER: u32 = 32;
/// Header of a note (12 bytes), its name "Xen\0", the 32-bit entry address.
const NOTE: u32 = 20;

/// Makes the image for a way of booting, in `folder`.
pub(super) fn image(way: Way, folder: &Path) -> Result<Source> {
    match way.boot {
        Boot::Disk => {
            let path = folder.join("ends-at-once.img");
            crate::parts::replace(&path, &boot_sector())?;
            Ok(Source::Disk(path))
        }
        Boot::Uefi => {
            anyhow::bail!("what UEFI itself takes is not measured: leave --boot uefi away")
        }
        Boot::Kernel => {
            let elf = folder.join("ends-at-once.elf");
            crate::parts::replace(&elf, &pvh_elf())?;
            Ok(Source::Kernel {
                elf,
                command_line: String::new(),
            })
        }
    }
}

/// A disk of 1 MiB whose boot sector ends the machine.
fn boot_sector() -> Vec<u8> {
    let mut disk = vec![0; 1 << 20];
    disk[..END.len()].copy_from_slice(&END);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk
}

/// A 32-bit ELF (System V ABI, "Object files") with the note that names a PVH entry (xen/include/public/elfnote.h).
fn pvh_elf() -> Vec<u8> {
    let note_at = ELF_HEADER + 2 * PROGRAM_HEADER;
    let code_at = note_at + NOTE;
    let end = code_at + END.len() as u32;
    let mut elf = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let halves = |elf: &mut Vec<u8>, values: &[u16]| {
        values
            .iter()
            .for_each(|value| elf.extend(value.to_le_bytes()))
    };
    let words = |elf: &mut Vec<u8>, values: &[u32]| {
        values
            .iter()
            .for_each(|value| elf.extend(value.to_le_bytes()))
    };
    // Executable for the 80386.
    halves(&mut elf, &[2, 3]);
    words(&mut elf, &[1, ADDRESS + code_at, ELF_HEADER, 0, 0]);
    halves(
        &mut elf,
        &[ELF_HEADER as u16, PROGRAM_HEADER as u16, 2, 0, 0, 0],
    );
    // PT_LOAD of the whole file, readable and executable; PT_NOTE.
    words(&mut elf, &[1, 0, ADDRESS, ADDRESS, end, end, 5, 4096]);
    let note = ADDRESS + note_at;
    words(&mut elf, &[4, note_at, note, note, NOTE, NOTE, 4, 4]);
    // XEN_ELFNOTE_PHYS32_ENTRY.
    words(&mut elf, &[4, 4, 18]);
    elf.extend(b"Xen\0");
    words(&mut elf, &[ADDRESS + code_at]);
    elf.extend(END);
    elf
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::LittleEndian;
    use object::elf::FileHeader32;
    use object::read::elf::{FileHeader, ProgramHeader};

    #[test]
    fn the_elf_names_its_pvh_entry() {
        let elf = pvh_elf();
        let header = FileHeader32::<LittleEndian>::parse(elf.as_slice()).unwrap();
        let programs = header
            .program_headers(LittleEndian, elf.as_slice())
            .unwrap();
        let mut notes = programs[1]
            .notes(LittleEndian, elf.as_slice())
            .unwrap()
            .unwrap();
        let note = notes.next().unwrap().unwrap();
        assert_eq!(
            (note.name(), note.n_type(LittleEndian)),
            (b"Xen".as_slice(), 18)
        );
        let entry = u32::from_le_bytes(note.desc().try_into().unwrap());
        assert_eq!(&elf[(entry - ADDRESS) as usize..], END);
    }

    #[test]
    fn the_disk_is_bootable() {
        assert_eq!(boot_sector()[510..512], [0x55, 0xaa]);
    }
}
