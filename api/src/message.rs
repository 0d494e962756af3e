//! Messages between cores: typed, bounded, without locks.
//!
//! A channel has one receiver and any number of senders, on whatever cores. The senders of each core have a ring of slots of their own, which
//! only that core writes and only the receiver reads; so no core waits for another one. Sending interrupts the receiver's core only if it
//! halts. Messages of one core arrive in the order in which they were sent; those of several are taken in turn.
//!
//! When a ring is full its senders wait ([`Sender::send`]) or are told so ([`Sender::try_send`]): a slow receiver slows them down. What nobody
//! has received is dropped with the channel.
//!
//! ```no_run
//! let (sender, receiver) = toro::message::channel::<String>(16)?;
//! let worker = toro::core::spawn_on(1, move || {
//!     for text in receiver { println!("{text}"); }
//! })?;
//! sender.send("hello from core 0".to_owned()).unwrap();
//! drop(sender); // the worker's loop ends
//! worker.join().unwrap();
//! # Ok::<(), toro::Error>(())
//! ```

use std::fmt;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::sys::message as sys;
use crate::thread::checkpoint;

/// The waits of the kernel's functions, in nanoseconds.
const NO_WAIT: u64 = 0;
const ENDLESS: u64 = u64::MAX;

const EINTR: i32 = -4;
const EAGAIN: i32 = -11;
const ENOMEM: i32 = -12;
const EPIPE: i32 = -32;
const ETIMEDOUT: i32 = -110;

/// Makes a channel; each core that sends has `capacity` slots.
///
/// # Errors
/// [`Error::Invalid`] where there is no slot; [`Error::OutOfMemory`] where they cannot all be in memory.
pub fn channel<T: Send>(capacity: usize) -> Result<(Sender<T>, Receiver<T>)> {
    if capacity == 0 {
        return Err(Error::Invalid("a channel needs at least one slot".into()));
    }
    let (sender, receiver) = sys::channel(capacity).ok_or(Error::OutOfMemory)?;
    Ok((Sender(sender), Receiver(receiver)))
}

/// A message that was not sent, and why: [`Error::Full`], [`Error::Disconnected`], [`Error::TimedOut`] or [`Error::OutOfMemory`].
#[derive(Clone, PartialEq, Eq)]
pub struct SendError<T> {
    /// The message.
    pub message: T,
    /// Why.
    pub error: Error,
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError")
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a message was not sent: {}", self.error)
    }
}

impl<T> std::error::Error for SendError<T> {}

impl<T> From<SendError<T>> for Error {
    fn from(error: SendError<T>) -> Self {
        error.error
    }
}

fn wait_ns(duration: Duration) -> u64 {
    // Zero would be no wait, and the largest number an endless one.
    u64::try_from(duration.as_nanos()).map_or(ENDLESS - 1, |ns| ns.clamp(1, ENDLESS - 1))
}

fn error(code: i32) -> Error {
    match code {
        EAGAIN => Error::Full,
        ENOMEM => Error::OutOfMemory,
        EPIPE => Error::Disconnected,
        // Killed while it unwinds already.
        EINTR => Error::ThreadEnded,
        ETIMEDOUT => Error::TimedOut,
        _ => Error::Other {
            what: "a message".into(),
            errno: -code,
        },
    }
}

/// Sends messages. Clones may be used on all cores at once.
pub struct Sender<T>(sys::Sender<T>);

impl<T: Send> Sender<T> {
    /// Sends; waits while the ring of this core is full. A kill point.
    ///
    /// # Errors
    /// [`Error::Disconnected`] when there is no receiver any more; [`Error::OutOfMemory`] with the first message of a core, which makes
    /// its ring. The message is given back.
    pub fn send(&self, message: T) -> std::result::Result<(), SendError<T>> {
        self.send_within(message, ENDLESS)
    }

    /// As [`Sender::send`], but waits no longer than `timeout`.
    ///
    /// # Errors
    /// As for [`Sender::send`], and [`Error::TimedOut`].
    pub fn send_timeout(
        &self,
        message: T,
        timeout: Duration,
    ) -> std::result::Result<(), SendError<T>> {
        self.send_within(message, wait_ns(timeout))
    }

    /// Sends if there is room now.
    ///
    /// # Errors
    /// As for [`Sender::send`], and [`Error::Full`].
    pub fn try_send(&self, message: T) -> std::result::Result<(), SendError<T>> {
        self.send_within(message, NO_WAIT)
    }

    fn send_within(&self, message: T, wait_ns: u64) -> std::result::Result<(), SendError<T>> {
        checkpoint();
        self.0.send(message, wait_ns).map_err(|(message, code)| {
            checkpoint();
            SendError {
                message,
                error: error(code),
            }
        })
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// Receives messages, in one thread at a time. As an iterator it ends when there is no sender any more.
pub struct Receiver<T>(sys::Receiver<T>);

impl<T: Send> Receiver<T> {
    /// Receives; waits while there is no message. A kill point.
    ///
    /// # Errors
    /// [`Error::Disconnected`] when there is no sender any more, and nothing that one has sent.
    pub fn receive(&self) -> Result<T> {
        self.receive_within(ENDLESS)
    }

    /// As [`Receiver::receive`], but waits no longer than `timeout`.
    ///
    /// # Errors
    /// As for [`Receiver::receive`], and [`Error::TimedOut`].
    pub fn receive_timeout(&self, timeout: Duration) -> Result<T> {
        self.receive_within(wait_ns(timeout))
    }

    /// Receives a message if there is one now.
    ///
    /// # Errors
    /// As for [`Receiver::receive`].
    pub fn try_receive(&self) -> Result<Option<T>> {
        checkpoint();
        match self.0.receive(NO_WAIT) {
            Ok(message) => Ok(Some(message)),
            Err(EAGAIN) => Ok(None),
            Err(code) => Err(error(code)),
        }
    }

    fn receive_within(&self, wait_ns: u64) -> Result<T> {
        checkpoint();
        self.0.receive(wait_ns).map_err(|code| {
            checkpoint();
            error(code)
        })
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

impl<T: Send> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = Messages<T>;

    fn into_iter(self) -> Messages<T> {
        Messages { receiver: self }
    }
}

/// The messages of a [`Receiver`], as they come.
#[derive(Debug)]
pub struct Messages<T> {
    receiver: Receiver<T>,
}

impl<T: Send> Iterator for Messages<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.receive().ok()
    }
}
