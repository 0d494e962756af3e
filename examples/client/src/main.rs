//! A client: fetches each URL of its arguments by reqwest, all at once, and prints what it got in their order.
//!
//! It trusts the authorities of the web (the crate webpki-roots) and the certificate of the example `https`.

use reqwest::{Certificate, Client};
use std::error::Error;
use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

/// A request that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let urls: Vec<String> = std::env::args().skip(1).collect();
    if urls.is_empty() {
        eprintln!("usage: client URL...");
        return Ok(ExitCode::from(2));
    }
    let path = std::env::var("CERTIFICATE");
    let path = path.unwrap_or_else(|_| "/certificate/certificate.pem".to_owned());
    let trusted = std::fs::read(&path).map_err(|error| format!("{path}: {error}"))?;
    let client = Client::builder()
        .add_root_certificate(Certificate::from_pem(&trusted)?)
        .timeout(LIMIT)
        .build()?;
    let requests: Vec<_> = urls
        .into_iter()
        .map(|url| {
            let client = client.clone();
            tokio::spawn(async move { (fetch(&client, &url).await, url) })
        })
        .collect();
    let mut code = ExitCode::SUCCESS;
    for request in requests {
        match request.await? {
            (Ok(text), url) => println!("{url}: {text}"),
            (Err(error), url) => {
                println!("{url}: {}", causes(&error));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

/// The answer's version, status and text.
async fn fetch(client: &Client, url: &str) -> Result<String, reqwest::Error> {
    let answer = client.get(url).send().await?;
    let head = format!("{:?} {}", answer.version(), answer.status());
    Ok(format!("{head}\n{}", answer.text().await?))
}

/// An error with all that caused it.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string never fails.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
