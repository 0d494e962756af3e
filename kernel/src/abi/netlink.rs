//! Sockets of the family `AF_NETLINK` (RFC 3549; Linux: netlink(7)), of which there is `NETLINK_ROUTE` ([`route`]): a request is answered at once, and the
//! answers wait to be read. Members of [`groups`] are told of changes.

pub(super) mod groups;
mod message;
mod route;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ffi::{c_int, c_ulong, c_void};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use libc::{sockaddr, sockaddr_nl, socklen_t};

use self::groups::{Groups, Known};
use self::message::{ACK, Answer, Heading, REQUEST, Request};
use self::route::Asker;
use super::object::{self, Description, Object};
use super::socket::start_network;
use crate::arch::clock;
use crate::error::{Errno, Result};
use crate::network::ADDRESSES_CHANGED;
use crate::scheduler::{Notifier, Observer, Readiness, WaitOutcome};
use crate::sync::{SpinGuard, SpinLock};

/// `NETLINK_ROUTE`.
const NETLINK_ROUTE: c_int = 0;
/// `NLMSG_ERROR` and `NLMSG_DONE`, and the first kind that is a family's own.
const ERROR: u16 = 2;
const DONE: u16 = 3;
const FIRST_KIND: u16 = 16;
/// Answers are packed into datagrams of about so many bytes, which programs make room for.
const DATAGRAM_BYTES: usize = 4096;
/// More than so many bytes do not wait to be read.
const MOST_BYTES: usize = 256 << 10;

/// The last of the options that are on or off.
const LAST_SWITCH: usize = libc::NETLINK_GET_STRICT_CHK as usize;

#[derive(Default)]
struct Answers {
    queue: VecDeque<Vec<u8>>,
    bytes: usize,
    /// An interface's addresses may have changed since [`NetlinkSocket::known`].
    is_stale: bool,
}

/// What waits to be read, and who waits for it. It observes the interfaces of members of groups.
struct Inbox {
    answers: SpinLock<Answers>,
    notifier: Notifier,
}

impl Inbox {
    fn new() -> Self {
        Self {
            answers: SpinLock::new(Answers::default()),
            notifier: Notifier::new(),
        }
    }
}

impl Observer for Inbox {
    fn notified(&self, _token: u64) {
        self.answers.lock().is_stale = true;
        self.notifier.notify();
    }
}

