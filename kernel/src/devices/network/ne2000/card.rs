//! The card: its memory, which is reached through a port, the ring of received frames in it, and the frame that is being sent.
//!
//! The card's memory is 16 KiB from 0x4000 on, in pages of 256 bytes: six pages for a frame to send, the others are the ring.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::registers::{
    ADDRESS, BOUNDARY, COMMAND, CURRENT, DATA_CONFIGURATION, DATA_WORDS, INTERRUPT_MASK, MULTICAST,
    OVERFLOW, PAGE_1, Ports, RECEIVE_BROADCAST, RECEIVE_CONFIGURATION, RECEIVE_MULTICAST,
    RECEIVE_NOTHING, RECEIVED, REMOTE_COUNT, REMOTE_DONE, REMOTE_OFF, REMOTE_READ, REMOTE_START,
    REMOTE_WRITE, RESET, RESET_DONE, RING_END, RING_START, START, STATUS, STOP, TRANSMIT,
    TRANSMIT_CONFIGURATION, TRANSMIT_COUNT, TRANSMIT_ERROR, TRANSMIT_LOOPBACK, TRANSMIT_PAGE,
    TRANSMITTED,
};
use crate::devices::network::{Error, is_usable};
use crate::devices::patience::wait_until;

const PAGE_BYTES: u16 = 256;
const SEND_PAGE: u8 = 0x40;
const FIRST_PAGE: u8 = SEND_PAGE + 6;
const END_PAGE: u8 = 0x80;
/// In front of a received frame: status, next page, length.
const HEADER_BYTES: u16 = 4;
const STATUS_GOOD: u8 = 1;
const CHECK_BYTES: usize = 4;
const MIN_FRAME_BYTES: usize = 14;
/// What the card does not fill up by itself.
const MIN_SENT_BYTES: usize = 60;
/// With a tag.
pub(super) const MAX_FRAME_BYTES: usize = 1518;
/// Frames that wait for the one that is being sent.
const MAX_WAITING: usize = 32;
const INTERRUPTS: u8 = RECEIVED | TRANSMITTED | TRANSMIT_ERROR | OVERFLOW;
const RESET_LIMIT_NS: u64 = 10_000_000;
/// The data sheet has 1.6 ms for a frame that is on its way.
const STOP_NS: u64 = 2_000_000;
/// How often the status is read for the end of a transfer: each takes the bus a microsecond.
const REMOTE_PATIENCE: usize = 10_000;

/// A card.
pub(super) struct Card<P> {
    ports: P,
    /// The page of the next frame.
    next_page: u8,
    is_sending: bool,
    waiting: VecDeque<Vec<u8>>,
}

impl<P: Ports> Card<P> {
    /// Resets a card, which receives and says nothing yet; its hardware address.
    pub(super) fn reset(mut ports: P) -> Result<(Self, [u8; 6]), Error> {
        let value = ports.read(RESET);
        ports.write(RESET, value);
        if !wait_until(RESET_LIMIT_NS, || ports.read(STATUS) & RESET_DONE != 0) {
            return Err(Error::ResetTimeout);
        }
        let mut this = Self {
            ports,
            next_page: FIRST_PAGE + 1,
            is_sending: false,
            waiting: VecDeque::new(),
        };
        this.stop();
        this.ports.write(INTERRUPT_MASK, 0);
        this.ports.write(DATA_CONFIGURATION, DATA_WORDS);
        // The address is in a ROM at 0, each byte twice, as it is there for a bus of words.
        let mut rom = [0; 12];
        this.read_memory(0, &mut rom);
        this.stop();
        let mac = core::array::from_fn(|at| rom[2 * at]);
        if !is_usable(mac) {
            return Err(Error::NoHardwareAddress);
        }
        Ok((this, mac))
    }

    fn stop(&mut self) {
        self.ports.write(COMMAND, STOP | REMOTE_OFF);
    }

    /// Turns the card on: everything from the data sheet's initialisation sequence (chapter 11), with an empty ring.
    pub(super) fn start(&mut self, mac: [u8; 6]) {
        self.ports.write(REMOTE_COUNT[0], 0);
        self.ports.write(REMOTE_COUNT[1], 0);
        self.ports.write(RECEIVE_CONFIGURATION, RECEIVE_NOTHING);
        self.ports.write(TRANSMIT_CONFIGURATION, TRANSMIT_LOOPBACK);
        self.ports.write(RING_START, FIRST_PAGE);
        self.ports.write(RING_END, END_PAGE);
        self.ports.write(INTERRUPT_MASK, 0);
        self.ports.write(COMMAND, STOP | REMOTE_OFF | PAGE_1);
        for (register, byte) in (ADDRESS..).zip(mac) {
            self.ports.write(register, byte);
        }
        // All groups: the engine knows which are wanted.
        for register in MULTICAST..MULTICAST + 8 {
            self.ports.write(register, 0xFF);
        }
        self.stop();
        self.empty_ring();
        self.ports.write(INTERRUPT_MASK, INTERRUPTS);
    }

