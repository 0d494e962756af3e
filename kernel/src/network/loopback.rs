//! Devices that are only memory: what one end sends the other receives. The loopback interface is one joined to itself; tests join
//! two.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::devices::network::{
    Device, Frame, Medium, NetworkDevice, Offload, Receiver, Transmitter,
};
use crate::sync::SpinLock;

/// Largest IP packet of the loopback interface.
const MTU: usize = 16 << 10;
/// Frames under way at most.
const QUEUE: usize = 256;
/// Used buffers kept.
const SPARE: usize = 16;

/// Frames under way in one direction.
#[derive(Default)]
pub(super) struct Wire {
    frames: VecDeque<Vec<u8>>,
    spare: Vec<Vec<u8>>,
}

/// A direction, shared by its two ends.
pub(super) type SharedWire = Arc<SpinLock<Wire>>;

impl Wire {
    /// Takes the oldest frame away.
    #[cfg(test)]
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        self.frames.pop_front()
    }

    /// How many frames are under way.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    /// Puts a frame on.
    pub(super) fn put(&mut self, frame: Vec<u8>) {
        self.frames.push_back(frame);
    }
}

/// A direction with nothing under way.
pub(super) fn new_wire() -> SharedWire {
    Arc::new(SpinLock::new(Wire::default()))
}

/// The device of the loopback interface.
pub(super) fn device() -> NetworkDevice {
    let wire = new_wire();
    join(wire.clone(), wire, Medium::Ip, [0; 6], MTU)
}

/// A device that receives from one wire and sends into another.
pub(super) fn join(
    from: SharedWire,
    to: SharedWire,
    medium: Medium,
    mac: [u8; 6],
    mtu: usize,
) -> NetworkDevice {
    NetworkDevice {
        driver: "loopback",
        mac,
        medium,
        mtu,
        has_checksum_offload: false,
        receiver: Box::new(End {
            wire: from,
            current: None,
            is_verified: medium == Medium::Ip,
        }),
        transmitter: Box::new(Start {
            wire: to,
            buffer: Vec::new(),
        }),
        more: Vec::new(),
    }
}

/// Where frames come out.
struct End {
    wire: SharedWire,
    current: Option<Vec<u8>>,
    is_verified: bool,
}

impl Receiver for End {
    fn acknowledge(&mut self) {}

    fn is_ready(&self) -> bool {
        !self.wire.lock().frames.is_empty()
    }

    fn frame(&mut self) -> Option<Frame<'_>> {
        if self.current.is_none() {
            self.current = self.wire.lock().frames.pop_front();
        }
        self.current.as_deref().map(|bytes| Frame {
            bytes,
            is_verified: self.is_verified,
        })
    }

    fn release(&mut self) {
        if let Some(buffer) = self.current.take() {
            let mut wire = self.wire.lock();
            if wire.spare.len() < SPARE {
                wire.spare.push(buffer);
            }
        }
    }
}

/// Where frames go in.
struct Start {
    wire: SharedWire,
    buffer: Vec<u8>,
}

impl Transmitter for Start {}

impl Device for Start {
    fn has_room(&mut self) -> bool {
        self.wire.lock().frames.len() < QUEUE
    }

    fn buffer(&mut self, len_bytes: usize) -> &mut [u8] {
        if self.buffer.capacity() == 0 {
            self.buffer = self.wire.lock().spare.pop().unwrap_or_default();
        }
        self.buffer.resize(len_bytes, 0);
        &mut self.buffer
    }

    fn send(&mut self, len_bytes: usize, _: Offload) {
        let mut frame = core::mem::take(&mut self.buffer);
        frame.truncate(len_bytes);
        self.wire.lock().put(frame);
    }

    fn flush(&mut self) {}
}
