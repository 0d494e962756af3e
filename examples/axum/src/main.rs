//! A list of notes behind a JSON interface, and a page from the disk that shows it: axum as it is, unchanged.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tower_http::services::ServeDir;

/// As many notes as are kept.
const MOST_NOTES: usize = 1000;

/// A note as clients send it.
#[derive(Deserialize)]
struct NewNote {
    text: String,
}

/// A note as clients get it.
#[derive(Clone, Serialize)]
struct Note {
    id: u64,
    text: String,
}

#[derive(Default)]
struct Notes {
    by_id: BTreeMap<u64, Note>,
    last_id: u64,
}

/// The notes, shared by all requests.
type Shared = Arc<Mutex<Notes>>;

#[tokio::main]
async fn main() -> io::Result<()> {
    let port = std::env::var("PORT").unwrap_or_else(|_| "80".to_owned());
    let root = std::env::var("ROOT").unwrap_or_else(|_| "/static".to_owned());
    let app = Router::new()
        .route("/api/notes", get(list).post(add))
        .route("/api/notes/{id}", get(show).delete(remove))
        .with_state(Shared::default())
        .fallback_service(ServeDir::new(root));
    let listener = TcpListener::bind(format!("0.0.0.0:{port}")).await?;
    println!("Serving on port {port}");
    axum::serve(listener, app)
        .with_graceful_shutdown(interrupted())
        .await?;
    println!("All requests are answered");
    Ok(())
}

/// Returns when the program is asked to end.
async fn interrupted() {
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
}

fn lock(notes: &Shared) -> std::sync::MutexGuard<'_, Notes> {
    // A request that panicked left the notes as they were.
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn list(State(notes): State<Shared>) -> Json<Vec<Note>> {
    Json(lock(&notes).by_id.values().cloned().collect())
}

async fn add(
    State(notes): State<Shared>,
    Json(new): Json<NewNote>,
) -> Result<(StatusCode, Json<Note>), StatusCode> {
    let mut notes = lock(&notes);
    if notes.by_id.len() >= MOST_NOTES {
        return Err(StatusCode::INSUFFICIENT_STORAGE);
    }
    notes.last_id += 1;
    let note = Note {
        id: notes.last_id,
        text: new.text,
    };
    notes.by_id.insert(note.id, note.clone());
    Ok((StatusCode::CREATED, Json(note)))
}

async fn show(State(notes): State<Shared>, Path(id): Path<u64>) -> Result<Json<Note>, StatusCode> {
    let note = lock(&notes).by_id.get(&id).cloned();
    note.map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn remove(State(notes): State<Shared>, Path(id): Path<u64>) -> StatusCode {
    match lock(&notes).by_id.remove(&id) {
        Some(_) => StatusCode::NO_CONTENT,
        None => StatusCode::NOT_FOUND,
    }
}
