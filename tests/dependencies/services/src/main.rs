//! Services as published crates make them, each in this program with a client on the loopback: HTTP/1, HTTP/2, WebSocket, QUIC, gRPC.

use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use std::time::Duration;
type R = Result<(), Box<dyn std::error::Error + Send + Sync>>;

async fn free() -> (tokio::net::TcpListener, SocketAddr) {
    let l = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let a = l.local_addr().unwrap();
    (l, a)
}
async fn free_port() -> u16 {
    free().await.1.port()
}

async fn get(url: String) -> Result<String, reqwest::Error> {
    let mut last = None;
    for _ in 0..50 {
        match reqwest::get(&url).await {
            Ok(r) => return r.text().await,
            Err(e) => last = Some(e),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(last.unwrap())
}
fn same(a: &str, b: &str) -> R {
    if a == b {
        Ok(())
    } else {
        Err(format!("{a:?} is not {b:?}").into())
    }
}

async fn hyper1() -> R {
    use http_body_util::{BodyExt, Full};
    use hyper::{Request, Response, body::Incoming, service::service_fn};
    let (l, a) = free().await;
    tokio::spawn(async move {
        loop {
            let (s, _) = l.accept().await.unwrap();
            tokio::spawn(async move {
                let f = service_fn(|r: Request<Incoming>| async move {
                    let v = r.version();
                    let b = r.into_body().collect().await?.to_bytes();
                    Ok::<_, hyper::Error>(Response::new(Full::new(hyper::body::Bytes::from(
                        format!("{v:?} {}", b.len()),
                    ))))
                });
                hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new())
                    .serve_connection(hyper_util::rt::TokioIo::new(s), f)
                    .await
                    .ok();
            });
        }
    });
    let c = reqwest::Client::new();
    let t = c
        .post(format!("http://{a}/"))
        .body(vec![7u8; 300_000])
        .send()
        .await?
        .text()
        .await?;
    same(&t, "HTTP/1.1 300000")?;
    let c = reqwest::Client::builder().http2_prior_knowledge().build()?;
    let t = c
        .post(format!("http://{a}/"))
        .body(vec![7u8; 300_000])
        .send()
        .await?
        .text()
        .await?;
    same(&t, "HTTP/2.0 300000")
}

async fn actix() -> R {
    let port = free_port().await;
    let (tx, rx) = std::sync::mpsc::channel();
    let t = std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            use actix_web::{App, HttpServer, web};
            let s = HttpServer::new(|| {
                App::new()
                    .route(
                        "/hi/{n}",
                        web::get().to(|n: web::Path<u32>| async move { format!("actix {n}") }),
                    )
                    .route(
                        "/j",
                        web::post().to(|b: web::Json<serde_json::Value>| async move {
                            web::Json(b.into_inner())
                        }),
                    )
            })
            .workers(2)
            .bind(("127.0.0.1", port))
            .unwrap()
            .run();
            tx.send(s.handle()).unwrap();
            s.await.unwrap();
        })
    });
    let h = rx.recv()?;
    same(
        &get(format!("http://127.0.0.1:{port}/hi/5")).await?,
        "actix 5",
    )?;
    let j = serde_json::json!({"a": [1, 2, 3]});
    let r: serde_json::Value = reqwest::Client::new()
        .post(format!("http://127.0.0.1:{port}/j"))
        .json(&j)
        .send()
        .await?
        .json()
        .await?;
    same(&r.to_string(), &j.to_string())?;
    h.stop(true).await;
    tokio::task::spawn_blocking(move || t.join())
        .await?
        .map_err(|_| "actix panicked")?;
    Ok(())
}

async fn warp_() -> R {
    use warp::Filter;
    let port = free_port().await;
    let f = warp::path!("hello" / String)
        .map(|n| format!("Hello, {n}!"))
        .or(warp::path("ws").and(warp::ws()).map(|ws: warp::ws::Ws| {
            ws.on_upgrade(|s| async move {
                let (tx, rx) = s.split();
                rx.forward(tx).await.ok();
            })
        }));
    tokio::spawn(warp::serve(f).run(([127, 0, 0, 1], port)));
    same(
        &get(format!("http://127.0.0.1:{port}/hello/warp")).await?,
        "Hello, warp!",
    )?;
    let (mut w, _) = tokio_tungstenite::connect_async(format!("ws://127.0.0.1:{port}/ws")).await?;
    w.send("echo".into()).await?;
    let m = w.next().await.ok_or("closed")??;
    same(m.to_text()?, "echo")
}

