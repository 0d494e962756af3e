//! What interfaces have counted.

use super::interface::{find, interfaces};
use crate::error::{Error, Result};
use crate::sys;

pub use crate::sys::net::Statistics;

/// What an interface has counted since it was started.
///
/// # Errors
/// [`Error::NoSuchDevice`].
pub fn statistics(interface: &str) -> Result<Statistics> {
    let (index, _) = find(interface)?;
    sys::net::statistics(index).map_err(|_| Error::NoSuchDevice(interface.to_owned()))
}

/// Writes what all interfaces have counted to the console, four lines for each.
///
/// # Errors
/// As [`interfaces`].
pub fn print_statistics() -> Result<()> {
    for interface in interfaces()? {
        let counted = statistics(&interface.name)?;
        println!(
            "{}: received {} frames ({} bytes), sent {} ({} bytes), {} connections",
            interface.name,
            counted.received_frames,
            counted.received_bytes,
            counted.sent_frames,
            counted.sent_bytes,
            counted.connections
        );
        println!(
            "{}: unusable {}, no buffer {}, refused {}, backlog full {}, no room {}, no such port {}",
            interface.name,
            counted.dropped_unusable,
            counted.dropped_no_buffer,
            counted.refused,
            counted.dropped_backlog,
            counted.dropped_no_room,
            counted.dropped_no_port
        );
        println!(
            "{}: full sockets {}, parts {}, no neighbour {}, no memory {}, segments {}, unsaid {}",
            interface.name,
            counted.dropped_inbox,
            counted.dropped_fragments,
            counted.dropped_no_neighbor,
            counted.dropped_no_memory,
            counted.dropped_segments,
            counted.unsaid
        );
        println!(
            "{}: sent again {}, waited for a buffer {}, gave way {}",
            interface.name, counted.retransmitted, counted.waited_for_buffer, counted.gave_way
        );
    }
    Ok(())
}
