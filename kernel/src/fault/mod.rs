//! What is done about an exception, where it is not the end of the machine.
//!
//! The handler of the processor's exceptions runs on a stack of its core and must not wait. So what happened in code of the program goes
//! on, by [`divert`], as a call on the thread's own stack: there the program is asked, in this order, by the handler that it gave to the
//! crate `toro`, and by the handler of the signal that Linux would send. Where neither repairs it, a thread that is not the main
//! thread ends as by a panic ([`end_thread`]). All else is for [`crate::epitaph`].
//!
//! An exception in the kernel always ends the machine: nobody knows what it was about to change, nor which locks it holds.

pub(crate) mod cleanup;
#[cfg(not(test))]
mod dispatch;
#[cfg(not(test))]
mod end_thread;
mod landing;

#[cfg(not(test))]
pub(crate) use dispatch::diverted;
#[cfg(not(test))]
pub use dispatch::{Stage, Verdict, on_exception, on_nmi, set_stage};
#[cfg(not(test))]
pub(crate) use end_thread::UnwindContext;
#[cfg(not(test))]
pub use end_thread::end_thread;
