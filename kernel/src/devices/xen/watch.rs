//! What changes in XenStore while the program runs: a thread that otherwise sleeps looks at all that somebody wants looked at.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use super::events;
use super::store::{self, Store};
use crate::arch::clock;
use crate::arch::interrupts::Irq;
use crate::scheduler::{self, Name, Service, WaitQueue};
use crate::sync::SpinLock;

const STACK_BYTES: usize = 64 << 10;
/// Should an event get lost, or Xen tell of none, the store is looked at all the same.
const MAX_REST_NS: u64 = 10_000_000;

/// Looks at something, after any change of what is watched.
type Look = Box<dyn FnMut(&mut Store) + Send>;

/// The store has told of something since somebody rested.
static HAS_RUNG: SpinLock<bool> = SpinLock::new(false);
static RINGS: WaitQueue = WaitQueue::new();

static LOOKS: SpinLock<Vec<Look>> = SpinLock::new(Vec::new());
static HAS_NEWS: SpinLock<bool> = SpinLock::new(false);
/// Somebody has not looked at all yet.
static HAS_NEW_LOOK: AtomicBool = AtomicBool::new(false);
static NEWS: WaitQueue = WaitQueue::new();

/// The store's events.
struct Events(Irq);

impl Service for Events {
    fn serve(&self) {
        if self.0.take_pending() {
            *HAS_RUNG.lock() = true;
            RINGS.wake_one();
            wake();
        }
    }
}

/// Waits for the store's next event, for a moment. One thread at a time does, as it has the store for itself.
pub(super) fn rest() {
    let mut has_rung = HAS_RUNG.lock();
    if !*has_rung {
        let end_ns = clock::now_ns().saturating_add(MAX_REST_NS);
        (has_rung, _) = RINGS.wait(has_rung, Some(end_ns));
    }
    *has_rung = false;
}

/// Has the thread see whether there are changes.
pub(super) fn wake() {
    *HAS_NEWS.lock() = true;
    NEWS.wake_one();
}

/// Has `look` called, on a thread of its own, now and after every change of what the store watches.
pub(crate) fn add(look: impl FnMut(&mut Store) + Send + 'static) {
    static IS_STARTED: SpinLock<bool> = SpinLock::new(false);
    LOOKS.lock().push(Box::new(look));
    HAS_NEW_LOOK.store(true, Ordering::Relaxed);
    wake();
    if core::mem::replace(&mut *IS_STARTED.lock(), true) {
        return;
    }
    let irq = store::channel()
        .and_then(|channel| events::attach(channel).ok())
        .and_then(|upcall| upcall.share());
    match irq {
        Some(irq) => scheduler::register_interrupt(irq, Box::leak(Box::new(Events(irq)))),
        None => log::warn!("Xen does not tell of changes in XenStore"),
    }
    if scheduler::spawn(run, 0, STACK_BYTES, Name::new(b"xenstore")).is_err() {
        log::warn!("no memory for a thread that looks at XenStore");
    }
}

extern "C" fn run(_: usize) -> ! {
    scheduler::begin();
    let mut seen = 0;
    loop {
        {
            let mut has_news = HAS_NEWS.lock();
            while !core::mem::take(&mut *has_news) {
                (has_news, _) = NEWS.wait(has_news, None);
            }
        }
        let is_well = store::with(|store| {
            store.listen()?;
            // Each answer is announced, too: who looked at every announcement would ask, and so look, for ever.
            let has_new = HAS_NEW_LOOK.swap(false, Ordering::Relaxed);
            if store.changes() == seen && !has_new {
                return Ok(());
            }
            seen = store.changes();
            // Out of their place, as they wait for answers; others may be added meanwhile.
            let mut looks = core::mem::take(&mut *LOOKS.lock());
            for look in &mut looks {
                look(store);
            }
            let mut all = LOOKS.lock();
            looks.append(&mut all);
            *all = looks;
            Ok::<_, store::Error>(())
        });
        if let Some(Err(error)) = is_well {
            log::error!("{error}: it is heard no more");
            scheduler::exit(0)
        }
    }
}
