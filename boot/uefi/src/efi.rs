//! The firmware as the loader sees it: tables and calls of the UEFI Specification 2.10 (chapters 4, 7, 9, 12, 13).
//!
//! All calls into the firmware are here. What is `unused` in a table keeps the place of what follows.

use core::ffi::c_void;
use core::fmt::{self, Write};
use core::ptr;

use crate::Failure;

/// A handle of the firmware's.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Handle(*mut c_void);

/// The status of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Status(pub usize);

impl Status {
    const SUCCESS: Self = Self(0);
    /// What a loader returns that could not load.
    pub(crate) const LOAD_ERROR: Self = Self(1 << 63 | 1);

    fn or(self, what: &'static str) -> Result<(), Failure> {
        if self == Self::SUCCESS {
            return Ok(());
        }
        Err(Failure::Firmware(what, self))
    }
}

#[derive(PartialEq, Eq, Clone, Copy)]
#[repr(C)]
struct Guid(u32, u16, u16, [u8; 8]);

const LOADED_IMAGE: Guid = Guid(
    0x5b1b_31a1,
    0x9562,
    0x11d2,
    [0x8e, 0x3f, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b],
);
const DEVICE_PATH: Guid = Guid(
    0x0957_6e91,
    0x6d3f,
    0x11d2,
    [0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b],
);
const BLOCK_IO: Guid = Guid(
    0x964e_5b21,
    0x6459,
    0x11d2,
    [0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b],
);
const GRAPHICS_OUTPUT: Guid = Guid(
    0x9042_a9de,
    0x23dc,
    0x4a38,
    [0x96, 0xfb, 0x7a, 0xde, 0xd0, 0x80, 0x51, 0x6a],
);
const ACPI_20_TABLE: Guid = Guid(
    0x8868_e871,
    0xe4f1,
    0x11d3,
    [0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81],
);
const ACPI_10_TABLE: Guid = Guid(
    0xeb9d_2d30,
    0x2d88,
    0x11d3,
    [0x9a, 0x16, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d],
);

/// The system table (4.3).
#[repr(C)]
pub struct SystemTable {
    header: [u64; 3],
    vendor: *const u16,
    revision: u32,
    input_handle: Handle,
    input: *const c_void,
    output_handle: Handle,
    output: *const TextOutput,
    error_handle: Handle,
    error: *const c_void,
    runtime: *const c_void,
    boot: *const BootServices,
    configuration_count: usize,
    configuration: *const Configuration,
}

#[repr(C)]
struct Configuration {
    kind: Guid,
    table: u64,
}

#[repr(C)]
struct TextOutput {
    reset: usize,
    output_string: unsafe extern "efiapi" fn(*const TextOutput, *const u16) -> Status,
}

/// Boot services (4.4), as far as they are used.
#[repr(C)]
struct BootServices {
    header: [u64; 3],
    priority_levels: [usize; 2],
    allocate_pages: unsafe extern "efiapi" fn(u32, u32, usize, *mut u64) -> Status,
    free_pages: usize,
    get_memory_map:
        unsafe extern "efiapi" fn(*mut usize, *mut u8, *mut usize, *mut usize, *mut u32) -> Status,
    pool: [usize; 2],
    events: [usize; 6],
    protocols: [usize; 3],
    handle_protocol: unsafe extern "efiapi" fn(Handle, *const Guid, *mut *const c_void) -> Status,
    reserved: usize,
    notify: usize,
    locate: [usize; 2],
    configure: usize,
    images: [usize; 4],
    exit_boot_services: unsafe extern "efiapi" fn(Handle, usize) -> Status,
    time: [usize; 3],
    controllers: [usize; 2],
    open: [usize; 3],
    per_handle: usize,
    locate_handle_buffer: unsafe extern "efiapi" fn(
        u32,
        *const Guid,
        *const c_void,
        *mut usize,
        *mut *const Handle,
    ) -> Status,
    locate_protocol:
        unsafe extern "efiapi" fn(*const Guid, *const c_void, *mut *const c_void) -> Status,
}