#[poem::handler]
fn poem_hello(poem::web::Path(n): poem::web::Path<String>) -> String {
    format!("poem {n}")
}
async fn poem_() -> R {
    let port = free_port().await;
    let app = poem::Route::new().at("/:n", poem::get(poem_hello));
    tokio::spawn(
        poem::Server::new(poem::listener::TcpListener::bind(("127.0.0.1", port))).run(app),
    );
    same(&get(format!("http://127.0.0.1:{port}/x")).await?, "poem x")
}

#[rocket::get("/<n>")]
fn rocket_hello(n: &str) -> String {
    format!("rocket {n}")
}
#[rocket::post("/j", data = "<b>")]
fn rocket_json(b: rocket::serde::json::Json<Vec<u32>>) -> String {
    format!("{}", b.iter().sum::<u32>())
}
async fn rocket_() -> R {
    let port = free_port().await;
    let c = rocket::Config {
        port,
        log_level: rocket::config::LogLevel::Critical,
        ..rocket::Config::debug_default()
    };
    let r = rocket::custom(c)
        .mount("/", rocket::routes![rocket_hello, rocket_json])
        .ignite()
        .await?;
    let end = r.shutdown();
    let t = tokio::spawn(r.launch());
    same(
        &get(format!("http://127.0.0.1:{port}/x")).await?,
        "rocket x",
    )?;
    let s = reqwest::Client::new()
        .post(format!("http://127.0.0.1:{port}/j"))
        .json(&[1, 2, 3])
        .send()
        .await?
        .text()
        .await?;
    same(&s, "6")?;
    end.notify();
    t.await??;
    Ok(())
}

fn axum_app() -> axum::Router {
    use axum::{
        extract::{Multipart, ws::WebSocketUpgrade},
        routing::{get, post},
    };
    axum::Router::new()
        .route("/", get(|| async { "axum" }))
        .route(
            "/up",
            post(|mut m: Multipart| async move {
                let mut s = String::new();
                while let Some(f) = m.next_field().await.unwrap() {
                    s += &format!(
                        "{}:{} ",
                        f.name().unwrap_or("").to_owned(),
                        f.bytes().await.unwrap().len()
                    );
                }
                s
            }),
        )
        .route(
            "/ws",
            get(|u: WebSocketUpgrade| async move {
                u.on_upgrade(|mut s| async move {
                    while let Some(Ok(m)) = s.recv().await {
                        if s.send(m).await.is_err() {
                            break;
                        }
                    }
                })
            }),
        )
        .route("/big", get(|| async { "toro ".repeat(20_000) }))
        .route(
            "/panic",
            get(|| async {
                if true {
                    panic!("on purpose")
                }
                ""
            }),
        )
        .nest_service("/files", tower_http::services::ServeDir::new("/tmp/site"))
        .layer(tower_http::compression::CompressionLayer::new())
        .layer(tower_http::trace::TraceLayer::new_for_http())
        .layer(tower_http::catch_panic::CatchPanicLayer::new())
        .layer(tower_http::cors::CorsLayer::permissive())
}
async fn axum_() -> R {
    std::fs::create_dir_all("/tmp/site")?;
    std::fs::write("/tmp/site/a.txt", "file of axum")?;
    let (l, a) = free().await;
    let (tx, rx) = tokio::sync::oneshot::channel::<()>();
    let t = tokio::spawn(async move {
        axum::serve(l, axum_app())
            .with_graceful_shutdown(async {
                rx.await.ok();
            })
            .await
    });
    same(&get(format!("http://{a}/")).await?, "axum")?;
    same(
        &get(format!("http://{a}/files/a.txt")).await?,
        "file of axum",
    )?;
    let big = get(format!("http://{a}/big")).await?;
    same(&big.len().to_string(), "100000")?;
    let form = reqwest::multipart::Form::new().text("name", "toro").part(
        "file",
        reqwest::multipart::Part::bytes(vec![1; 200_000]).file_name("f"),
    );
    same(
        &reqwest::Client::new()
            .post(format!("http://{a}/up"))
            .multipart(form)
            .send()
            .await?
            .text()
            .await?,
        "name:4 file:200000 ",
    )?;
    same(
        reqwest::get(format!("http://{a}/panic"))
            .await?
            .status()
            .as_str(),
        "500",
    )?;
    let (mut w, _) = tokio_tungstenite::connect_async(format!("ws://{a}/ws")).await?;
    for i in 0..20 {
        w.send(vec![i; 5000 * i as usize].into()).await?;
        let m = w.next().await.ok_or("closed")??;
        if m.into_data().len() != 5000 * i as usize {
            return Err("length".into());
        }
    }
    w.close(None).await?;
    let u = format!("http://{a}/big");
    let s = tokio::task::spawn_blocking(move || -> Result<String, String> {
        ureq::get(&u)
            .call()
            .map_err(|e| e.to_string())?
            .body_mut()
            .read_to_string()
            .map_err(|e| e.to_string())
    })
    .await??;
    same(&s.len().to_string(), "100000")?;
    let u = format!("http://{a}/");
    let s = tokio::task::spawn_blocking(move || reqwest::blocking::get(u)?.text()).await??;
    same(&s, "axum")?;
    tx.send(()).ok();
    t.await??;
    Ok(())
}

