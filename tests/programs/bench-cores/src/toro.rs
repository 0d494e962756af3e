//! What the benchmark asks of the system: Toro.

use std::thread::JoinHandle;
use toro::message::{Receiver, Sender};

/// The main thread is on core 0.
pub(crate) fn begin() {}

pub(crate) fn spawn_on<T: Send + 'static>(
    core: usize,
    f: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    toro::core::spawn_on(core, f).unwrap()
}

pub(crate) fn channel<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    toro::message::channel(capacity).unwrap()
}

pub(crate) fn send<T: Send>(sender: &Sender<T>, message: T) {
    sender.send(message).unwrap();
}

pub(crate) fn receive<T: Send>(receiver: &Receiver<T>) -> T {
    receiver.receive().unwrap()
}
