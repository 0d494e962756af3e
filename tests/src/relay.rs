//! A cable between a machine and Linux's own network, with somebody on the way who loses, repeats, delays and reorders frames, who can
//! make single connections fall silent, and who can put frames of his own in between.
//!
//! Both ends are netdevs of QEMU's kind `socket` (net/socket.c: each frame behind its length, a big-endian u32). That at Linux's end is joined to a
//! tap by a second QEMU, which has no machine. It needs a network namespace: [`crate::namespace`].

use crate::namespace::ip;
use cargo_toro::qemu;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Linux's address, and the machine's.
pub const LINUX: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);
/// See there.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 2);
/// What the machine is told of its address.
pub const ADDRESS: &str = "10.78.0.2/24,gateway=10.78.0.1";
/// The hardware addresses of both: QEMU's first, and one of our own.
pub const GUEST_MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
/// See there.
pub const LINUX_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x78];

const TAP: &str = "toro0";
const MAX_FRAME_BYTES: usize = 64 << 10;
/// Frames under way in one direction; a wire does not hold more.
const UNDER_WAY: usize = 4096;

/// How frames fare; chances in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// Frames that are lost.
    pub loss: u64,
    /// Frames that come twice.
    pub repetition: u64,
    /// Frames that wait for [`Weather::late`] besides, so that others overtake them.
    pub reordering: u64,
    /// How long each takes.
    pub delay: Duration,
    /// See there.
    pub late: Duration,
}

impl Weather {
    /// What a bad network does: 5 % are lost, 5 % come twice, 10 % are overtaken.
    pub const BAD: Self = Self {
        loss: 50,
        repetition: 50,
        reordering: 100,
        delay: Duration::from_millis(1),
        late: Duration::from_millis(4),
    };
}

/// Chance, from a seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The same seed gives the same.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    #[expect(clippy::should_implement_trait, reason = "it has no end")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}

