//! Sends back what it receives, until each client ends or is silent for a minute.

use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

const SILENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> io::Result<()> {
    let port = std::env::var("PORT").unwrap_or_else(|_| "7".to_owned());
    let listener = TcpListener::bind(format!("0.0.0.0:{port}")).await?;
    println!("Listening on port {port}");
    tokio::select! {
        () = serve(listener) => {}
        _ = tokio::signal::ctrl_c() => println!("Asked to end"),
    }
    Ok(())
}

async fn serve(listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                tokio::spawn(async move {
                    match echo(stream).await {
                        Ok(bytes) => println!("{peer}: {bytes} bytes"),
                        Err(error) => println!("{peer}: {error}"),
                    }
                });
            }
            Err(error) => {
                // Out of memory or descriptors, perhaps: others may end meanwhile.
                println!("accept: {error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<u64> {
    let mut buf = vec![0; 16 << 10];
    let mut total = 0;
    loop {
        let count = timeout(SILENCE, stream.read(&mut buf)).await??;
        if count == 0 {
            return Ok(total);
        }
        timeout(SILENCE, stream.write_all(&buf[..count])).await??;
        total += count as u64;
    }
}
