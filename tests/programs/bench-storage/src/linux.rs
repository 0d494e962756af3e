//! What the benchmark asks of the system: Linux, as its first process. The drivers lie in `/modules`, in the order in which they are loaded.

use std::ffi::{CStr, c_char, c_int, c_long, c_ulong, c_void};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

// Linux, include/uapi: asm/unistd_64.h, linux/mount.h, linux/sockios.h, linux/if.h.
const SYS_FINIT_MODULE: c_long = 313;
// Toro keeps no times of access.
const MS_NOATIME: c_ulong = 1024;
const SIOCSIFFLAGS: c_ulong = 0x8914;
const IFF_UP: u16 = 1;
const AF_INET: c_int = 2;
const SOCK_DGRAM: c_int = 2;

const DISK: &str = "/dev/vda";

unsafe extern "C" {
    safe fn sync();
    safe fn socket(family: c_int, kind: c_int, protocol: c_int) -> c_int;
    fn syscall(number: c_long, ...) -> c_long;
    fn ioctl(descriptor: c_int, request: c_ulong, ...) -> c_int;
    fn mount(
        source: *const c_char,
        target: *const c_char,
        kind: *const c_char,
        flags: c_ulong,
        data: *const c_void,
    ) -> c_int;
}

/// Linux, include/uapi/linux/if.h: `struct ifreq`.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

pub(crate) fn begin() {
    mount_at(c"devtmpfs", c"/dev", c"devtmpfs", 0);
    let mut modules: Vec<_> = fs::read_dir("/modules")
        .expect("the archive has modules")
        .map(|entry| entry.expect("a module").path())
        .collect();
    modules.sort();
    for module in modules {
        let file = File::open(&module).expect("a module");
        // SAFETY: the descriptor is open; there are no parameters.
        let code = unsafe { syscall(SYS_FINIT_MODULE, file.as_raw_fd(), c"".as_ptr(), 0) };
        assert_eq!(
            code,
            0,
            "{}: {}",
            module.display(),
            std::io::Error::last_os_error()
        );
    }
    while !fs::exists(DISK).unwrap_or(false) {
        thread::sleep(Duration::from_millis(10));
    }
    fs::create_dir("/disk").expect("a place for the disk");
    mount_at(c"/dev/vda", c"/disk", c"ext2", MS_NOATIME);
    loopback_up();
}

fn mount_at(source: &CStr, target: &CStr, kind: &CStr, flags: c_ulong) {
    // SAFETY: the strings end with a zero; these file systems need no data.
    let code = unsafe {
        mount(
            source.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            flags,
            std::ptr::null(),
        )
    };
    assert_eq!(code, 0, "{target:?}: {}", std::io::Error::last_os_error());
}

fn loopback_up() {
    let mut request = InterfaceRequest {
        name: [0; 16],
        flags: IFF_UP,
        rest: [0; 22],
    };
    request.name[..2].copy_from_slice(b"lo");
    let socket = socket(AF_INET, SOCK_DGRAM, 0);
    // SAFETY: the request has the layout that the call expects.
    let code = unsafe { ioctl(socket, SIOCSIFFLAGS, &raw const request) };
    assert_eq!(code, 0, "lo: {}", std::io::Error::last_os_error());
}

/// Returns when all that was written is on the medium.
pub(crate) fn sync_all() {
    sync();
}

/// Linux does not tell.
pub(crate) fn cache_reads() -> Option<(u64, u64)> {
    None
}
