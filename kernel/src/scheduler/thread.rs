//! A thread: its stack, its thread-local storage, its state.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::{Cell, UnsafeCell};
use core::ffi::c_void;
use core::mem::ManuallyDrop;
use core::ptr::null;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::wait::{WaitOutcome, WaitQueue};
use crate::arch::x86_64::{context, core_local};
use crate::image;
use crate::memory::areas::{self, Access};
use crate::memory::frames::{self, FRAME_BYTES, Stock};
use crate::memory::{OutOfMemory, heap, paging};
use crate::sync::{OnceCell, SpinLock};

/// Stacks are at least this large: what the program asks for, and room for the kernel, which runs on the same stack.
pub(super) const KERNEL_STACK_BYTES: usize = 64 * 1024;
/// Pages of a new thread's stack that are there from the beginning.
const TOP_PAGES: usize = 3;
/// When less than this part of the memory is free no thread gets a new stack.
const RESERVED_PART: usize = 8;
/// Of a stack that is kept for new threads, so much keeps its memory.
const KEPT_STACK_BYTES: usize = 64 * 1024;

/// Threads that ended leave at most this many stacks for new ones: one for each MiB of memory, within bounds.
fn max_kept_stacks() -> usize {
    (frames::usage().1 >> 20).clamp(16, 256)
}

/// What a thread is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum State {
    /// In the run queue, or running.
    Ready,
    /// Waiting to be woken.
    Blocked,
    /// Ended.
    Ended,
}

/// What a blocked thread waits for. Kept for reports, and to tell whether anything but another thread can wake it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiting {
    /// Something that can come from outside: a device, a peer, the console, a signal. Also what nobody has described. Services wake only
    /// threads that wait for this.
    Outside,
    /// A word in memory at this address, by which std's locks, condition variables, channels and parking wait.
    Futex(usize),
    /// The end of the thread of this number.
    Join(u32),
    /// A message, or room for one.
    Message,
    /// Nothing: it parked for good.
    Nothing,
    /// Work that another thread brings: it is a thread of the kernel's own, such as each core has one.
    Idle,
}

/// What others asked of a thread, and what it said of itself: bits of [`Thread::marks`].
pub(super) mod mark {
    /// It shall not run.
    pub(in crate::scheduler) const SUSPENDED: u8 = 1;
    /// It is ready, but was taken out of the run queue because it is suspended.
    pub(in crate::scheduler) const HELD: u8 = 2;
    /// It gave its core away as one that only polls.
    pub(in crate::scheduler) const POLLING: u8 = 4;
    /// It shall end.
    pub(in crate::scheduler) const KILLED: u8 = 8;
    /// It waits in a way that [`KILLED`] ends.
    pub(in crate::scheduler) const KILLABLE: u8 = 16;
    /// It is there only so that its core has one.
    pub(in crate::scheduler) const IDLE: u8 = 32;
}

/// The thread control block, which `fs` leads to (System V ABI, x86-64 TLS variant II); thread-local storage lies below it.
#[repr(C)]
pub struct ControlBlock {
    /// Address of the block itself, which compilers read at `fs:0`.
    myself: usize,
    /// The thread.
    thread: *const Thread,
    /// `errno`.
    pub errno: Cell<i32>,
    unused: [usize; 2],
    /// What compilers with stack protectors compare (`fs:0x28`).
    canary: u64,
    unused2: [usize; 2],
}

/// A thread.
pub struct Thread {
    id: u32,
    core: usize,
    pub(super) context: Cell<usize>,
    pub(super) next: Cell<*const Thread>,
    state: AtomicU8,
    pub(super) marks: AtomicU8,
    /// Written by the thread itself before it blocks.
    pub(super) waiting: Cell<Waiting>,
    /// Neighbours in the list of all threads, under its lock.
    pub(super) listed: Cell<(*const Thread, *const Thread)>,
    /// The core for the next thread that this one starts, if it chose one. Used by the thread alone.
    pub next_core: Cell<Option<usize>>,
    pub(super) timer_slot: Cell<usize>,
    stack: Stack,
    storage: Storage,
    name: SpinLock<Name>,
    /// The result, when the thread has ended.
    end: SpinLock<Option<usize>>,
    ended: WaitQueue,
    /// Values of keys (`pthread_setspecific`), each with how often its key had been made, of the thread alone.
    pub specific: UnsafeCell<Vec<(usize, u32)>>,
    /// What C's functions for signals keep.
    pub signals: Signals,
    /// Destructors of the thread's thread-locals and their objects, of the thread alone.
    pub destructors: UnsafeCell<Vec<(Destructor, usize)>>,
}

