//! The command line of QEMU, machine by machine.

use super::*;

fn pc() -> Launch {
    Launch {
        machine: Machine::Pc,
        accelerator: Accelerator::Tcg,
        memory: Size::mib(64),
        cores: 1,
        source: Source::Disk("hello.img".into()),
        disk_bus: DiskBus::Ide,
        are_disks_scratch: false,
        disks: vec![],
        nic: Nic::E1000,
        network: Network::User(vec![]),
        address: AddressV4::Dhcp,
        screen: Screen::None,
        extra: vec![],
    }
}

fn kernel() -> Source {
    Source::Kernel {
        elf: "hello.elf".into(),
        command_line: "exit=0xf4 -- a b".into(),
    }
}

fn line(launch: &Launch) -> String {
    let words = launch.arguments("unix:c").unwrap();
    words
        .iter()
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn uefi_boots_the_same_disk_with_another_firmware() {
    let source = Source::Uefi {
        image: "hello.img".into(),
        firmware: "OVMF.fd".into(),
    };
    let uefi = Launch { source, ..pc() };
    assert_eq!(line(&uefi), line(&pc()) + " -bios OVMF.fd");
}

#[test]
fn pc_boots_from_the_first_ide_disk() {
    let launch = Launch {
        disks: vec!["web.img".into()],
        ..pc()
    };
    assert_eq!(
        line(&launch),
        "-nodefaults -no-user-config -no-reboot -machine pc -accel tcg -cpu max -m 65536K -smp 1 \
         -chardev stdio,id=console,signal=off -serial chardev:console -qmp unix:c \
         -device isa-debug-exit,iobase=0xf4,iosize=4 -vga std -display none \
         -drive if=none,id=disk0,format=raw,werror=report,rerror=report,snapshot=on,file=hello.img \
         -device ide-hd,bus=ide.0,unit=0,drive=disk0,bootindex=0 \
         -drive if=none,id=disk1,format=raw,werror=report,rerror=report,file=web.img -device ide-hd,bus=ide.0,unit=1,drive=disk1 \
         -netdev user,id=net0 -device e1000,netdev=net0,romfile="
    );
}

#[test]
fn q35_gets_an_ide_controller() {
    let text = line(&Launch {
        machine: Machine::Q35,
        disks: vec!["a".into(), "b".into()],
        ..pc()
    });
    assert!(text.contains("-device piix3-ide,id=legacy "), "{text}");
    assert!(
        text.contains("-device ide-hd,bus=legacy.1,unit=0,drive=disk2"),
        "{text}"
    );
}

#[test]
fn microvm_has_virtio_devices_and_no_screen() {
    let (machine, nic) = (Machine::Microvm, Nic::Virtio);
    let text = line(&Launch {
        machine,
        nic,
        disk_bus: DiskBus::Virtio,
        source: kernel(),
        disks: vec!["a".into()],
        ..pc()
    });
    assert!(text.contains("-machine microvm,acpi=off,"), "{text}");
    assert!(
        text.contains("-device virtio-blk-device,drive=disk0"),
        "{text}"
    );
    assert!(
        text.contains("-device virtio-net-device,netdev=net0"),
        "{text}"
    );
    assert!(!text.contains("-vga"), "{text}");
    assert!(
        text.ends_with("-kernel hello.elf -append exit=0xf4 -- a b"),
        "{text}"
    );
}

#[test]
fn microvm_does_not_boot_from_a_disk() {
    let launch = Launch {
        machine: Machine::Microvm,
        nic: Nic::None,
        ..pc()
    };
    assert!(
        launch
            .arguments("unix:c")
            .unwrap_err()
            .to_string()
            .contains("no firmware")
    );
}

#[test]
fn a_fifth_ide_disk_is_refused() {
    let disks = vec!["a".into(), "b".into(), "c".into(), "d".into()];
    assert!(
        Launch {
            disks: disks.clone(),
            ..pc()
        }
        .arguments("unix:c")
        .is_err()
    );
    assert!(
        Launch {
            disks,
            source: kernel(),
            ..pc()
        }
        .arguments("unix:c")
        .is_ok()
    );
}

#[test]
fn disks_hang_on_the_controller_that_was_chosen() {
    for (machine, disk_bus, wanted) in [
        (Machine::Pc, DiskBus::Ahci, "-device ich9-ahci,id=sata "),
        (Machine::Pc, DiskBus::Ahci, "ide-hd,bus=sata.1,drive=disk1"),
        (Machine::Q35, DiskBus::Ahci, "ide-hd,bus=ide.1,drive=disk1"),
        (Machine::Pc, DiskBus::Nvme, "nvme,serial=disk1,drive=disk1"),
        (Machine::Q35, DiskBus::Pvscsi, "-device pvscsi,id=scsi "),
        (
            Machine::Pc,
            DiskBus::VirtioScsi,
            "-device virtio-scsi-pci,id=scsi ",
        ),
        (
            Machine::Pc,
            DiskBus::VirtioScsi,
            "scsi-hd,bus=scsi.0,scsi-id=1,drive=disk1",
        ),
        (
            Machine::Q35,
            DiskBus::Pvscsi,
            "scsi-hd,bus=scsi.0,scsi-id=1,drive=disk1",
        ),
    ] {
        let disks = vec!["a".into()];
        let text = line(&Launch {
            machine,
            disk_bus,
            disks,
            ..pc()
        });
        assert!(text.contains(wanted), "{text}");
    }
}

#[test]
fn more_disks_than_a_controller_has_places_are_refused() {
    for (disk_bus, max) in [
        (DiskBus::Ahci, 6),
        (DiskBus::Pvscsi, 16),
        (DiskBus::VirtioScsi, 256),
    ] {
        let with = |count| Launch {
            disk_bus,
            disks: vec!["a".into(); count],
            source: kernel(),
            ..pc()
        };
        assert!(with(max).arguments("unix:c").is_ok());
        assert!(with(max + 1).arguments("unix:c").is_err());
    }
}

#[test]
fn ports_lead_to_the_guest_wherever_it_is() {
    let ports = vec![
        "8080:80".parse().unwrap(),
        "0.0.0.0:53:53/udp".parse().unwrap(),
    ];
    let launch = Launch {
        network: Network::User(ports),
        ..pc()
    };
    let text = line(&launch);
    let forwards = "user,id=net0,hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=udp:0.0.0.0:53-:53";
    assert!(text.contains(forwards), "{text}");
    let address = "192.168.7.9/24,gateway=192.168.7.1,dns=9.9.9.9"
        .parse()
        .unwrap();
    let text = line(&Launch { address, ..launch });
    let network = "user,id=net0,net=192.168.7.9/24,host=192.168.7.1,hostfwd=tcp:127.0.0.1:8080-192.168.7.9:80";
    assert!(text.contains(network), "{text}");
}

#[test]
fn a_gateway_outside_the_network_is_refused() {
    let address = "10.0.2.15/24,gateway=10.0.3.1".parse().unwrap();
    assert!(Launch { address, ..pc() }.arguments("unix:c").is_err());
}

#[test]
fn a_tap_replaces_the_user_network() {
    let text = line(&Launch {
        network: Network::Tap {
            name: "tap0".into(),
            queues: 1,
        },
        ..pc()
    });
    assert!(
        text.contains("-netdev tap,id=net0,ifname=tap0,script=no,downscript=no "),
        "{text}"
    );
    assert!(!text.contains("mq=on"), "{text}");
}

#[test]
fn a_tap_of_several_queues_has_a_card_with_a_message_for_each() {
    let text = line(&Launch {
        network: Network::Tap {
            name: "tap0".into(),
            queues: 3,
        },
        nic: Nic::Virtio,
        ..pc()
    });
    assert!(text.contains("downscript=no,queues=3 "), "{text}");
    assert!(
        text.contains("virtio-net-pci,netdev=net0,romfile=,mq=on,vectors=8"),
        "{text}"
    );
}

#[test]
fn commas_in_paths_are_doubled() {
    let text = line(&Launch {
        source: Source::Disk("a,b.img".into()),
        ..pc()
    });
    assert!(text.contains("file=a,,b.img"), "{text}");
}

#[test]
fn extra_words_come_last() {
    let text = line(&Launch {
        extra: vec!["-d".into(), "int".into()],
        screen: Screen::Vnc(5907),
        ..pc()
    });
    assert!(text.contains("-display vnc=127.0.0.1:7"), "{text}");
    assert!(text.ends_with(" -d int"), "{text}");
}

#[test]
fn a_colon_in_the_name_of_a_disk_is_no_protocol() {
    use crate::metadata::Metadata;
    use crate::settings::Overrides;
    let overrides = Overrides {
        disks: vec!["a:b,c.img".parse().unwrap(), "/d:e.img".parse().unwrap()],
        ..Overrides::default()
    };
    let settings = Settings::new(&Metadata::default(), Path::new("."), overrides).unwrap();
    let text = line(&Launch::new(&settings, kernel(), Accelerator::Tcg));
    assert!(text.contains(",file=./a:b,,c.img "), "{text}");
    assert!(text.contains(",file=/d:e.img "), "{text}");
}
