//! A drive made of variables, for the tests of [`super::channel`]: PIO reads and writes, and the faults a disk can have.

use alloc::vec;
use alloc::vec::Vec;

use super::bus_master::Dma;
use super::channel::{Channel, Drive, Position};
use super::identify::tests::words;
use super::registers::{Register, Registers};
use crate::devices::block::BlockError;

const SECTOR: usize = 512;

/// What is wrong with the drive.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    /// Never leaves the busy state once it got a command.
    Hangs,
    /// Fails this many commands, then works.
    Fails(usize),
    /// Reports the end of a command where data should come.
    NoData,
    /// There is nothing on the bus.
    Floating,
    /// A CD-ROM: aborts IDENTIFY.
    Packet,
}

struct Fake {
    medium: Vec<u8>,
    trouble: Trouble,
    task: [[u8; 2]; 8],
    status: u8,
    position: usize,
    left: usize,
    multiple: usize,
    is_write: bool,
    identity: Option<Vec<u8>>,
    now: u64,
    resets: usize,
    dma: Option<FakeDma>,
}

/// What goes wrong with DMA.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DmaTrouble {
    None,
    /// It never ends.
    Hangs,
    /// It ends before all is moved.
    Short,
}

/// A controller's DMA that moves at once when it is started.
struct FakeDma {
    trouble: DmaTrouble,
    memory: Vec<u8>,
    prepared: (usize, bool),
    is_started: bool,
    starts: usize,
}

impl Dma for FakeDma {
    fn max_bytes(&self) -> usize {
        self.memory.len()
    }
    fn buffer(&mut self, len_bytes: usize) -> &mut [u8] {
        &mut self.memory[..len_bytes]
    }
    fn prepare(&mut self, len_bytes: usize, is_to_memory: bool) {
        self.prepared = (len_bytes, is_to_memory);
    }
    fn start(&mut self) {
        self.is_started = true;
        self.starts += 1;
    }
    fn is_active(&mut self) -> bool {
        self.is_started && self.trouble == DmaTrouble::Hangs
    }
    fn stop(&mut self) -> bool {
        core::mem::take(&mut self.is_started) && self.trouble == DmaTrouble::None
    }
}

impl Fake {
    /// What the drive moves when the controller has started.
    fn move_by_dma(&mut self) {
        let Some(dma) = self.dma.as_mut().filter(|dma| dma.is_started) else {
            return;
        };
        let (len, is_to_memory) = dma.prepared;
        if self.left == 0 || dma.trouble != DmaTrouble::None {
            return;
        }
        assert_eq!((len, is_to_memory), (self.left, !self.is_write));
        let medium = &mut self.medium[self.position..self.position + len];
        match is_to_memory {
            true => dma.memory[..len].copy_from_slice(medium),
            false => medium.copy_from_slice(&dma.memory[..len]),
        }
        self.moved(len);
    }

    fn new(sectors: usize, trouble: Trouble) -> Self {
        Self {
            medium: (0..sectors * SECTOR)
                .map(|i| (i / SECTOR + i) as u8)
                .collect(),
            trouble,
            task: [[0; 2]; 8],
            status: 0x50,
            position: 0,
            left: 0,
            multiple: 1,
            is_write: false,
            identity: None,
            now: 0,
            resets: 0,
            dma: None,
        }
    }

