//! A service that speaks HTTPS: axum behind rustls, with HTTP/2 for who wants it. The certificate and its key are in the image.

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Version;
use axum::routing::get;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How long requests under way may take when the program is asked to end.
const GRACE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> io::Result<()> {
    let port = std::env::var("PORT").unwrap_or_else(|_| "443".to_owned());
    let folder = std::env::var("CERTIFICATE").unwrap_or_else(|_| "/certificate".to_owned());
    let folder = PathBuf::from(folder);
    // It fails only where a provider was chosen before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let files = (folder.join("certificate.pem"), folder.join("key.pem"));
    let tls = RustlsConfig::from_pem_file(files.0, files.1).await?;
    let address = format!("0.0.0.0:{port}")
        .parse::<SocketAddr>()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let handle = Handle::new();
    tokio::spawn(end_when_asked(handle.clone()));
    let app = Router::new().route("/", get(greet));
    println!("Serving on port {port}");
    axum_server::bind_rustls(address, tls)
        .handle(handle)
        .serve(app.into_make_service_with_connect_info::<SocketAddr>())
        .await?;
    println!("All requests are answered");
    Ok(())
}

async fn greet(ConnectInfo(peer): ConnectInfo<SocketAddr>, version: Version) -> String {
    format!("Hello {}, this is {version:?} over TLS\n", peer.ip())
}

/// Ctrl-C in the tool, or the machine's power button, is an interrupt.
async fn end_when_asked(handle: Handle<SocketAddr>) {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signals) => drop(signals.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
    println!("Asked to end");
    handle.graceful_shutdown(Some(GRACE));
}
