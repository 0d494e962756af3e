//! Waiting for a controller: a thread sends its request and sleeps until the device interrupts.
//!
//! A [`Controller`] is what a driver is here: it sends and has answers. Without an interrupt the thread looks again and again, and lets other
//! threads run in between. Either way it waits for a time only; then the controller is reset, and one that does not come back is left
//! alone for ever.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use super::BlockError;
use super::slots::{Fault, Slot, Slots};
use crate::arch::clock;
use crate::arch::interrupts::Irq;
use crate::arch::x86_64::core_local;
use crate::memory::OutOfMemory;
use crate::scheduler::{self, Service, WaitQueue};
use crate::sync::{SpinGuard, SpinLock};

/// How long the device may take for an answer.
const ANSWER_LIMIT_NS: u64 = 30_000_000_000;
/// Sleep at most this long: should an interrupt get lost, the device is looked at all the same.
const MAX_REST_NS: u64 = 100_000_000;
/// Answers that are taken in a row at most: more than there can be, but a device may have others.
const MAX_ANSWERS: usize = 64;

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub(crate) enum Kind {
    Read,
    Write,
    Flush,
}

/// What is sent to a controller; the range is on the disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// What for.
    pub(crate) kind: Kind,
    /// Which of the controller's disks, in the driver's own words.
    pub(crate) target: u32,
    /// The first sector; 0 for a flush.
    pub(crate) first_sector: u64,
    /// How many sectors; 0 for a flush.
    pub(crate) sectors: u32,
    /// How many bytes; 0 for a flush.
    pub(crate) len_bytes: u32,
}

/// The device's side, as a driver shows it. Nothing here may wait, [`Controller::reset`] excepted.
pub(crate) trait Controller: Send {
    /// Gives the request of slot `index` to the device, with its buffer at `phys`.
    fn send(&mut self, index: u16, phys: u64, request: &Request);

    /// The next answer: the slot's number, which need not be one, and what became of the request.
    fn next_answer(&mut self) -> Option<(u16, Result<(), Fault>)>;

    /// Takes the cause of an interrupt away.
    fn acknowledge(&mut self);

    /// Whether the device does nothing any more before it is reset.
    fn needs_reset(&self) -> bool {
        false
    }

    /// Whether [`Controller::reset`] does something.
    fn can_reset(&self) -> bool {
        false
    }

    /// Makes the device work again, without any of the requests that it had. `false` when it does not.
    fn reset(&mut self) -> bool {
        false
    }
}

struct State {
    /// Away while it is reset.
    controller: Option<Box<dyn Controller>>,
    slots: Slots,
    /// It did not come back from a reset.
    is_dead: bool,
}

impl State {
    /// Takes the device's answers; whether there were any.
    fn collect(&mut self) -> bool {
        let Some(controller) = &mut self.controller else {
            return false;
        };
        let mut had_answers = false;
        for _ in 0..MAX_ANSWERS {
            let Some((index, answer)) = controller.next_answer() else {
                break;
            };
            self.slots.answer(index, answer);
            had_answers = true;
        }
        had_answers
    }
}

/// A controller's requests, and who waits for what.
pub(crate) struct Exchange {
    has_interrupt: bool,
    state: SpinLock<State>,
    /// Threads with requests.
    answered: WaitQueue,
    /// Threads without slots.
    room: WaitQueue,
}

