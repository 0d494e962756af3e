//! The smallest service of axum, for measuring: one route, one answer. With one core there is one thread, as where somebody tunes it for that.

use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt;
use std::io;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

fn main() -> io::Result<()> {
    runtime()?.block_on(async {
        let app = Router::new().route("/", get(async || "Hello, World!"));
        let listener = TcpListener::bind("0.0.0.0:80").await?;
        println!("Serving");
        // The answer is one small segment: it must not wait for another.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        axum::serve(listener, app).await
    })
}

fn runtime() -> io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    match cores {
        1 => Builder::new_current_thread().enable_io().build(),
        _ => Builder::new_multi_thread()
            .worker_threads(cores)
            .enable_io()
            .build(),
    }
}
