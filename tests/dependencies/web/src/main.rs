//! A service of many web crates at once: templates, sessions, cookies, GraphQL, Socket.IO, uploads to the disk, events to many. Its
//! client is in the same program. `MB` and `SSE` in the environment say how much is uploaded and how many listen.
use axum::{
    Router,
    extract::{DefaultBodyLimit, Multipart, State},
    response::{Html, IntoResponse, sse},
    routing::{get, post},
};
use axum_extra::extract::cookie::{Cookie, Key, PrivateCookieJar};
use futures_util::StreamExt;
use std::{
    convert::Infallible,
    time::{Duration, Instant},
};
use tokio::io::AsyncWriteExt;
use utoipa::OpenApi;
type R = Result<(), Box<dyn std::error::Error + Send + Sync>>;

#[derive(Clone)]
struct App {
    key: Key,
    ticks: tokio::sync::broadcast::Sender<u64>,
}
impl axum::extract::FromRef<App> for Key {
    fn from_ref(a: &App) -> Key {
        a.key.clone()
    }
}

#[derive(askama::Template)]
#[template(
    source = "<h1>{{ name }}</h1>{% for i in items %}<li>{{ i }}</li>{% endfor %}",
    ext = "html"
)]
struct Page<'a> {
    name: &'a str,
    items: Vec<u32>,
}

#[derive(utoipa::ToSchema, serde::Serialize)]
struct Pet {
    id: u64,
    name: String,
}
#[utoipa::path(get, path = "/pet", responses((status = 200, body = Pet)))]
async fn pet() -> axum::Json<Pet> {
    axum::Json(Pet {
        id: 7,
        name: "Ada".into(),
    })
}
#[derive(OpenApi)]
#[openapi(paths(pet))]
struct Api;

struct Query;
#[async_graphql::Object]
impl Query {
    async fn add(&self, a: i32, b: i32) -> i32 {
        a + b
    }
    async fn slow(&self, ms: u64) -> u64 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        ms
    }
}

async fn upload(mut m: Multipart) -> Result<String, (axum::http::StatusCode, String)> {
    let bad =
        |e: &dyn std::fmt::Display| (axum::http::StatusCode::INTERNAL_SERVER_ERROR, e.to_string());
    let mut out = String::new();
    while let Some(mut f) = m.next_field().await.map_err(|e| bad(&e))? {
        let name = f.file_name().unwrap_or("none").to_string();
        let path = format!("up/{name}");
        let mut file = tokio::io::BufWriter::with_capacity(
            1 << 16,
            tokio::fs::File::create(&path).await.map_err(|e| bad(&e))?,
        );
        while let Some(c) = f.chunk().await.map_err(|e| bad(&e))? {
            file.write_all(&c).await.map_err(|e| bad(&e))?;
        }
        file.flush().await.map_err(|e| bad(&e))?;
        file.get_ref().sync_all().await.map_err(|e| bad(&e))?;
        out += &format!(
            "{name}={}\n",
            tokio::fs::metadata(&path).await.map_err(|e| bad(&e))?.len()
        );
    }
    Ok(out)
}
async fn visits(s: tower_sessions::Session) -> String {
    let n: u32 = s.get("n").await.unwrap().unwrap_or(0) + 1;
    s.insert("n", n).await.unwrap();
    n.to_string()
}
async fn events(
    State(a): State<App>,
) -> sse::Sse<impl futures_util::Stream<Item = Result<sse::Event, Infallible>>> {
    let rx = a.ticks.subscribe();
    sse::Sse::new(futures_util::stream::unfold(rx, |mut rx| async move {
        let n = rx.recv().await.ok()?;
        Some((Ok(sse::Event::default().data(n.to_string())), rx))
    }))
    .keep_alive(sse::KeepAlive::default())
}