/// Makes the answers to a request, in datagrams.
type Answering = fn(&Request<'_>, Asker) -> Vec<Vec<u8>>;

/// Finds what members of groups are told since the last time, in datagrams, and notes what they know now.
type Telling = fn(&mut Option<Known>, Groups) -> Vec<Vec<u8>>;

/// A socket. Who answers and tells is noted in it, so that only who makes one leads there, and images of programs that do not are without.
pub(super) struct NetlinkSocket {
    kind: c_int,
    answers_to: Answering,
    news: Telling,
    /// What names it among others; 0: not yet.
    port: AtomicU32,
    inbox: Arc<Inbox>,
    /// The groups it is in, and what it was told, from the first one on.
    known: SpinLock<(Groups, Option<Known>)>,
    /// Options that are on or off, by their numbers.
    switches: [AtomicBool; LAST_SWITCH + 1],
    /// `SO_RCVTIMEO` in nanoseconds; 0: none.
    pub(super) read_timeout_ns: AtomicU64,
    /// `SO_SNDTIMEO`, which is kept: sending never waits.
    pub(super) write_timeout_ns: AtomicU64,
}

/// Makes a socket; its descriptor.
pub(super) fn open(kind: c_int, protocol: c_int) -> Result<c_int> {
    let flags = kind & (libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
    let kind = kind & !flags;
    match (kind, protocol) {
        (libc::SOCK_RAW | libc::SOCK_DGRAM, NETLINK_ROUTE) => {}
        (libc::SOCK_RAW | libc::SOCK_DGRAM, _) => return Err(Errno(libc::EPROTONOSUPPORT)),
        _ => return Err(Errno(libc::ESOCKTNOSUPPORT)),
    }
    let socket = NetlinkSocket {
        kind,
        answers_to,
        news,
        port: AtomicU32::new(0),
        inbox: Arc::new(Inbox::new()),
        known: SpinLock::new((Groups::default(), None)),
        switches: [const { AtomicBool::new(false) }; LAST_SWITCH + 1],
        read_timeout_ns: AtomicU64::new(0),
        write_timeout_ns: AtomicU64::new(0),
    };
    object::insert(Box::new(socket), (libc::O_RDWR | flags) as u32)
}

/// For functions on sockets that found a descriptor of none they know (`error` says so): calls `work` if it is one of these.
pub(super) fn or_netlink<R>(
    error: Errno,
    descriptor: c_int,
    work: impl FnOnce(&NetlinkSocket, &Description) -> Result<R>,
) -> Result<R> {
    if error != Errno(libc::ENOTSOCK) {
        return Err(error);
    }
    let description = object::get(descriptor)?;
    work(description.downcast().ok_or(error)?, &description)
}

/// Reads an address that the caller gave: number and groups.
///
/// # Safety
/// 1. `address` is null or points to `len` bytes.
pub(super) unsafe fn load(address: *const sockaddr, len: socklen_t) -> Result<(u32, u32)> {
    if address.is_null() {
        return Err(Errno(libc::EFAULT));
    }
    if (len as usize) < size_of::<sockaddr_nl>() {
        return Err(Errno(libc::EINVAL));
    }
    // SAFETY: (1), and the length covers it.
    let address = unsafe { address.cast::<sockaddr_nl>().read_unaligned() };
    match c_int::from(address.nl_family) {
        libc::AF_NETLINK => Ok((address.nl_pid, address.nl_groups)),
        _ => Err(Errno(libc::EINVAL)),
    }
}

/// Gives the caller the address of the socket with a number, as much as fits, and its length; 0 is the kernel. With it go groups.
///
/// # Safety
/// 1. `len` is null or points to a length, and `address` is null or points to that many bytes.
pub(super) unsafe fn store(
    (port, groups): (u32, u32),
    address: *mut sockaddr,
    len: *mut socklen_t,
) {
    if address.is_null() || len.is_null() {
        return;
    }
    // SAFETY: a structure of integers, for which zeros are values.
    let mut value: sockaddr_nl = unsafe { core::mem::zeroed() };
    value.nl_family = libc::AF_NETLINK as u16;
    value.nl_pid = port;
    value.nl_groups = groups;
    // SAFETY: no more is written than the caller has room for (1).
    unsafe {
        let room = (*len as usize).min(size_of::<sockaddr_nl>());
        core::ptr::copy_nonoverlapping((&raw const value).cast::<u8>(), address.cast(), room);
        *len = size_of::<sockaddr_nl>() as socklen_t;
    }
}

impl NetlinkSocket {
    /// `SOCK_RAW` or `SOCK_DGRAM`, which are the same.
    pub(super) fn kind(&self) -> c_int {
        self.kind
    }

    /// Its number; it gets one with its first use.
    pub(super) fn port(&self) -> u32 {
        /// Numbers of processes are smaller.
        static NEXT: AtomicU32 = AtomicU32::new(1 << 31);
        if self.port.load(Ordering::Relaxed) == 0 {
            let free = NEXT.fetch_add(1, Ordering::Relaxed);
            // Another thread may have been faster.
            let _ = self
                .port
                .compare_exchange(0, free, Ordering::Relaxed, Ordering::Relaxed);
        }
        self.port.load(Ordering::Relaxed)
    }

    /// Its address: its number, or 0 as long as it has none, and the first 32 groups.
    pub(super) fn name(&self) -> (u32, u32) {
        (self.port.load(Ordering::Relaxed), self.groups().0 as u32)
    }

    /// The groups it is in.
    pub(super) fn groups(&self) -> Groups {
        self.known.lock().0
    }

    /// Has it be in other groups: with the first it begins to observe the interfaces, and is told of what changes from then on.
    ///
    /// # Errors
    /// Those of `change`.
    #[inline(never)]
    pub(super) fn change_groups(&self, change: &dyn Fn(Groups) -> Result<Groups>) -> Result<()> {
        start_network();
        let mut known = self.known.lock();
        let (groups, first) = &mut *known;
        let wanted = change(*groups)?;
        if wanted != Groups::default() && first.is_none() {
            ADDRESSES_CHANGED.subscribe(self.token(), self.inbox.clone());
            // Nothing is news the first time.
            let _ = (self.news)(first, wanted);
        }
        *groups = wanted;
        Ok(())
    }

    /// The place of an option that is on or off. Besides those that [`Asker`] has they change nothing: nothing more is said of errors (`NETLINK_EXT_ACK`),
    /// nothing is lost (`NETLINK_NO_ENOBUFS`, `NETLINK_BROADCAST_ERROR`), and there is one namespace.
    pub(super) fn switch(&self, option: c_int) -> Option<&AtomicBool> {
        let is_one = matches!(
            option,
            libc::NETLINK_BROADCAST_ERROR
                | libc::NETLINK_NO_ENOBUFS
                | libc::NETLINK_LISTEN_ALL_NSID
                | libc::NETLINK_CAP_ACK
                | libc::NETLINK_EXT_ACK
                | libc::NETLINK_GET_STRICT_CHK
        );
        let place = self.switches.get(usize::try_from(option).ok()?);
        place.filter(|_| is_one)
    }

    fn is_on(&self, option: c_int) -> bool {
        let place = self.switch(option);
        place.is_some_and(|place| place.load(Ordering::Relaxed))
    }

    /// What names it among the observers of an interface.
    fn token(&self) -> u64 {
        Arc::as_ptr(&self.inbox).addr() as u64
    }

    /// What waits to be read; where nothing does, what has changed.
    #[inline(never)]
    fn answers(&self) -> SpinGuard<'_, Answers> {
        let mut answers = self.inbox.answers.lock();
        while answers.is_stale && answers.queue.is_empty() {
            answers.is_stale = false;
            drop(answers);
            let mut known = self.known.lock();
            let (groups, before) = &mut *known;
            let news = (self.news)(before, *groups);
            answers = self.inbox.answers.lock();
            answers.bytes += news.iter().map(Vec::len).sum::<usize>();
            answers.queue.extend(news);
        }
        answers
    }

    /// Gives it a number, the one that is asked for or any, and groups.
    pub(super) fn bind(&self, (port, groups): (u32, u32)) -> Result<()> {
        match port {
            0 => drop(self.port()),
            port => {
                let free =
                    self.port
                        .compare_exchange(0, port, Ordering::Relaxed, Ordering::Relaxed);
                free.map_err(|_| Errno(libc::EINVAL))?;
            }
        }
        self.change_groups(&|now| Ok(now.with_first(groups)))
    }

    /// Takes requests; their answers wait to be read then. `to` is whom they go to, the kernel if nothing is said.
    pub(super) fn send(&self, data: &[u8], to: Option<(u32, u32)>) -> Result<usize> {
        match to {
            None | Some((0, 0)) => {}
            Some((0, _)) => return Err(Errno(libc::EOPNOTSUPP)),
            Some(_) => return Err(Errno(libc::ECONNREFUSED)),
        }
        let asker = Asker {
            port: self.port(),
            is_strict: self.is_on(libc::NETLINK_GET_STRICT_CHK),
            is_brief: self.is_on(libc::NETLINK_CAP_ACK),
        };
        let mut rest = data;
        while let Some((request, others)) = Request::take(rest) {
            rest = others;
            self.put((self.answers_to)(&request, asker))?;
        }
        Ok(data.len())
    }

    fn put(&self, datagrams: Vec<Vec<u8>>) -> Result<()> {
        let more: usize = datagrams.iter().map(Vec::len).sum();
        let mut answers = self.inbox.answers.lock();
        let bytes = answers.bytes + more;
        if bytes > MOST_BYTES || answers.queue.try_reserve(datagrams.len()).is_err() {
            return Err(Errno(libc::ENOBUFS));
        }
        answers.bytes = bytes;
        answers.queue.extend(datagrams);
        drop(answers);
        self.inbox.notifier.notify();
        Ok(())
    }

    /// Takes the oldest datagram, as much as fits; how much that is, and how long it was.
    pub(super) fn receive(
        &self,
        buf: &mut [u8],
        is_peek: bool,
        is_nonblocking: bool,
    ) -> Result<(usize, usize)> {
        let deadline_ns = match self.read_timeout_ns.load(Ordering::Relaxed) {
            0 => None,
            timeout_ns => Some(clock::now_ns().saturating_add(timeout_ns)),
        };
        loop {
            let mut answers = self.answers();
            if let Some(first) = answers.queue.front() {
                let (len, full_len) = (first.len().min(buf.len()), first.len());
                buf[..len].copy_from_slice(&first[..len]);
                if !is_peek {
                    answers.bytes -= full_len;
                    drop(answers.queue.pop_front());
                }
                return Ok((len, full_len));
            }
            if is_nonblocking {
                return Err(Errno(libc::EAGAIN));
            }
            let (_, outcome) = self.inbox.notifier.wait(answers, deadline_ns);
            if outcome == WaitOutcome::TimedOut {
                return Err(Errno(libc::EAGAIN));
            }
        }
    }
}

fn news(before: &mut Option<Known>, groups: Groups) -> Vec<Vec<u8>> {
    let now = Known::now();
    let news = before.as_ref().map(|before| now.since(before, groups));
    *before = Some(now);
    news.unwrap_or_default()
}

/// The answers to a request, in datagrams.
fn answers_to(request: &Request<'_>, asker: Asker) -> Vec<Vec<u8>> {
    let mut datagrams = Vec::new();
    if request.flags & REQUEST == 0 {
        return datagrams;
    }
    let outcome = match request.kind < FIRST_KIND {
        true => Ok(Vec::new()),
        false => route::answer(request, asker),
    };
    let is_dump = request.is_dump() && request.kind >= FIRST_KIND;
    let status = outcome.as_ref().map_or_else(|error| -error.0, |_| 0);
    let has_failed = status != 0;
    let mut last: Vec<u8> = Vec::new();
    for message in outcome.unwrap_or_default() {
        if !last.is_empty() && last.len() + message.len() > DATAGRAM_BYTES {
            datagrams.push(core::mem::take(&mut last));
        }
        last.extend_from_slice(&message);
    }
    if !last.is_empty() {
        datagrams.push(last);
    }
    if is_dump && !has_failed {
        let done = Answer::new(DONE, request.heading(asker.port), &0i32.to_ne_bytes());
        datagrams.push(done.finish());
    } else if has_failed || request.flags & ACK != 0 {
        // The request comes back with an error, its header with a confirmation, and alone where the socket wants no more.
        let mut body = Vec::from(status.to_ne_bytes());
        let quoted = if has_failed && !asker.is_brief {
            request.whole.len()
        } else {
            message::HEADER
        };
        body.extend_from_slice(request.whole.get(..quoted).unwrap_or_default());
        let heading = Heading {
            flags: 0,
            ..request.heading(asker.port)
        };
        datagrams.push(Answer::new(ERROR, heading, &body).finish());
    }
    datagrams
}

impl Drop for NetlinkSocket {
    fn drop(&mut self) {
        if self.known.lock().1.is_some() {
            let observer: Arc<dyn Observer> = self.inbox.clone();
            ADDRESSES_CHANGED.unsubscribe(self.token(), &observer);
        }
    }
}

impl Object for NetlinkSocket {
    fn read(&self, buf: &mut [u8], is_nonblocking: bool) -> Result<usize> {
        Ok(self.receive(buf, false, is_nonblocking)?.0)
    }

    fn write(&self, buf: &[u8], _is_nonblocking: bool) -> Result<usize> {
        self.send(buf, None)
    }

    fn readiness(&self) -> Readiness {
        let mut readiness = Readiness::WRITABLE;
        let has_answers = !self.answers().queue.is_empty();
        readiness.set(Readiness::READABLE, has_answers);
        readiness
    }

    fn notifier(&self) -> Option<&Notifier> {
        Some(&self.inbox.notifier)
    }

    fn unread(&self) -> Result<usize> {
        Ok(self.answers().queue.front().map_or(0, Vec::len))
    }

    unsafe fn control(&self, request: c_ulong, argument: *mut c_void) -> Result<()> {
        // SAFETY: the same contract.
        unsafe { super::socket::requests::control(request, argument) }
    }

    fn stat(&self, stat: &mut libc::stat64) -> Result<()> {
        object::stat_anonymous(stat);
        stat.st_mode = libc::S_IFSOCK | 0o777;
        Ok(())
    }
}
