//! Crates of many kinds, one check for each kind: channels, caches, clocks, system calls, interpreters, coroutines, metrics, names, mail, sockets.
//! Lines that begin with blanks tell what the system answers; an error there is an answer too.
use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

fn channels() -> Result<()> {
    let (t, r) = kanal::bounded::<u32>(4);
    let (ft, fr) = flume::bounded::<u32>(2);
    let h = std::thread::spawn(move || {
        let mut s = 0;
        while let Ok(v) = r.recv() {
            s += v;
            ft.send(v).unwrap();
        }
        s
    });
    let h2 = std::thread::spawn(move || fr.iter().sum::<u32>());
    for i in 0..1000 {
        t.send(i)?;
    }
    drop(t);
    ensure!(h.join().unwrap() == 499500 && h2.join().unwrap() == 499500);
    let q = Arc::new(crossbeam::queue::SegQueue::new());
    crossbeam::thread::scope(|s| {
        for i in 0..8 {
            let q = &q;
            s.spawn(move |_| {
                for k in 0..100 {
                    q.push(i * k)
                }
            });
        }
    })
    .unwrap();
    ensure!(q.len() == 800);
    let p = crossbeam::sync::Parker::new();
    let u = p.unparker().clone();
    std::thread::spawn(move || u.unpark());
    p.park();
    Ok(())
}
fn caches() -> Result<()> {
    let c: moka::sync::Cache<u32, String> = moka::sync::Cache::builder()
        .max_capacity(100)
        .time_to_live(Duration::from_secs(60))
        .build();
    for i in 0..500 {
        c.get_with(i, || i.to_string());
    }
    c.run_pending_tasks();
    ensure!(c.entry_count() <= 100);
    let m = scc::HashMap::new();
    for i in 0..100u32 {
        m.insert_sync(i, i).map_err(|_| anyhow::anyhow!("twice"))?;
    }
    ensure!(m.len() == 100);
    let a = arc_swap::ArcSwap::from_pointee(1);
    a.store(Arc::new(2));
    ensure!(**a.load() == 2);
    let b = bumpalo::Bump::new();
    ensure!(b.alloc_str("x") == "x");
    Ok(())
}
fn clocks() -> Result<()> {
    let n = time::OffsetDateTime::now_local().context("local offset")?;
    ensure!(n.year() >= 2024, "year {}", n.year());
    let q = quanta::Clock::new();
    let a = q.now();
    std::thread::sleep(Duration::from_millis(20));
    let d = q.now() - a;
    ensure!(
        d >= Duration::from_millis(15) && d < Duration::from_secs(20),
        "quanta {d:?}"
    );
    Ok(())
}
fn who() -> Result<()> {
    println!("  hostname {:?}", hostname::get()?);
    println!(
        "  whoami user {:?} host {:?} platform {} distro {:?}",
        whoami::username(),
        whoami::hostname(),
        whoami::platform(),
        whoami::distro()
    );
    println!("  os {}", os_info::get());
    println!("  rlimit {:?}", rlimit::Resource::NOFILE.get()?);
    println!(
        "  uzers {:?} {:?}",
        uzers::get_current_uid(),
        uzers::get_current_username()
    );
    println!(
        "  affinity {:?}",
        core_affinity::get_core_ids().map(|c| c.len())
    );
    if let Some(c) = core_affinity::get_core_ids() {
        println!("  set {}", core_affinity::set_for_current(c[0]));
    }
    println!("  uname {:?}", rustix::system::uname());
    println!("  sysinfo {}", rustix::system::sysinfo().procs);
    println!(
        "  local ip {:?}",
        local_ip_address::local_ip().map_err(|e| e.to_string())
    );
    println!(
        "  page {} ticks {}",
        rustix::param::page_size(),
        rustix::param::clock_ticks_per_second()
    );
    println!(
        "  thread priority {:?}",
        thread_priority::get_current_thread_priority().is_ok()
    );
    println!(
        "  io_uring {:?}",
        io_uring::IoUring::new(8).err().map(|e| e.raw_os_error())
    );
    Ok(())
}
fn rustix_() -> Result<()> {
    use rustix::{event::*, fs::*, io, net::*, pipe::*, time::*};
    let (r, w) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    ensure!(io::read(&r, &mut [0u8; 4]) == Err(io::Errno::AGAIN));
    io::write(&w, b"abcd")?;
    let mut p = [PollFd::new(&r, PollFlags::IN)];
    ensure!(poll(&mut p, None)? == 1);
    let e = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&e, &r, epoll::EventData::new_u64(7), epoll::EventFlags::IN)?;
    let mut v = Vec::with_capacity(4);
    epoll::wait(&e, rustix::buffer::spare_capacity(&mut v), None)?;
    ensure!(v.len() == 1 && { v[0].data }.u64() == 7);
    let t = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::empty())?;
    timerfd_settime(
        &t,
        TimerfdTimerFlags::empty(),
        &Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: Timespec {
                tv_sec: 0,
                tv_nsec: 1_000_000,
            },
        },
    )?;
    let mut b = [0u8; 8];
    io::read(&t, &mut b)?;
    ensure!(u64::from_ne_bytes(b) >= 1);
    let ev = eventfd(5, EventfdFlags::CLOEXEC)?;
    io::read(&ev, &mut b)?;
    ensure!(b[0] == 5);
    let (a, c) = socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    ensure!(send(&a, b"hi", SendFlags::NOSIGNAL)? == 2);
    let mut s = [0u8; 8];
    ensure!(recv(&c, &mut s, RecvFlags::empty())?.0 == 2);
    let f = memfd_create("m", MemfdFlags::CLOEXEC)?;
    ftruncate(&f, 8192)?;
    ensure!(fstat(&f)?.st_size == 8192);
    let d = open("/tmp", OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty())?;
    let x = openat(
        &d,
        "rx",
        OFlags::CREATE | OFlags::RDWR | OFlags::TRUNC,
        Mode::from(0o644),
    )?;
    ensure!(io::pwrite(&x, b"hello", 100)? == 5 && fstat(&x)?.st_size == 105);
    fallocate(&x, FallocateFlags::empty(), 0, 4096)?;
    flock(&x, FlockOperation::NonBlockingLockExclusive)?;
    println!(
        "  statx {:?}",
        statx(&d, "rx", AtFlags::empty(), StatxFlags::ALL)?.stx_size
    );
    renameat(&d, "rx", &d, "ry")?;
    unlinkat(&d, "ry", AtFlags::empty())?;
    println!(
        "  renameat2 {:?}",
        renameat_with(&d, "no", &d, "ry", RenameFlags::NOREPLACE).err()
    );
    println!(
        "  openat2 {:?}",
        openat2(
            &d,
            ".",
            OFlags::DIRECTORY | OFlags::PATH,
            Mode::empty(),
            ResolveFlags::BENEATH
        )
        .map(|_| ())
    );
    println!(
        "  pidfd {:?}",
        rustix::process::pidfd_open(
            rustix::process::getpid(),
            rustix::process::PidfdFlags::empty()
        )
        .map(|_| ())
    );
    println!("  statfs {:?}", statfs("/tmp").map(|s| s.f_bsize));
    println!(
        "  inotify {:?}",
        inotify::init(inotify::CreateFlags::CLOEXEC).map(|_| ())
    );
    println!(
        "  getrandom {:?}",
        rustix::rand::getrandom(&mut b, rustix::rand::GetRandomFlags::empty())
    );
    println!("  sendfile {:?}", {
        let x = open("/tmp/sf", OFlags::CREATE | OFlags::RDWR, Mode::from(0o644))?;
        io::write(&x, b"0123456789")?;
        let mut o = 2;
        sendfile(&a, &x, Some(&mut o), 5)
    });
    println!(
        "  splice {:?}",
        splice(&r, None, &w, None, 1, SpliceFlags::empty())
    );
    // SAFETY: a new mapping, which nobody touches.
    let m = unsafe {
        rustix::mm::mmap(
            std::ptr::null_mut(),
            8192,
            rustix::mm::ProtFlags::READ | rustix::mm::ProtFlags::WRITE,
            rustix::mm::MapFlags::SHARED,
            &f,
            0,
        )
    };
    println!("  shared mmap {:?}", m.map(|_| ()));
    // SAFETY: a new mapping, which nobody touches.
    let m = unsafe {
        rustix::mm::mmap_anonymous(
            std::ptr::null_mut(),
            8192,
            rustix::mm::ProtFlags::READ | rustix::mm::ProtFlags::EXEC,
            rustix::mm::MapFlags::PRIVATE,
        )
    };
    println!("  exec mmap {:?}", m.map(|_| ()));
    println!(
        "  thread {:?} cpu {}",
        rustix::thread::gettid().as_raw_nonzero().get() > 0,
        rustix::thread::sched_getcpu() < 64
    );
    println!("  clock {:?}", clock_gettime(ClockId::Boottime).tv_sec >= 0);
    Ok(())
}
fn nix_() -> Result<()> {
    use nix::{sys::socket::*, unistd::*};
    println!(
        "  user {:?} group {:?}",
        User::from_uid(Uid::current())?.map(|u| u.name),
        Group::from_gid(Gid::current())?.map(|u| u.name)
    );
    println!("  sysconf {:?}", sysconf(SysconfVar::OPEN_MAX)?);
    let s = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    use std::os::fd::AsRawFd;
    bind(s.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0))?;
    let a: SockaddrIn = getsockname(s.as_raw_fd())?;
    setsockopt(&s, sockopt::Ipv4PacketInfo, &true)?;
    println!(
        "  timestamps {:?}",
        setsockopt(&s, sockopt::ReceiveTimestampns, &true)
    );
    println!("  gso {:?}", setsockopt(&s, sockopt::UdpGsoSegment, &1200));
    println!("  gro {:?}", setsockopt(&s, sockopt::UdpGroSegment, &true));
    setsockopt(&s, sockopt::UdpGsoSegment, &0).ok();
    let c = std::net::UdpSocket::bind("127.0.0.1:0")?;
    c.send_to(b"msg", std::net::SocketAddrV4::from(a))?;
    let mut buf = [0u8; 64];
    let mut cm = vec![0u8; 256];
    let mut iov = [std::io::IoSliceMut::new(&mut buf)];
    let m = recvmsg::<SockaddrIn>(s.as_raw_fd(), &mut iov, Some(&mut cm), MsgFlags::empty())?;
    ensure!(m.bytes == 3);
    println!("  cmsgs {}", m.cmsgs()?.count());
    println!("  ifaddrs {}", nix::ifaddrs::getifaddrs()?.count() > 0);
    // SAFETY: in a virtual machine, for which this program is, it fails and changes nothing.
    println!(
        "  fork {:?} mkfifo {:?} chroot {:?}",
        unsafe { fork() }.err(),
        mkfifo("/tmp/ff", nix::sys::stat::Mode::S_IRWXU),
        chroot("/tmp").err()
    );
    println!(
        "  mlock {:?}",
        nix::sys::mman::mlockall(nix::sys::mman::MlockAllFlags::MCL_CURRENT)
    );
    Ok(())
}
#[derive(clap::Parser)]
#[command(version)]
struct Cli {
    #[arg(long, default_value = "x")]
    name: String,
    rest: Vec<String>,
}
fn tools() -> Result<()> {
    use clap::Parser;
    let c = Cli::try_parse_from(["p", "--name", "toro", "a"])?;
    ensure!(c.name == "toro" && c.rest.len() == 1);
    ensure!(
        Cli::try_parse_from(["p", "--help"])
            .err()
            .unwrap()
            .to_string()
            .contains("Usage")
    );
    std::fs::write("/tmp/c.toml", "port = 80\n")?;
    let c = config::Config::builder()
        .add_source(config::File::with_name("/tmp/c"))
        .add_source(config::Environment::with_prefix("APP"))
        .build()?;
    ensure!(c.get_int("port")? == 80);
    let e = rhai::Engine::new();
    ensure!(
        e.eval::<i64>("let x = 0; for i in 0..100 { x += i } x")
            .map_err(|e| anyhow::anyhow!("{e}"))?
            == 4950
    );
    use proptest::prelude::*;
    let mut r = proptest::test_runner::TestRunner::default();
    r.run(&(0u32..1000), |x| {
        prop_assert!(x < 1000);
        Ok(())
    })?;
    let d = tempfile::tempdir()?;
    std::fs::write(d.path().join("f"), "x")?;
    let p = std::env::temp_dir();
    ensure!(d.path().starts_with(&p));
    Ok(())
}
fn wasm() -> Result<()> {
    let e = wasmi::Engine::default();
    let w = b"\0asm\x01\0\0\0\x01\x07\x01\x60\x02\x7f\x7f\x01\x7f\x03\x02\x01\0\x07\x07\x01\x03add\0\0\x0a\x09\x01\x07\0\x20\0\x20\x01\x6a\x0b";
    let m = wasmi::Module::new(&e, &w[..])?;
    let mut s = wasmi::Store::new(&e, ());
    let i = wasmi::Linker::new(&e).instantiate_and_start(&mut s, &m)?;
    let f = i.get_typed_func::<(i32, i32), i32>(&s, "add")?;
    ensure!(f.call(&mut s, (2, 40))? == 42);
    Ok(())
}
fn coroutines() -> Result<()> {
    let mut c = corosensei::Coroutine::new(|y: &corosensei::Yielder<u32, u32>, mut i: u32| {
        for _ in 0..10 {
            i += y.suspend(i);
        }
        i
    });
    let mut s = 0;
    loop {
        match c.resume(1) {
            corosensei::CoroutineResult::Yield(v) => s += v,
            corosensei::CoroutineResult::Return(v) => {
                s += v;
                break;
            }
        }
    }
    ensure!(s == 66, "{s}");
    let t = corosensei::Coroutine::<(), (), (), _>::new(|_: &corosensei::Yielder<(), ()>, _| {
        panic!("inside")
    });
    let mut t = t;
    ensure!(
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            t.resume(());
        }))
        .is_err()
    );
    Ok(())
}
fn traces() -> Result<()> {
    #[inline(never)]
    fn here_i_am() -> backtrace::Backtrace {
        backtrace::Backtrace::new()
    }
    let b = format!("{:?}", here_i_am());
    ensure!(b.contains("main"), "no name in {b}");
    let r: color_eyre::Result<()> = Err(color_eyre::eyre::eyre!("first").wrap_err("second"));
    let t = format!("{:?}", r.unwrap_err());
    ensure!(t.contains("first") && t.contains("second"), "{t}");
    let r = std::thread::spawn(|| panic!("seen by color_eyre")).join();
    ensure!(r.is_err());
    Ok(())
}
fn metrics_() -> Result<()> {
    let c = prometheus::IntCounter::new("hits", "h")?;
    prometheus::register(Box::new(c.clone()))?;
    c.inc();
    let t = prometheus::TextEncoder::new().encode_to_string(&prometheus::gather())?;
    ensure!(t.contains("hits 1"), "{t}");
    let rt = tokio::runtime::Runtime::new()?;
    rt.block_on(async {
        metrics_exporter_prometheus::PrometheusBuilder::new()
            .with_http_listener(([127, 0, 0, 1], 9100))
            .install()?;
        metrics::counter!("seen").increment(3);
        for _ in 0..50 {
            if let Ok(mut s) = tokio::net::TcpStream::connect("127.0.0.1:9100").await {
                use tokio::io::*;
                s.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
                let mut o = String::new();
                s.read_to_string(&mut o).await?;
                ensure!(o.contains("seen 3"), "{o}");
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("no listener")
    })
}
fn dns() -> Result<()> {
    // A server of one name on the loopback, asked by hickory.
    let s = std::net::UdpSocket::bind("127.0.0.1:0")?;
    let a = s.local_addr()?;
    std::thread::spawn(move || {
        loop {
            let mut b = [0u8; 512];
            let Ok((n, from)) = s.recv_from(&mut b) else {
                return;
            };
            let end = 12 + b[12..n].iter().position(|c| *c == 0).unwrap() + 5;
            let is_a = b[end - 3] == 1;
            let mut r = b[..end].to_vec();
            r[2] = 0x81;
            r[3] = 0x80;
            r[7] = is_a as u8;
            r[10] = 0;
            r[11] = 0;
            if is_a {
                r.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 1, 2, 3]);
            }
            s.send_to(&r, from).ok();
        }
    });
    tokio::runtime::Runtime::new()?.block_on(async {
        use hickory_resolver::{config::*, name_server::TokioConnectionProvider, *};
        let mut c = ResolverConfig::new();
        c.add_name_server(NameServerConfig::new(
            a,
            hickory_resolver::proto::xfer::Protocol::Udp,
        ));
        let r = Resolver::builder_with_config(c, TokioConnectionProvider::default()).build();
        let ips: Vec<_> = r.lookup_ip("toro.example.").await?.iter().collect();
        ensure!(ips == ["10.1.2.3".parse::<std::net::IpAddr>()?], "{ips:?}");
        let r = Resolver::builder_tokio()
            .context("system configuration")?
            .build();
        let ips: Vec<_> = r.lookup_ip("localhost").await?.iter().collect();
        ensure!(!ips.is_empty());
        Ok(())
    })?;
    let l = dns_lookup::lookup_host("localhost")?.collect::<Vec<_>>();
    ensure!(!l.is_empty());
    println!(
        "  lookup_addr {:?}",
        dns_lookup::lookup_addr(&"127.0.0.1".parse()?).map_err(|e| e.to_string())
    );
    println!(
        "  getnameinfo {:?}",
        dns_lookup::getnameinfo(&"127.0.0.1:80".parse()?, 0).map_err(|e| format!("{e:?}"))
    );
    Ok(())
}
fn redis_() -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let l = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let a = l.local_addr()?;
        tokio::spawn(mini_redis::server::run(l, std::future::pending::<()>()));
        let mut c = mini_redis::client::connect(a)
            .await
            .map_err(|e| anyhow::anyhow!("{e}"))?;
        c.set("k", "v".into())
            .await
            .map_err(|e| anyhow::anyhow!("{e}"))?;
        ensure!(
            c.get("k")
                .await
                .map_err(|e| anyhow::anyhow!("{e}"))?
                .as_deref()
                == Some(&b"v"[..])
        );
        let mut sub = mini_redis::client::connect(a)
            .await
            .map_err(|e| anyhow::anyhow!("{e}"))?
            .subscribe(vec!["ch".into()])
            .await
            .map_err(|e| anyhow::anyhow!("{e}"))?;
        c.publish("ch", "m".into())
            .await
            .map_err(|e| anyhow::anyhow!("{e}"))?;
        ensure!(
            sub.next_message()
                .await
                .map_err(|e| anyhow::anyhow!("{e}"))?
                .unwrap()
                .content
                == "m"
        );
        Ok(())
    })
}
fn tiny_server(
    answer: fn(&str) -> Option<&'static str>,
    hello: &'static str,
) -> Result<std::net::SocketAddr> {
    let l = std::net::TcpListener::bind("127.0.0.1:0")?;
    let a = l.local_addr()?;
    std::thread::spawn(move || {
        let (s, _) = l.accept().unwrap();
        let mut w = s.try_clone().unwrap();
        w.write_all(hello.as_bytes()).unwrap();
        for line in BufReader::new(s).lines().map_while(Result::ok) {
            if let Some(x) = answer(&line) {
                w.write_all(x.as_bytes()).unwrap();
            }
        }
    });
    Ok(a)
}
fn mail() -> Result<()> {
    use lettre::Transport;
    let a = tiny_server(
        |l| match l.split([' ', ':']).next().unwrap_or("") {
            "EHLO" => Some("250 toro\r\n"),
            "MAIL" | "RCPT" => Some("250 ok\r\n"),
            "DATA" => Some("354 go\r\n"),
            "." => Some("250 taken\r\n"),
            "QUIT" => Some("221 bye\r\n"),
            _ => None,
        },
        "220 toro\r\n",
    )?;
    let m = lettre::Message::builder()
        .from("a@toro.example".parse()?)
        .to("b@toro.example".parse()?)
        .subject("s")
        .body("text".to_owned())?;
    let r = lettre::SmtpTransport::builder_dangerous("127.0.0.1")
        .port(a.port())
        .build()
        .send(&m)?;
    ensure!(r.is_positive());
    Ok(())
}
fn ping() -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let r = surge_ping::ping("127.0.0.1".parse()?, &[1, 2, 3]).await;
        println!("  ping {:?}", r.map(|_| ()).map_err(|e| e.to_string()));
        Ok(())
    })
}
fn sharing() -> Result<()> {
    use interprocess::local_socket::{prelude::*, *};
    let n = "/tmp/ip.sock".to_fs_name::<GenericFilePath>()?;
    let l = ListenerOptions::new().name(n.clone()).create_sync()?;
    let h = std::thread::spawn(move || {
        let mut s = l.accept().unwrap();
        let mut b = [0; 5];
        s.read_exact(&mut b).unwrap();
        s.write_all(&b).unwrap();
    });
    let mut s = LocalSocketStream::connect(n)?;
    s.write_all(b"hello")?;
    let mut b = [0; 5];
    s.read_exact(&mut b)?;
    h.join().unwrap();
    ensure!(&b == b"hello");
    let m = shared_memory::ShmemConf::new().size(4096).create();
    println!(
        "  shared_memory {:?}",
        m.map(|m| m.len()).map_err(|e| e.to_string())
    );
    println!(
        "  syslog {:?}",
        syslog::unix(syslog::Formatter3164::default())
            .map(|_| ())
            .map_err(|e| e.to_string())
    );
    let d = mdns_sd::ServiceDaemon::new();
    println!("  mdns {:?}", d.map(|_| ()).map_err(|e| e.to_string()));
    Ok(())
}
fn signals() -> Result<()> {
    static N: AtomicUsize = AtomicUsize::new(0);
    ctrlc::set_handler(|| {
        N.fetch_add(1, SeqCst);
    })?;
    nix::sys::signal::raise(nix::sys::signal::Signal::SIGINT)?;
    for _ in 0..100 {
        if N.load(SeqCst) == 1 {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    anyhow::bail!("no signal seen")
}
fn sockets() -> Result<()> {
    use socket2::*;
    let s = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    macro_rules! try_all { ($($e:expr),* $(,)?) => { $( println!("  {} -> {:?}", stringify!($e), $e.map_err(|e| e.to_string())); )* } }
    try_all!(
        s.set_reuse_address(true),
        s.set_reuse_port(true),
        s.set_tcp_nodelay(true),
        s.set_keepalive(true),
        s.set_tcp_keepalive(
            &TcpKeepalive::new()
                .with_time(Duration::from_secs(9))
                .with_interval(Duration::from_secs(3))
                .with_retries(4)
        ),
        s.set_tcp_user_timeout(Some(Duration::from_secs(5))),
        s.tcp_user_timeout(),
        s.set_recv_buffer_size(65536),
        s.set_send_buffer_size(65536),
        s.set_linger(None),
        s.set_ttl_v4(9),
        s.set_tos_v4(8),
        s.set_tcp_cork(false),
        s.set_tcp_quickack(true),
        s.set_tcp_thin_linear_timeouts(false),
        s.set_freebind_v4(true),
        s.set_mark(1),
        s.set_tcp_mss(1400),
        s.tcp_mss(),
        s.bind_device(Some(b"net0")),
        s.set_cpu_affinity(0),
        s.set_tcp_congestion(b"cubic"),
        s.tcp_congestion()
            .map(|c| String::from_utf8_lossy(&c).into_owned()),
        s.set_broadcast(true),
        s.set_out_of_band_inline(true),
        s.set_priority(3),
        s.protocol(),
        s.domain(),
        s.r#type(),
        s.is_listener()
    );
    Ok(())
}
fn main() {
    color_eyre::install().unwrap();
    env_logger::init();
    let mut bad = 0;
    let only: Vec<String> = std::env::args().skip(1).collect();
    macro_rules! run { ($($f:ident)*) => { $( if only.is_empty() || only.iter().any(|o| o == stringify!($f)) {
        match std::panic::catch_unwind($f) { Ok(Ok(())) => println!("{} ok", stringify!($f)), Ok(Err(e)) => { bad += 1; println!("{} FAILED: {e:#}", stringify!($f)) } Err(_) => { bad += 1; println!("{} FAILED: panic", stringify!($f)) } } } )* } }
    run!(channels caches clocks who rustix_ nix_ tools wasm coroutines traces metrics_ dns redis_ mail ping sharing sockets signals);
    println!("{}", if bad == 0 { "all done" } else { "not all" });
    std::process::exit(bad);
}
