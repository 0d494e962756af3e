//! The power button of a domain: what its host writes into XenStore (Xen, docs/misc/xenstore-paths.pandoc, `~/control/shutdown`).

use super::store::Store;
use super::watch;
use crate::arch::x86_64::xen;
use crate::scheduler::{self, Name};

const STACK_BYTES: usize = 64 * 1024;
const REQUEST: &str = "control/shutdown";

/// Has `on_press` run, as a thread of its own, when the host asks the domain to end. Does nothing where there is no Xen.
pub fn watch(on_press: extern "C" fn(usize) -> !) {
    if !xen::is_there() {
        return;
    }
    let mut is_watched = false;
    watch::add(move |store| {
        if !is_watched {
            is_watched = true;
            // Else the host does not know that it may ask.
            let _ = store.write("control/feature-poweroff", "1");
            let _ = store.watch(REQUEST);
        }
        if is_asked(store)
            && scheduler::spawn(on_press, 0, STACK_BYTES, Name::new(b"power button")).is_err()
        {
            log::error!("no memory to end cleanly");
        }
    });
}

/// Whether the host asks the domain to end; says that it was heard.
fn is_asked(store: &mut Store) -> bool {
    let Ok(request) = store.read(REQUEST) else {
        return false;
    };
    if request.is_empty() {
        return false;
    }
    // Empty again: it was heard.
    let _ = store.write(REQUEST, "");
    let is_end = matches!(&*request, "poweroff" | "halt");
    if !is_end {
        log::warn!("the host asks for what is not known here: {request:?}");
    }
    is_end
}
