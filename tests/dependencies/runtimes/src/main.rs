//! Runtimes and clients: each talks to a server in the same program.

use http_body_util::Full;
use hyper::body::Bytes;
use std::convert::Infallible;
use std::io::{BufRead, BufReader, Write};

/// A server that knows the three commands that the client of redis sends.
fn redis_server() -> std::io::Result<std::net::SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let mut stream = stream;
        let mut value = String::new();
        while let Some(count) = lines.next() {
            let count: usize = count[1..].parse().unwrap();
            let words: Vec<String> = (0..count).filter_map(|_| (lines.next(), lines.next()).1).collect();
            match words[0].as_str() {
                "SET" => {
                    value = words[2].clone();
                    write!(stream, "+OK\r\n").unwrap();
                }
                "GET" => write!(stream, "${}\r\n{value}\r\n", value.len()).unwrap(),
                _ => write!(stream, "+OK\r\n").unwrap(),
            }
        }
    });
    Ok(address)
}

async fn http_server() -> std::io::Result<std::net::SocketAddr> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper::service::service_fn(|request: hyper::Request<hyper::body::Incoming>| async move {
                let text = format!("path {}", request.uri().path());
                Ok::<_, Infallible>(hyper::Response::new(Full::new(Bytes::from(text))))
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(hyper_util::rt::TokioIo::new(stream), service));
        }
    });
    Ok(address)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("smol {}", smol::block_on(async {
        smol::Timer::after(std::time::Duration::from_millis(5)).await;
        smol::unblock(|| 7).await
    }));
    println!("async-std {:?}", async_std::task::block_on(async {
        async_std::fs::write("file", b"text").await?;
        async_std::fs::read_to_string("file").await
    })?);
    let client = redis::Client::open(format!("redis://{}/", redis_server()?))?;
    let mut connection = client.get_connection()?;
    redis::cmd("SET").arg("key").arg("value").exec(&mut connection)?;
    println!("redis {:?}", redis::cmd("GET").arg("key").query::<String>(&mut connection)?);
    tokio::runtime::Runtime::new()?.block_on(async {
        let address = http_server().await?;
        let answer = reqwest::get(format!("http://{address}/there")).await?.text().await?;
        println!("reqwest {answer:?}");
        Ok::<_, Box<dyn std::error::Error>>(())
    })?;
    println!("all done");
    Ok(())
}
