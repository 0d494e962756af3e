//! What is promised of the end: thread-locals of the main thread and what waits in buffers.

use std::cell::RefCell;
use std::io::Write;

struct Last;

impl Drop for Last {
    fn drop(&mut self) {
        // Standard output may be gone already: what can always be written to is the descriptor.
        let _ = std::io::stderr().write_all(b"");
    }
}

thread_local! {
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

pub(crate) fn steps() {
    LAST.set(Some(Last));
    // Leaves with the end of the line that follows.
    print!("half a line and ");
}
