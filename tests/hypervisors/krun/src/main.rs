//! Starts an ELF by libkrun's loader and devices: `krun ELF CORES MIB [tap NAME] [disk FILE] [words WORDS]`.
//!
//! libkrun comes of Firecracker: it enters the ELF by the 64-bit boot protocol of Linux, tells of its devices by words `virtio_mmio.device=`
//! and has no ACPI, no PCI and no interval timer that counts by itself.

use devices::virtio::CacheType;
use devices::virtio::block::{ImageType, SyncMode};
use devices::virtio::net::device::VirtioNetBackend;
use std::sync::Arc;
use std::sync::atomic::AtomicI32;
use vmm::resources::{SerialConsoleConfig, VmResources};
use vmm::vmm_config::block::BlockDeviceConfig;
use vmm::vmm_config::external_kernel::{ExternalKernel, KernelFormat};
use vmm::vmm_config::kernel_cmdline::KernelCmdlineConfig;
use vmm::vmm_config::machine_config::VmConfig;
use vmm::vmm_config::net::NetworkInterfaceConfig;

const USAGE: &str = "usage: krun ELF CORES MIB [tap NAME] [disk FILE] [words WORDS]";

fn main() -> Result<(), String> {
    env_logger::init();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [elf, cores, mib, devices @ ..] = args.as_slice() else {
        return Err(USAGE.into());
    };
    let mut machine = VmResources::default();
    let config = VmConfig {
        vcpu_count: Some(cores.parse().map_err(|_| USAGE)?),
        mem_size_mib: Some(mib.parse().map_err(|_| USAGE)?),
        ht_enabled: Some(false),
        ..VmConfig::default()
    };
    machine.set_vm_config(&config).map_err(debug)?;
    machine.set_external_kernel(ExternalKernel {
        path: elf.into(),
        format: KernelFormat::Elf,
        ..ExternalKernel::default()
    });
    machine.nested_enabled = false;
    machine.enable_balloon = false;
    machine.enable_rng = false;
    machine.enable_msb_metrics = false;
    machine.disable_implicit_console = true;
    // The serial line is this program's input and output.
    machine.serial_consoles.push(SerialConsoleConfig {
        input_fd: 0,
        output_fd: 1,
    });
    let mut words = String::new();
    for pair in devices.chunks(2) {
        match pair {
            [kind, name] if kind == "tap" => machine
                .add_network_interface(NetworkInterfaceConfig {
                    iface_id: "eth0".into(),
                    backend: VirtioNetBackend::Tap(name.clone()),
                    mac: [2, 0, 0, 0, 0, 1],
                    features: 0,
                    rate_limiters: Default::default(),
                })
                .map_err(debug)?,
            [kind, path] if kind == "disk" => machine
                .add_block_device(BlockDeviceConfig {
                    block_id: "vda".into(),
                    cache_type: CacheType::Writeback,
                    disk_image_path: path.clone(),
                    disk_image_format: ImageType::Raw,
                    is_disk_read_only: false,
                    direct_io: false,
                    sync_mode: SyncMode::Full,
                    backend: None,
                })
                .map_err(debug)?,
            [kind, text] if kind == "words" => words.clone_from(text),
            _ => return Err(USAGE.into()),
        }
    }
    let line = KernelCmdlineConfig {
        prolog: Some(words),
        ..KernelCmdlineConfig::default()
    };
    machine.set_kernel_cmdline(line).map_err(debug)?;
    let mut events = polly::event_manager::EventManager::new().map_err(debug)?;
    let (sender, _receiver) = crossbeam_channel::unbounded();
    let exit = utils::eventfd::EventFd::new(utils::eventfd::EFD_NONBLOCK).map_err(debug)?;
    let status = Arc::new(AtomicI32::new(i32::MAX));
    let _running =
        vmm::builder::build_microvm(&mut machine, &mut events, None, sender, exit, status)
            .map_err(debug)?;
    // The end of the guest ends this process.
    loop {
        events.run().map_err(debug)?;
    }
}

fn debug(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}
