//! What an interface has counted.

/// Counters of an interface, since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Statistics {
    /// Frames received, and their bytes.
    pub received_frames: u64,
    /// See there.
    pub received_bytes: u64,
    /// Frames handed to the device, and their bytes.
    pub sent_frames: u64,
    /// See there.
    pub sent_bytes: u64,
    /// Frames received that are damaged, or of a protocol that is not spoken here.
    pub dropped_unusable: u64,
    /// Frames that the device had no free buffer for, for too long.
    pub dropped_no_buffer: u64,
    /// Requests for connections to ports where nobody listens: they were refused.
    pub refused: u64,
    /// Requests for connections whose listener has too many waiting to be accepted.
    pub dropped_backlog: u64,
    /// Requests for connections for which there was no room.
    pub dropped_no_room: u64,
    /// Datagrams for ports that nobody has.
    pub dropped_no_port: u64,
    /// Connections that there are.
    pub connections: u64,
    /// Datagrams whose socket had no room for more, because its program reads too slowly.
    pub dropped_inbox: u64,
    /// Parts of packets that did not fit, overlapped, or whose packet never was whole.
    pub dropped_fragments: u64,
    /// Packets that waited in vain for the hardware address of their next station, or found no room to wait.
    pub dropped_no_neighbor: u64,
    /// Segments for which there was no memory.
    pub dropped_no_memory: u64,
    /// Segments outside of windows, of old times, or of no connection.
    pub dropped_segments: u64,
    /// Messages that were not sent because there were too many: errors, and challenges of TCP.
    pub unsaid: u64,
    /// Segments sent again, and answers to requests for connections.
    pub retransmitted: u64,
    /// Frames, or a connection's next segments, that waited for a free buffer of the device.
    pub waited_for_buffer: u64,
    /// Connections that were broken off for others, since there were too many.
    pub gave_way: u64,
}

impl Statistics {
    /// Both together.
    pub(super) fn plus(mut self, other: &Self) -> Self {
        let Self {
            received_frames,
            received_bytes,
            sent_frames,
            sent_bytes,
            dropped_unusable,
            dropped_no_buffer,
            refused,
            dropped_backlog,
            dropped_no_room,
            dropped_no_port,
            connections,
            dropped_inbox,
            dropped_fragments,
            dropped_no_neighbor,
            dropped_no_memory,
            dropped_segments,
            unsaid,
            retransmitted,
            waited_for_buffer,
            gave_way,
        } = &mut self;
        *received_frames += other.received_frames;
        *received_bytes += other.received_bytes;
        *sent_frames += other.sent_frames;
        *sent_bytes += other.sent_bytes;
        *dropped_unusable += other.dropped_unusable;
        *dropped_no_buffer += other.dropped_no_buffer;
        *refused += other.refused;
        *dropped_backlog += other.dropped_backlog;
        *dropped_no_room += other.dropped_no_room;
        *dropped_no_port += other.dropped_no_port;
        *connections += other.connections;
        *dropped_inbox += other.dropped_inbox;
        *dropped_fragments += other.dropped_fragments;
        *dropped_no_neighbor += other.dropped_no_neighbor;
        *dropped_no_memory += other.dropped_no_memory;
        *dropped_segments += other.dropped_segments;
        *unsaid += other.unsaid;
        *retransmitted += other.retransmitted;
        *waited_for_buffer += other.waited_for_buffer;
        *gave_way += other.gave_way;
        self
    }
}