async fn service(l: tokio::net::TcpListener) {
    let (ticks, _) = tokio::sync::broadcast::channel(64);
    let app = App {
        key: Key::generate(),
        ticks: ticks.clone(),
    };
    tokio::spawn(async move {
        let mut n = 0;
        let mut i = tokio::time::interval(Duration::from_millis(250));
        loop {
            i.tick().await;
            n += 1;
            ticks.send(n).ok();
        }
    });
    let schema = async_graphql::Schema::new(
        Query,
        async_graphql::EmptyMutation,
        async_graphql::EmptySubscription,
    );
    let (layer, io) = socketioxide::SocketIo::new_layer();
    io.ns("/", async |s: socketioxide::extract::SocketRef| {
        s.on(
            "echo",
            async |s: socketioxide::extract::SocketRef,
                   socketioxide::extract::Data::<serde_json::Value>(v)| {
                s.emit("echo", &v).ok();
            },
        );
    });
    let sessions = tower_sessions::SessionManagerLayer::new(tower_sessions::MemoryStore::default())
        .with_secure(false);
    let r = Router::new()
        .route(
            "/page",
            get(async || {
                Html(
                    askama::Template::render(&Page {
                        name: "<Toro>",
                        items: (1..4).collect(),
                    })
                    .unwrap(),
                )
            }),
        )
        .route(
            "/mini",
            get(async || {
                let mut e = minijinja::Environment::new();
                e.add_template(
                    "t",
                    "{{ x|upper }} {% for i in range(3) %}{{ i }}{% endfor %}",
                )
                .unwrap();
                e.get_template("t")
                    .unwrap()
                    .render(minijinja::context!(x => "abc"))
                    .unwrap()
            }),
        )
        .route("/pet", get(pet))
        .route("/openapi.json", get(async || axum::Json(Api::openapi())))
        .route(
            "/graphql",
            axum::routing::post_service(async_graphql_axum::GraphQL::new(schema)),
        )
        .route(
            "/upload",
            post(upload).layer(DefaultBodyLimit::max(1 << 30)),
        )
        .route("/visits", get(visits).layer(sessions))
        .route(
            "/secret",
            get(async |j: PrivateCookieJar| {
                (j.add(Cookie::new("s", "hidden")), "set").into_response()
            }),
        )
        .route(
            "/reveal",
            get(async |j: PrivateCookieJar| {
                j.get("s")
                    .map(|c| c.value().to_string())
                    .unwrap_or("none".into())
            }),
        )
        .route("/events", get(events))
        .layer(layer)
        .with_state(app);
    axum::serve(l, r).await.unwrap();
}

async fn expect(c: &reqwest::Client, url: String, want: &str) -> R {
    let t = c.get(&url).send().await?.error_for_status()?.text().await?;
    if t.contains(want) {
        Ok(())
    } else {
        Err(format!("{url}: {t}").into())
    }
}

async fn run() -> R {
    tokio::fs::create_dir_all("up").await?;
    let l = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let u = format!("http://{}", l.local_addr()?);
    tokio::spawn(service(l));
    let c = reqwest::Client::builder().cookie_store(true).build()?;
    expect(
        &c,
        format!("{u}/page"),
        "&#60;Toro&#62;</h1><li>1</li><li>2</li>",
    )
    .await?;
    expect(&c, format!("{u}/mini"), "ABC 012").await?;
    expect(&c, format!("{u}/pet"), r#""name":"Ada""#).await?;
    expect(&c, format!("{u}/openapi.json"), "openapi").await?;
    expect(&c, format!("{u}/visits"), "1").await?;
    expect(&c, format!("{u}/visits"), "2").await?;
    expect(&c, format!("{u}/secret"), "set").await?;
    expect(&c, format!("{u}/reveal"), "hidden").await?;
    println!("ok templates, sessions, cookies");
    let g = c
        .post(format!("{u}/graphql"))
        .json(&serde_json::json!({"query": "{ add(a: 2, b: 3) x: slow(ms: 30) y: slow(ms: 30) }"}))
        .send()
        .await?
        .text()
        .await?;
    if g != r#"{"data":{"add":5,"x":30,"y":30}}"# {
        return Err(g.into());
    }
    println!("ok graphql");
    expect(
        &c,
        format!("{u}/socket.io/?EIO=4&transport=polling"),
        "\"sid\"",
    )
    .await?;
    println!("ok socket.io");
    let mb: usize = std::env::var("MB")
        .ok()
        .and_then(|m| m.parse().ok())
        .unwrap_or(200);
    let t = Instant::now();
    let stream =
        futures_util::stream::iter((0..mb * 16).map(|i| Ok::<_, Infallible>(vec![i as u8; 65536])));
    let form = reqwest::multipart::Form::new()
        .part(
            "a",
            reqwest::multipart::Part::stream(reqwest::Body::wrap_stream(stream)).file_name("big"),
        )
        .part(
            "b",
            reqwest::multipart::Part::text("small").file_name("größe"),
        );
    let t2 = c
        .post(format!("{u}/upload"))
        .multipart(form)
        .send()
        .await?
        .text()
        .await?;
    if t2 != format!("big={}\ngröße=5\n", mb << 20) {
        return Err(t2.into());
    }
    println!("ok upload of {mb} MiB in {:?}", t.elapsed());
    let n: usize = std::env::var("SSE")
        .ok()
        .and_then(|m| m.parse().ok())
        .unwrap_or(500);
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..n {
        let (c, u) = (c.clone(), u.clone());
        all.spawn(async move {
            let mut s = c
                .get(format!("{u}/events"))
                .send()
                .await
                .unwrap()
                .bytes_stream();
            let mut got = 0;
            while let Some(b) = s.next().await {
                got += String::from_utf8_lossy(&b.unwrap())
                    .matches("data:")
                    .count();
                if got >= 10 {
                    break;
                }
            }
            got
        });
    }
    let mut sum = 0;
    while let Some(x) = all.join_next().await {
        sum += x?;
    }
    if sum < n * 10 {
        return Err(format!("{sum} events").into());
    }
    println!("ok {n} listeners to events");
    Ok(())
}

#[tokio::main]
async fn main() {
    match run().await {
        Ok(()) => println!("all done"),
        Err(e) => {
            println!("FAILED {e}");
            std::process::exit(1)
        }
    }
}
