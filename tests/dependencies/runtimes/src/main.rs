//! Runtimes that are not tokio, with echoes over TCP, timers and files; and those that need io_uring, which is told to be missing.
use std::time::{Duration, Instant};
type R = Result<(), Box<dyn std::error::Error>>;

fn async_std() -> R {
    use async_std::{
        io::{ReadExt, WriteExt},
        net::{TcpListener, TcpStream, UdpSocket},
        task,
    };
    task::block_on(async {
        let l = TcpListener::bind("127.0.0.1:0").await?;
        let a = l.local_addr()?;
        let s = task::spawn(async move {
            use async_std::stream::StreamExt;
            let mut i = l.incoming().take(20);
            let mut all = vec![];
            while let Some(c) = i.next().await {
                let mut c = c.unwrap();
                all.push(task::spawn(async move {
                    let mut r = c.clone();
                    async_std::io::copy(&mut r, &mut c).await.unwrap()
                }));
            }
            let mut n = 0;
            for t in all {
                n += t.await;
            }
            n
        });
        let mut cs = vec![];
        for i in 0..20u8 {
            cs.push(task::spawn(async move {
                let mut c = TcpStream::connect(a).await.unwrap();
                let b = vec![i; 100_000];
                let mut w = c.clone();
                let b2 = b.clone();
                let j = task::spawn(async move {
                    w.write_all(&b2).await.unwrap();
                    w.shutdown(std::net::Shutdown::Write).unwrap();
                });
                let mut g = vec![];
                c.read_to_end(&mut g).await.unwrap();
                j.await;
                assert_eq!(g, b);
            }));
        }
        for c in cs {
            c.await;
        }
        assert_eq!(s.await, 2_000_000);
        async_std::fs::write("as.txt", b"hello").await?;
        assert_eq!(async_std::fs::read_to_string("as.txt").await?, "hello");
        let u = UdpSocket::bind("127.0.0.1:0").await?;
        let v = UdpSocket::bind("127.0.0.1:0").await?;
        u.send_to(b"x", v.local_addr()?).await?;
        let mut b = [0; 4];
        assert_eq!(v.recv_from(&mut b).await?.0, 1);
        let e = async_std::future::timeout(Duration::from_millis(50), v.recv_from(&mut b)).await;
        assert!(e.is_err());
        Ok(())
    })
}

fn smol_hyper() -> R {
    use http_body_util::{BodyExt, Full};
    use hyper::{Request, Response, body::Bytes, body::Incoming, service::service_fn};
    smol::block_on(async {
        let l = smol::Async::<std::net::TcpListener>::bind(([127, 0, 0, 1], 0))?;
        let a = l.get_ref().local_addr()?;
        smol::spawn(async move {
            loop {
                let (s, _) = l.accept().await.unwrap();
                smol::spawn(async move {
                    hyper::server::conn::http1::Builder::new()
                        .timer(smol_hyper::rt::SmolTimer::new())
                        .serve_connection(
                            smol_hyper::rt::FuturesIo::new(s),
                            service_fn(|r: Request<Incoming>| async move {
                                let b = r.into_body().collect().await?.to_bytes();
                                Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from(
                                    format!("got {}", b.len()),
                                ))))
                            }),
                        )
                        .await
                        .ok();
                })
                .detach();
            }
        })
        .detach();
        let c = smol::Async::<std::net::TcpStream>::connect(a).await?;
        let (mut send, conn) =
            hyper::client::conn::http1::handshake(smol_hyper::rt::FuturesIo::new(c)).await?;
        smol::spawn(async move {
            conn.await.ok();
        })
        .detach();
        for n in [0usize, 10, 300_000] {
            send.ready().await?;
            let r = send
                .send_request(
                    Request::post("/")
                        .header("host", "x")
                        .body(Full::new(Bytes::from(vec![1; n])))?,
                )
                .await?;
            let b = r.into_body().collect().await?.to_bytes();
            assert_eq!(b, format!("got {n}"));
        }
        let t = Instant::now();
        smol::Timer::after(Duration::from_millis(30)).await;
        assert!(t.elapsed() >= Duration::from_millis(30));
        // Where there are no processes it is an error, not a hang.
        let child = smol::process::Command::new("true").output().await;
        println!("  a process: {:?}", child.map(|output| output.status));
        let f = smol::unblock(|| std::fs::read_dir("/").unwrap().count()).await;
        assert!(f > 0);
        Ok(())
    })
}

