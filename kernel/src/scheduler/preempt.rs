//! Threads whose code the timer has interrupted (`arch/x86_64/preemption.rs`): they give the core away, as if they had yielded.
//!
//! Most wait on their own stack. One that ran on a stack that the program made itself (coroutines, fibers) waits on the core's spare one,
//! and the core gets another.

use super::core::{with_core, yield_now};
use super::thread::Stack;
use crate::arch::x86_64::core_local::{self, CoreLocal};
use crate::arch::x86_64::preemption;

/// Lets the timer interrupt threads that compute, from now on.
pub fn enable() {
    preemption::enable(preempt);
}

/// Gives the core of code of the program that was interrupted to other threads.
extern "C" fn preempt() {
    let local = core_local::current();
    // The handler of the timer takes the stack's address, and the thread the stack itself: what is still here is not in use.
    let stack = match local.has_spare_stack() {
        true => None,
        false => with_core(|core| core.spare_stack.take()),
    };
    let Some(stack) = stack else {
        return yield_now();
    };
    provide_stack(local);
    yield_now();
    // From here to its own code the thread is in the kernel, where nobody takes the core from it. So this stack can be the next one's already.
    set_stack(local, stack);
}

/// Provides for a thread that will be interrupted on a stack that is not its own, unless somebody has. Without memory for that, such
/// threads keep the core until there is some.
#[inline]
pub(super) fn provide_stack(local: &CoreLocal) {
    if !local.has_spare_stack()
        && let Ok(stack) = Stack::new(0)
    {
        set_stack(local, stack);
    }
}

fn set_stack(local: &CoreLocal, stack: Stack) {
    let end = stack.end();
    let before = with_core(|core| core.spare_stack.replace(stack));
    local.set_spare_stack(end);
    drop(before);
}