/// Signals of a thread, one bit each, bit 0 is signal 1: as `abi` has them.
pub struct Signals {
    /// Those that are not delivered for the time being. New threads begin with those of their creator.
    pub blocked: AtomicU64,
    /// Those that wait until they are not blocked.
    pub pending: AtomicU64,
    /// Start and length of the stack for handlers that the thread asked for.
    pub alternate_stack: SpinLock<(usize, usize)>,
    /// What the thread said about being cancelled: bit 0 not at all, bit 1 at any time.
    pub cancellation: AtomicU8,
}

impl Signals {
    /// Those of a new thread.
    fn inherited() -> Self {
        let blocked = if core_local::has_thread() {
            current().signals.blocked.load(Ordering::Relaxed)
        } else {
            0
        };
        Self {
            blocked: AtomicU64::new(blocked),
            pending: AtomicU64::new(0),
            alternate_stack: SpinLock::new((0, 0)),
            cancellation: AtomicU8::new(0),
        }
    }
}

/// Destructor of a thread-local, as C has it.
pub type Destructor = unsafe extern "C" fn(*mut c_void);

// SAFETY: `context`, `next` and `timer_slot` are used by the thread's core alone, `specific`, `destructors` and `next_core` by the thread
// alone, `listed` under the lock of the list; `waiting` is written by the thread and read by others when all cores halt. The rest is
// atomic, locked or constant.
unsafe impl Send for Thread {}
// SAFETY: as for `Send`.
unsafe impl Sync for Thread {}

/// A thread's name, as long as Linux lets it be.
#[derive(Clone, Copy, Default)]
pub struct Name {
    bytes: [u8; 15],
    len: u8,
    /// It is that of the thread which started this one.
    is_inherited: bool,
}

impl Name {
    /// The first 15 bytes of `name`.
    pub fn new(name: &[u8]) -> Self {
        let mut this = Self::default();
        for (slot, &byte) in this.bytes.iter_mut().zip(name) {
            *slot = byte;
            this.len += 1;
        }
        this
    }

    /// The name for a thread that nobody has named: its creator's, as on Linux.
    pub fn inherited(mut self) -> Self {
        self.is_inherited = true;
        self
    }

    /// The name in reports: std's word for threads that nobody has named.
    pub fn shown(&self) -> &str {
        match self.is_inherited {
            true => "<unknown>",
            false => core::str::from_utf8(self.as_bytes()).unwrap_or("?"),
        }
    }

    /// The name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

pub(super) struct Stack {
    start: usize,
    len_bytes: usize,
}

static KEPT_STACKS: SpinLock<Vec<Stack>> = SpinLock::new(Vec::new());

impl Stack {
    /// A stack of `len_bytes` bytes and the kernel's share, whose end has memory.
    pub(super) fn new(len_bytes: usize) -> Result<Self, OutOfMemory> {
        let len_bytes = len_bytes
            .checked_add(KERNEL_STACK_BYTES)
            .and_then(|l| l.checked_next_multiple_of(4096))
            .ok_or(OutOfMemory)?;
        let kept = {
            let mut kept = KEPT_STACKS.lock();
            kept.iter()
                .rposition(|s| s.len_bytes == len_bytes)
                .map(|index| kept.swap_remove(index))
        };
        if let Some(stack) = kept {
            return Ok(stack);
        }
        let stack = Self {
            start: areas::create(len_bytes, Access::ReadWrite)?,
            len_bytes,
        };
        stack.fill_top()?;
        Ok(stack)
    }

    /// Gives a new stack the frames that its thread begins on: what the thread cannot get later it has nobody to tell. A machine that is
    /// short of memory keeps the rest for the threads that run.
    fn fill_top(&self) -> Result<(), OutOfMemory> {
        let (free_bytes, all_bytes) = frames::usage();
        if free_bytes < all_bytes / RESERVED_PART {
            return Err(OutOfMemory);
        }
        for page in 1..=TOP_PAGES {
            let address = self.end() - page * 4096;
            if areas::on_page_fault(Stock::Common, address, true, false) != areas::Fault::Mapped {
                return Err(OutOfMemory);
            }
        }
        Ok(())
    }

