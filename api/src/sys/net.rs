//! Interfaces and services (`kernel/src/abi/native/net.rs`).

use std::ffi::{c_int, c_void};
use std::time::Duration;

/// What there is to know of an interface. Addresses are numbers whose first byte is the highest; 0 is none.
#[repr(C)]
#[derive(Default)]
pub(crate) struct InterfaceInfo {
    pub(crate) name: [u8; 16],
    pub(crate) driver: [u8; 16],
    pub(crate) mac: [u8; 6],
    pub(crate) is_dedicated: bool,
    pub(crate) prefix: u8,
    pub(crate) core: u32,
    pub(crate) address: u32,
    pub(crate) gateway: u32,
}

/// How a dedicated interface gets its address: 0, as it is; 1, by DHCP; 2, the one that follows.
#[repr(C)]
pub(crate) struct Addressing {
    pub(crate) kind: u32,
    pub(crate) address: u32,
    pub(crate) prefix: u32,
    pub(crate) gateway: u32,
}

/// A service's connections, in the kernel.
#[repr(C)]
struct KernelService {
    _private: [u8; 0],
}

/// What stops a service from outside, in the kernel.
#[repr(C)]
struct KernelEvents {
    _private: [u8; 0],
}

#[repr(C)]
struct Parts {
    service: *mut KernelService,
    events: *const KernelEvents,
    core: u32,
    port: u32,
}

/// A piece of news.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Event {
    pub(crate) kind: u32,
    pub(crate) connection: u32,
    /// What was received, in bytes; or why it ended.
    pub(crate) value: usize,
    pub(crate) local_ip: u32,
    pub(crate) remote_ip: u32,
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
}

pub(crate) const ACCEPTED: u32 = 0;
pub(crate) const RECEIVED: u32 = 1;
pub(crate) const WRITABLE: u32 = 2;
pub(crate) const ENDED: u32 = 3;
pub(crate) const TIMED_OUT: u32 = 4;
pub(crate) const STOPPED: u32 = 5;

mod c {
    use super::{Addressing, Event, InterfaceInfo, KernelEvents, KernelService, Parts};
    use std::ffi::{c_int, c_void};

    unsafe extern "C" {
        pub(super) safe fn toro_net_interface_count() -> isize;
        pub(super) fn toro_net_interface(index: usize, info: *mut InterfaceInfo) -> c_int;
        pub(super) fn toro_net_dedicate(
            index: usize,
            core: usize,
            addressing: *const Addressing,
        ) -> c_int;
        pub(super) fn toro_net_service_new(index: usize, port: u16, parts: *mut Parts) -> c_int;
        pub(super) fn toro_net_service_start(
            core: usize,
            function: extern "C" fn(*mut c_void) -> *mut c_void,
            argument: *mut c_void,
        ) -> c_int;
        pub(super) fn toro_net_service_next(
            service: *mut KernelService,
            buf: *mut u8,
            len: usize,
            event: *mut Event,
        );
        pub(super) fn toro_net_service_send(
            service: *mut KernelService,
            connection: u32,
            data: *const u8,
            len: usize,
            is_static: bool,
        ) -> c_int;
        pub(super) fn toro_net_service_waiting(
            service: *mut KernelService,
            connection: u32,
        ) -> usize;
        pub(super) fn toro_net_service_timeout(
            service: *mut KernelService,
            connection: u32,
            timeout_ns: u64,
        );
        pub(super) fn toro_net_service_close(
            service: *mut KernelService,
            connection: u32,
            is_abrupt: bool,
        );
        pub(super) fn toro_net_service_free(service: *mut KernelService);
        pub(super) fn toro_net_service_stop(events: *const KernelEvents);
        pub(super) fn toro_net_events_free(events: *const KernelEvents);
    }
}

/// The kernel's answer: 0, or the `errno` of what went wrong.
fn checked(answer: c_int) -> Result<(), i32> {
    match answer {
        0.. => Ok(()),
        error => Err(-error),
    }
}

/// How many interfaces there are, with the loopback.
pub(crate) fn interface_count() -> Result<usize, i32> {
    let count = c::toro_net_interface_count();
    usize::try_from(count).map_err(|_| -count as i32)
}

/// Describes the interface at an index.
pub(crate) fn interface(index: usize) -> Result<InterfaceInfo, i32> {
    let mut info = InterfaceInfo::default();
    // SAFETY: the place is written by the call only.
    checked(unsafe { c::toro_net_interface(index, &raw mut info) }).map(|()| info)
}

/// Gives an interface to a core.
pub(crate) fn dedicate(index: usize, core: usize, addressing: &Addressing) -> Result<(), i32> {
    // SAFETY: it is read by the call only.
    checked(unsafe { c::toro_net_dedicate(index, core, addressing) })
}

