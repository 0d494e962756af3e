//! x86-64: boot, descriptor tables, interrupts, clocks, ports.

pub mod acpi;
pub mod aml;
#[cfg(not(test))]
mod baseline;
#[cfg(not(test))]
pub mod boot;
pub mod clock;
pub mod context;
pub mod core_local;
#[cfg(not(test))]
pub mod cores;
pub mod cpu;
pub mod descriptors;
pub mod entropy;
#[cfg(not(test))]
pub mod exceptions;
pub mod extended_state;
pub mod floating;
pub mod hypervisor;
pub mod interrupts;
pub mod local_apic;
pub mod mmio;
mod mp_table;
pub mod port;
pub mod power;
pub mod preemption;
pub mod rtc;
pub mod start_info;
mod string;
#[cfg(not(test))]
pub mod syscall;
pub mod tlb;
pub mod xen;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// What the compiler puts behind a block of assembly, in whatever order, is of 64 bits.
    #[test]
    fn assembly_of_16_and_32_bits_ends_in_64() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/arch/x86_64");
        let mut count = 0;
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let Ok(source) = fs::read_to_string(&path) else {
                continue;
            };
            for block in source.split("global_asm!(").skip(1) {
                let modes = block.lines().map(str::trim);
                let mut modes = modes.filter(|line| line.starts_with(".code"));
                if let Some(last) = modes.next_back() {
                    assert_eq!(last, ".code64", "{}", path.display());
                    count += 1;
                }
            }
        }
        assert!(count >= 3, "{count} blocks");
    }
}
