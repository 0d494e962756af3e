//! Services: callbacks for the connections of a port.

use std::fmt;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;
use std::time::Duration;

use super::errno;
use super::interface::find;
use crate::core::Builder;
use crate::error::{Error, Result};
use crate::sys;

/// Why a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Close {
    /// The peer sends no more; it may still read.
    ByPeer,
    /// The peer broke the connection off.
    Reset,
    /// The peer does not answer any more.
    Lost,
}

/// What a service does with its connections.
///
/// One thread on the interface's core calls all of these, one after the other, so they need no locks among each other. They may use
/// anything that other threads use: files, locks, sockets. A callback that waits has its thread wait: the other threads and
/// the protocol stack of the core go on, but no other connection of this service is served meanwhile. A callback that computes for long
/// without a pause holds the whole core, as any thread does. A panic in a callback breaks that connection off and drops its state; the
/// service goes on (after a panic in `on_init` there is none).
pub trait Service: Send + 'static {
    /// What the service remembers of a connection. It stays on the service's thread.
    type State: 'static;

    /// Called once on the interface's core, before all others.
    fn on_init(&mut self) {}

    /// Somebody has connected. Without a state, the connection is broken off.
    fn on_accept(&mut self, connection: &mut Connection<'_>) -> Option<Self::State>;

    /// Bytes have come: 1 to 32,768, in order, cut anywhere. They are gone after the call. While bytes that were sent wait
    /// for the peer to take them ([`Connection::waiting`]), nothing is received.
    fn on_receive(&mut self, connection: &mut Connection<'_>, state: &mut Self::State, data: &[u8]);

    /// All bytes that waited have been taken: after a [`Connection::send`] that had to keep some, or that failed with [`Error::Full`].
    fn on_writable(&mut self, connection: &mut Connection<'_>, state: &mut Self::State) {
        let _ = (connection, state);
    }

    /// The peer has ended the connection, in order or not. What was sent before is still delivered if the peer only sends no more,
    /// and more can be sent in this call. After it, the connection is closed and its state dropped. It is not called when the
    /// service itself closes the connection.
    fn on_close(
        &mut self,
        connection: &mut Connection<'_>,
        state: &mut Self::State,
        reason: Close,
    ) {
        let _ = (connection, state, reason);
    }

    /// Nothing was received, and nothing that waited was taken, for the time set by [`Connection::set_timeout`]. It begins anew when
    /// something happens, or is set anew. Unless a service does something else, the connection is broken off.
    fn on_timeout(&mut self, connection: &mut Connection<'_>, state: &mut Self::State) {
        let _ = state;
        connection.abort();
    }
}

/// How a connection shall end after a callback.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    Stay,
    Close,
    Abort,
}

/// A connection, during a callback.
pub struct Connection<'a> {
    service: &'a mut sys::net::Connections,
    number: u32,
    ends: &'a Ends,
    wish: Wish,
}

struct Ends {
    local: SocketAddr,
    peer: SocketAddr,
}

impl fmt::Debug for Connection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("number", &self.number)
            .field("peer", &self.ends.peer)
            .finish_non_exhaustive()
    }
}

