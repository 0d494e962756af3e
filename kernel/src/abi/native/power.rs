//! The end of the machine and the power button (`api/src/sys/power.rs`).

use core::ffi::c_int;

use crate::abi::program;
use crate::arch::x86_64::power;
use crate::epitaph;

/// Syncs the disks and powers the machine off.
#[unsafe(no_mangle)]
extern "C" fn toro_power_off(status: u8) -> ! {
    program::_exit(c_int::from(status))
}

/// Unmounts the disks and resets the machine.
#[unsafe(no_mangle)]
extern "C" fn toro_power_reboot() -> ! {
    program::leave();
    epitaph::tell_status(0);
    power::reset()
}

/// Has `function` called, on a thread of its own, when the power button is pressed, in place of a signal.
#[unsafe(no_mangle)]
extern "C" fn toro_power_on_button(function: extern "C" fn()) {
    program::set_on_power_button(function);
}
