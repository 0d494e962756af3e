//! What is typed on the console. Bytes come as the terminal at the other end sends them; its return key ends a line.
//!
//! Nothing is looked at before the program asks for input. From then on the serial line interrupts.

use crate::arch::clock;
use crate::arch::interrupts::Irq;
use crate::scheduler::{self, Notifier, Service};
use crate::sync::{OnceCell, SpinLock};

/// Where the serial line cannot interrupt, it is looked at this often while a thread waits.
const POLL_NS: u64 = 10_000_000;
const BUFFER_BYTES: usize = 1024;

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
static ARRIVED: Notifier = Notifier::new();
static INPUT: OnceCell<Input> = OnceCell::new();

/// The serial line as a service of the core that first asked for input.
struct Input {
    irq: Option<Irq>,
}

impl Service for Input {
    fn serve(&self) -> bool {
        if !self.irq.is_some_and(|irq| irq.take_pending()) {
            return false;
        }
        fill();
        ARRIVED.notify();
        true
    }

    fn next_deadline_ns(&self) -> Option<u64> {
        None
    }

    fn wakes_unasked(&self) -> bool {
        false
    }
}

/// Has the serial line interrupt, at the first call; whether it does.
fn start() -> bool {
    if let Some(input) = INPUT.get() {
        return input.irq.is_some();
    }
    match INPUT.set(Input {
        irq: super::serial::enable_interrupt(),
    }) {
        Ok(input) => {
            scheduler::register_service(input);
            input.irq.is_some()
        }
        // Another core was first.
        Err(_) => true,
    }
}

/// Takes over what the serial line has, as far as there is room.
fn fill() {
    let mut buffer = BUFFER.lock();
    while buffer.len < BUFFER_BYTES
        && let Some(byte) = super::serial::read()
    {
        let end = (buffer.start + buffer.len) % BUFFER_BYTES;
        buffer.bytes[end] = if byte == b'\r' { b'\n' } else { byte };
        buffer.len += 1;
    }
}

/// Who waits for input.
pub fn notifier() -> &'static Notifier {
    &ARRIVED
}

/// Whether a byte can be read at once.
pub fn is_ready() -> bool {
    start();
    fill();
    BUFFER.lock().len != 0
}

/// Reads what is there into `buf`, at least one byte; waits for it, or returns `None` when it must not.
pub fn read(buf: &mut [u8], is_nonblocking: bool) -> Option<usize> {
    let can_interrupt = start();
    loop {
        fill();
        let mut buffer = BUFFER.lock();
        if buffer.len == 0 {
            if is_nonblocking {
                return None;
            }
            let deadline_ns = (!can_interrupt).then(|| clock::now_ns() + POLL_NS);
            drop(ARRIVED.wait(buffer, deadline_ns));
            continue;
        }
        let count = buf.len().min(buffer.len);
        for slot in &mut buf[..count] {
            *slot = buffer.bytes[buffer.start];
            buffer.start = (buffer.start + 1) % BUFFER_BYTES;
            buffer.len -= 1;
        }
        return Some(count);
    }
}
