//! The driver against a model of the controller, honest and not.

use std::collections::HashMap;
use std::string::ToString;
use std::sync::{Arc, Mutex};

use super::registers::{
    CI, CLB, CLBU, CMD, CMD_RECEIVE, CMD_RECEIVING, CMD_RUNNING, CMD_START, INT_LINK, PI, PORT_IS,
    SIG, SSTS, TFD, WINDOW_BYTES, port,
};
use super::{disk, start};
use crate::devices::block::ide::identify::tests::words;
use crate::devices::block::queued::QueuedDisk;
use crate::devices::block::{BlockDriver, BlockError};
use crate::devices::fake_memory::{device_read, device_write};
use crate::devices::registers::Registers;

const SECTORS: u64 = 2000;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Trouble {
    None,
    /// So many commands fail.
    Fails(u32),
    /// Commands are taken and never done; the link is up.
    Hangs,
    /// Nothing is there any more.
    Gone,
}

struct Model {
    registers: HashMap<usize, u32>,
    content: Vec<u8>,
    trouble: Trouble,
    flushes: usize,
    commands: Vec<u8>,
}

/// A controller with a disk at port 1 and a CD-ROM at port 2.
#[derive(Clone)]
struct Device(Arc<Mutex<Model>>);

impl Device {
    fn new() -> Self {
        let mut registers = HashMap::from([(PI, 0b111), (port(1) + SIG, 0x101)]);
        registers.insert(port(2) + SIG, 0xEB14_0101);
        for number in [1, 2] {
            registers.insert(port(number) + SSTS, 0x113);
            registers.insert(port(number) + TFD, 0x50);
        }
        Self(Arc::new(Mutex::new(Model {
            registers,
            content: (0..SECTORS as usize * 512)
                .map(|at| (at / 512 + at) as u8)
                .collect(),
            trouble: Trouble::None,
            flushes: 0,
            commands: Vec::new(),
        })))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Model) -> T) -> T {
        work(&mut self.0.lock().expect("one thread"))
    }

    fn disk(&self) -> QueuedDisk {
        let mut found = start(self.clone(), WINDOW_BYTES).expect("memory");
        assert_eq!(found.len(), 1, "the CD-ROM is left alone");
        let (number, port, identity) = found.remove(0);
        assert_eq!(number, 1);
        disk("AHCI".to_string(), number, port, identity, false).expect("memory")
    }
}

impl Model {
    fn get(&self, offset: usize) -> u32 {
        self.registers.get(&offset).copied().unwrap_or(0)
    }

    /// Does the command of a slot as the header and table in memory say.
    fn execute(&mut self, slot: u32) {
        let port = port(1);
        if self.trouble == Trouble::Hangs {
            return;
        }
        let base = u64::from(self.get(port + CLB)) | u64::from(self.get(port + CLBU)) << 32;
        let header: [u32; 4] = core::array::from_fn(|word| {
            u32::from_le_bytes(device_read(base + u64::from(slot) * 32 + 4 * word as u64))
        });
        assert_eq!(header[0] & 0x1F, 5, "length of the FIS");
        let table = u64::from(header[2]) | u64::from(header[3]) << 32;
        let fis: [u8; 20] = device_read(table);
        assert_eq!((fis[0], fis[1]), (0x27, 0x80));
        self.commands.push(fis[2]);
        if let Trouble::Fails(count @ 1..) = self.trouble {
            self.trouble = Trouble::Fails(count - 1);
            self.registers.insert(port + TFD, 0x40 << 8 | 0x41);
            self.registers.insert(port + PORT_IS, 1 << 30);
            let command = self.get(port + CMD) & !0x1F00 | slot << 8;
            self.registers.insert(port + CMD, command);
            return;
        }
        let lba = u64::from_le_bytes([fis[4], fis[5], fis[6], fis[8], fis[9], fis[10], 0, 0]);
        let len = u16::from_le_bytes([fis[12], fis[13]]) as usize * 512;
        let data = u64::from_le_bytes(device_read(table + 0x80));
        let region = u32::from_le_bytes(device_read(table + 0x8C)) as usize + 1;
        let range = lba as usize * 512..lba as usize * 512 + len;
        let is_write = header[0] >> 6 & 1 == 1;
        match fis[2] {
            0xEC => {
                let bytes: Vec<u8> = words(SECTORS)
                    .iter()
                    .flat_map(|word| word.to_le_bytes())
                    .collect();
                assert_eq!(region, 512);
                device_write(data, &bytes);
            }
            0x25 => {
                assert_eq!((region, is_write, header[0] >> 16), (len, false, 1));
                device_write(data, &self.content[range]);
            }
            0x35 => {
                assert_eq!((region, is_write, header[0] >> 16), (len, true, 1));
                for (at, byte) in (data..).zip(&mut self.content[range]) {
                    [*byte] = device_read(at);
                }
            }
            0xEA => {
                assert_eq!(header[0] >> 16, 0, "no data");
                self.flushes += 1;
            }
            other => panic!("command {other:#x}"),
        }
        let issued = self.get(port + CI) & !(1 << slot);
        self.registers.insert(port + CI, issued);
        self.registers.insert(port + PORT_IS, 1);
    }
}

