//! An NVMe controller (NVM Express 1.4): its start (section 7.6.1), what it says of itself, and reading and writing.

use super::queue::{ENTRIES, QueuePair};
use super::registers::{
    ACQ, AQA, ASQ, CAP, CAP_ENTRIES, CAP_MIN_PAGE, CAP_NVM, CAP_STRIDE, CAP_TIMEOUT, CC, CC_ENABLE,
    CC_ENTRY_SIZES, CREATE_COMPLETION_QUEUE, CREATE_SUBMISSION_QUEUE, CSTS, CSTS_FATAL, CSTS_READY,
    Command, FLUSH, IDENTIFY, IDENTIFY_CONTROLLER, IDENTIFY_NAMESPACE, IDENTIFY_NAMESPACES, INTMC,
    INTMS, QUEUE_CONTIGUOUS, QUEUE_INTERRUPTS, READ, STATUS_DO_NOT_RETRY, WRITE,
};
use super::{Error, Identity, Namespace};
use crate::devices::block::BlockError;
use crate::devices::block::exchange::{Controller, Kind, Request};
use crate::devices::block::slots::{Fault, MAX_DATA_BYTES, MAX_SLOTS};
#[cfg(test)]
use crate::devices::fake_memory::DmaBuffer;
use crate::devices::patience::wait_until;
use crate::devices::registers::Registers;
#[cfg(not(test))]
use crate::memory::dma::DmaBuffer;
use alloc::vec::Vec;

const PAGE_BYTES: usize = 4096;
/// The queue pair for reading and writing.
const IO_QUEUE: u16 = 1;
/// A list of pages for each slot.
const LIST_BYTES: usize = MAX_DATA_BYTES / PAGE_BYTES * 8;
/// How long an admin command may take.
const ADMIN_LIMIT_NS: u64 = 10_000_000_000;
const HALF_SECOND_NS: u64 = 500_000_000;
/// Namespaces that are looked at, at most.
const MAX_NAMESPACES: usize = 64;

/// A controller that runs.
pub(super) struct Nvme<R> {
    registers: R,
    admin: QueuePair,
    io: QueuePair,
    /// Lists of pages, and behind them the page that the controller describes itself in.
    memory: DmaBuffer,
    ready_limit_ns: u64,
    /// Whether completions interrupt, and whether by message.
    has_interrupt: bool,
    has_message: bool,
}

impl<R: Registers> Nvme<R> {
    /// Starts a controller, without interrupts so far.
    pub(super) fn start(registers: R) -> Result<Self, Error> {
        let cap = read64(&registers, CAP);
        if cap == u64::MAX || cap & CAP_NVM == 0 || cap >> CAP_MIN_PAGE & 0xF != 0 {
            return Err(Error::BadRegisters);
        }
        if cap & CAP_ENTRIES < u64::from(ENTRIES) - 1 {
            return Err(Error::BadRegisters);
        }
        let stride_bytes = 4 << (cap >> CAP_STRIDE & 0xF);
        // A controller that says 0 gets some time all the same.
        let ready_limit_ns = (cap >> CAP_TIMEOUT & 0xFF).max(2) * HALF_SECOND_NS;
        let mut this = Self {
            registers,
            admin: QueuePair::new(0, stride_bytes)?,
            io: QueuePair::new(IO_QUEUE, stride_bytes)?,
            memory: DmaBuffer::new(2 * PAGE_BYTES)?,
            ready_limit_ns,
            has_interrupt: false,
            has_message: false,
        };
        match this.enable() {
            Ok(()) => Ok(this),
            Err(error) => {
                this.give_up();
                Err(error)
            }
        }
    }

    /// Lets go of the controller. Its memory is only freed if the controller has stopped using it.
    pub(super) fn give_up(self) {
        if self.disable().is_err() {
            core::mem::forget(self);
        }
    }

    fn disable(&self) -> Result<(), Error> {
        self.registers.write(CC, 0);
        let is_off = || self.registers.read(CSTS) & CSTS_READY == 0;
        match wait_until(self.ready_limit_ns, is_off) {
            true => Ok(()),
            false => Err(Error::ResetTimeout),
        }
    }

    /// Resets the controller and turns it on, with its admin queues.
    fn enable(&mut self) -> Result<(), Error> {
        self.disable()?;
        self.registers.write(INTMS, !0);
        self.admin.clear();
        self.io.clear();
        let last = u32::from(ENTRIES) - 1;
        self.registers.write(AQA, last | last << 16);
        for (register, address) in [ASQ, ACQ].into_iter().zip(self.admin.addresses()) {
            self.registers.write(register, address as u32);
            self.registers.write(register + 4, (address >> 32) as u32);
        }
        self.registers.write(CC, CC_ENTRY_SIZES | CC_ENABLE);
        let is_on = || self.registers.read(CSTS) & (CSTS_READY | CSTS_FATAL) == CSTS_READY;
        match wait_until(self.ready_limit_ns, is_on) {
            true => Ok(()),
            false => Err(Error::ResetTimeout),
        }
    }

    /// Makes the queues for reading and writing; `has_interrupt` says whether completions interrupt, `has_message` whether by message.
    pub(super) fn create_queues(
        &mut self,
        has_interrupt: bool,
        has_message: bool,
    ) -> Result<(), Error> {
        (self.has_interrupt, self.has_message) = (has_interrupt, has_message);
        let interrupts = if has_interrupt { QUEUE_INTERRUPTS } else { 0 };
        let size = u32::from(ENTRIES - 1) << 16 | u32::from(IO_QUEUE);
        let [commands, completions] = self.io.addresses();
        for (opcode, address, flags) in [
            (CREATE_COMPLETION_QUEUE, completions, interrupts),
            (CREATE_SUBMISSION_QUEUE, commands, u32::from(IO_QUEUE) << 16),
        ] {
            self.administer(&Command {
                opcode,
                data: [address, 0],
                words: [size, flags | QUEUE_CONTIGUOUS, 0],
                ..Command::default()
            })?;
        }
        if has_interrupt && !has_message {
            self.registers.write(INTMC, 1);
        }
        Ok(())
    }