impl Connection<'_> {
    /// A number that no other connection of the service has as long as this one is there. They are small, and used again.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The peer's address, of IPv4 or IPv6.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.ends.peer
    }

    /// The address that the peer has connected to.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.ends.local
    }

    /// Sends bytes: all of them are taken, or none. They go into the connection's send buffer; what the peer's window does not let in
    /// there is copied and waits, and goes without further calls.
    ///
    /// # Errors
    /// [`Error::Full`] while 256 KiB or more wait: go on in [`Service::on_writable`]. [`Error::Disconnected`] when the connection is
    /// closed or broken.
    #[inline]
    pub fn send(&mut self, data: &[u8]) -> Result<()> {
        self.check_open()?;
        self.service.send(self.number, data).map_err(refusal)
    }

    /// Sends bytes that are there for ever, as [`Connection::send`] does; those that have to wait are not copied.
    ///
    /// # Errors
    /// As [`Connection::send`].
    #[inline]
    pub fn send_static(&mut self, data: &'static [u8]) -> Result<()> {
        self.check_open()?;
        self.service.send_static(self.number, data).map_err(refusal)
    }

    #[inline]
    fn check_open(&self) -> Result<()> {
        match self.wish {
            Wish::Stay => Ok(()),
            Wish::Close | Wish::Abort => Err(Error::Disconnected),
        }
    }

    /// Bytes that wait because the peer does not take them yet, the send buffer left aside.
    #[must_use]
    pub fn waiting(&mut self) -> usize {
        self.service.waiting(self.number)
    }

    /// Has [`Service::on_timeout`] be called when nothing happens for so long; `None` ends that. It is precise to the timer.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.service.set_timeout(self.number, timeout);
    }

    /// Closes the connection after the callback, in order: what was sent is delivered first. If the peer does not take it for as
    /// long as the timeout (or a minute), it is broken off. No callback is called for it any more.
    pub fn close(&mut self) {
        if self.wish == Wish::Stay {
            self.wish = Wish::Close;
        }
    }

    /// Breaks the connection off after the callback: the peer gets a reset. No callback is called for it any more.
    pub fn abort(&mut self) {
        self.wish = Wish::Abort;
    }
}

fn refusal(errno: i32) -> Error {
    match errno {
        errno::ENOBUFS => Error::Full,
        _ => Error::Disconnected,
    }
}

