//! The way of segments out of a connection into the device's buffers. It knows neither the sockets nor the kind of device, so it is
//! compiled once, for speed.

use crate::address::Tuple;
use crate::checksum::Sum;
use crate::device::{Capabilities, ChecksumRequest, Device, Offload};
use crate::path::{Path, USUAL};
use crate::tcp::{Connection, Context, Plan, Sizes};
use crate::wire::tcp::HEADER;
use crate::wire::{ip, put};

/// Segments one connection sends in one go.
const BURST: usize = 64;

/// How far sending came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// There is nothing more to be sent now.
    All,
    /// There is more, but others shall have their turn.
    Some,
    /// The device has no free buffer.
    NoRoom,
    /// The way to the peer has to be found first.
    NoPath,
}

/// What sending needs.
pub(crate) struct Exit<'a> {
    pub(crate) device: &'a mut dyn Device,
    pub(crate) capabilities: &'a Capabilities,
    /// Of the neighbours: a way that was found in another may lead nowhere.
    pub(crate) generation: u32,
    pub(crate) cx: Context<'a>,
}

impl Exit<'_> {
    /// The short way: sends all that is queued, if it fits into one segment and nothing is special; whether it did.
    #[inline(never)]
    pub(crate) fn send_predicted(
        &mut self,
        connection: &mut Connection,
        path: &Path,
        tuple: &Tuple,
    ) -> bool {
        let now_us = self.cx.now_us;
        if !path.is_valid(now_us, self.generation) || !path.is_usual() || !self.device.has_room() {
            return false;
        }
        let Some(len) = connection.predicted(now_us) else {
            return false;
        };
        let segment_len = connection.usual_header_len() + len as usize;
        let frame_len = USUAL + segment_len;
        let frame = self.device.buffer(frame_len);
        let Some((link, segment)) = frame.split_first_chunk_mut() else {
            return false;
        };
        path.write_usual(link, segment_len);
        let is_offloaded = self.capabilities.fills_checksums;
        let pseudo_header = path.pseudo_header(segment_len);
        let sum = match is_offloaded {
            true => pseudo_header.fold_one(),
            false => [0, 0],
        };
        let ports = (tuple.local_port, tuple.remote_port);
        if !connection.write_predicted(ports, sum, segment, &mut self.cx) {
            return false;
        }
        let mut offload = Offload::default();
        if is_offloaded {
            offload.checksum = Some(ChecksumRequest {
                start: USUAL as u8,
                at: USUAL as u8 + 16,
            });
        } else {
            put(segment, 16, &pseudo_header.add(segment).checksum());
        }
        self.count(frame_len);
        self.device.send(frame_len, offload);
        true
    }

    /// Sends what a connection has to send.
    pub(crate) fn send(&mut self, connection: &mut Connection, path: &Path, tuple: &Tuple) -> Sent {
        let headers = ip::header_len(tuple.local.is_v4()) + HEADER;
        let mut sizes = Sizes {
            mss: self
                .capabilities
                .mtu
                .saturating_sub(headers)
                .clamp(48, 0xFFFF) as u16,
            large: 0,
        };
        for _ in 0..BURST {
            if !connection.wants_output() {
                return Sent::All;
            }
            if !path.is_valid(self.cx.now_us, self.generation) {
                return Sent::NoPath;
            }
            if !self.device.has_room() {
                self.cx.stats.device_waits += 1;
                return Sent::NoRoom;
            }
            if self.capabilities.largest_send != 0 && connection.has_much() {
                let room = self.device.large_room().saturating_sub(path.len() + HEADER);
                let most = self.capabilities.largest_send - headers;
                sizes.large = room.min(most).saturating_sub(40) as u32;
            }
            let Some(plan) = connection.next_segment(sizes, &mut self.cx) else {
                return Sent::All;
            };
            self.emit(connection, path, tuple, &plan);
        }
        Sent::Some
    }

    /// Makes a segment in the device's next buffer. Apart from the loop, or all that it needs would be looked up before the first is planned.
    #[inline(never)]
    fn emit(&mut self, connection: &Connection, path: &Path, tuple: &Tuple, plan: &Plan) {
        let headers = path.len();
        let segment_len = plan.header + plan.len as usize;
        let len = headers + segment_len;
        let frame = self.device.buffer(len);
        path.write(frame, segment_len);
        let segment = frame.get_mut(headers..).unwrap_or_default();
        connection.write_segment(plan, tuple.local_port, tuple.remote_port, segment);
        let sum = path.pseudo_header(segment_len);
        let offload = finish(
            segment,
            sum,
            headers,
            self.capabilities.fills_checksums,
            plan,
            connection.mss(),
            path.is_v6(),
        );
        self.count(len);
        self.device.send(len, offload);
    }

    #[inline]
    fn count(&mut self, len: usize) {
        self.cx.stats.segments_out += 1;
        self.cx.stats.frames_out += 1;
        self.cx.stats.bytes_out += len as u64;
    }
}

/// Puts a segment's checksum in its place, or only the pseudo header's sum when the device does the rest.
#[inline]
fn finish(
    segment: &mut [u8],
    pseudo_header: Sum,
    headers: usize,
    is_offloaded: bool,
    plan: &Plan,
    mss: u32,
    is_v6: bool,
) -> Offload {
    if !is_offloaded {
        let checksum = pseudo_header.add(segment).checksum();
        put(segment, 16, &checksum);
        return Offload::default();
    }
    put(segment, 16, &pseudo_header.fold());
    Offload {
        checksum: Some(ChecksumRequest {
            start: headers as u8,
            at: headers as u8 + 16,
        }),
        segment_bytes: if plan.len > mss { mss as u16 } else { 0 },
        header_bytes: (headers + plan.header) as u8,
        is_v6,
    }
}