    /// Forgets what was received and receives anew; the card is stopped.
    fn empty_ring(&mut self) {
        self.next_page = FIRST_PAGE + 1;
        self.ports.write(BOUNDARY, FIRST_PAGE);
        self.ports.write(COMMAND, STOP | REMOTE_OFF | PAGE_1);
        self.ports.write(CURRENT, self.next_page);
        self.ports.write(COMMAND, START | REMOTE_OFF);
        self.ports.write(STATUS, !0);
        self.ports.write(TRANSMIT_CONFIGURATION, 0);
        self.ports
            .write(RECEIVE_CONFIGURATION, RECEIVE_BROADCAST | RECEIVE_MULTICAST);
    }

    /// Looks at what happened, and sends what waits; whether something was received.
    pub(super) fn serve(&mut self) -> bool {
        let status = self.ports.read(STATUS);
        self.ports
            .write(STATUS, status & !(RESET_DONE | REMOTE_DONE));
        if status & (TRANSMITTED | TRANSMIT_ERROR) != 0 {
            self.is_sending = false;
        }
        self.send_waiting();
        if status & OVERFLOW != 0 {
            self.recover();
        }
        status & (RECEIVED | OVERFLOW) != 0
    }

    /// After an overflow, or when the ring makes no sense: the card is stopped, its ring emptied, and it goes on.
    fn recover(&mut self) {
        self.stop();
        let end_ns = crate::arch::clock::now_ns().saturating_add(STOP_NS);
        while crate::arch::clock::now_ns() < end_ns {
            core::hint::spin_loop();
        }
        self.is_sending = false;
        self.ports.write(TRANSMIT_CONFIGURATION, TRANSMIT_LOOPBACK);
        self.empty_ring();
        self.send_waiting();
    }

    /// Copies the next frame out of the ring; its length, or `None` when there is no other.
    pub(super) fn receive(&mut self, frame: &mut [u8; MAX_FRAME_BYTES]) -> Option<usize> {
        // There cannot be more frames than pages.
        for _ in FIRST_PAGE..END_PAGE {
            self.ports.write(COMMAND, START | REMOTE_OFF | PAGE_1);
            let current = self.ports.read(CURRENT);
            self.ports.write(COMMAND, START | REMOTE_OFF);
            if current == self.next_page {
                return None;
            }
            let page = self.next_page;
            let mut header = [0; HEADER_BYTES as usize];
            self.read_memory(u16::from(page) * PAGE_BYTES, &mut header);
            let [status, next, low, high] = header;
            let len = usize::from(u16::from_le_bytes([low, high]));
            let is_in_ring = (FIRST_PAGE..END_PAGE).contains(&current);
            if !is_in_ring || !can_lead(page, len, next) {
                log::warn!("network: ne2000: the ring makes no sense; it is emptied");
                self.recover();
                return None;
            }
            let len = (len - usize::from(HEADER_BYTES)).min(MAX_FRAME_BYTES);
            let is_good = status & STATUS_GOOD != 0 && len >= MIN_FRAME_BYTES;
            if is_good {
                self.read_ring(page, &mut frame[..len]);
            }
            self.next_page = next;
            let boundary = if next == FIRST_PAGE { END_PAGE } else { next };
            self.ports.write(BOUNDARY, boundary - 1);
            if is_good {
                return Some(len);
            }
        }
        None
    }

    /// Reads a frame that begins behind the header in `page`, and goes on at the ring's start when it meets its end.
    fn read_ring(&mut self, page: u8, frame: &mut [u8]) {
        let start = u16::from(page) * PAGE_BYTES + HEADER_BYTES;
        let to_end = usize::from(u16::from(END_PAGE) * PAGE_BYTES - start);
        let (head, tail) = frame.split_at_mut(to_end.min(frame.len()));
        self.read_memory(start, head);
        if !tail.is_empty() {
            self.read_memory(u16::from(FIRST_PAGE) * PAGE_BYTES, tail);
        }
    }

