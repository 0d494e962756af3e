//! The A20 line is opened when the firmware leaves it closed, as SeaBIOS never does: a boot sector
//! in front of the loader's closes it.

use crate::disk::disk;
use crate::kernel::{Report, elf};
use crate::machine::Machine;
use crate::starts::check_state;

/// Where the loader's own boot sector goes: LBA 100, in the gap before partition 1.
const MOVED: usize = 100 * 512;

/// 16-bit code that goes to `0x600`, makes INT 15h AX=2401h fail, closes A20 by port 92h and starts
/// the boot sector at LBA 100.
const CLOSER: [(usize, &[u8]); 4] = [
    (
        0,
        &[
            0xfa, 0xfc, 0x31, 0xc0, // cli; cld; xor ax, ax
            0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, // mov ds, ax; mov es, ax; mov ss, ax
            0xbc, 0x00, 0x7c, 0x89, 0xe6, // mov sp, 0x7c00; mov si, sp
            0xbf, 0x00, 0x06, 0xb9, 0x00, 0x01, // mov di, 0x600; mov cx, 256
            0xf3, 0xa5, 0xea, 0x1c, 0x06, 0, 0, // rep movsw; jmp 0:0x61c
            0x66, 0xa1, 0x54, 0, 0x66, 0xa3, 0x80, 0x06, // mov eax, [0x54]; mov [0x680], eax
            0x66, 0xc7, 0x06, 0x54, 0, 0x50, 0x06, 0, 0, // mov dword ptr [0x54], 0x650
            0xe4, 0x92, 0x24, 0xfc, 0xe6, 0x92, // in al, 0x92; and al, 0xfc; out 0x92, al
            0xfb, 0xbe, 0x70, 0x06, // sti; mov si, 0x670
            0xb4, 0x42, 0xcd, 0x13, // mov ah, 0x42; int 0x13
            0xea, 0x00, 0x7c, 0, 0, // jmp 0:0x7c00
        ],
    ),
    (
        0x50,
        &[
            0x3d, 0x01, 0x24, 0x74, 0x05, // cmp ax, 0x2401; je refuse
            0x2e, 0xff, 0x2e, 0x80, 0x06, // jmp far cs:[0x680]
            0xb4, 0x86, 0xfb, 0xf9, 0xca, 2, 0, // refuse: mov ah, 0x86; sti; stc; retf 2
        ],
    ),
    (
        0x70,
        &[16, 0, 1, 0, 0x00, 0x7c, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0],
    ),
    (510, &[0x55, 0xaa]),
];

/// Where the closer makes INT 15h AX=2401h fail, in 9 bytes.
const HOOK: usize = 36;

fn boot_with_a20_closed(name: &str, can_bios_open_it: bool) {
    let mut disk = disk(&elf(0), "");
    disk.copy_within(..512, MOVED);
    disk[..440].fill(0);
    for (at, bytes) in CLOSER {
        disk[at..at + bytes.len()].copy_from_slice(bytes);
    }
    if can_bios_open_it {
        disk[HOOK..HOOK + 9].fill(0x90);
    }
    let options = "-M pc -m 32 -drive file=DISK,format=raw";
    let serial = Machine::boot(name, &disk, options).serial_at_end();
    check_state(&Report::read(&serial).expect("the report must be whole"));
}

#[test]
fn by_the_bios() {
    boot_with_a20_closed("a20-bios", true);
}

#[test]
fn by_port_92h_when_the_bios_can_not() {
    boot_with_a20_closed("a20-port", false);
}