async fn quic() -> R {
    let ck = rcgen::generate_simple_self_signed(vec!["localhost".into()])?;
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(ck.signing_key.serialize_der().into());
    let cert = ck.cert.der().clone();
    let sc = quinn::ServerConfig::with_single_cert(vec![cert.clone()], key)?;
    let server = quinn::Endpoint::server(sc, "127.0.0.1:0".parse()?)?;
    let a = server.local_addr()?;
    tokio::spawn(async move {
        while let Some(i) = server.accept().await {
            tokio::spawn(async move {
                let c = i.await.unwrap();
                while let Ok((mut tx, mut rx)) = c.accept_bi().await {
                    let d = rx.read_to_end(10_000_000).await.unwrap();
                    tx.write_all(&d).await.unwrap();
                    tx.finish().unwrap();
                }
            });
        }
    });
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert)?;
    let mut c = quinn::Endpoint::client("127.0.0.1:0".parse()?)?;
    c.set_default_client_config(quinn::ClientConfig::with_root_certificates(
        std::sync::Arc::new(roots),
    )?);
    let conn = c.connect(a, "localhost")?.await?;
    for n in [10usize, 10_000, 1_000_000] {
        let (mut tx, mut rx) = conn.open_bi().await?;
        let data: Vec<u8> = (0..n).map(|i| i as u8).collect();
        let d2 = data.clone();
        let w = tokio::spawn(async move {
            tx.write_all(&d2).await.unwrap();
            tx.finish().unwrap();
        });
        let got = rx.read_to_end(10_000_000).await?;
        w.await?;
        if got != data {
            return Err("data differ".into());
        }
    }
    conn.close(0u32.into(), b"done");
    c.wait_idle().await;
    Ok(())
}

async fn grpc() -> R {
    let (l, a) = free().await;
    drop(l);
    let (r, s) = tonic_health::server::health_reporter();
    r.set_service_status("toro", tonic_health::ServingStatus::Serving)
        .await;
    tokio::spawn(tonic::transport::Server::builder().add_service(s).serve(a));
    let mut last: R = Ok(());
    for _ in 0..50 {
        match tonic::transport::Channel::from_shared(format!("http://{a}"))?
            .connect()
            .await
        {
            Ok(ch) => {
                let mut c = tonic_health::pb::health_client::HealthClient::new(ch);
                let a = c
                    .check(tonic_health::pb::HealthCheckRequest {
                        service: "toro".into(),
                    })
                    .await?;
                same(&a.into_inner().status.to_string(), "1")?;
                let e = c
                    .check(tonic_health::pb::HealthCheckRequest {
                        service: "other".into(),
                    })
                    .await
                    .unwrap_err();
                same(&format!("{:?}", e.code()), "NotFound")?;
                let mut st = c
                    .watch(tonic_health::pb::HealthCheckRequest {
                        service: "toro".into(),
                    })
                    .await?
                    .into_inner();
                st.message().await?.ok_or("no message")?;
                r.set_service_status("toro", tonic_health::ServingStatus::NotServing)
                    .await;
                same(
                    &st.message().await?.ok_or("no message")?.status.to_string(),
                    "2",
                )?;
                return Ok(());
            }
            Err(e) => last = Err(e.into()),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    last
}

async fn errors() -> R {
    let p = free_port().await;
    let e = reqwest::get(format!("http://127.0.0.1:{p}/"))
        .await
        .unwrap_err();
    if !e.is_connect() {
        return Err(format!("{e:?}").into());
    }
    let e = reqwest::get("http://name.invalid/").await.unwrap_err();
    if !e.is_connect() {
        return Err(format!("{e:?}").into());
    }
    Ok(())
}

#[tokio::main]
async fn main() {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::ERROR)
        .init();
    rustls::crypto::ring::default_provider()
        .install_default()
        .unwrap();
    let mut bad = 0;
    macro_rules! run { ($($f:ident)*) => { $(
        match tokio::time::timeout(Duration::from_secs(120), tokio::spawn($f())).await {
            Ok(Ok(Ok(()))) => println!("{} ok", stringify!($f)),
            o => { bad += 1; println!("{} FAILED: {o:?}", stringify!($f)) }
        } )* } }
    run!(hyper1 actix warp_ poem_ rocket_ axum_ quic grpc errors);
    println!("{}", if bad == 0 { "all done" } else { "not all" });
    std::process::exit(bad);
}
