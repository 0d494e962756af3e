//! Messages between cores (`kernel/src/abi/native/message.rs`).

use std::cell::Cell;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

mod c {
    use std::ffi::{c_int, c_void};

    unsafe extern "C" {
        pub(super) safe fn toro_message_channel(
            len_bytes: usize,
            align: usize,
            capacity: usize,
        ) -> *mut c_void;
        pub(super) fn toro_message_free(channel: *mut c_void);
        pub(super) fn toro_message_send(
            channel: *const c_void,
            message: *const u8,
            wait_ns: u64,
        ) -> c_int;
        pub(super) fn toro_message_receive(
            channel: *const c_void,
            out: *mut u8,
            wait_ns: u64,
        ) -> c_int;
        pub(super) fn toro_message_close_sending(channel: *const c_void);
        pub(super) fn toro_message_close_receiving(channel: *const c_void);
    }
}

/// A channel of the kernel for values of `T`, which are the channel's while they are in it.
struct Channel<T> {
    channel: NonNull<c_void>,
    senders: AtomicUsize,
    values: PhantomData<T>,
}

// SAFETY: the kernel's functions may be called from every core; values go from one thread to another.
unsafe impl<T: Send> Send for Channel<T> {}
// SAFETY: as for `Send`; there is no reference to a value in the channel, and only `Receiver`, which is not shared, receives.
unsafe impl<T: Send> Sync for Channel<T> {}

/// The end that sends.
pub(crate) struct Sender<T>(Arc<Channel<T>>);

/// The end that receives: there is one, in one thread at a time (it is not `Sync`).
pub(crate) struct Receiver<T>(Arc<Channel<T>>, PhantomData<Cell<()>>);

/// `None` where the slots of one core do not fit into an address space.
pub(crate) fn channel<T>(capacity: usize) -> Option<(Sender<T>, Receiver<T>)> {
    let channel = c::toro_message_channel(size_of::<T>(), align_of::<T>(), capacity);
    let channel = Arc::new(Channel {
        channel: NonNull::new(channel)?,
        senders: AtomicUsize::new(1),
        values: PhantomData,
    });
    Some((Sender(Arc::clone(&channel)), Receiver(channel, PhantomData)))
}

impl<T> Sender<T> {
    /// Sends, waiting up to `wait_ns`; gives the value back with the negative `errno`.
    pub(crate) fn send(&self, value: T, wait_ns: u64) -> Result<(), (T, i32)> {
        let value = ManuallyDrop::new(value);
        let from = (&raw const value).cast();
        // SAFETY: the channel lives and its messages are values of `T`.
        let code = unsafe { c::toro_message_send(self.0.channel.as_ptr(), from, wait_ns) };
        if code == 0 {
            Ok(())
        } else {
            // Not sent, so it is the caller's still.
            Err((ManuallyDrop::into_inner(value), code))
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.senders.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.0.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: the channel lives.
            unsafe { c::toro_message_close_sending(self.0.channel.as_ptr()) };
        }
    }
}

impl<T> Receiver<T> {
    /// Receives, waiting up to `wait_ns`; else the negative `errno`.
    pub(crate) fn receive(&self, wait_ns: u64) -> Result<T, i32> {
        // SAFETY: this end is the only one, and in one thread.
        unsafe { self.0.receive(wait_ns) }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        // SAFETY: the channel lives.
        unsafe { c::toro_message_close_receiving(self.0.channel.as_ptr()) };
    }
}

impl<T> Channel<T> {
    /// Receives, waiting up to `wait_ns`; else the negative `errno`.
    ///
    /// # Safety
    /// 1. No other thread receives from the channel at the same time.
    unsafe fn receive(&self, wait_ns: u64) -> Result<T, i32> {
        let mut value = MaybeUninit::<T>::uninit();
        let to = value.as_mut_ptr().cast();
        // SAFETY: the channel lives, its messages are values of `T`, and the caller alone receives (1).
        match unsafe { c::toro_message_receive(self.channel.as_ptr(), to, wait_ns) } {
            // SAFETY: the kernel wrote the value that somebody sent, which is nobody else's any more.
            0 => Ok(unsafe { value.assume_init() }),
            code => Err(code),
        }
    }
}

impl<T> Drop for Channel<T> {
    fn drop(&mut self) {
        // What was not received is dropped here. SAFETY: nobody else has the channel any more.
        while let Ok(value) = unsafe { self.receive(0) } {
            drop(value);
        }
        // SAFETY: as above, and it is freed once.
        unsafe { c::toro_message_free(self.channel.as_ptr()) };
    }
}
