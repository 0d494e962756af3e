//! Options that ask about a connection of TCP, or that its choices are limited by (Linux: tcp(7), `linux/tcp.h`).

use core::ffi::{c_int, c_void};

use libc::socklen_t;
use tcpip::{CLOSE_TIMEOUT_S, CongestionControl, Info, State};

use super::options::store;
use crate::error::{Errno, Result};
use crate::network::socket::options::NumberOption;
use crate::network::socket::tcp::TcpSocket;

/// The names of what decides how much is under way, as long as Linux's are (`TCP_CA_NAME_MAX`).
const CUBIC: [u8; 16] = *b"cubic\0\0\0\0\0\0\0\0\0\0\0";
const RENO: [u8; 16] = *b"reno\0\0\0\0\0\0\0\0\0\0\0\0";
/// What every host takes, which is told as long as there is no connection.
const DEFAULT_MSS: u32 = 536;

/// `struct tcp_info` as far as all versions of Linux have it: bytes, then words.
#[derive(Clone, Copy)]
#[repr(C)]
struct TcpInfo {
    bytes: [u8; 8],
    words: [u32; 24],
}

/// The number of a state (`TCP_ESTABLISHED` and its kin).
pub(in crate::abi) fn number(state: State) -> u8 {
    match state {
        State::Established => 1,
        State::Awaiting | State::SynSent => 2,
        State::SynReceived => 3,
        State::FinWait1 => 4,
        State::FinWait2 => 5,
        State::TimeWait => 6,
        State::Closed => 7,
        State::CloseWait => 8,
        State::LastAck => 9,
        State::Closing => 11,
    }
}

fn tcp_info(info: &Info) -> TcpInfo {
    let mss = info.send_mss.max(1);
    let segments = |bytes: u32| bytes.div_ceil(mss);
    let ms = |us: u64| u32::try_from(us / 1000).unwrap_or(u32::MAX);
    let (theirs, ours) = info.scales;
    let has_scales = info.scales != (0, 0);
    // `TCPI_OPT_TIMESTAMPS`, `TCPI_OPT_SACK`, `TCPI_OPT_WSCALE`.
    let options =
        u8::from(info.has_timestamps) | u8::from(info.has_sack) << 1 | u8::from(has_scales) << 2;
    let (silent, without_progress) = info.silent_us;
    let (round_trip, variation) = info.round_trip_us;
    let (window, threshold) = info.congestion;
    TcpInfo {
        bytes: [
            number(info.state),
            // `TCP_CA_Recovery`.
            if info.is_recovering { 3 } else { 0 },
            info.backoff,
            info.probes,
            info.backoff,
            options,
            theirs & 15 | ours << 4,
            0,
        ],
        words: [
            u32::try_from(info.timeout_us).unwrap_or(u32::MAX),
            info.ack_delay_us as u32,
            info.send_mss,
            info.receive_mss,
            segments(info.under_way),
            // Segments that are known to have arrived early, to be lost, to be under way again; and those forgotten by Linux: not counted.
            0,
            0,
            0,
            0,
            ms(without_progress),
            0,
            ms(silent),
            ms(silent),
            // What packets may have is not asked of the path.
            0,
            info.receive_limit,
            round_trip,
            variation,
            segments(threshold),
            segments(window).max(1),
            info.receive_mss,
            // After three duplicates a segment is taken for lost.
            3,
            0,
            info.receive_limit,
            info.retransmitted,
        ],
    }
}

/// How long Linux waits for the answer to a request for a connection, at first and at most, in seconds (`TCP_TIMEOUT_INIT`, `TCP_RTO_MAX`).
const FIRST_WAIT_S: u32 = 1;
const MOST_WAIT_S: u32 = 120;
/// As long a peer may take at most to close its side (`TCP_FIN_TIMEOUT_MAX`), in seconds.
const MOST_CLOSE_S: u32 = 120;
/// The least that a window is limited to: half of the least buffer (`SOCK_MIN_RCVBUF`).
const MIN_WINDOW: u32 = 1152;
/// How often Linux repeats a request for a connection if it is not told (`tcp_syn_retries`).
const REQUEST_REPETITIONS: c_int = 6;

/// A time as Linux keeps that for which a peer is not taken that has said nothing: as so many waits for an answer, each twice as long as the last.
fn deferred_s(asked: c_int) -> u32 {
    let asked = u32::try_from(asked).unwrap_or(0);
    let (mut all, mut wait) = (0, FIRST_WAIT_S);
    // 255 waits at most.
    for _ in 0..255 {
        if all >= asked {
            break;
        }
        all += wait;
        wait = (wait * 2).min(MOST_WAIT_S);
    }
    all
}

