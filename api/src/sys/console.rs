//! Single keys of the console (`kernel/src/abi/native/console.rs`).

/// A key, as the kernel has it there.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct RawKey {
    pub(crate) code: u16,
    pub(crate) modifiers: u8,
    pub(crate) is_pressed: bool,
    pub(crate) character: u8,
}

mod c {
    use std::ffi::c_int;

    unsafe extern "C" {
        pub(super) safe fn toro_console_set_raw(is_raw: bool);
        pub(super) safe fn toro_console_read_key(out: &mut super::RawKey, timeout_ns: u64)
        -> c_int;
    }
}

pub(crate) fn set_raw(is_raw: bool) {
    c::toro_console_set_raw(is_raw);
}

/// The next key; `None` after so many nanoseconds, `u64::MAX` for never.
pub(crate) fn read_key(timeout_ns: u64) -> Option<RawKey> {
    let mut key = RawKey::default();
    (c::toro_console_read_key(&mut key, timeout_ns) == 1).then_some(key)
}