fn may_net() -> R {
    use may::{
        go,
        net::{TcpListener, TcpStream},
    };
    use std::io::{Read, Write};
    may::config().set_workers(2).set_stack_size(0x4000);
    let l = TcpListener::bind("127.0.0.1:0")?;
    let a = l.local_addr()?;
    go!(move || for s in l.incoming() {
        let mut s = s.unwrap();
        go!(move || {
            let mut b = vec![0; 16384];
            loop {
                let n = s.read(&mut b).unwrap();
                if n == 0 {
                    break;
                }
                s.write_all(&b[..n]).unwrap();
            }
        });
    });
    let hs: Vec<_> = (0..50u8)
        .map(|i| {
            go!(move || {
                let mut c = TcpStream::connect(a).unwrap();
                for _ in 0..20 {
                    let b = vec![i; 3000];
                    c.write_all(&b).unwrap();
                    let mut g = vec![0; 3000];
                    c.read_exact(&mut g).unwrap();
                    assert_eq!(b, g);
                }
            })
        })
        .collect();
    for h in hs {
        h.join().unwrap();
    }
    let (tx, rx) = may::sync::mpsc::channel();
    for i in 0..1000u64 {
        let tx = tx.clone();
        go!(move || {
            may::coroutine::sleep(Duration::from_millis(i % 20));
            tx.send(i).unwrap();
        });
    }
    drop(tx);
    assert_eq!(rx.iter().sum::<u64>(), 499_500);
    // A coroutine that panics is caught.
    let r = go!(|| -> u8 { panic!("wanted") }).join();
    assert!(r.is_err());
    Ok(())
}

fn generators() -> R {
    let mut g = generator::Gn::new_scoped(|mut s| {
        let (mut a, mut b) = (0u64, 1);
        while b < 1_000_000 {
            std::mem::swap(&mut a, &mut b);
            b += a;
            s.yield_(b);
        }
        generator::done!()
    });
    assert_eq!(g.by_ref().last(), Some(1346269));
    let many: Vec<_> = (0..500)
        .map(|i| {
            let mut g = generator::Gn::<()>::new_scoped_opt(0x1000, move |mut s| {
                for k in 0..10 {
                    s.yield_(i * k);
                }
                generator::done!()
            });
            g.next();
            g
        })
        .collect();
    let s: i32 = many.into_iter().map(|g| g.sum::<i32>()).sum();
    assert_eq!(s, 45 * (499 * 500 / 2));
    Ok(())
}