    pub(super) fn end(&self) -> usize {
        self.start + self.len_bytes
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let below = self.len_bytes - KEPT_STACK_BYTES;
        // A stack is touched page by page, from its end: so this page says whether more was.
        let first_below = self.start + below;
        if paging::has_frames(first_below - FRAME_BYTES, first_below) {
            // SAFETY: the stack's thread has ended and runs no more.
            unsafe { areas::discard(self.start, below) };
        }
        let max = max_kept_stacks();
        let mut kept = KEPT_STACKS.lock();
        kept.push(Stack {
            start: self.start,
            len_bytes: self.len_bytes,
        });
        if kept.len() <= max {
            return;
        }
        // Half of them go at once: all cores must forget where they were, which takes as long for many as for one.
        let surplus: Vec<_> = kept.drain(..max / 2).map(ManuallyDrop::new).collect();
        drop(kept);
        let ranges: Vec<_> = surplus
            .iter()
            .map(|stack| (stack.start, stack.len_bytes))
            .collect();
        // SAFETY: the stacks' threads have ended and run no more.
        unsafe { areas::remove(&ranges) };
    }
}

/// Thread-local storage and control block, in one allocation.
struct Storage {
    allocation: *mut u8,
    block: *mut ControlBlock,
}

impl Storage {
    fn new() -> Result<Self, OutOfMemory> {
        let (template, len_bytes, template_align) = image::tls_template();
        // Where the template begins below the block is what the linker has put into the code, whatever the block's own alignment.
        let offset = len_bytes.next_multiple_of(template_align);
        let align = template_align.max(align_of::<ControlBlock>()).max(16);
        let below = offset.next_multiple_of(align);
        let allocation = heap::allocate(below + size_of::<ControlBlock>(), align);
        if allocation.is_null() {
            return Err(OutOfMemory);
        }
        // SAFETY: the allocation holds `below` bytes and a block.
        unsafe {
            allocation.write_bytes(0, below);
            allocation
                .add(below - offset)
                .copy_from_nonoverlapping(template.as_ptr(), template.len());
            let block = allocation.add(below).cast::<ControlBlock>();
            block.write(ControlBlock {
                myself: block as usize,
                thread: null(),
                errno: Cell::new(0),
                unused: [0; 2],
                canary: canary(),
                unused2: [0; 2],
            });
            Ok(Self { allocation, block })
        }
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        // SAFETY: allocated in `new`; the thread has ended.
        unsafe { heap::free(self.allocation) };
    }
}

/// What stack protectors compare: a secret of the whole program, as with other C libraries. Its lowest byte ends strings.
fn canary() -> u64 {
    static CANARY: OnceCell<u64> = OnceCell::new();
    if let Some(&canary) = CANARY.get() {
        return canary;
    }
    let canary = crate::arch::entropy::hardware_or_random_u64() & !0xFF;
    // The first thread starts alone, before there are others to be given one.
    CANARY.set(canary).copied().unwrap_or(canary)
}

static NEXT_ID: AtomicU32 = AtomicU32::new(1);

impl Thread {
    /// Makes a thread that will call `function(argument)` on a core, on a stack of at least `stack_bytes` bytes.
    ///
    /// # Errors
    /// When there is no memory for stack or thread-local storage.
    pub(super) fn new(
        core: usize,
        function: extern "C" fn(usize) -> !,
        argument: usize,
        stack_bytes: usize,
        name: Name,
    ) -> Result<Arc<Self>, OutOfMemory> {
        let stack = Stack::new(stack_bytes)?;
        let storage = Storage::new()?;
        // SAFETY: the stack is new and its end is page aligned.
        let context = unsafe { context::prepare(stack.end(), function, argument) };
        let thread = Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            core,
            context: Cell::new(context),
            next: Cell::new(null()),
            state: AtomicU8::new(State::Blocked as u8),
            marks: AtomicU8::new(0),
            waiting: Cell::new(Waiting::Outside),
            listed: Cell::new((null(), null())),
            next_core: Cell::new(None),
            timer_slot: Cell::new(usize::MAX),
            stack,
            storage,
            name: SpinLock::new(name),
            end: SpinLock::new(None),
            ended: WaitQueue::new(),
            specific: UnsafeCell::new(Vec::new()),
            signals: Signals::inherited(),
            destructors: UnsafeCell::new(Vec::new()),
        });
        // SAFETY: the block is the thread's own, and nobody else has it yet.
        unsafe { (*thread.storage.block).thread = Arc::as_ptr(&thread) };
        Ok(thread)
    }

    /// Number of the thread; the main thread has 1.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whether the thread is the program's first, whose end is the program's.
    pub fn is_main(&self) -> bool {
        self.id == 1
    }

    /// The core where the thread runs.
    pub fn core(&self) -> usize {
        self.core
    }

    /// The name.
    pub fn name(&self) -> Name {
        *self.name.lock()
    }

    /// Its name, unless somebody is reading or writing it: for who has interrupted that.
    pub fn name_unless_taken(&self) -> Option<Name> {
        self.name.try_lock().map(|name| *name)
    }

    /// Sets the name.
    pub fn set_name(&self, name: Name) {
        *self.name.lock() = name;
    }

    /// First address and length in bytes of the stack, without the kernel's share.
    pub fn stack(&self) -> (usize, usize) {
        (self.stack.start, self.stack.len_bytes)
    }

    pub(super) fn thread_pointer(&self) -> usize {
        self.storage.block as usize
    }

    /// Whether the thread does nothing, but is the first of its core.
    pub fn is_idle(&self) -> bool {
        self.marks.load(Ordering::Relaxed) & mark::IDLE != 0
    }

    /// Whether the thread has ended.
    pub fn has_ended(&self) -> bool {
        self.state.load(Ordering::Acquire) == State::Ended as u8
    }

    /// Whether the thread waits for something.
    pub fn is_blocked(&self) -> bool {
        self.state.load(Ordering::Acquire) == State::Blocked as u8
    }

    /// What the thread waits for, or waited for last. Meaningful while its core halts.
    pub fn waiting(&self) -> Waiting {
        self.waiting.get()
    }

    pub(super) fn set_state(&self, state: State) {
        self.state.store(state as u8, Ordering::Release);
    }

    /// Turns a blocked thread into a ready one; whether this call did it.
    pub(super) fn make_ready(&self) -> bool {
        self.state
            .compare_exchange(
                State::Blocked as u8,
                State::Ready as u8,
                Ordering::AcqRel,
                Ordering::Acquire,
            )
            .is_ok()
    }

    /// Notes the thread's result and wakes who waits for its end.
    pub(super) fn finish(&self, result: usize) {
        *self.end.lock() = Some(result);
        self.ended.wake_all();
    }

    /// Waits until the thread has ended, or the time `deadline_ns` since boot; whether it has ended.
    pub fn ends_until(&self, deadline_ns: u64) -> bool {
        let mut end = self.end.lock();
        loop {
            if end.is_some() {
                return true;
            }
            let outcome;
            (end, outcome) = self
                .ended
                .wait_for(Waiting::Join(self.id), end, Some(deadline_ns));
            if outcome == WaitOutcome::TimedOut {
                return end.is_some();
            }
        }
    }

    /// Waits until the thread has ended, for its result.
    pub fn join(&self) -> usize {
        let mut end = self.end.lock();
        loop {
            if let Some(result) = *end {
                return result;
            }
            (end, _) = self.ended.wait_for(Waiting::Join(self.id), end, None);
        }
    }
}

/// The running thread's control block.
pub fn control_block() -> *const ControlBlock {
    core_local::thread_pointer() as *const ControlBlock
}

/// The running thread.
#[inline]
pub fn current() -> &'static Thread {
    // SAFETY: `fs` leads to the running thread's block, and a thread lives at least as long as it runs. The reference is not kept
    // beyond that: callers use it on the thread itself.
    unsafe { &*(*control_block()).thread }
}

/// A counted reference to the running thread.
pub fn current_arc() -> Arc<Thread> {
    let thread: *const Thread = current();
    // SAFETY: threads are only made by `Thread::new`, in an `Arc`, which the scheduler holds while the thread runs.
    unsafe {
        Arc::increment_strong_count(thread);
        Arc::from_raw(thread)
    }
}
