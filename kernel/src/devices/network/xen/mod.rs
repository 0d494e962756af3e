//! Xen's paravirtual network card (Xen, xen/include/public/io/netif.h), with one queue in each direction.
//!
//! [`receive`] and [`transmit`] are the rings. Their buffers are lent to the other end for ever: it copies frames into and out of them.

mod receive;
#[cfg(test)]
mod tests;
mod transmit;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use self::receive::ReceiveRing;
use self::transmit::TransmitRing;
use super::{LinkState, Medium, NetworkDevice, is_usable};
use crate::arch::interrupts::Irq;
use crate::devices::xen::Error;
use crate::devices::xen::frontend::{Backend, Frontend, State};
use crate::devices::xen::grants::Table;
use crate::devices::xen::store::Store;
use crate::sync::SpinLock;

const DRIVER: &str = "xen-netfront";
/// Largest IP packet: that of Ethernet.
const MTU: usize = 1500;

/// What both halves and who watches the other end know.
struct Channel {
    number: u32,
    notify: fn(channel: u32),
    /// The other end has ended: it is told of nothing any more.
    is_over: AtomicBool,
}

impl Channel {
    fn notify(&self) {
        if !self.is_over.load(Ordering::Relaxed) {
            (self.notify)(self.number);
        }
    }
}

/// An event channel to the other end, and the line by which it interrupts.
struct Events {
    number: u32,
    notify: fn(channel: u32),
    irq: Option<Irq>,
}

/// Starts all cards that XenStore tells of. Call it where no other card was found: a domain that looks like a PC has each of them twice,
/// and both are the same.
#[cfg(not(test))]
pub(super) fn discover(found: &mut Vec<NetworkDevice>) {
    use crate::arch::x86_64::xen;
    use crate::devices::xen::{events, grants, store, watch};

    if !xen::is_there() {
        return;
    }
    let open = |domain| {
        let number = xen::allocate_channel(domain).ok_or(Error::Events)?;
        let upcall = events::attach(number)?;
        Ok(Events {
            number,
            notify: xen::notify,
            irq: Some(upcall.irq()),
        })
    };
    store::with(|store| {
        for front in Frontend::find(store, "vif") {
            let started = start(store, &front, grants::table(), open);
            let started = started.map(|(device, mut watcher)| {
                watch::add(move |store| watcher.look(store));
                device
            });
            super::keep(front.name(), started, found);
        }
    });
}

/// Starts a card.
fn start(
    store: &mut Store,
    front: &Frontend,
    table: &SpinLock<Table>,
    open: impl FnOnce(u16) -> Result<Events, Error>,
) -> Result<(NetworkDevice, Watcher), Error> {
    front.watch(store)?;
    front.await_backend(store, State::InitWait)?;
    let mac = front.own(store, "mac")?;
    let mac = parse_mac(&mac).filter(|mac| is_usable(*mac));
    let mac = mac.ok_or(Error::Nonsense)?;
    // IPv4 it can unless it says that it cannot.
    let has_checksum_offload = !front.has(store, "feature-no-csum-offload")
        && front.has(store, "feature-ipv6-csum-offload");
    let has_segmentation = has_checksum_offload
        && ["feature-sg", "feature-gso-tcpv4", "feature-gso-tcpv6"]
            .iter()
            .all(|feature| front.has(store, feature));
    let Events {
        number,
        notify,
        irq,
    } = open(front.domain)?;
    let channel = Arc::new(Channel {
        number,
        notify,
        is_over: AtomicBool::new(false),
    });
    let transmitter = TransmitRing::new(channel.clone(), table, front.domain, has_segmentation)?;
    let receiver = ReceiveRing::new(channel.clone(), table, front.domain, irq)?;
    front.say(store, "tx-ring-ref", transmitter.reference())?;
    front.say(store, "rx-ring-ref", receiver.reference())?;
    front.say(store, "event-channel", number)?;
    for feature in [
        "request-rx-copy",
        // New buffers are told of.
        "feature-rx-notify",
        // Checksums may be blank: what has not left the host nothing can have damaged.
        "feature-ipv6-csum-offload",
    ] {
        front.say(store, feature, 1)?;
    }
    front.enter(store, State::Connected)?;
    // What is sent before is lost, and so would be the first request for an address.
    front.await_backend(store, State::Connected)?;
    let device = NetworkDevice {
        driver: DRIVER,
        mac,
        medium: Medium::Ethernet,
        mtu: MTU,
        has_checksum_offload,
        receiver: Box::new(receiver),
        transmitter: Box::new(transmitter),
        more: Vec::new(),
    };
    let watcher = Watcher {
        front: front.clone(),
        channel,
        link: LinkState::default(),
    };
    Ok((device, watcher))
}

/// Looks after the other end.
struct Watcher {
    front: Frontend,
    channel: Arc<Channel>,
    link: LinkState,
}

impl Watcher {
    /// The other end may have changed.
    fn look(&mut self, store: &mut Store) {
        let is_over = self.front.backend(store) == Backend::Ends;
        if is_over && !self.channel.is_over.swap(true, Ordering::Relaxed) {
            self.link.is(DRIVER, false);
            self.front.close(store);
        }
    }
}

/// An address as XenStore has it: six bytes in hexadecimal digits, with colons between them.
fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut parts = text.trim_end_matches('\0').split(':');
    let mut mac = [0; 6];
    for byte in &mut mac {
        let digits = parts.next().filter(|part| matches!(part.len(), 1 | 2))?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}