/// The Graphics Output Protocol (12.9).
#[repr(C)]
struct GraphicsOutput {
    calls: [usize; 3],
    mode: *const GraphicsMode,
}

#[repr(C)]
struct GraphicsMode {
    count: u32,
    number: u32,
    information: *const ModeInformation,
    information_bytes: usize,
    base: u64,
    len_bytes: usize,
}

#[repr(C)]
struct ModeInformation {
    version: u32,
    width: u32,
    height: u32,
    format: u32,
    masks: [u32; 4],
    pixels_of_a_line: u32,
}

/// A screen of pixels of 32 bits, with eight bits for each colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Screen {
    pub(crate) base: u64,
    pub(crate) pitch_bytes: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// The lowest bits of red, green and blue.
    pub(crate) shifts: [u8; 3],
}

#[repr(C)]
struct LoadedImage {
    revision: u32,
    parent: Handle,
    system: *const SystemTable,
    device: Handle,
}

#[repr(C)]
struct BlockIo {
    revision: u64,
    media: *const Media,
    reset: usize,
    read_blocks: unsafe extern "efiapi" fn(*const BlockIo, u32, u64, usize, *mut u8) -> Status,
}

#[repr(C)]
struct Media {
    id: u32,
    is_removable: u8,
    is_present: u8,
    is_partition: u8,
    is_read_only: u8,
    caches_writes: u8,
    block_bytes: u32,
    alignment: u32,
    last_block: u64,
}

/// Bytes of a page, the unit of memory.
pub(crate) const PAGE_BYTES: usize = 4096;
/// Bytes of the longest device path that is looked at.
const MOST_PATH_BYTES: usize = 4096;

/// What memory that is asked for is for.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Purpose {
    /// It will be executed.
    Code = 1,
    Data = 2,
}

/// The memory map as the firmware wrote it, and the key that says which one it was.
pub(crate) struct MemoryMap {
    /// Bytes of all descriptors.
    pub(crate) len_bytes: usize,
    /// Bytes from one descriptor to the next.
    pub(crate) stride_bytes: usize,
    key: usize,
}

/// A disk or a partition.
#[derive(Clone, Copy)]
pub(crate) struct Device {
    io: *const BlockIo,
    /// Where on it what we look for begins, in bytes.
    start: u64,
}

/// The firmware, as long as it has not been left.
pub(crate) struct Firmware {
    image: Handle,
    table: *const SystemTable,
}

impl Firmware {
    /// # Safety
    /// They are what the firmware gave the loader, and boot services have not ended.
    pub(crate) unsafe fn new(image: Handle, table: *const SystemTable) -> Self {
        Self { image, table }
    }

    fn table(&self) -> &SystemTable {
        // SAFETY: the table of the firmware (see `new`), which does not move.
        unsafe { &*self.table }
    }

    fn boot(&self) -> &BootServices {
        // SAFETY: the standard says that the pointer is valid as long as boot services are there.
        unsafe { &*self.table().boot }
    }

    /// Writes a text on the firmware's console.
    pub(crate) fn say(&self, text: fmt::Arguments<'_>) {
        // A console that fails has nobody to be told.
        let _ = Console(self.table().output).write_fmt(text);
    }

    /// Physical address of the ACPI root pointer, or 0.
    pub(crate) fn rsdp_phys(&self) -> u64 {
        let table = self.table();
        // SAFETY: the standard says that the array has so many entries.
        let entries =
            unsafe { core::slice::from_raw_parts(table.configuration, table.configuration_count) };
        let find = |kind| entries.iter().find(|entry| entry.kind == kind);
        find(ACPI_20_TABLE)
            .or_else(|| find(ACPI_10_TABLE))
            .map_or(0, |entry| entry.table)
    }