impl Exchange {
    /// With a controller that runs, for so many requests at once. It stays for ever, as the device uses its memory.
    ///
    /// # Errors
    /// When there is no memory for a request.
    pub(crate) fn new(
        controller: Box<dyn Controller>,
        slots: u16,
        has_interrupt: bool,
    ) -> Result<&'static Self, OutOfMemory> {
        match Slots::new(slots) {
            Ok(slots) => Ok(Self::with_slots(controller, slots, has_interrupt)),
            Err(error) => {
                Box::leak(controller);
                Err(error)
            }
        }
    }

    /// The same for a further queue of a disk: it takes no memory for requests before the first one.
    pub(crate) fn further(
        controller: Box<dyn Controller>,
        slots: u16,
        has_interrupt: bool,
    ) -> &'static Self {
        Self::with_slots(controller, Slots::empty(slots), has_interrupt)
    }

    fn with_slots(
        controller: Box<dyn Controller>,
        slots: Slots,
        has_interrupt: bool,
    ) -> &'static Self {
        Box::leak(Box::new(Self {
            has_interrupt,
            state: SpinLock::new(State {
                controller: Some(controller),
                slots,
                is_dead: false,
            }),
            answered: WaitQueue::new(),
            room: WaitQueue::new(),
        }))
    }

    /// Waits for a slot. None where there are none, and no memory to make one.
    ///
    /// # Errors
    /// [`BlockError::Timeout`] when no request ends, [`BlockError::Gone`].
    pub(crate) fn take_slot(&self) -> Result<Option<Slot>, BlockError> {
        let deadline_ns = clock::now_ns().saturating_add(ANSWER_LIMIT_NS);
        let mut state = self.state.lock();
        loop {
            if state.is_dead {
                return Err(BlockError::Gone);
            }
            let slot = state.slots.take();
            if slot.is_some() || !state.slots.has_any() {
                return Ok(slot);
            }
            if clock::now_ns() >= deadline_ns {
                return Err(BlockError::Timeout);
            }
            // A request that was given up frees its slot when the answer comes, which nobody may be waiting for.
            let rest_end = clock::now_ns().saturating_add(MAX_REST_NS);
            (state, _) = self.room.wait(state, Some(rest_end));
            if state.collect() {
                self.answered.wake_all();
            }
        }
    }

    /// Gives a slot back.
    pub(crate) fn give_back(&self, slot: Slot) {
        self.state.lock().slots.give_back(slot);
        self.room.wake_one();
    }

    /// Sends a request and waits for the answer. The slot comes back only with a good one; else it is taken care of.
    ///
    /// # Errors
    /// What the device says; [`BlockError::Timeout`] when it says nothing.
    pub(crate) fn execute(&self, slot: Slot, request: &Request) -> Result<Slot, Fault> {
        let deadline_ns = clock::now_ns().saturating_add(ANSWER_LIMIT_NS);
        let mut is_sent = false;
        let mut state = self.state.lock();
        loop {
            if state.collect() {
                self.answered.wake_all();
            }
            if is_sent && let Some(answer) = state.slots.take_answer(&slot) {
                drop(state);
                return self.finish(slot, answer);
            }
            let is_late = clock::now_ns() >= deadline_ns;
            let State {
                controller,
                slots,
                is_dead,
            } = &mut *state;
            match controller {
                None if *is_dead => {
                    drop(state);
                    return self.finish(slot, Err(Fault::Lasting(BlockError::Gone)));
                }
                // Somebody resets it, which has an end.
                None => {}
                Some(controller) if controller.needs_reset() => {
                    state = self.reset(state);
                    continue;
                }
                Some(controller) if !is_sent => {
                    slots.set_sent(&slot);
                    controller.send(slot.index(), slot.phys(), request);
                    is_sent = true;
                    continue;
                }
                Some(controller) if is_late => {
                    let timeout = Fault::Lasting(BlockError::Timeout);
                    if !controller.can_reset() {
                        slots.abandon(slot);
                        return Err(timeout);
                    }
                    log::warn!("a disk does not answer; it is reset");
                    let mut state = self.reset(state);
                    state.slots.take_answer(&slot);
                    drop(state);
                    return self.finish(slot, Err(timeout));
                }
                Some(_) => {}
            }
            state = self.rest(state);
        }
    }

    fn finish(&self, slot: Slot, answer: Result<(), Fault>) -> Result<Slot, Fault> {
        match answer {
            Ok(()) => Ok(slot),
            Err(fault) => {
                self.give_back(slot);
                Err(fault)
            }
        }
    }

    /// Lets time pass until there may be news.
    fn rest<'a>(&'a self, state: SpinGuard<'a, State>) -> SpinGuard<'a, State> {
        if self.has_interrupt {
            let rest_end = clock::now_ns().saturating_add(MAX_REST_NS);
            return self.answered.wait(state, Some(rest_end)).0;
        }
        drop(state);
        scheduler::yield_now();
        self.state.lock()
    }

    /// Resets the controller, which is taken out meanwhile, as that takes a while.
    fn reset<'a>(&'a self, mut state: SpinGuard<'a, State>) -> SpinGuard<'a, State> {
        let Some(mut controller) = state.controller.take() else {
            return state;
        };
        drop(state);
        let is_alive = controller.reset();
        let mut state = self.state.lock();
        if is_alive {
            state.controller = Some(controller);
            state.slots.answer_all(Err(Fault::Aborted));
        } else {
            // Its memory stays: who knows what the device still does.
            Box::leak(controller);
            state.is_dead = true;
            state
                .slots
                .answer_all(Err(Fault::Lasting(BlockError::Gone)));
        }
        self.answered.wake_all();
        self.room.wake_all();
        state
    }

    fn on_interrupt(&self) {
        let mut state = self.state.lock();
        if let Some(controller) = &mut state.controller {
            controller.acknowledge();
        }
        let has_news = state.controller.as_ref().is_none_or(|c| c.needs_reset());
        if state.collect() || has_news {
            self.answered.wake_all();
        }
    }
}

/// An interrupt, and the exchanges that it may be for.
pub(crate) struct Interrupt {
    irq: Irq,
    exchanges: Vec<&'static Exchange>,
    /// The core that it was claimed for.
    core: usize,
    has_server: AtomicBool,
}

impl Interrupt {
    /// Has this core serve it from now on.
    pub(crate) fn register(irq: Irq, exchanges: Vec<&'static Exchange>) -> &'static Self {
        let this = Self::of_first_user(irq, exchanges, scheduler::current_core());
        this.adopt();
        this
    }

    /// Has the core serve it that first calls [`Interrupt::adopt`]; until then the line interrupts `core`.
    pub(crate) fn of_first_user(
        irq: Irq,
        exchanges: Vec<&'static Exchange>,
        core: usize,
    ) -> &'static Self {
        Box::leak(Box::new(Self {
            irq,
            exchanges,
            core,
            has_server: AtomicBool::new(false),
        }))
    }

    /// Before something is asked for: has this core serve it from now on, if none does.
    pub(crate) fn adopt(&'static self) {
        if !self.has_server.load(Ordering::Relaxed) && self.take_over() {
            scheduler::register_interrupt(self.irq, self);
            // Of cores that share a queue another one may be the first.
            if scheduler::current_core() != self.core {
                self.irq.move_to(core_local::current());
            }
        }
    }

    /// Whoever calls this sees to it that a core serves it; whether none did so far.
    pub(crate) fn take_over(&self) -> bool {
        !self.has_server.swap(true, Ordering::Relaxed)
    }

    /// The line.
    pub(crate) fn irq(&self) -> Irq {
        self.irq
    }
}

impl Service for Interrupt {
    fn serve(&self) {
        if !self.irq.take_pending() {
            return;
        }
        for exchange in &self.exchanges {
            exchange.on_interrupt();
        }
        self.irq.done();
    }
}
