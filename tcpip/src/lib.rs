//! TCP/IP for one interface: IPv4 and IPv6, TCP, UDP, ICMP, ARP and neighbour discovery.
//!
//! An [`Engine`] has a [`Device`] to send by and [`Sockets`] above it; frames are handed to it, and time is always an argument. It
//! blocks nowhere, keeps no more than its [`Limits`], and counts what it drops ([`Stats`]). All that comes in is taken for hostile.
//!
//! A received frame is sorted (`engine/receive`), the connection found by its ends in a hash table (`table`), and the segment given to
//! that one connection (`tcp`), which takes the short way for what is expected. What is sent is made in the device's own buffer. Bytes
//! are copied once on their way in (not at all where who holds the connection takes them, [`Sockets::take`]) and once on their way out. Timers (`timers`) are touched only when they move to an earlier time.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod address;
mod checksum;
mod device;
mod engine;
mod error;
mod exit;
mod half_open;
mod hash;
mod ip;
mod limits;
mod path;
mod seq;
mod sockets;
mod steering;
mod table;
mod tcp;
mod time_wait;
mod timers;
mod wire;

pub use address::{Address, Prefix, Tuple};
pub use device::{Capabilities, ChecksumRequest, Device, Medium, Offload};
pub use engine::{Engine, Lease, Reach, Ready};
pub use error::Error;
pub use limits::{Limits, Stats};
pub use sockets::{Admission, Arrival, Manner, Sockets, Undelivered};
pub use steering::{Book, FIRST, Parcel, Steering, To};
pub use tcp::{CLOSE_TIMEOUT_S, CongestionControl, Info, Settings, State, UrgentByte};
pub use wire::domains::{MAX_NAME, read_name};