    /// The screen, if it has pixels that can be written to directly, of the two common kinds.
    pub(crate) fn screen(&self) -> Option<Screen> {
        const RED_FIRST: u32 = 0;
        const BLUE_FIRST: u32 = 1;
        let mut found: *const c_void = ptr::null();
        // SAFETY: search for a protocol, no registration, result in a variable (7.3.16).
        let status =
            unsafe { (self.boot().locate_protocol)(&GRAPHICS_OUTPUT, ptr::null(), &mut found) };
        if status != Status::SUCCESS || found.is_null() {
            return None;
        }
        // SAFETY: the interface of this protocol, whose mode and its information are there as long as the firmware is (12.9.1).
        let (mode, information) = unsafe {
            let output: &GraphicsOutput = &*found.cast();
            let mode = output.mode.as_ref()?;
            (mode, mode.information.as_ref()?)
        };
        Some(Screen {
            base: mode.base,
            pitch_bytes: information.pixels_of_a_line.checked_mul(4)?,
            width: information.width,
            height: information.height,
            shifts: match information.format {
                RED_FIRST => [0, 8, 16],
                BLUE_FIRST => [16, 8, 0],
                _ => return None,
            },
        })
    }

    /// Pages of zeros whose last byte is at `highest` or below; they are never given back.
    pub(crate) fn pages(
        &self,
        count: usize,
        purpose: Purpose,
        highest: u64,
    ) -> Result<&'static mut [u8], Failure> {
        const BELOW: u32 = 1;
        let mut address = highest;
        // SAFETY: the arguments are those of the standard (7.2.1).
        let status =
            unsafe { (self.boot().allocate_pages)(BELOW, purpose as u32, count, &mut address) };
        status.or("give enough memory")?;
        // SAFETY: the firmware gave these pages to us alone, mapped one to one.
        let pages =
            unsafe { core::slice::from_raw_parts_mut(address as *mut u8, count * PAGE_BYTES) };
        pages.fill(0);
        Ok(pages)
    }

    /// Writes the memory map into a buffer.
    pub(crate) fn memory_map(&self, buffer: &mut [u8]) -> Result<MemoryMap, Failure> {
        let mut map = MemoryMap {
            len_bytes: buffer.len(),
            stride_bytes: 0,
            key: 0,
        };
        let mut version = 0;
        // SAFETY: the buffer is as long as is said, the other pointers are to variables (7.2.3).
        let status = unsafe {
            (self.boot().get_memory_map)(
                &mut map.len_bytes,
                buffer.as_mut_ptr(),
                &mut map.key,
                &mut map.stride_bytes,
                &mut version,
            )
        };
        status.or("tell its memory map")?;
        Ok(map)
    }

    /// Ends boot services; afterwards no call of the firmware is allowed but this one again, after a new memory map, if it fails.
    pub(crate) fn leave(&self, map: &MemoryMap) -> Result<(), Failure> {
        // SAFETY: the key is that of a map (7.4.6).
        let status = unsafe { (self.boot().exit_boot_services)(self.image, map.key) };
        status.or("end its services")
    }

    fn protocol<T>(&self, handle: Handle, kind: &Guid) -> Result<&T, Status> {
        let mut found: *const c_void = ptr::null();
        // SAFETY: a handle of the firmware's, and pointers to variables (7.3.7).
        let status = unsafe { (self.boot().handle_protocol)(handle, kind, &mut found) };
        if status != Status::SUCCESS || found.is_null() {
            return Err(status);
        }
        // SAFETY: the interface of this protocol has the type `T`: the callers here name both together.
        Ok(unsafe { &*found.cast() })
    }

    fn path(&self, handle: Handle) -> Option<&[u8]> {
        let start: *const u8 = self.protocol::<u8>(handle, &DEVICE_PATH).ok()?;
        let mut len = 0;
        while len < MOST_PATH_BYTES {
            // SAFETY: a node has at least four bytes, and the last one is that of the end (10.2).
            let node = unsafe { core::slice::from_raw_parts(start.add(len), 4) };
            if node[0] == 0x7f {
                // SAFETY: the nodes so far.
                return Some(unsafe { core::slice::from_raw_parts(start, len) });
            }
            len += usize::from(u16::from_le_bytes([node[2], node[3]])).max(4);
        }
        None
    }

    /// Calls `look` with each other partition of the disk that the loader came from, until it finds something. A CD has no partitions
    /// but the one that the loader came from: there it is the place that the kernel's partition has on a disk.
    pub(crate) fn find_beside<T>(
        &self,
        mut look: impl FnMut(Device) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        const BY_PROTOCOL: u32 = 2;
        let image: &LoadedImage = self
            .protocol(self.image, &LOADED_IMAGE)
            .map_err(|status| Failure::Firmware("say where the loader is from", status))?;
        let Some(own) = self.path(image.device) else {
            return Ok(None);
        };
        let (mut count, mut handles) = (0, ptr::null());
        // SAFETY: search by protocol, results in variables (7.3.15).
        let status = unsafe {
            (self.boot().locate_handle_buffer)(
                BY_PROTOCOL,
                &BLOCK_IO,
                ptr::null(),
                &mut count,
                &mut handles,
            )
        };
        status.or("list its disks")?;
        // SAFETY: the firmware gave a buffer of so many handles.
        let handles = unsafe { core::slice::from_raw_parts(handles, count) };
        Ok(handles.iter().find_map(|&handle| {
            if handle == image.device {
                return None;
            }
            let start = place_of_kernel(own, self.path(handle)?)?;
            let io: *const BlockIo = self.protocol::<BlockIo>(handle, &BLOCK_IO).ok()?;
            look(Device { io, start })
        }))
    }
}

