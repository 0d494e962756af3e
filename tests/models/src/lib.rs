//! What the kernel does without locks, run by loom in all orders that the memory model allows. The sources are the kernel's own, with
//! loom's atomics in place of the processor's.
#![cfg(test)]

mod cores;
mod heap;
mod sleep;
