//! Uses tokio in full, with one thread and with several; each line is a promise that was kept, the same on Linux.
//! With the argument `signal` it waits for an interrupt in place of that.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Barrier, Mutex, Notify, RwLock, Semaphore, broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

fn main() {
    let several = Builder::new_multi_thread()
        .worker_threads(3)
        .enable_all()
        .build();
    let several = several.expect("a runtime with threads");
    if std::env::args().nth(1).as_deref() == Some("signal") {
        several.block_on(interrupted());
        return;
    }
    let one = Builder::new_current_thread().enable_all().build();
    all("one thread", &one.expect("a runtime"));
    all("three threads", &several);
    several.shutdown_timeout(Duration::from_secs(5));
    println!("all steps done");
}

fn all(kind: &str, runtime: &Runtime) {
    runtime.block_on(async {
        tasks().await;
        println!("{kind}: tasks");
        times().await;
        println!("{kind}: time");
        channels().await;
        println!("{kind}: channels and locks");
        streams().await;
        println!("{kind}: streams");
        many().await;
        println!("{kind}: many connections");
        datagrams().await;
        println!("{kind}: datagrams");
        local().await;
        println!("{kind}: local sockets");
        files().await;
        println!("{kind}: files");
        own_signal().await;
        println!("{kind}: signals");
        processes().await;
        println!("{kind}: processes");
    });
}

async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).expect("a handler");
    println!("waiting");
    interrupt.recv().await;
    println!("interrupted");
}

async fn tasks() {
    let mut set = JoinSet::new();
    for number in 0..1000_u32 {
        set.spawn(async move {
            tokio::task::yield_now().await;
            number
        });
    }
    let mut sum = 0;
    while let Some(number) = set.join_next().await {
        sum += number.expect("a number");
    }
    assert_eq!(sum, 999 * 500);
    let blocking: Vec<_> = (0..20)
        .map(|number| tokio::task::spawn_blocking(move || number * 2))
        .collect();
    for (task, number) in blocking.into_iter().zip(0..) {
        assert_eq!(task.await.expect("a number"), number * 2);
    }
    let panics = tokio::spawn(async { panic!("a task's own") });
    assert!(panics.await.expect_err("a panic").is_panic());
    let endless = tokio::spawn(std::future::pending::<()>());
    endless.abort();
    assert!(endless.await.expect_err("the end").is_cancelled());
}

async fn times() {
    let start = Instant::now();
    sleep(Duration::from_millis(20)).await;
    assert!(start.elapsed() >= Duration::from_millis(20));
    let late = timeout(Duration::from_millis(5), std::future::pending::<()>());
    assert!(late.await.is_err());
    let start = Instant::now();
    let mut ticks = interval(Duration::from_millis(3));
    for _ in 0..5 {
        ticks.tick().await;
    }
    assert!(start.elapsed() >= Duration::from_millis(12));
}

async fn channels() {
    let (sender, mut receiver) = mpsc::channel(2);
    for number in 0..4_u32 {
        let sender = sender.clone();
        tokio::spawn(async move {
            for _ in 0..100 {
                sender.send(number).await.expect("a receiver");
            }
        });
    }
    drop(sender);
    let mut sum = 0;
    while let Some(number) = receiver.recv().await {
        sum += number;
    }
    assert_eq!(sum, 600);
    let (answer, question) = oneshot::channel();
    std::thread::spawn(move || answer.send(42).expect("somebody who asks"));
    assert_eq!(question.await, Ok(42));
    let (sender, mut receiver) = watch::channel(0);
    tokio::spawn(async move { sender.send(5).expect("a watcher") });
    receiver.changed().await.expect("a change");
    assert_eq!(*receiver.borrow(), 5);
    let (sender, mut first) = broadcast::channel(8);
    let mut second = sender.subscribe();
    sender.send("all").expect("receivers");
    assert_eq!(
        (first.recv().await, second.recv().await),
        (Ok("all"), Ok("all"))
    );
    let (count, shared) = (Arc::new(Mutex::new(0)), Arc::new(RwLock::new(1)));
    let (few, barrier) = (Arc::new(Semaphore::new(2)), Arc::new(Barrier::new(10)));
    let mut set = JoinSet::new();
    for _ in 0..10 {
        let (count, shared) = (count.clone(), shared.clone());
        let (few, barrier) = (few.clone(), barrier.clone());
        set.spawn(async move {
            barrier.wait().await;
            let _permit = few.acquire().await.expect("an open semaphore");
            *count.lock().await += *shared.read().await;
        });
    }
    set.join_all().await;
    assert_eq!(*count.lock().await, 10);
    let bell = Arc::new(Notify::new());
    let rung = bell.clone();
    let waiter = tokio::spawn(async move { rung.notified().await });
    bell.notify_one();
    waiter.await.expect("a ring");
}