/// Where the kernel's partition may begin, in bytes, on a device with the path `other`, if the loader came from `own`; paths are
/// without their ends.
fn place_of_kernel(own: &[u8], other: &[u8]) -> Option<u64> {
    /// The node of a CD's boot image (10.3.4.2).
    const CD: &[u8] = &[4, 2, 24, 0];
    const CD_BYTES: usize = 24;
    /// As on a disk (ARCHITECTURE.md, "The boot disk").
    const PARTITION_AT: u64 = 1 << 20;
    let is_cd = own
        .strip_prefix(other)
        .is_some_and(|node| node.len() == CD_BYTES && node.starts_with(CD));
    if is_cd {
        return Some(PARTITION_AT);
    }
    are_partitions_of_one_disk(own, other).then_some(0)
}

/// Whether two device paths, without their ends, differ only in the last node, which in both is a partition (10.3.4.1).
fn are_partitions_of_one_disk(one: &[u8], other: &[u8]) -> bool {
    const PARTITION: &[u8] = &[4, 1, 42, 0];
    const PARTITION_BYTES: usize = 42;
    let split = |path: &[u8]| path.len().checked_sub(PARTITION_BYTES);
    match (split(one), split(other)) {
        (Some(at), Some(same)) => {
            at == same
                && one[..at] == other[..at]
                && one[at..].starts_with(PARTITION)
                && other[at..].starts_with(PARTITION)
        }
        _ => false,
    }
}

impl Device {
    fn media(&self) -> &Media {
        // SAFETY: a protocol's interface stays where it is, and so does what it says of its medium (13.9).
        unsafe { &*(*self.io).media }
    }

    /// Its length in bytes, or `None` if reads of whole pages are none of whole blocks.
    pub(crate) fn len_bytes(&self) -> Option<u64> {
        let media = self.media();
        let is_usable = media.is_present != 0
            && media.block_bytes.is_power_of_two()
            && media.block_bytes as usize <= PAGE_BYTES
            && media.alignment as usize <= PAGE_BYTES;
        let blocks = media.last_block.checked_add(1).filter(|_| is_usable)?;
        let bytes = blocks.checked_mul(u64::from(media.block_bytes))?;
        bytes.checked_sub(self.start)
    }