/// A service that runs. Dropping it changes nothing: the service runs on.
pub struct Handle {
    stopper: sys::net::Stopper,
    thread: JoinHandle<()>,
    core: usize,
    port: u16,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("core", &self.core)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl Handle {
    /// The core on which the callbacks run: the interface's.
    #[must_use]
    pub fn core(&self) -> usize {
        self.core
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Asks the service to end, after the callback that runs now: connections are closed, their states and the service are dropped, the
    /// port is free. Use [`Handle::join`] to wait for that.
    pub fn stop(&self) {
        self.stopper.stop();
    }

    /// Waits until the service has ended: by [`Handle::stop`], or by a panic in `on_init`.
    ///
    /// # Errors
    /// [`Error::ThreadEnded`] after a panic.
    pub fn join(self) -> Result<()> {
        self.thread.join().map_err(|_| Error::ThreadEnded)
    }
}

/// Serves the connections of a port of one interface (of any free port if it is 0), over IPv4 and IPv6; programs of the same machine reach it by the
/// loopback, too. The callbacks run on the core that the interface belongs to, wherever this is called; an interface that no core was
/// given stays where it is, so give it to a core before. Other interfaces can have services of their own at the same port. Of an interface with
/// several queues it serves the connections of all of them, from the first one's core; see [`serve_each`].
///
/// # Errors
/// [`Error::NoSuchDevice`]; [`Error::PortTaken`] when a socket of `std` or another service has the port; [`Error::OutOfMemory`].
pub fn serve<S: Service>(interface: &str, port: u16, service: S) -> Result<Handle> {
    let (index, _) = find(interface)?;
    start((index, 0), interface, port, service)
}

/// Serves the connections of a port of one interface on every core that serves a queue of it: `make` is given the number of each queue, and
/// what it makes serves the connections of that queue on its core. They share nothing, and which connection belongs to which queue follows
/// from its ends. With one queue it is the same as [`serve`].
///
/// # Errors
/// As of [`serve`]; then services that were started before the error go on.
pub fn serve_each<S: Service>(
    interface: &str,
    mut port: u16,
    mut make: impl FnMut(usize) -> S,
) -> Result<Vec<Handle>> {
    let (index, found) = find(interface)?;
    let mut handles = Vec::new();
    for queue in 0..found.queues.max(1) {
        let handle = start((index, queue), interface, port, make(queue))?;
        port = handle.port;
        handles.push(handle);
    }
    Ok(handles)
}

/// Starts a service for a queue of the interface at an index.
fn start<S: Service>(
    (index, queue): (usize, usize),
    interface: &str,
    port: u16,
    service: S,
) -> Result<Handle> {
    let made = sys::net::new_service(index, queue, port);
    let (connections, stopper, core, port) = made.map_err(|errno| match errno {
        errno::EADDRINUSE => Error::PortTaken(port),
        errno::ENOMEM => Error::OutOfMemory,
        errno => Error::Device {
            device: interface.to_owned(),
            errno,
        },
    })?;
    // States are made on the thread and stay there.
    let work = move || {
        let states = Vec::new();
        Loop { service, states }.run(connections);
    };
    let name = format!("{interface}:{port}");
    let thread = Builder::new(core).name(name).spawn(work)?;
    Ok(Handle {
        stopper,
        thread,
        core,
        port,
    })
}

/// A service at work.
struct Loop<S: Service> {
    service: S,
    /// By the connections' numbers.
    states: Vec<Option<(S::State, Ends)>>,
}

impl<S: Service> Loop<S> {
    fn run(mut self, connections: sys::net::Service) {
        self.service.on_init();
        connections.serve(|connections, news| self.handle(connections, &news));
    }

    #[inline]
    fn handle(&mut self, connections: &mut sys::net::Connections, news: &sys::net::News<'_>) {
        let number = news.connection;
        match news.kind {
            sys::net::RECEIVED => self.call(connections, number, |service, connection, state| {
                service.on_receive(connection, state, news.data);
            }),
            sys::net::ACCEPTED => self.accept(connections, number),
            sys::net::WRITABLE => self.call(connections, number, S::on_writable),
            sys::net::TIMED_OUT => self.call(connections, number, S::on_timeout),
            sys::net::ENDED => {
                let reason = match news.value {
                    0 => Close::ByPeer,
                    1 => Close::Reset,
                    _ => Close::Lost,
                };
                self.call(connections, number, |service, connection, state| {
                    service.on_close(connection, state, reason);
                    connection.close();
                });
            }
            _ => {}
        }
    }

    fn accept(&mut self, connections: &mut sys::net::Connections, number: u32) {
        let service = &mut self.service;
        let (local, peer) = connections.accepted();
        let ends = Ends { local, peer };
        let mut connection = Connection {
            service: connections,
            number,
            ends: &ends,
            wish: Wish::Stay,
        };
        let accepted = catch_unwind(AssertUnwindSafe(|| service.on_accept(&mut connection)));
        let wish = connection.wish;
        match (accepted, wish) {
            (Ok(Some(state)), wish) => {
                let index = number as usize;
                if self.states.len() <= index {
                    self.states.resize_with(index + 1, || None);
                }
                self.states[index] = Some((state, ends));
                self.finish(connections, number, wish);
            }
            (Ok(None), Wish::Close) => connections.close(number, false),
            (Ok(None) | Err(_), _) => connections.close(number, true),
        }
    }

    /// Calls a callback, and does what is to be done after it.
    #[inline]
    fn call(
        &mut self,
        connections: &mut sys::net::Connections,
        number: u32,
        callback: impl FnOnce(&mut S, &mut Connection<'_>, &mut S::State),
    ) {
        let Some(Some((state, ends))) = self.states.get_mut(number as usize) else {
            return;
        };
        let mut connection = Connection {
            service: connections,
            number,
            ends,
            wish: Wish::Stay,
        };
        let service = &mut self.service;
        let called = catch_unwind(AssertUnwindSafe(|| {
            callback(service, &mut connection, state);
        }));
        let wish = match called {
            Ok(()) => connection.wish,
            Err(_) => Wish::Abort,
        };
        if wish != Wish::Stay {
            self.finish(connections, number, wish);
        }
    }

    #[inline(never)]
    fn finish(&mut self, connections: &mut sys::net::Connections, number: u32, wish: Wish) {
        if wish == Wish::Stay {
            return;
        }
        let state = self.states.get_mut(number as usize).and_then(Option::take);
        // A destructor may panic, too.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(state)));
        connections.close(number, wish == Wish::Abort);
    }
}
