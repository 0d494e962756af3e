//! How much an engine may hold, and what it has had to drop.

/// Bounds on what strangers can make an engine keep.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes that the machine can spare now, asked whenever a buffer needs new memory. Others need some too, and are not asked: threads, whose
    /// stacks grow as they are used.
    pub room_bytes: fn() -> usize,
    /// Connections in all.
    pub connections: usize,
    /// Largest receive buffer of a connection, in bytes. Buffers begin with nothing and grow as they are used.
    pub receive_bytes: usize,
    /// Largest transmit buffer of a connection, in bytes.
    pub transmit_bytes: usize,
    /// Bytes of all buffers together. Each connection may always have [`Limits::ASSURED_BYTES`] each way.
    pub buffer_bytes: usize,
    /// Connections whose handshake is not through; what comes beyond is answered without being remembered (SYN cookies).
    pub half_open: usize,
    /// Connections that nobody holds any more, but whose peers do not have everything or have not closed yet.
    pub orphans: usize,
    /// Connections that are over and only wait for stray segments.
    pub time_wait: usize,
    /// Neighbours whose hardware addresses are known or asked for.
    pub neighbors: usize,
    /// Bytes of packets that lack fragments, each of which counts for 64 more. The largest packet takes 68 KiB.
    pub fragment_bytes: usize,
    /// Bytes of packets that wait for the hardware addresses of their next stations; of frames that wait for the device, as much again; and of
    /// what other lanes have handed over.
    pub waiting_bytes: usize,
}

impl Limits {
    /// What a connection may have in each direction, however short memory is.
    pub const ASSURED_BYTES: usize = 4096;

    /// What fits a machine with that much memory: connections and their buffers take five eighths of it, as long as few are read and written at once.
    /// It can always spare as much.
    #[must_use]
    pub fn for_memory(memory_bytes: u64) -> Self {
        const MIB: u64 = 1 << 20;
        let (buffer, half_open, time_wait) = match memory_bytes / MIB {
            0..64 => (64 << 10, 64, 512),
            // As much as Linux allows, where few of these leave something to others.
            64..256 => ((memory_bytes / 64) as usize, 512, 4096),
            256..512 => (4 << 20, 512, 4096),
            _ => (4 << 20, 2048, 16384),
        };
        // A connection takes about 1 KiB with its program's part, and what it is assured of, seldom both ways at once: a request is read before its
        // answer is written. If all do, `room_bytes` keeps them from the last of the memory.
        let connections = (memory_bytes / 8 * 3 / (Self::ASSURED_BYTES as u64 + 1024)).max(32);
        let connections = connections.min(1 << 20) as usize;
        Self {
            room_bytes: || usize::MAX,
            connections,
            receive_bytes: buffer,
            transmit_bytes: buffer,
            buffer_bytes: (memory_bytes / 4).clamp(MIB / 2, 1 << 40) as usize,
            half_open,
            orphans: connections / 2,
            time_wait,
            neighbors: 512,
            fragment_bytes: (memory_bytes / 256).clamp(128 << 10, 4 * MIB) as usize,
            waiting_bytes: (memory_bytes / 64).clamp(256 << 10, 4 * MIB) as usize,
        }
    }

    /// What each of so many lanes may hold, so that together they hold no more.
    #[must_use]
    pub fn of_lane(self, lanes: usize) -> Self {
        let share = |whole: usize, least: usize| (whole / lanes.max(1)).max(least);
        Self {
            connections: share(self.connections, 32),
            buffer_bytes: share(self.buffer_bytes, 256 << 10),
            half_open: share(self.half_open, 64),
            orphans: share(self.orphans, 16),
            time_wait: share(self.time_wait, 256),
            waiting_bytes: share(self.waiting_bytes, 256 << 10),
            ..self
        }
    }
}

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What has happened, counted since the start.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Stats {
            /// Names and counts.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }

            /// Adds what another engine has counted.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

stats! {
    /// Frames received.
    frames_in,
    /// Their bytes.
    bytes_in,
    /// Frames sent.
    frames_out,
    /// Their bytes.
    bytes_out,
    /// Frames of protocols that are not known here, or for others.
    not_for_us,
    /// Packets with wrong lengths or checksums.
    damaged,
    /// Packets to addresses that are not ours.
    wrong_address,
    /// Fragments that did not fit, overlapped, or whose packet never was whole.
    fragments_lost,
    /// Packets put together from fragments.
    reassembled,
    /// Packets that waited for a hardware address in vain, or found no room to wait.
    neighbor_lost,
    /// Frames that found no free buffer of the device, and were not sent.
    device_full,
    /// Frames that waited for a free buffer of the device.
    device_waits,
    /// Messages of ICMP that were not sent, because there were too many.
    icmp_limited,
    /// Datagrams received by who has their port.
    datagrams_in,
    /// Datagrams sent.
    datagrams_out,
    /// Datagrams to ports that nobody has.
    no_port,
    /// Segments received.
    segments_in,
    /// Segments sent.
    segments_out,
    /// Received segments that took the short way.
    predicted,
    /// Segments sent again.
    retransmitted,
    /// Answers to requests for connections that were sent again, since nobody had acknowledged them.
    handshakes_repeated,
    /// Retransmission timers that went off.
    timeouts,
    /// Segments outside the window or of old times.
    unacceptable,
    /// Bytes that were here already.
    duplicate_bytes,
    /// Segments that came before others that were missing.
    out_of_order,
    /// Segments for which there was no memory.
    no_memory,
    /// Acknowledgements that only challenge who sent something doubtful (RFC 5961).
    challenges,
    /// Challenges not sent, because there were too many.
    challenges_limited,
    /// Requests for connections to ports where nobody listens.
    requests_refused,
    /// Requests for connections that were ignored, since too many wait to be taken by who listens.
    requests_ignored,
    /// Requests for connections that were ignored, since there was no room for another.
    requests_without_room,
    /// Connections that were broken off for others, since there were too many.
    gave_way,
    /// Requests for connections that were answered with a cookie.
    cookies_sent,
    /// Connections made from cookies.
    cookies_taken,
    /// Segments that acknowledged no request of ours nor a right cookie.
    cookies_wrong,
    /// Resets sent.
    resets_sent,
    /// Connections that were begun from outside.
    accepted,
    /// Connections that were begun here.
    connected,
    /// Connections given up because the peer was silent.
    timed_out,
}
