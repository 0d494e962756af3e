//! Reads of the boot disk without the BIOS: which way there is, and whether it leads to the same disk.
//!
//! What a BIOS reads word by word or in small pieces costs an emulated machine several times what the disk does. A way that is found
//! (`ata`, `virtio`) must bring the sector that the BIOS has read; where there is none, or it fails, all is left to the BIOS.

use crate::layout::{BOUNCE, BOUNCE_SECTORS, HEADER};

/// Most sectors of one read: a table of `ata` has room for them.
pub(crate) const MOST_SECTORS: u32 = 2048;
/// Looks at a status before a read counts as failed: seconds, since each leaves an emulated machine.
pub(crate) const LOOKS: u32 = 1 << 23;

core::arch::global_asm!(
    r#"
    .section .boot.stage2, "ax"
    .code32
    # After the boot header: find a way.
direct_prepare:
    cmp byte ptr [boot_is_cd], 0
    jne direct_prepare_end
    call virtio_find
    jnc direct_prepare_found
    call ata_find
    jc direct_prepare_end
direct_prepare_found:
    mov [direct_way], eax
    # The buffer is left for the ends of segments alone.
    mov dword ptr [disk_most], 8
direct_prepare_end:
    ret

    # Does the routine EAX read the boot header too? Where its first 8 words come out the same, it is this disk: they hold sums of
    # the header and of the ELF. Carry: no. Keeps registers.
direct_try:
    pushad
    mov edx, eax
    mov eax, {PARTITION_LBA}
    mov ecx, 1
    mov edi, {BOUNCE}
    # What the buffer holds may be of another disk.
    mov dword ptr [disk_held], 0
    call edx
    jc direct_try_end
    mov ecx, 8
    mov esi, {HEADER}
    repe cmpsd
    je direct_try_end
    stc
direct_try_end:
    popad
    ret

    # Read ECX sectors, 1 to {MOST_SECTORS}, from the LBA EAX on to EDI, which is even. Carry: the BIOS has to. Keeps registers.
direct_read:
    cmp dword ptr [direct_way], 1
    jb direct_read_end
    call dword ptr [direct_way]
    jnc direct_read_end
    # For good; what the buffer holds may be half of a read.
    mov dword ptr [direct_way], 0
    mov dword ptr [disk_held], 0
    mov dword ptr [disk_most], {BOUNCE_SECTORS}
    stc
direct_read_end:
    ret

    # Select the register AL of the PCI function whose configuration address is EBX; DX = the port to read or write it. Changes EAX.
direct_config:
    movzx eax, al
    or eax, ebx
    mov dx, 0xcf8
    out dx, eax
    mov dl, 0xfc
    ret

    .balign 4
    # The routine that reads, 0 where only the BIOS can.
direct_way:
    .long 0
    "#,
    HEADER = const HEADER,
    BOUNCE = const BOUNCE,
    BOUNCE_SECTORS = const BOUNCE_SECTORS,
    MOST_SECTORS = const MOST_SECTORS,
    PARTITION_LBA = const crate::layout::PARTITION_LBA,
);