    /// Whether another frame can wait.
    pub(super) fn has_room(&mut self) -> bool {
        if self.waiting.len() >= MAX_WAITING {
            let status = self.ports.read(STATUS) & (TRANSMITTED | TRANSMIT_ERROR);
            if status != 0 {
                self.ports.write(STATUS, status);
                self.is_sending = false;
                self.send_waiting();
            }
        }
        self.waiting.len() < MAX_WAITING
    }

    /// Whether nothing is on its way any more.
    pub(super) fn has_sent_all(&mut self) -> bool {
        if self.is_sending && self.ports.read(COMMAND) & TRANSMIT == 0 {
            self.is_sending = false;
        }
        self.send_waiting();
        !self.is_sending
    }

    /// Sends a frame, after those that wait.
    pub(super) fn send(&mut self, frame: &[u8]) {
        let mut frame = frame.to_vec();
        frame.resize(frame.len().clamp(MIN_SENT_BYTES, MAX_FRAME_BYTES), 0);
        self.waiting.push_back(frame);
        if self.is_sending && self.ports.read(COMMAND) & TRANSMIT == 0 {
            self.is_sending = false;
        }
        self.send_waiting();
    }

    fn send_waiting(&mut self) {
        if self.is_sending {
            return;
        }
        let Some(frame) = self.waiting.pop_front() else {
            return;
        };
        self.write_memory(u16::from(SEND_PAGE) * PAGE_BYTES, &frame);
        self.ports.write(TRANSMIT_PAGE, SEND_PAGE);
        self.write_pair(TRANSMIT_COUNT, frame.len() as u16);
        self.ports.write(COMMAND, START | TRANSMIT | REMOTE_OFF);
        self.is_sending = true;
    }

    fn write_pair(&mut self, registers: [u8; 2], value: u16) {
        for (register, byte) in registers.into_iter().zip(value.to_le_bytes()) {
            self.ports.write(register, byte);
        }
    }

    /// Prepares a transfer through the data port, of whole words.
    fn prepare(&mut self, address: u16, len_bytes: usize, command: u8) {
        self.ports.write(COMMAND, START | REMOTE_OFF);
        self.ports.write(STATUS, REMOTE_DONE);
        self.write_pair(REMOTE_COUNT, len_bytes.next_multiple_of(2) as u16);
        self.write_pair(REMOTE_START, address);
        self.ports.write(COMMAND, START | command);
    }

    fn finish(&mut self) {
        for _ in 0..REMOTE_PATIENCE {
            if self.ports.read(STATUS) & REMOTE_DONE != 0 {
                break;
            }
        }
        self.ports.write(STATUS, REMOTE_DONE);
    }

    fn read_memory(&mut self, address: u16, buf: &mut [u8]) {
        let mut words = [0; MAX_FRAME_BYTES.div_ceil(2)];
        let words = &mut words[..buf.len().div_ceil(2)];
        self.prepare(address, buf.len(), REMOTE_READ);
        self.ports.read_data(words);
        for (pair, word) in buf.chunks_mut(2).zip(words) {
            pair.copy_from_slice(&word.to_le_bytes()[..pair.len()]);
        }
        self.finish();
    }

    fn write_memory(&mut self, address: u16, buf: &[u8]) {
        let mut words = [0; MAX_FRAME_BYTES.div_ceil(2)];
        let words = &mut words[..buf.len().div_ceil(2)];
        for (word, pair) in words.iter_mut().zip(buf.chunks(2)) {
            *word = u16::from_le_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
        }
        self.prepare(address, buf.len(), REMOTE_WRITE);
        self.ports.write_data(words);
        self.finish();
    }
}

/// Whether a frame of this length, header included, that begins in `page`, can end before `next`. Cards count the check sequence, or
/// keep it without counting it.
fn can_lead(page: u8, len: usize, next: u8) -> bool {
    let longest = usize::from(HEADER_BYTES) + MAX_FRAME_BYTES + CHECK_BYTES;
    let ring = FIRST_PAGE..END_PAGE;
    if !(usize::from(HEADER_BYTES)..=longest).contains(&len)
        || !ring.contains(&page)
        || !ring.contains(&next)
    {
        return false;
    }
    let pages = usize::from(END_PAGE - FIRST_PAGE);
    let distance = (usize::from(next) + pages - usize::from(page)) % pages;
    let least = len.div_ceil(usize::from(PAGE_BYTES));
    (least..=least + 1).contains(&distance)
}
