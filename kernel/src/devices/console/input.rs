//! What is typed on the console. Bytes come as the terminal at the other end sends them; its return key ends a line.

use crate::arch::clock;
use crate::scheduler;
use crate::sync::SpinLock;

/// While a thread waits for input, the serial line is looked at this often.
const POLL_NS: u64 = 10_000_000;
const BUFFER_BYTES: usize = 256;

struct Buffer {
    bytes: [u8; BUFFER_BYTES],
    start: usize,
    len: usize,
}

static BUFFER: SpinLock<Buffer> = SpinLock::new(Buffer {
    bytes: [0; BUFFER_BYTES],
    start: 0,
    len: 0,
});

/// Takes over what the serial line has.
fn fill() {
    let mut buffer = BUFFER.lock();
    while buffer.len < BUFFER_BYTES
        && let Some(byte) = super::read_byte()
    {
        let end = (buffer.start + buffer.len) % BUFFER_BYTES;
        buffer.bytes[end] = if byte == b'\r' { b'\n' } else { byte };
        buffer.len += 1;
    }
}

/// Whether a byte can be read at once.
pub fn is_ready() -> bool {
    fill();
    BUFFER.lock().len != 0
}

/// Reads what is there into `buf`, at least one byte; waits for it, or returns `None` when it must not.
pub fn read(buf: &mut [u8], is_nonblocking: bool) -> Option<usize> {
    while !is_ready() {
        if is_nonblocking {
            return None;
        }
        scheduler::sleep_until(clock::now_ns() + POLL_NS);
    }
    let mut buffer = BUFFER.lock();
    let count = buf.len().min(buffer.len);
    for slot in &mut buf[..count] {
        *slot = buffer.bytes[buffer.start];
        buffer.start = (buffer.start + 1) % BUFFER_BYTES;
        buffer.len -= 1;
    }
    Some(count)
}
