//! Whether the processor can run the kernel. The kernel asks too, but has no screen to say it on.

use core::arch::x86_64::__cpuid;
use core::fmt;

use crate::Failure;

#[path = "../../features.rs"]
mod features;

/// What is missing, in EDX of CPUID's leaves 1 and 0x80000001.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Missing([u32; 2]);

/// # Errors
/// When the processor lacks something.
pub(crate) fn check() -> Result<(), Failure> {
    // It is in long mode, so it has both leaves.
    judge([1, 0x8000_0001].map(|leaf| __cpuid(leaf).edx))
}

fn judge(has: [u32; 2]) -> Result<(), Failure> {
    match features::missing(has) {
        [0, 0] => Ok(()),
        missing => Err(Failure::Processor(Missing(missing))),
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([basic, extended]) = self;
        for feature in &features::FEATURES {
            if feature.basic & basic | feature.extended & extended != 0 {
                let name = feature.name.split(|&byte| byte == 0).next();
                f.write_str(core::str::from_utf8(name.unwrap_or_default()).unwrap_or_default())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::judge;

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(judge([u32::MAX; 2]), Ok(()));
        let failure = judge([!(1 << 9 | 1 << 26), !(1 << 20)]).unwrap_err();
        assert_eq!(
            failure.to_string(),
            "this processor lacks nx apic sse2 (CPUID): give the machine another model"
        );
    }
}
