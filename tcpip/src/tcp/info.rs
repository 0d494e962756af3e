//! How a connection is doing (Linux: `TCP_INFO`, tcp(7)).

use super::{ACK_DELAY_US, Bits, Connection, Settings, State};

/// How a connection is doing. Times are in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Its state.
    pub state: State,
    /// What was lost is being sent again.
    pub is_recovering: bool,
    /// Whether times were agreed upon.
    pub has_timestamps: bool,
    /// Whether selective acknowledgements were.
    pub has_sack: bool,
    /// Shifts of the peer's windows and of ours; both 0: none were agreed upon.
    pub scales: (u8, u8),
    /// How often in a row the wait for an answer was in vain.
    pub backoff: u8,
    /// Questions to a silent peer that are not answered.
    pub probes: u8,
    /// How long an answer is waited for.
    pub timeout_us: u64,
    /// How long an acknowledgement waits for data to go with.
    pub ack_delay_us: u64,
    /// Largest payload that is sent.
    pub send_mss: u32,
    /// Largest payload that has come.
    pub receive_mss: u32,
    /// Bytes sent and not acknowledged.
    pub under_way: u32,
    /// Bytes queued that were never sent.
    pub unsent: u32,
    /// Bytes sent again, in segments.
    pub retransmitted: u32,
    /// The smoothed round-trip time and its variation; 0: not known.
    pub round_trip_us: (u32, u32),
    /// The congestion window and the threshold of slow start, in bytes.
    pub congestion: (u32, u32),
    /// What the peer takes.
    pub send_window: u32,
    /// What may wait to be read.
    pub receive_limit: u32,
    /// Since when the peer has said nothing, and since when it has acknowledged nothing new.
    pub silent_us: (u64, u64),
}

impl Connection {
    /// How it is doing.
    pub(crate) fn info(&self, now_us: u64) -> Info {
        let end = self.data_end();
        Info {
            state: self.state,
            is_recovering: self.bits.contains(Bits::RECOVERY),
            has_timestamps: self.bits.contains(Bits::TIMESTAMPS),
            has_sack: self.bits.contains(Bits::SACK),
            scales: (self.send_scale, self.receive_scale),
            backoff: self.rtt.backoff(),
            probes: self.probes,
            timeout_us: self.rtt.timeout_us(),
            ack_delay_us: ACK_DELAY_US,
            send_mss: self.mss,
            receive_mss: self.seen_mss,
            under_way: self.max.ahead_of(self.una),
            unsent: end.ahead_of(self.max),
            retransmitted: self.retransmitted,
            round_trip_us: self.rtt.estimate_us(),
            congestion: self.congestion.windows(),
            send_window: self.window,
            receive_limit: self.receive_limit,
            silent_us: (
                now_us.saturating_sub(self.heard_at),
                now_us.saturating_sub(self.progress_at),
            ),
        }
    }

    /// Largest payload of a segment, by the program's settings, when so many bytes of each go to options.
    pub(super) fn segment_limit(settings: &Settings, options: u32) -> u32 {
        match settings.segment_bytes {
            0 => u32::MAX,
            most => u32::from(most).saturating_sub(options).max(48),
        }
    }
}