fn monoio_legacy() -> R {
    use monoio::io::{AsyncReadRentExt, AsyncWriteRentExt};
    let mut rt = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new()
        .enable_timer()
        .build()?;
    rt.block_on(async {
        let l = monoio::net::TcpListener::bind("127.0.0.1:0")?;
        let a = l.local_addr()?;
        let s = monoio::spawn(async move {
            let (mut c, _) = l.accept().await.unwrap();
            let (r, b) = c.read_exact(vec![0u8; 70_000]).await;
            r.unwrap();
            c.write_all(b).await.0.unwrap();
        });
        let mut c = monoio::net::TcpStream::connect(a).await?;
        c.write_all(vec![5u8; 70_000]).await.0?;
        let (r, b) = c.read_exact(vec![0u8; 70_000]).await;
        r?;
        assert!(b.iter().all(|&x| x == 5));
        s.await;
        monoio::time::sleep(Duration::from_millis(20)).await;
        Ok(())
    })
}
fn monoio_fusion() -> R {
    let mut rt = monoio::RuntimeBuilder::<monoio::FusionDriver>::new()
        .enable_timer()
        .build()?;
    rt.block_on(async {
        monoio::time::sleep(Duration::from_millis(5)).await;
    });
    Ok(())
}
/// Without io_uring they end with an error, not with a hang. Linux has it, so there they run.
fn uring_or_error() -> R {
    let r = std::panic::catch_unwind(|| tokio_uring::start(async { 1 }));
    println!(
        "  tokio-uring: {}",
        if r.is_ok() { "ran" } else { "panicked" }
    );
    let r = glommio::LocalExecutorBuilder::default().spawn(|| async { 1 });
    match r.map(|handle| handle.join()) {
        Ok(Ok(n)) => println!("  glommio: {n}"),
        Ok(Err(e)) => println!("  glommio: {e}"),
        Err(e) => println!("  glommio: {e}"),
    }
    Ok(())
}
fn compio_poll() -> R {
    use compio::io::{AsyncReadExt, AsyncWriteExt};
    compio::runtime::Runtime::new()?.block_on(async {
        let l = compio::net::TcpListener::bind("127.0.0.1:0").await?;
        let a = l.local_addr()?;
        let s = compio::runtime::spawn(async move {
            let (mut c, _) = l.accept().await.unwrap();
            let b = c.read_exact(vec![0u8; 70_000]).await.unwrap().1;
            c.write_all(b).await.unwrap();
        });
        let mut c = compio::net::TcpStream::connect(a).await?;
        c.write_all(vec![5u8; 70_000]).await.0?;
        let b = c.read_exact(vec![0u8; 70_000]).await.unwrap().1;
        assert!(b.iter().all(|&x| x == 5));
        s.await.ok();
        compio::fs::write("c.txt", "abc").await.0?;
        assert_eq!(compio::fs::read("c.txt").await?, b"abc");
        compio::time::sleep(Duration::from_millis(20)).await;
        Ok(())
    })
}
fn ntex_web() -> R {
    use ntex::web;
    use std::io::{Read, Write};
    let l = std::net::TcpListener::bind("127.0.0.1:0")?;
    let a = l.local_addr()?;
    std::thread::spawn(move || {
        ntex::rt::System::build()
            .name("x")
            .build(ntex::rt::DefaultRuntime)
            .block_on(async move {
                web::server(async || {
                    web::App::new().route(
                        "/{n}",
                        web::get().to(async |p: web::types::Path<String>| {
                            web::HttpResponse::Ok().body(format!("hi {p}"))
                        }),
                    )
                })
                .workers(2)
                .listen(l)?
                .run()
                .await
            })
            .unwrap();
    });
    std::thread::sleep(Duration::from_millis(500));
    let mut c = std::net::TcpStream::connect(a)?;
    for _ in 0..10 {
        c.write_all(b"GET /bob HTTP/1.1\r\nHost: x\r\n\r\n")?;
        let mut b = [0; 4096];
        let n = c.read(&mut b)?;
        let t = String::from_utf8_lossy(&b[..n]).into_owned();
        assert!(t.ends_with("hi bob"), "{t}");
    }
    Ok(())
}

fn main() {
    let mut bad = 0;
    for (n, f) in [
        ("async-std", async_std as fn() -> R),
        ("smol, hyper", smol_hyper),
        ("generator", generators),
        ("may", may_net),
        ("monoio legacy", monoio_legacy),
        ("monoio fusion", monoio_fusion),
        ("io_uring", uring_or_error),
        ("compio", compio_poll),
        ("ntex", ntex_web),
    ] {
        let t = Instant::now();
        match std::panic::catch_unwind(f) {
            Ok(Ok(())) => println!("ok {n} {:?}", t.elapsed()),
            Ok(Err(e)) => {
                bad += 1;
                println!("FAILED {n}: {e}")
            }
            Err(_) => {
                bad += 1;
                println!("FAILED {n}: panic")
            }
        }
    }
    println!("{}", if bad == 0 { "all done" } else { "not done" });
    std::process::exit(bad);
}
