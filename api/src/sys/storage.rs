//! Disks and volumes (`kernel/src/abi/native/storage.rs`).

use std::ffi::c_int;

/// What there is to know of a disk.
#[repr(C)]
pub(crate) struct DiskInfo {
    pub(crate) model: [u8; 96],
    pub(crate) len_bytes: u64,
    pub(crate) sector_len_bytes: u32,
    pub(crate) core: u32,
    pub(crate) is_dedicated: bool,
    pub(crate) is_read_only: bool,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) written: u64,
    pub(crate) write_commands: u64,
    pub(crate) cache_bytes: u64,
}

/// What there is to know of a volume.
#[repr(C)]
pub(crate) struct VolumeInfo {
    pub(crate) path: [u8; 256],
    pub(crate) len_bytes: u64,
    pub(crate) is_read_only: bool,
}

mod c {
    use super::{DiskInfo, VolumeInfo};
    use std::ffi::c_int;

    unsafe extern "C" {
        pub(super) safe fn toro_storage_disk_count() -> isize;
        pub(super) fn toro_storage_disk(index: usize, info: *mut DiskInfo) -> c_int;
        pub(super) safe fn toro_storage_partition(index: usize, place: usize) -> u32;
        pub(super) safe fn toro_storage_dedicate(index: usize, core: usize) -> c_int;
        pub(super) fn toro_storage_volume(
            name: *const u8,
            name_len: usize,
            info: *mut VolumeInfo,
        ) -> c_int;
        pub(super) fn toro_storage_read(
            name: *const u8,
            name_len: usize,
            offset: u64,
            buf: *mut u8,
            len: usize,
        ) -> c_int;
        pub(super) fn toro_storage_write(
            name: *const u8,
            name_len: usize,
            offset: u64,
            data: *const u8,
            len: usize,
        ) -> c_int;
        pub(super) fn toro_storage_flush(name: *const u8, name_len: usize) -> c_int;
        pub(super) fn toro_storage_mount(
            name: *const u8,
            name_len: usize,
            path: *const u8,
            path_len: usize,
            is_read_only: bool,
            message: *mut u8,
            message_len: usize,
        ) -> c_int;
        pub(super) fn toro_storage_unmount(path: *const u8, path_len: usize) -> c_int;
    }
}

fn checked(answer: c_int) -> Result<(), i32> {
    match answer {
        0.. => Ok(()),
        error => Err(-error),
    }
}

/// How many disks there are.
pub(crate) fn disk_count() -> Result<usize, i32> {
    let count = c::toro_storage_disk_count();
    usize::try_from(count).map_err(|_| -count as i32)
}

/// Describes a disk.
pub(crate) fn disk(index: usize) -> Result<DiskInfo, i32> {
    let mut info = DiskInfo {
        model: [0; 96],
        len_bytes: 0,
        sector_len_bytes: 0,
        core: 0,
        is_dedicated: false,
        is_read_only: false,
        hits: 0,
        misses: 0,
        written: 0,
        write_commands: 0,
        cache_bytes: 0,
    };
    // SAFETY: the place is written by the call only.
    checked(unsafe { c::toro_storage_disk(index, &raw mut info) }).map(|()| info)
}

/// The numbers of a disk's partitions.
pub(crate) fn partitions(index: usize) -> impl Iterator<Item = u32> {
    (0..)
        .map(move |place| c::toro_storage_partition(index, place))
        .take_while(|number| *number != 0)
}

/// Gives a disk to a core.
pub(crate) fn dedicate(index: usize, core: usize) -> Result<(), i32> {
    checked(c::toro_storage_dedicate(index, core))
}

/// Describes a volume.
pub(crate) fn volume(name: &str) -> Result<VolumeInfo, i32> {
    let mut info = VolumeInfo {
        path: [0; 256],
        len_bytes: 0,
        is_read_only: false,
    };
    // SAFETY: the name is read and the place is written by the call only.
    checked(unsafe { c::toro_storage_volume(name.as_ptr(), name.len(), &raw mut info) })
        .map(|()| info)
}

/// Reads bytes of a volume.
pub(crate) fn read(name: &str, offset: u64, buf: &mut [u8]) -> Result<(), i32> {
    let (at, len) = (buf.as_mut_ptr(), buf.len());
    // SAFETY: the name is read and the buffer is written by the call only.
    checked(unsafe { c::toro_storage_read(name.as_ptr(), name.len(), offset, at, len) })
}

/// Writes bytes of a volume.
pub(crate) fn write(name: &str, offset: u64, data: &[u8]) -> Result<(), i32> {
    let (at, len) = (data.as_ptr(), data.len());
    // SAFETY: name and data are read by the call only.
    checked(unsafe { c::toro_storage_write(name.as_ptr(), name.len(), offset, at, len) })
}

/// Makes what was written durable.
pub(crate) fn flush(name: &str) -> Result<(), i32> {
    // SAFETY: the name is read by the call only.
    checked(unsafe { c::toro_storage_flush(name.as_ptr(), name.len()) })
}

/// Mounts a volume; or says what is wrong.
pub(crate) fn mount(name: &str, path: &str, is_read_only: bool) -> Result<(), (i32, String)> {
    let mut message = [0; 256];
    // SAFETY: name and path are read and the message is written by the call only.
    let answer = unsafe {
        c::toro_storage_mount(
            name.as_ptr(),
            name.len(),
            path.as_ptr(),
            path.len(),
            is_read_only,
            message.as_mut_ptr(),
            message.len(),
        )
    };
    checked(answer).map_err(|errno| (errno, text(&message)))
}

/// Unmounts what is mounted at a path.
pub(crate) fn unmount(path: &str) -> Result<(), i32> {
    // SAFETY: the path is read by the call only.
    checked(unsafe { c::toro_storage_unmount(path.as_ptr(), path.len()) })
}

/// A text that ends with a zero.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned()
}
