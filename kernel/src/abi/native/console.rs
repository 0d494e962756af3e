//! Single keys of the console (`api/src/sys/console.rs`).

use core::ffi::c_int;

use crate::arch::clock;
use crate::devices::console::input::{self, Key};
use crate::devices::console::keyboard;

/// A key as the crate sees it. `api/src/sys/console.rs` has the same structure.
#[repr(C)]
struct RawKey {
    /// Scan code of set 1, 0x100 more for an extended one; 0 for a byte of the serial line.
    code: u16,
    modifiers: u8,
    is_pressed: bool,
    /// The character, or the byte; 0 for none.
    character: u8,
}

/// Has single keys come in place of lines, or lines again.
#[unsafe(no_mangle)]
extern "C" fn toro_console_set_raw(is_raw: bool) {
    input::set_raw(is_raw);
}

/// Waits for a key for at most so many nanoseconds (`u64::MAX`: for ever); 1 for a key, 0 for none in time.
#[unsafe(no_mangle)]
extern "C" fn toro_console_read_key(out: &mut RawKey, timeout_ns: u64) -> c_int {
    let deadline_ns = (timeout_ns != u64::MAX).then(|| clock::now_ns().saturating_add(timeout_ns));
    *out = match input::read_key(deadline_ns) {
        None => return 0,
        Some(Key::Byte(byte)) => RawKey {
            code: 0,
            modifiers: 0,
            is_pressed: true,
            character: byte,
        },
        Some(Key::Event(event)) => RawKey {
            code: event.code,
            modifiers: event.modifiers,
            is_pressed: event.is_pressed,
            character: keyboard::character(event).unwrap_or(0),
        },
    };
    1
}