    /// Does an admin command.
    fn administer(&mut self, command: &Command) -> Result<(), Error> {
        let Self {
            registers, admin, ..
        } = self;
        // Whoever answers with another number is not believed.
        let mut status = None;
        admin.submit(registers, 0, command);
        wait_until(ADMIN_LIMIT_NS, || {
            if let Some(completion) = admin.next_completion(registers)
                && completion.id == 0
            {
                status = Some(completion.status);
            }
            status.is_some()
        });
        match status {
            Some(0) => Ok(()),
            Some(status) => Err(Error::Refused(status)),
            None => Err(Error::NoAnswer),
        }
    }

    fn identify(&mut self, what: u32, namespace: u32) -> Result<&[u8], Error> {
        let command = Command {
            opcode: IDENTIFY,
            namespace,
            data: [self.memory.phys() + PAGE_BYTES as u64, 0],
            words: [what, 0, 0],
        };
        self.administer(&command)?;
        Ok(self.memory.bytes(PAGE_BYTES..2 * PAGE_BYTES))
    }

    /// What the controller says of itself.
    pub(super) fn identity(&mut self) -> Result<Identity, Error> {
        self.identify(IDENTIFY_CONTROLLER, 0).map(Identity::parse)
    }

    /// The namespaces that can be used, by number.
    pub(super) fn namespaces(&mut self, count: u32) -> Vec<(u32, Namespace)> {
        let told: Vec<u32> = match self.identify(IDENTIFY_NAMESPACES, 0) {
            Ok(page) => {
                let numbers = page.as_chunks().0.iter().copied().map(u32::from_le_bytes);
                numbers
                    .take_while(|number| *number != 0)
                    .take(MAX_NAMESPACES)
                    .collect()
            }
            // Older controllers have no such list.
            Err(_) => (1..=count).take(MAX_NAMESPACES).collect(),
        };
        // Each once and in order, whatever the list says.
        let mut numbers = Vec::with_capacity(told.len());
        for number in told {
            if let Err(place) = numbers.binary_search(&number) {
                numbers.insert(place, number);
            }
        }
        let mut found = Vec::new();
        for number in numbers {
            match self
                .identify(IDENTIFY_NAMESPACE, number)
                .and_then(Namespace::parse)
            {
                Ok(namespace) => found.push((number, namespace)),
                Err(Error::NoNamespace) => {}
                Err(error) => log::warn!("NVMe namespace {number} cannot be used: {error}"),
            }
        }
        found
    }

    /// The two words of a command that say where its data is: for a page its address, for two both addresses, for more the first and
    /// that of a list.
    fn pages(&self, index: u16, phys: u64, len_bytes: usize) -> [u64; 2] {
        let page = |number: usize| phys + (number * PAGE_BYTES) as u64;
        match len_bytes.div_ceil(PAGE_BYTES) {
            0 | 1 => [phys, 0],
            2 => [phys, page(1)],
            count => {
                let list = usize::from(index) * LIST_BYTES;
                for number in 1..count {
                    self.memory.write(list + (number - 1) * 8, page(number));
                }
                [phys, self.memory.phys() + list as u64]
            }
        }
    }
}

fn read64(registers: &impl Registers, offset: usize) -> u64 {
    u64::from(registers.read(offset)) | u64::from(registers.read(offset + 4)) << 32
}

impl<R: Registers> Controller for Nvme<R> {
    fn send(&mut self, index: u16, phys: u64, request: &Request) {
        let opcode = match request.kind {
            Kind::Read => READ,
            Kind::Write => WRITE,
            Kind::Flush => FLUSH,
        };
        let [low, high] = [
            request.first_sector as u32,
            (request.first_sector >> 32) as u32,
        ];
        let mut command = Command {
            opcode,
            namespace: request.target,
            ..Command::default()
        };
        if request.kind != Kind::Flush {
            command.data = self.pages(index, phys, request.len_bytes as usize);
            command.words = [low, high, request.sectors.saturating_sub(1)];
        }
        self.io.submit(&self.registers, index, &command);
    }

    fn next_answer(&mut self) -> Option<(u16, Result<(), Fault>)> {
        let completion = self.io.next_completion(&self.registers)?;
        let [error, status] = (completion.status & 0x7FF).to_le_bytes();
        let error = BlockError::Device { status, error };
        let answer = match completion.status {
            0 => Ok(()),
            status if status & STATUS_DO_NOT_RETRY != 0 => Err(Fault::Lasting(error)),
            _ => Err(Fault::Passing(error)),
        };
        Some((completion.id, answer))
    }

    fn acknowledge(&mut self) {
        // The line falls when the completions are taken.
    }

    fn needs_reset(&self) -> bool {
        false
    }

    fn can_reset(&self) -> bool {
        true
    }

    fn reset(&mut self) -> bool {
        let (has_interrupt, has_message) = (self.has_interrupt, self.has_message);
        self.enable().is_ok() && self.create_queues(has_interrupt, has_message).is_ok()
    }
}

const _: () = assert!(MAX_SLOTS as usize * LIST_BYTES <= PAGE_BYTES);