/// Frames under way in one direction: when they arrive, and in which order they were sent.
#[derive(Debug, Default)]
struct Lane {
    under_way: Mutex<UnderWay>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct UnderWay {
    frames: BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>>,
    /// Nothing more comes.
    is_closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    weather: Mutex<Weather>,
    /// Ports of Linux and of the machine between which all segments are lost.
    silent: Mutex<HashSet<(u16, u16)>>,
    to_guest: Arc<Lane>,
    to_linux: Arc<Lane>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The way between a machine and Linux. It goes with its handle, and the machine's network with it.
#[derive(Debug)]
pub struct Relay {
    shared: Arc<Shared>,
    listener: Option<TcpListener>,
    tap: Option<Child>,
}

impl Relay {
    /// Makes Linux's end.
    #[expect(clippy::new_without_default, reason = "it changes the system")]
    pub fn new() -> Self {
        ip("link set lo up");
        ip(&format!("tuntap add dev {TAP} mode tap"));
        let [a, b, c, d, e, f] = LINUX_MAC;
        ip(&format!(
            "link set {TAP} address {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"
        ));
        ip(&format!("addr add {LINUX}/24 dev {TAP}"));
        // Its address of IPv6 shall be there at once.
        let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{TAP}/accept_dad"), "0");
        // What comes in bursts shall be lost by the machine, if at all.
        ip(&format!("link set {TAP} txqueuelen {UNDER_WAY} up"));
        // A crowd needs all ports, and again at once; and has more strangers in it than Linux remembers by itself.
        for (name, value) in [
            ("net/ipv4/ip_local_port_range", "1024 65000"),
            ("net/ipv4/tcp_tw_reuse", "1"),
        ] {
            let _ = std::fs::write(format!("/proc/sys/{name}"), value);
        }
        Self {
            shared: Arc::default(),
            listener: Some(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port")),
            tap: None,
        }
    }

    /// Tells Linux the machine's hardware address, for good.
    pub fn introduce_guest(&self) {
        let [a, b, c, d, e, f] = GUEST_MAC;
        ip(&format!(
            "neigh replace {GUEST} lladdr {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x} nud permanent dev {TAP}"
        ));
    }

    /// The words for [`crate::Guest::cable`].
    pub fn netdev(&self) -> String {
        format!("socket,id=net0,connect=127.0.0.1:{}", self.port())
    }

    fn port(&self) -> u16 {
        let listener = self.listener.as_ref().expect("not joined yet");
        listener.local_addr().expect("an address").port()
    }

    /// Joins the two ends, when the machine has been started. What happens to frames follows from the seed.
    pub fn join(&mut self, seed: u64) {
        let port = self.port();
        let listener = self.listener.take().expect("not joined yet");
        let (guest, _) = listener.accept().expect("a machine at the cable");
        let netdevs = [
            format!("tap,id=tap,ifname={TAP},script=no,downscript=no"),
            format!("socket,id=cable,connect=127.0.0.1:{port}"),
            "hubport,id=one,hubid=0,netdev=tap".to_owned(),
            "hubport,id=other,hubid=0,netdev=cable".to_owned(),
        ];
        let mut command = Command::new(qemu::qemu());
        command.args(["-M", "none", "-nodefaults", "-display", "none"]);
        for netdev in &netdevs {
            command.args(["-netdev", netdev]);
        }
        self.tap = Some(command.stdin(Stdio::null()).spawn().expect("QEMU"));
        let (linux, _) = listener.accept().expect("QEMU at the tap");
        let (to_guest, to_linux) = (&self.shared.to_guest, &self.shared.to_linux);
        let clone = |stream: &TcpStream| stream.try_clone().expect("a stream");
        for (from, lane, to, is_of_linux) in [
            (clone(&guest), to_linux, clone(&linux), false),
            (linux, to_guest, guest, true),
        ] {
            to.set_nodelay(true).expect("a stream");
            let (shared, in_lane, out_lane) =
                (Arc::clone(&self.shared), Arc::clone(lane), Arc::clone(lane));
            let mut chance = Chance::new(seed * 2 + u64::from(is_of_linux));
            // They end with the machine and with the tap.
            thread::spawn(move || {
                let _ = take_in(from, &shared, &in_lane, &mut chance, is_of_linux);
                in_lane.close();
            });
            thread::spawn(move || drop(bring_out(to, &out_lane)));
        }
    }

    /// What happens to frames from now on.
    pub fn set_weather(&self, weather: Weather) {
        *lock(&self.shared.weather) = weather;
    }

    /// Loses all segments of a connection from now on, both ways.
    pub fn silence(&self, stream: &TcpStream) {
        lock(&self.shared.silent).extend(ports_of(stream));
    }

    /// Gives a connection its voice back.
    pub fn unsilence(&self, stream: &TcpStream) {
        if let Some(ports) = ports_of(stream) {
            lock(&self.shared.silent).remove(&ports);
        }
    }

    /// Sends a frame to the machine, whatever the weather. Waits while too many are under way.
    pub fn inject(&self, frame: Vec<u8>) {
        let lane = &self.shared.to_guest;
        let mut under_way = lock(&lane.under_way);
        while under_way.frames.len() >= UNDER_WAY {
            drop(under_way);
            thread::sleep(Duration::from_millis(1));
            under_way = lock(&lane.under_way);
        }
        drop(under_way);
        lane.put(Instant::now(), frame);
    }

    /// Where a port of the machine is, by IPv4.
    pub fn address(&self, port: u16) -> SocketAddr {
        (GUEST, port).into()
    }

    /// The same by IPv6: the address that the machine gives itself on the link.
    pub fn address_v6(&self, port: u16) -> SocketAddr {
        // `2: toro0: <BROADCAST,…`. What is in /sys belongs to the namespace outside.
        let link = ip(&format!("-oneline link show dev {TAP}"));
        let index = link
            .split(':')
            .next()
            .and_then(|number| number.parse().ok());
        let [a, b, c, d, e, f] = GUEST_MAC.map(u16::from);
        let ip = Ipv6Addr::from([
            0xFE80,
            0,
            0,
            0,
            (a ^ 2) << 8 | b,
            c << 8 | 0xFF,
            0xFE00 | d,
            e << 8 | f,
        ]);
        SocketAddrV6::new(ip, port, 0, index.expect("the tap's number")).into()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(tap) = &mut self.tap {
            let _ = tap.kill();
            let _ = tap.wait();
        }
        // There may be another after it.
        let words = ["tuntap", "del", "dev", TAP, "mode", "tap"];
        let _ = Command::new("ip").args(words).output();
    }
}

impl Lane {
    fn put(&self, at: Instant, frame: Vec<u8>) {
        let mut under_way = lock(&self.under_way);
        let number = frame_number();
        if under_way.frames.len() < 2 * UNDER_WAY {
            under_way.frames.push(Reverse((at, number, frame)));
        }
        drop(under_way);
        self.changed.notify_one();
    }

    /// Nothing more comes.
    fn close(&self) {
        lock(&self.under_way).is_closed = true;
        self.changed.notify_one();
    }

    /// Waits for the next frame.
    fn next(&self) -> Option<Vec<u8>> {
        let mut under_way = lock(&self.under_way);
        loop {
            let now = Instant::now();
            under_way = match under_way.frames.peek() {
                None if under_way.is_closed => return None,
                None => self
                    .changed
                    .wait(under_way)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(Reverse((at, ..))) if *at > now => {
                    let left = *at - now;
                    let waited = self.changed.wait_timeout(under_way, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                Some(_) => return under_way.frames.pop().map(|Reverse((_, _, frame))| frame),
            };
        }
    }
}

/// Frames in the order in which they came.
fn frame_number() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Reads frames and sees what becomes of them.
fn take_in(
    mut from: TcpStream,
    shared: &Shared,
    lane: &Lane,
    chance: &mut Chance,
    is_of_linux: bool,
) -> io::Result<()> {
    loop {
        let mut len = [0; 4];
        from.read_exact(&mut len)?;
        let len = u32::from_be_bytes(len) as usize;
        if len > MAX_FRAME_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut frame = vec![0; len];
        from.read_exact(&mut frame)?;
        let weather = *lock(&shared.weather);
        let is_silent =
            ports(&frame, is_of_linux).is_some_and(|ports| lock(&shared.silent).contains(&ports));
        if is_silent || chance.below(1000) < weather.loss {
            continue;
        }
        let copies = 1 + usize::from(chance.below(1000) < weather.repetition);
        for _ in 0..copies {
            let is_late = chance.below(1000) < weather.reordering;
            let late = if is_late {
                weather.late
            } else {
                Duration::ZERO
            };
            lane.put(Instant::now() + weather.delay + late, frame.clone());
        }
    }
}

fn bring_out(mut to: TcpStream, lane: &Lane) -> io::Result<()> {
    while let Some(frame) = lane.next() {
        let len = u32::try_from(frame.len()).expect("a frame").to_be_bytes();
        to.write_all(&[&len[..], &frame].concat())?;
    }
    Ok(())
}

/// The ports of a connection: Linux's, and the machine's.
fn ports_of(stream: &TcpStream) -> Option<(u16, u16)> {
    Some((
        stream.local_addr().ok()?.port(),
        stream.peer_addr().ok()?.port(),
    ))
}

/// The same of a frame with a segment of TCP.
fn ports(frame: &[u8], is_of_linux: bool) -> Option<(u16, u16)> {
    let (header, packet) = frame.split_first_chunk::<14>()?;
    let (protocol, start) = match [header[12], header[13]] {
        [8, 0] => (*packet.get(9)?, usize::from(packet.first()? & 15) * 4),
        [0x86, 0xDD] => (*packet.get(6)?, 40),
        _ => return None,
    };
    let segment = packet.get(start..).filter(|_| protocol == 6)?;
    let [a, b, c, d] = *segment.first_chunk()?;
    let (from, to) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    Some(if is_of_linux { (from, to) } else { (to, from) })
}
