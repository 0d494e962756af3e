//! A reverse proxy of pingora before two services of axum, one of which goes away, and a third one that never was there.

use async_trait::async_trait;
use axum::{Router, extract::DefaultBodyLimit, routing};
use pingora::lb::{LoadBalancer, health_check::TcpHealthCheck, selection::RoundRobin};
use pingora::prelude::*;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Proxy(Arc<LoadBalancer<RoundRobin>>);

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Box<HttpPeer>> {
        let peer = self.0.select(b"", 256);
        let peer = peer.ok_or_else(|| Error::new(ErrorType::ConnectProxyFailure))?;
        Ok(Box::new(HttpPeer::new(peer, false, String::new())))
    }

    async fn response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHeader,
        _: &mut (),
    ) -> Result<()> {
        response.insert_header("x-proxy", "pingora")
    }
}

/// A service at a port, until it is asked to end.
fn backend(port: u16) {
    let end = Arc::new(tokio::sync::Notify::new());
    let ended = end.clone();
    let service = Router::new()
        .route(
            "/",
            routing::get(move || async move { format!("backend {port}") }),
        )
        .route(
            "/end",
            routing::get(move || async move { end.notify_one() }),
        )
        .route(
            "/echo",
            routing::post(|body: axum::body::Bytes| async { body })
                .layer(DefaultBodyLimit::disable()),
        );
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async move {
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await;
            let server = axum::serve(listener.expect("a port"), service);
            tokio::select! { _ = server => {}, _ = ended.notified() => {} }
        });
    });
}

/// Head and body of an answer, on a connection of its own; nothing if there is none.
fn ask(port: u16, request: &str, body: &[u8]) -> Option<(String, Vec<u8>)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let head = format!(
        "{request} HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let body = answer.split_off(end + 4);
    Some((String::from_utf8(answer).ok()?, body))
}

/// Who answers a request through the proxy.
fn who() -> String {
    let (head, body) = ask(6188, "GET /", b"").expect("an answer");
    match head.starts_with("HTTP/1.1 200") && head.contains("x-proxy: pingora") {
        true => String::from_utf8_lossy(&body).into_owned(),
        false => head,
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "not: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("{what}");
}

fn judge() {
    wait_until("both are asked, one after the other", || {
        let both = [who(), who()];
        both.contains(&"backend 9001".into()) && both.contains(&"backend 9002".into())
    });
    let long: Vec<u8> = (0..3_000_000_u32).map(|n| (n * 7) as u8).collect();
    let (_, echo) = ask(6188, "POST /echo", &long).expect("an echo");
    assert!(echo == long, "{} bytes came back", echo.len());
    println!("3 MB came back");
    let clients: Vec<_> = (0..8)
        .map(|_| std::thread::spawn(|| (0..20).all(|_| who().starts_with("backend"))))
        .collect();
    assert!(
        clients
            .into_iter()
            .all(|client| client.join().expect("a client"))
    );
    println!("160 answers");
    ask(9001, "GET /end", b"");
    wait_until("one is gone, and nobody is sent there", || {
        (0..10).all(|_| who() == "backend 9002")
    });
}

fn main() {
    backend(9001);
    backend(9002);
    std::thread::spawn(|| {
        // A panic of this thread is the end too.
        let is_well = std::panic::catch_unwind(judge).is_ok();
        println!("{}", if is_well { "all done" } else { "failed" });
        std::process::exit(i32::from(!is_well));
    });
    let addresses = ["127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003"];
    let mut backends = LoadBalancer::try_from_iter(addresses).expect("addresses");
    backends.set_health_check(TcpHealthCheck::new());
    backends.health_check_frequency = Some(Duration::from_millis(500));
    let check = background_service("health check", backends);
    let mut server = Server::new(None).expect("a server");
    server.bootstrap();
    let mut proxy = http_proxy_service(&server.configuration, Proxy(check.task()));
    proxy.add_tcp("127.0.0.1:6188");
    server.add_service(check);
    server.add_service(proxy);
    server.run_forever();
}