/// An option that takes every number and makes of it what can be; `None` when it is none.
pub(super) fn fitted(
    option: c_int,
    asked: impl Fn() -> Result<c_int>,
) -> Option<(NumberOption, Result<u32>)> {
    Some(match option {
        libc::TCP_DEFER_ACCEPT => (NumberOption::DeferredSeconds, asked().map(deferred_s)),
        libc::TCP_LINGER2 => {
            let seconds = |asked| match asked {
                // It is not waited for.
                ..0 => 0,
                0 => CLOSE_TIMEOUT_S,
                _ => (asked as u32).min(MOST_CLOSE_S),
            };
            (NumberOption::CloseTimeoutSeconds, asked().map(seconds))
        }
        libc::TCP_WINDOW_CLAMP => {
            let bytes = |asked| match asked {
                0 => 0,
                _ => u32::try_from(asked).unwrap_or(0).max(MIN_WINDOW),
            };
            (NumberOption::WindowBytes, asked().map(bytes))
        }
        _ => return None,
    })
}

/// What is told of such an option, or of one that has a number though none was chosen; `None` for others.
pub(super) fn told(socket: &TcpSocket, option: c_int) -> Option<c_int> {
    let number = |option| c_int::try_from(socket.number(option)).unwrap_or(c_int::MAX);
    Some(match option {
        libc::TCP_DEFER_ACCEPT => number(NumberOption::DeferredSeconds),
        libc::TCP_WINDOW_CLAMP => number(NumberOption::WindowBytes),
        libc::TCP_LINGER2 => match number(NumberOption::CloseTimeoutSeconds) {
            0 => -1,
            seconds => seconds,
        },
        libc::TCP_SYNCNT => match number(NumberOption::RequestRepetitions) {
            0 => REQUEST_REPETITIONS,
            chosen => chosen,
        },
        _ => return None,
    })
}

/// Gets an option of this kind; `None` when it is none.
///
/// # Safety
/// 1. `len` is null or points to a length, and `to` points to that many bytes.
pub(super) unsafe fn get(
    socket: &TcpSocket,
    option: c_int,
    to: *mut c_void,
    len: *mut socklen_t,
) -> Option<Result<()>> {
    // SAFETY: (1), for all of them.
    unsafe {
        match option {
            libc::TCP_INFO => {
                let info = match socket.info() {
                    Some(info) => tcp_info(&info),
                    None => TcpInfo {
                        bytes: [
                            if socket.is_listening() { 10 } else { 7 },
                            0,
                            0,
                            0,
                            0,
                            0,
                            0,
                            0,
                        ],
                        words: [0; 24],
                    },
                };
                Some(store(info, to, len))
            }
            libc::TCP_CONGESTION => {
                let name = match socket.congestion_control() {
                    CongestionControl::Cubic => CUBIC,
                    CongestionControl::Reno => RENO,
                };
                Some(store(name, to, len))
            }
            libc::TCP_MAXSEG => {
                let chosen = socket.number(NumberOption::SegmentBytes);
                let bytes = match (socket.info(), chosen) {
                    (Some(info), _) if info.state != State::Closed => info.send_mss,
                    (_, 0) => DEFAULT_MSS,
                    (_, chosen) => chosen,
                };
                Some(store(bytes, to, len))
            }
            _ => None,
        }
    }
}

/// Sets an option of this kind; `None` when it is none.
///
/// # Safety
/// 1. `value` points to `len` bytes.
pub(super) unsafe fn set(
    socket: &TcpSocket,
    option: c_int,
    value: *const c_void,
    len: socklen_t,
) -> Option<Result<()>> {
    if option != libc::TCP_CONGESTION {
        return None;
    }
    if value.is_null() {
        return Some(Err(Errno(libc::EFAULT)));
    }
    // SAFETY: (1).
    let name = unsafe { core::slice::from_raw_parts(value.cast::<u8>(), (len as usize).min(15)) };
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let control = match name {
        b"cubic" => CongestionControl::Cubic,
        b"reno" => CongestionControl::Reno,
        b"" => return Some(Err(Errno(libc::EINVAL))),
        _ => return Some(Err(Errno(libc::ENOENT))),
    };
    socket.set_congestion_control(control);
    Some(Ok(()))
}