    /// Reads from a byte on; start and length are multiples of a block, and the buffer begins at a page.
    pub(crate) fn read(&self, start: u64, buffer: &mut [u8]) -> Result<(), Failure> {
        /// Some firmware gives up on very long reads.
        const MOST: usize = 1 << 20;
        let media = self.media();
        let block_bytes = u64::from(media.block_bytes);
        let mut block = (self.start + start) / block_bytes;
        for piece in buffer.chunks_mut(MOST) {
            // SAFETY: the buffer has so many bytes, and is aligned as `len_bytes` has checked.
            let status = unsafe {
                ((*self.io).read_blocks)(self.io, media.id, block, piece.len(), piece.as_mut_ptr())
            };
            status.or("read the boot disk")?;
            block += piece.len() as u64 / block_bytes;
        }
        Ok(())
    }
}

struct Console(*const TextOutput);

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.is_null() {
            return Ok(());
        }
        for unit in text.encode_utf16() {
            // SAFETY: the firmware's console, and a text that ends with 0 (12.4.3).
            unsafe { ((*self.0).output_string)(self.0, [unit, 0].as_ptr()) };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{
        BlockIo, BootServices, GraphicsMode, GraphicsOutput, Media, ModeInformation, SystemTable,
        are_partitions_of_one_disk, place_of_kernel,
    };
    use core::mem::offset_of;

    #[test]
    fn tables_have_the_offsets_of_the_standard() {
        assert_eq!(offset_of!(SystemTable, output), 64);
        assert_eq!(offset_of!(SystemTable, boot), 96);
        assert_eq!(offset_of!(SystemTable, configuration), 112);
        assert_eq!(offset_of!(BootServices, allocate_pages), 40);
        assert_eq!(offset_of!(BootServices, get_memory_map), 56);
        assert_eq!(offset_of!(BootServices, handle_protocol), 152);
        assert_eq!(offset_of!(BootServices, exit_boot_services), 232);
        assert_eq!(offset_of!(BootServices, locate_handle_buffer), 312);
        assert_eq!(offset_of!(BootServices, locate_protocol), 320);
        assert_eq!(offset_of!(GraphicsOutput, mode), 24);
        assert_eq!(offset_of!(GraphicsMode, base), 24);
        assert_eq!(offset_of!(ModeInformation, pixels_of_a_line), 32);
        assert_eq!(offset_of!(Media, last_block), 24);
        assert_eq!(offset_of!(BlockIo, read_blocks), 24);
    }

    #[test]
    fn the_kernel_of_a_cd_is_on_the_whole_of_it() {
        let disk = [1, 1, 6, 0, 7, 0, 3, 1, 8, 0, 0, 0, 0, 0];
        let mut image = disk.to_vec();
        image.extend([4, 2, 24, 0]);
        image.resize(disk.len() + 24, 0);
        assert_eq!(place_of_kernel(&image, &disk), Some(1 << 20));
        assert_eq!(place_of_kernel(&image, &disk[..6]), None);
        assert_eq!(place_of_kernel(&disk, &image), None);
        image[disk.len() + 1] = 1;
        assert_eq!(place_of_kernel(&image, &disk), None);
    }

    #[test]
    fn partitions_are_told_by_their_paths() {
        let path = |disk: u8, partition: u8| {
            let mut path = vec![1, 1, 6, 0, disk, 0, 4, 1, 42, 0];
            path.resize(48, partition);
            path
        };
        assert!(are_partitions_of_one_disk(&path(1, 1), &path(1, 2)));
        assert!(!are_partitions_of_one_disk(&path(1, 1), &path(2, 2)));
        assert!(!are_partitions_of_one_disk(&path(1, 1), &path(1, 1)[..6]));
        let mut no_partition = path(1, 2);
        no_partition[7] = 3;
        assert!(!are_partitions_of_one_disk(&path(1, 1), &no_partition));
    }
}