    fn command(&mut self, command: u8) {
        match &mut self.trouble {
            Trouble::Hangs => return self.status = 0x80,
            Trouble::Fails(left) if *left > 0 => {
                *left -= 1;
                return self.status = 0x51;
            }
            _ => {}
        }
        let low = |r: Register| usize::from(self.task[r as usize][0]);
        let high = |r: Register| usize::from(self.task[r as usize][1]);
        let (is_long, per_drq) = match command {
            0x20 | 0x30 => (false, 1),
            0x24 | 0x34 => (true, 1),
            0xC8 | 0xCA => (false, 1),
            0x25 | 0x35 => (true, 1),
            0xC4 | 0xC5 => (false, self.multiple),
            0x29 | 0x39 => (true, self.multiple),
            0xC6 => {
                self.multiple = low(Register::SectorCount);
                return self.status = 0x50;
            }
            0xEC if self.trouble == Trouble::Packet => return self.status = 0x51,
            0xEC => {
                let words = words((self.medium.len() / SECTOR) as u64);
                self.identity = Some(words.iter().flat_map(|word| word.to_le_bytes()).collect());
                return self.status = 0x58;
            }
            0xE7 | 0xEA => return self.status = 0x50,
            _ => return self.status = 0x51,
        };
        let mut lba =
            low(Register::LbaLow) | low(Register::LbaMid) << 8 | low(Register::LbaHigh) << 16;
        let mut count = low(Register::SectorCount);
        if is_long {
            lba |= high(Register::LbaLow) << 24;
            count |= high(Register::SectorCount) << 8;
        } else {
            lba |= (low(Register::Device) & 0x0F) << 24;
            count = if count == 0 { 256 } else { count };
        }
        self.is_write = matches!(command, 0x30 | 0x34 | 0xC5 | 0x39 | 0xCA | 0x35);
        self.position = lba * SECTOR;
        self.left = count * SECTOR;
        self.status = if self.position + self.left > self.medium.len() {
            0x51
        } else if self.trouble == Trouble::NoData {
            0x50
        } else {
            0x58
        };
        self.multiple = self.multiple.max(per_drq);
    }

    fn moved(&mut self, len: usize) {
        assert_eq!(self.status & 0x08, 0x08, "data moved without DRQ");
        self.position += len;
        self.left -= len;
        if self.left == 0 {
            self.status = 0x50;
        }
    }
}

impl Registers for Fake {
    fn read(&mut self, register: Register) -> u8 {
        if self.trouble == Trouble::Floating {
            return 0xFF;
        }
        match register {
            Register::StatusCommand => self.status,
            Register::Error => 0x04,
            other => self.task[other as usize][0],
        }
    }

    fn write(&mut self, register: Register, value: u8) {
        match register {
            Register::StatusCommand => self.command(value),
            other => {
                let [newest, older] = &mut self.task[other as usize];
                *older = core::mem::replace(newest, value);
            }
        }
    }

    fn alternate_status(&mut self) -> u8 {
        self.read(Register::StatusCommand)
    }

    fn control(&mut self, value: u8) {
        if value & 4 != 0 {
            self.resets += 1;
            self.left = 0;
            self.status = 0x50;
        }
    }

    fn read_data(&mut self, buf: &mut [u8]) {
        if let Some(identity) = self.identity.take() {
            self.status = 0x50;
            return buf.copy_from_slice(&identity);
        }
        assert!(!self.is_write);
        buf.copy_from_slice(&self.medium[self.position..self.position + buf.len()]);
        self.moved(buf.len());
    }

    fn write_data(&mut self, buf: &[u8]) {
        assert!(self.is_write);
        self.medium[self.position..self.position + buf.len()].copy_from_slice(buf);
        self.moved(buf.len());
    }

    fn dma(&mut self) -> Option<&mut dyn Dma> {
        self.move_by_dma();
        self.dma.as_mut().map(|dma| dma as &mut dyn Dma)
    }

    fn now_ns(&mut self) -> u64 {
        self.now += 1_000_000;
        self.now
    }

    fn rest_until(&mut self, deadline_ns: u64) {
        self.now = self.now.max(deadline_ns);
    }
}

fn drive(multiple: u8) -> Drive {
    Drive {
        position: Position::Master,
        sector_len_bytes: SECTOR,
        has_lba48: true,
        has_dma: true,
        has_flush: true,
        multiple,
    }
}

fn channel(sectors: usize, trouble: Trouble) -> Channel<Fake> {
    Channel::new(Fake::new(sectors, trouble)).expect("not floating")
}

#[test]
fn a_drive_says_who_it_is() {
    let identity = channel(77, Trouble::None).identify(Position::Master);
    assert_eq!(identity.expect("there").expect("valid").sector_count, 77);
}

