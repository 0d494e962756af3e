//! Xen's paravirtual disks (Xen, xen/include/public/io/blkif.h), with one queue. [`requests`] has the requests on the ring.

mod requests;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::format;
use alloc::vec;

use self::requests::{MAX_REQUEST_BYTES, Requests};
use super::Name;
use super::exchange::{Exchange, Interrupt};
use super::queued::QueuedDisk;
use super::queues::Queues;
use super::slots::MAX_SLOTS;
use crate::arch::interrupts::Irq;
use crate::devices::xen::Error;
use crate::devices::xen::frontend::{Frontend, State};
use crate::devices::xen::grants::Table;
use crate::devices::xen::store::Store;
use crate::sync::SpinLock;

/// What sectors are counted in, whatever their size.
const UNIT_BYTES: usize = 512;

// What the other end says of the disk, in bits.
const IS_CDROM: u64 = 1;
const IS_READ_ONLY: u64 = 4;

/// An event channel to the other end, and the line by which it interrupts, if there is one for it alone.
struct Events {
    number: u32,
    notify: fn(channel: u32),
    irq: Option<Irq>,
}

/// Starts all disks that XenStore tells of. Call it where no other disk was found: a domain that looks like a PC has each of them twice, and
/// both are the same.
#[cfg(not(test))]
pub(super) fn discover(disks: &mut alloc::vec::Vec<alloc::sync::Arc<dyn super::BlockDriver>>) {
    use crate::arch::x86_64::xen;
    use crate::devices::xen::{events, grants, store};

    if !xen::is_there() {
        return;
    }
    let open = |domain| {
        let number = xen::allocate_channel(domain).ok_or(Error::Events)?;
        let upcall = events::attach(number)?;
        Ok(Events {
            number,
            notify: xen::notify,
            irq: upcall.share(),
        })
    };
    store::with(|store| {
        for front in Frontend::find(store, "vbd") {
            match start(store, &front, grants::table(), open) {
                Ok(disk) => disks.extend(disk.map(|disk| alloc::sync::Arc::new(disk) as _)),
                Err(error) => log::error!("{} did not start: {error}", front.name()),
            }
        }
    });
}

/// Starts a disk; none if it is a drive for CDs.
fn start(
    store: &mut Store,
    front: &Frontend,
    table: &'static SpinLock<Table>,
    open: impl FnOnce(u16) -> Result<Events, Error>,
) -> Result<Option<QueuedDisk>, Error> {
    front.watch(store)?;
    front.await_backend(store, State::InitWait)?;
    let Events {
        number,
        notify,
        irq,
    } = open(front.domain)?;
    let mut requests = Requests::new(table, front.domain, notify, number)?;
    front.say(store, "ring-ref", requests.reference())?;
    front.say(store, "event-channel", number)?;
    front.say(store, "protocol", "x86_64-abi")?;
    front.enter(store, State::Initialised)?;
    front.await_backend(store, State::Connected)?;
    let info = front.told(store, "info")?;
    // Counted in 512 bytes, whatever a sector has.
    let units = front.told(store, "sectors")?;
    let sector_len_bytes = front.told(store, "sector-size")?;
    let sector_len_bytes = usize::try_from(sector_len_bytes).unwrap_or(usize::MAX);
    if !matches!(sector_len_bytes, 512 | 1024 | 2048 | 4096) {
        return Err(Error::Nonsense);
    }
    let sector_count = units / (sector_len_bytes / UNIT_BYTES) as u64;
    let has_flush = front.has(store, "feature-flush-cache");
    let has_barrier = front.has(store, "feature-barrier");
    requests.describe(sector_len_bytes / UNIT_BYTES, !has_flush && has_barrier);
    let is_read_only = info & IS_READ_ONLY != 0
        || front
            .told_text(store, "mode")
            .is_ok_and(|mode| mode.starts_with('r'));
    front.enter(store, State::Connected)?;
    if info & IS_CDROM != 0 {
        return Ok(None);
    }
    let exchange = Exchange::new(Box::new(requests), MAX_SLOTS, irq.is_some())?;
    let interrupt = irq.map(|irq| Interrupt::register(irq, vec![exchange]));
    Ok(Some(QueuedDisk {
        name: Name::Told(format!("xen-blkfront {}", front.name())),
        sector_len_bytes,
        sector_count,
        is_read_only,
        has_flush: has_flush || has_barrier,
        max_bytes: MAX_REQUEST_BYTES,
        target: 0,
        queues: Queues::one(exchange, interrupt),
    }))
}