async fn streams() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let (mut reader, mut writer) = stream.split();
        tokio::io::copy(&mut reader, &mut writer)
            .await
            .expect("an end")
    });
    let stream = TcpStream::connect(address).await.expect("a connection");
    let (mut reader, mut writer) = stream.into_split();
    let data: Vec<u8> = (0..300_000_u32).map(|index| (index % 251) as u8).collect();
    let sent = data.clone();
    let sender = tokio::spawn(async move {
        writer.write_all(&sent).await.expect("a reader");
        writer.shutdown().await.expect("an end");
    });
    let mut back = Vec::new();
    reader.read_to_end(&mut back).await.expect("an end");
    assert!(back == data);
    sender.await.expect("a sender");
    assert_eq!(server.await.expect("a server"), 300_000);
    let refused = TcpStream::connect(address).await.expect_err("nobody");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

async fn many() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                while stream.read_line(&mut line).await.expect("a line") != 0 {
                    let answer = line.to_uppercase();
                    stream.write_all(answer.as_bytes()).await.expect("a reader");
                    line.clear();
                }
            });
        }
    });
    let mut clients = JoinSet::new();
    for number in 0..50 {
        clients.spawn(async move {
            let stream = TcpStream::connect(address).await.expect("a connection");
            let mut stream = BufReader::new(stream);
            for round in 0..5 {
                let line = format!("line {round} of client {number}\n");
                stream.write_all(line.as_bytes()).await.expect("a server");
                let mut answer = String::new();
                stream.read_line(&mut answer).await.expect("an answer");
                assert_eq!(answer, line.to_uppercase());
            }
        });
    }
    clients.join_all().await;
    server.abort();
}

async fn datagrams() {
    let first = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let second = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = second.local_addr().expect("an address");
    first.send_to(b"datagram", address).await.expect("a way");
    let mut buf = [0; 32];
    let (count, from) = second.recv_from(&mut buf).await.expect("a datagram");
    assert_eq!(&buf[..count], b"datagram");
    assert_eq!(from, first.local_addr().expect("an address"));
}

async fn local() {
    let (mut first, mut second) = UnixStream::pair().expect("two sockets");
    let reader = tokio::spawn(async move {
        let mut text = String::new();
        second.read_to_string(&mut text).await.expect("an end");
        text
    });
    first.write_all(b"to the other").await.expect("a reader");
    drop(first);
    assert_eq!(reader.await.expect("a text"), "to the other");
}

async fn files() {
    let path = "tokio-wrote-this";
    tokio::fs::write(path, "one\ntwo\n").await.expect("a file");
    let file = tokio::fs::File::open(path).await.expect("the file");
    let mut lines = BufReader::new(file).lines();
    let mut found = Vec::new();
    while let Some(line) = lines.next_line().await.expect("a line") {
        found.push(line);
    }
    assert_eq!(found, ["one", "two"]);
    tokio::fs::remove_file(path).await.expect("the file");
    let gone = tokio::fs::metadata(path).await.expect_err("no file");
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

async fn own_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangups = signal(SignalKind::hangup()).expect("a handler");
    // SAFETY: the handler is tokio's.
    assert_eq!(unsafe { libc::raise(libc::SIGHUP) }, 0);
    hangups.recv().await.expect("a signal");
}

async fn processes() {
    let missing = tokio::process::Command::new("/no/such/program").status();
    let error = missing.await.expect_err("no such program");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