#[test]
fn an_empty_bus_and_a_packet_device_are_no_disks() {
    assert!(Channel::new(Fake::new(1, Trouble::Floating)).is_none());
    assert!(
        channel(1, Trouble::Packet)
            .identify(Position::Master)
            .is_none()
    );
    assert!(
        channel(1, Trouble::Hangs)
            .identify(Position::Master)
            .is_none()
    );
}

#[test]
fn what_is_read_is_what_is_on_the_medium_whatever_the_size() {
    for multiple in [0, 2, 16] {
        for sectors in [1, 2, 15, 16, 17, 255, 256, 257, 600] {
            let mut channel = channel(1000, Trouble::None);
            if multiple != 0 {
                assert_eq!(channel.set_multiple(Position::Master, multiple), multiple);
            }
            let mut buf = vec![0; sectors * SECTOR];
            channel
                .read(&drive(multiple), 300, &mut buf)
                .expect("readable");
            let expected: Vec<u8> = (300 * SECTOR..(300 + sectors) * SECTOR)
                .map(|i| (i / SECTOR + i) as u8)
                .collect();
            assert!(buf == expected, "{sectors} sectors, {multiple} a block");
        }
    }
}

#[test]
fn what_is_written_is_read_back() {
    let mut channel = channel(1000, Trouble::None);
    assert_eq!(channel.set_multiple(Position::Master, 16), 16);
    let data: Vec<u8> = (0..300 * SECTOR).map(|i| (i * 7) as u8).collect();
    channel.write(&drive(16), 5, &data).expect("writable");
    channel.flush(&drive(16)).expect("flushed");
    let mut back = vec![0; data.len()];
    channel.read(&drive(16), 5, &mut back).expect("readable");
    assert!(back == data);
}

#[test]
fn a_passing_error_is_tried_again_and_a_lasting_one_returned() {
    let mut buf = [0; SECTOR];
    assert_eq!(
        channel(9, Trouble::Fails(2)).read(&drive(0), 1, &mut buf),
        Ok(())
    );
    let error = BlockError::Device {
        status: 0x51,
        error: 4,
    };
    assert_eq!(
        channel(9, Trouble::Fails(3)).read(&drive(0), 1, &mut buf),
        Err(error)
    );
}

#[test]
fn a_drive_that_hangs_or_gives_no_data_ends_in_an_error() {
    let mut buf = [0; SECTOR];
    assert_eq!(
        channel(9, Trouble::Hangs).read(&drive(0), 1, &mut buf),
        Err(BlockError::Timeout)
    );
    let error = BlockError::Device {
        status: 0x50,
        error: 4,
    };
    assert_eq!(
        channel(9, Trouble::NoData).read(&drive(0), 1, &mut buf),
        Err(error)
    );
}

fn dma_channel(trouble: DmaTrouble) -> Channel<Fake> {
    let mut channel = channel(1000, Trouble::None);
    channel.registers_mut().dma = Some(FakeDma {
        trouble,
        memory: vec![0xEE; 64 << 10],
        prepared: (0, false),
        is_started: false,
        starts: 0,
    });
    channel
}

/// Writes and reads 300 sectors; how often DMA was started for it.
fn write_and_read(channel: &mut Channel<Fake>) -> usize {
    let data: Vec<u8> = (0..300 * SECTOR).map(|i| (i * 7) as u8).collect();
    channel.write(&drive(0), 5, &data).expect("writable");
    assert!(channel.registers_mut().medium[5 * SECTOR..][..data.len()] == data);
    let mut back = vec![0; data.len()];
    channel.read(&drive(0), 5, &mut back).expect("readable");
    assert!(back == data);
    channel.registers_mut().dma.as_ref().expect("DMA").starts
}

#[test]
fn dma_moves_what_the_processor_would() {
    // Three pieces of at most 64 KiB, there and back.
    assert_eq!(write_and_read(&mut dma_channel(DmaTrouble::None)), 6);
}

#[test]
fn where_dma_fails_the_processor_moves_the_data() {
    for trouble in [DmaTrouble::Hangs, DmaTrouble::Short] {
        let mut channel = dma_channel(trouble);
        assert_eq!(write_and_read(&mut channel), 1, "one attempt, then no more");
        assert_eq!(channel.registers_mut().resets, 1);
    }
}
