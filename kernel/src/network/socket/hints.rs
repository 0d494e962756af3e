//! What a program says of a socket that changes nothing here, as it changes nothing on a Linux that nobody has set up for it: there are no queues by
//! priority, no rules that look at marks, no cookies for fast opens, and devices are served when there is something. It is kept and told again. How the
//! size of packets is found out is kept beside it, which does change something: [`Hints::is_whole`].

use core::sync::atomic::{AtomicI32, Ordering};

/// `IP_PMTUDISC_WANT` (`linux/in.h`), the default: what is too long for one packet is sent in parts.
const WANT: i32 = 1;
/// `IP_PMTUDISC_DO`: it is an error.
const DO: i32 = 2;
/// `IP_PMTUDISC_PROBE`: likewise, whatever is known of the path.
const PROBE: i32 = 3;

/// Which number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// `SO_PRIORITY`.
    Priority,
    /// `SO_MARK`.
    Mark,
    /// `SO_BUSY_POLL`, in microseconds.
    BusyPoll,
    /// `TCP_FASTOPEN`: how many peers may wait whose handshake is not through.
    FastOpen,
    /// `TCP_FASTOPEN_CONNECT`.
    FastOpenConnect,
    /// `TCP_NOTSENT_LOWAT`, in bytes.
    UnsentLowWater,
    /// `IP_MTU_DISCOVER`.
    DiscoveryV4,
    /// `IPV6_MTU_DISCOVER`.
    DiscoveryV6,
}

/// The numbers of a socket.
pub struct Hints([AtomicI32; Hint::DiscoveryV6 as usize + 1]);

impl Hints {
    pub(super) const fn new() -> Self {
        let mut numbers = [const { AtomicI32::new(0) }; Hint::DiscoveryV6 as usize + 1];
        numbers[Hint::DiscoveryV4 as usize] = AtomicI32::new(WANT);
        numbers[Hint::DiscoveryV6 as usize] = AtomicI32::new(WANT);
        Self(numbers)
    }

    /// What was said last.
    pub fn get(&self, hint: Hint) -> i32 {
        self.0[hint as usize].load(Ordering::Relaxed)
    }

    /// Keeps what a program says.
    pub fn set(&self, hint: Hint, value: i32) {
        self.0[hint as usize].store(value, Ordering::Relaxed);
    }

    /// Takes over what another socket has.
    pub(super) fn copy_from(&self, other: &Self) {
        for (own, other) in self.0.iter().zip(&other.0) {
            own.store(other.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Whether datagrams go in one packet or not at all, of the version that is spoken.
    pub(super) fn is_whole(&self, is_v6: bool) -> bool {
        let hint = match is_v6 {
            true => Hint::DiscoveryV6,
            false => Hint::DiscoveryV4,
        };
        matches!(self.get(hint), DO | PROBE)
    }
}
