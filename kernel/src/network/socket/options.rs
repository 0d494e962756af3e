//! What a program chooses for a TCP socket, which its connection is told of and which accepted sockets take over.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use tcpip::{CLOSE_TIMEOUT_S, CongestionControl, Settings};

/// Options of a socket, which a stream's stack is told of.
pub(super) struct Options {
    pub(super) is_nodelay: AtomicBool,
    pub(super) is_quick_ack: AtomicBool,
    pub(super) is_corked: AtomicBool,
    pub(super) is_urgent_inline: AtomicBool,
    pub(super) ttl: AtomicU8,
    pub(super) traffic_class: AtomicU8,
    pub(super) is_keep_alive: AtomicBool,
    keep_alive_s: AtomicU32,
    keep_alive_interval_s: AtomicU32,
    keep_alive_probes: AtomicU32,
    user_timeout_ms: AtomicU32,
    request_repetitions: AtomicU32,
    close_timeout_s: AtomicU32,
    window_bytes: AtomicU32,
    receive_bytes: AtomicU32,
    transmit_bytes: AtomicU32,
    segment_bytes: AtomicU32,
    deferred_s: AtomicU32,
    pub(super) is_reno: AtomicBool,
    /// Something was changed, which accepted sockets take over.
    pub(super) is_changed: AtomicBool,
}

/// Options that are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberOption {
    /// `TCP_KEEPIDLE`: after how long a silent peer is asked.
    KeepAliveSeconds,
    /// `TCP_KEEPINTVL`: how long after that it is asked again.
    KeepAliveIntervalSeconds,
    /// `TCP_KEEPCNT`: how often it is asked.
    KeepAliveProbes,
    /// `TCP_USER_TIMEOUT`: how long what was sent may stay unanswered; 0: the default.
    UserTimeoutMs,
    /// `TCP_SYNCNT`: how often a request for a connection is repeated; 0: as often as there is time.
    RequestRepetitions,
    /// `TCP_LINGER2`: how long a peer may take to close its side after ours was closed for good.
    CloseTimeoutSeconds,
    /// `TCP_WINDOW_CLAMP`: the largest window that the peer is told; 0: no such limit.
    WindowBytes,
    /// `SO_RCVBUF`: as many bytes at most wait to be read.
    ReceiveBytes,
    /// `SO_SNDBUF`: and to be sent.
    TransmitBytes,
    /// `TCP_MAXSEG`: bytes of payload that a segment has at most; 0: as many as fit.
    SegmentBytes,
    /// `TCP_DEFER_ACCEPT`: for how long a listener does not take a peer that has said nothing yet.
    DeferredSeconds,
}

impl Options {
    /// Those of a new socket.
    pub(super) fn new() -> Self {
        Self {
            is_nodelay: AtomicBool::new(false),
            is_quick_ack: AtomicBool::new(false),
            is_corked: AtomicBool::new(false),
            is_urgent_inline: AtomicBool::new(false),
            ttl: AtomicU8::new(64),
            traffic_class: AtomicU8::new(0),
            is_keep_alive: AtomicBool::new(false),
            keep_alive_s: AtomicU32::new(7200),
            keep_alive_interval_s: AtomicU32::new(75),
            keep_alive_probes: AtomicU32::new(9),
            user_timeout_ms: AtomicU32::new(0),
            request_repetitions: AtomicU32::new(0),
            close_timeout_s: AtomicU32::new(CLOSE_TIMEOUT_S),
            window_bytes: AtomicU32::new(0),
            receive_bytes: AtomicU32::new(u32::MAX),
            transmit_bytes: AtomicU32::new(u32::MAX),
            segment_bytes: AtomicU32::new(0),
            deferred_s: AtomicU32::new(0),
            is_reno: AtomicBool::new(false),
            is_changed: AtomicBool::new(false),
        }
    }

