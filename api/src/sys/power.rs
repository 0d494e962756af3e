//! The end of the machine and the power button (`kernel/src/abi/native/power.rs`).

mod c {
    unsafe extern "C" {
        pub(super) safe fn toro_power_off(status: u8) -> !;
        pub(super) safe fn toro_power_reboot() -> !;
        pub(super) safe fn toro_power_on_button(function: extern "C" fn());
    }
}

pub(crate) fn off(status: u8) -> ! {
    c::toro_power_off(status)
}

pub(crate) fn reboot() -> ! {
    c::toro_power_reboot()
}

pub(crate) fn on_button(function: extern "C" fn()) {
    c::toro_power_on_button(function);
}