/// A service; it is used by the thread that has it.
pub(crate) struct Service {
    service: *mut KernelService,
}

// SAFETY: the kernel asks that one thread at a time uses it, not which.
unsafe impl Send for Service {}

/// What stops a service.
pub(crate) struct Stopper {
    events: *const KernelEvents,
}

// SAFETY: the kernel's object behind it is made to be used from all cores.
unsafe impl Send for Stopper {}
// SAFETY: as above.
unsafe impl Sync for Stopper {}

/// A new service, what stops it, its core and its port.
pub(crate) fn new_service(index: usize, port: u16) -> Result<(Service, Stopper, usize, u16), i32> {
    let mut parts = Parts {
        service: std::ptr::null_mut(),
        events: std::ptr::null(),
        core: 0,
        port: 0,
    };
    // SAFETY: the place is written by the call only.
    checked(unsafe { c::toro_net_service_new(index, port, &raw mut parts) })?;
    let service = Service {
        service: parts.service,
    };
    let stopper = Stopper {
        events: parts.events,
    };
    Ok((service, stopper, parts.core as usize, parts.port as u16))
}

extern "C" fn run(work: *mut c_void) -> *mut c_void {
    // SAFETY: from `start`, which gave the box to this thread.
    let work = unsafe { Box::from_raw(work.cast::<Box<dyn FnOnce() + Send>>()) };
    // Whoever gives the work sees to its panics; one that gets here ends the thread, not the machine.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    std::ptr::null_mut()
}

/// Has a thread of its own on a core do the work.
pub(crate) fn start(core: usize, work: Box<dyn FnOnce() + Send>) -> Result<(), i32> {
    let work = Box::into_raw(Box::new(work));
    checked(c_start(core, work.cast())).inspect_err(|_| {
        // SAFETY: no thread was started that would own it.
        drop(unsafe { Box::from_raw(work) });
    })
}

fn c_start(core: usize, argument: *mut c_void) -> c_int {
    // SAFETY: `run` takes what `start` gives.
    unsafe { c::toro_net_service_start(core, run, argument) }
}

impl Service {
    /// Waits for the next piece of news.
    pub(crate) fn next(&mut self, buf: &mut [u8], event: &mut Event) {
        // SAFETY: this is the service's one user, as it is borrowed mutably; the buffer is not empty, and both are written by the
        // call only.
        unsafe { c::toro_net_service_next(self.service, buf.as_mut_ptr(), buf.len(), event) }
    }

    /// Sends bytes, which are copied as far as they must wait.
    pub(crate) fn send(&mut self, connection: u32, data: &[u8]) -> Result<(), i32> {
        // SAFETY: as in `next`; the bytes are read by the call only.
        checked(unsafe {
            c::toro_net_service_send(self.service, connection, data.as_ptr(), data.len(), false)
        })
    }

    /// Sends bytes that are there for ever.
    pub(crate) fn send_static(&mut self, connection: u32, data: &'static [u8]) -> Result<(), i32> {
        // SAFETY: as in `next`; the bytes are there for ever.
        checked(unsafe {
            c::toro_net_service_send(self.service, connection, data.as_ptr(), data.len(), true)
        })
    }

    /// Bytes that wait to be sent.
    pub(crate) fn waiting(&mut self, connection: u32) -> usize {
        // SAFETY: as in `next`.
        unsafe { c::toro_net_service_waiting(self.service, connection) }
    }

    /// Sets or ends a timeout.
    pub(crate) fn set_timeout(&mut self, connection: u32, timeout: Option<Duration>) {
        let timeout_ns = timeout.map_or(u64::MAX, |timeout| {
            u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX - 1)
        });
        // SAFETY: as in `next`.
        unsafe { c::toro_net_service_timeout(self.service, connection, timeout_ns) }
    }

    /// Closes a connection.
    pub(crate) fn close(&mut self, connection: u32, is_abrupt: bool) {
        // SAFETY: as in `next`.
        unsafe { c::toro_net_service_close(self.service, connection, is_abrupt) }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // SAFETY: it is the only user, and uses it no more.
        unsafe { c::toro_net_service_free(self.service) }
    }
}

impl Stopper {
    /// Has the service's next piece of news be its end.
    pub(crate) fn stop(&self) {
        // SAFETY: it is freed when this is dropped.
        unsafe { c::toro_net_service_stop(self.events) }
    }
}

impl Drop for Stopper {
    fn drop(&mut self) {
        // SAFETY: it is used no more.
        unsafe { c::toro_net_events_free(self.events) }
    }
}