impl Registers for Device {
    fn read(&self, offset: usize) -> u32 {
        self.with(|model| match model.trouble {
            Trouble::Gone => u32::MAX,
            _ => model.get(offset),
        })
    }

    fn write(&self, offset: usize, value: u32) {
        self.with(|model| {
            let port = port(1);
            if offset == port + CI {
                let issued = model.get(offset) | value;
                model.registers.insert(offset, issued);
                return model.execute(value.trailing_zeros());
            }
            let mut value = value;
            if offset == port + CMD {
                // It does at once what it is told.
                value &= !(CMD_RUNNING | CMD_RECEIVING);
                if value & CMD_START != 0 {
                    value |= CMD_RUNNING;
                } else {
                    model.registers.insert(port + CI, 0);
                }
                if value & CMD_RECEIVE != 0 {
                    value |= CMD_RECEIVING;
                    model.registers.insert(port + TFD, 0x50);
                }
            }
            if offset == port + PORT_IS {
                value = model.get(offset) & !value;
            }
            model.registers.insert(offset, value);
        });
    }
}

#[test]
fn what_is_written_is_read_and_flushed() {
    let device = Device::new();
    let disk = device.disk();
    assert_eq!(
        (disk.sector_count(), disk.sector_len_bytes()),
        (SECTORS, 512)
    );
    let mut whole = vec![0; SECTORS as usize * 512];
    disk.read(0, &mut whole).expect("a whole disk");
    assert!(device.with(|model| model.content == whole));
    let data: Vec<u8> = (0..300 * 512).map(|at| (at * 7) as u8).collect();
    disk.write(1003, &data).expect("a write");
    assert!(device.with(|model| model.content[1003 * 512..][..data.len()] == data));
    disk.flush().expect("a flush");
    assert_eq!(device.with(|model| model.flushes), 1);
}

#[test]
fn a_passing_error_is_tried_again_and_a_lasting_one_returned() {
    let device = Device::new();
    let disk = device.disk();
    let mut sector = [0; 512];
    device.with(|model| model.trouble = Trouble::Fails(2));
    disk.read(9, &mut sector).expect("the third attempt");
    device.with(|model| model.trouble = Trouble::Fails(5));
    let error = BlockError::Device {
        status: 0x41,
        error: 0x40,
    };
    assert_eq!(disk.read(9, &mut sector), Err(error));
    device.with(|model| model.trouble = Trouble::Fails(5));
    assert_eq!(disk.flush(), Err(error));
    disk.write(9, &sector).expect("works again");
}

#[test]
fn a_disk_that_goes_away_is_gone_for_good() {
    let device = Device::new();
    let disk = device.disk();
    let mut sector = [0; 512];
    device.with(|model| model.trouble = Trouble::Gone);
    assert!(disk.read(9, &mut sector).is_err());
    assert_eq!(disk.read(9, &mut sector), Err(BlockError::Gone));
    assert_eq!(disk.write(9, &sector), Err(BlockError::Gone));
    assert_eq!(disk.flush(), Err(BlockError::Gone));
}

#[test]
fn a_link_that_falls_with_a_command_on_its_way_ends_the_disk_at_once() {
    let device = Device::new();
    let disk = device.disk();
    device.with(|model| {
        model.trouble = Trouble::Hangs;
        model.registers.insert(port(1) + SSTS, 0);
        model.registers.insert(port(1) + PORT_IS, INT_LINK);
    });
    assert_eq!(disk.read(9, &mut [0; 512]), Err(BlockError::Gone));
}

#[test]
fn a_disk_that_fails_to_say_what_it_is_is_left_out() {
    for trouble in [Trouble::Fails(1), Trouble::Hangs, Trouble::Gone] {
        let device = Device::new();
        device.with(|model| model.trouble = trouble);
        let found = start(device, WINDOW_BYTES).expect("memory");
        assert!(found.is_empty(), "{trouble:?}");
    }
}

#[test]
fn ports_outside_of_the_window_are_not_touched() {
    let device = Device::new();
    let found = start(device.clone(), port(1)).expect("memory");
    assert!(found.is_empty());
    assert!(device.with(|model| model.commands.is_empty()));
}

#[test]
fn nothing_beyond_the_end_reaches_the_device() {
    let device = Device::new();
    let disk = device.disk();
    let before = device.with(|model| model.commands.len());
    for first in [SECTORS, u64::MAX] {
        assert_eq!(disk.read(first, &mut [0; 512]), Err(BlockError::OutOfRange));
        assert_eq!(disk.write(first, &[0; 512]), Err(BlockError::OutOfRange));
    }
    assert_eq!(device.with(|model| model.commands.len()), before);
}