    /// Where a number is.
    pub(super) fn number(&self, option: NumberOption) -> &AtomicU32 {
        match option {
            NumberOption::KeepAliveSeconds => &self.keep_alive_s,
            NumberOption::KeepAliveIntervalSeconds => &self.keep_alive_interval_s,
            NumberOption::KeepAliveProbes => &self.keep_alive_probes,
            NumberOption::UserTimeoutMs => &self.user_timeout_ms,
            NumberOption::RequestRepetitions => &self.request_repetitions,
            NumberOption::CloseTimeoutSeconds => &self.close_timeout_s,
            NumberOption::WindowBytes => &self.window_bytes,
            NumberOption::ReceiveBytes => &self.receive_bytes,
            NumberOption::TransmitBytes => &self.transmit_bytes,
            NumberOption::SegmentBytes => &self.segment_bytes,
            NumberOption::DeferredSeconds => &self.deferred_s,
        }
    }

    /// The settings of a connection.
    pub(super) fn settings(&self) -> Settings {
        let is_keep_alive = self.is_keep_alive.load(Ordering::Relaxed);
        let number = |option: &AtomicU32| option.load(Ordering::Relaxed);
        let receive_bytes = number(&self.receive_bytes);
        Settings {
            is_nodelay: self.is_nodelay.load(Ordering::Relaxed),
            is_quick_ack: self.is_quick_ack.load(Ordering::Relaxed),
            is_corked: self.is_corked.load(Ordering::Relaxed),
            is_urgent_inline: self.is_urgent_inline.load(Ordering::Relaxed),
            segment_bytes: number(&self.segment_bytes) as u16,
            congestion_control: match self.is_reno.load(Ordering::Relaxed) {
                true => CongestionControl::Reno,
                false => CongestionControl::Cubic,
            },
            keep_alive_s: if is_keep_alive {
                number(&self.keep_alive_s)
            } else {
                0
            },
            keep_alive_interval_s: number(&self.keep_alive_interval_s),
            keep_alive_probes: number(&self.keep_alive_probes) as u8,
            hop_limit: self.ttl.load(Ordering::Relaxed),
            traffic_class: self.traffic_class.load(Ordering::Relaxed),
            user_timeout_s: number(&self.user_timeout_ms).div_ceil(1000),
            request_repetitions: number(&self.request_repetitions) as u8,
            close_timeout_s: number(&self.close_timeout_s),
            receive_bytes: match number(&self.window_bytes) {
                0 => receive_bytes,
                most => receive_bytes.min(most),
            },
            transmit_bytes: number(&self.transmit_bytes),
        }
    }

    /// Takes over what another socket has.
    pub(super) fn copy_from(&self, other: &Self) {
        for (own, others) in [
            (&self.is_nodelay, &other.is_nodelay),
            (&self.is_quick_ack, &other.is_quick_ack),
            (&self.is_corked, &other.is_corked),
            (&self.is_urgent_inline, &other.is_urgent_inline),
            (&self.is_keep_alive, &other.is_keep_alive),
            (&self.is_reno, &other.is_reno),
        ] {
            own.store(others.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        for (own, others) in [
            (&self.ttl, &other.ttl),
            (&self.traffic_class, &other.traffic_class),
        ] {
            own.store(others.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        for (own, others) in [
            (&self.keep_alive_s, &other.keep_alive_s),
            (&self.keep_alive_interval_s, &other.keep_alive_interval_s),
            (&self.keep_alive_probes, &other.keep_alive_probes),
            (&self.user_timeout_ms, &other.user_timeout_ms),
            (&self.request_repetitions, &other.request_repetitions),
            (&self.close_timeout_s, &other.close_timeout_s),
            (&self.window_bytes, &other.window_bytes),
            (&self.receive_bytes, &other.receive_bytes),
            (&self.transmit_bytes, &other.transmit_bytes),
            (&self.segment_bytes, &other.segment_bytes),
        ] {
            own.store(others.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}
