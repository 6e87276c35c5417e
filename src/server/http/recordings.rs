//! The list of recordings, and their files with ranges. A path comes from the catalogue, never from the URL.

use std::io::SeekFrom;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, Take};

use super::App;
use super::access::Access;
use super::range::{self, Wanted};
use super::refusal::Refusal;

/// Lists the recordings, newest first; may block.
pub type Recordings =
    Arc<dyn Fn() -> Result<Vec<RecordingEntry>, Box<dyn std::error::Error + Send + Sync>> + Send + Sync>;

/// How much of a file is read at once.
const CHUNK_BYTES: usize = 128 * 1024;

/// One recorded file. (After a crash a recording goes on in a second file under the same id.)
#[derive(Clone, Debug, Serialize)]
pub struct RecordingEntry {
    /// The recording's id.
    pub id: String,
    /// The room, or `box`.
    pub room: String,
    /// The file's name, for people and to tell files of one id apart.
    pub file: String,
    /// Where it is.
    #[serde(skip)]
    pub path: PathBuf,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// How long, so far.
    pub duration_ms: u64,
    /// How large, so far.
    pub bytes: u64,
    /// The catalogue's word.
    pub status: String,
}

/// Which of several files of one id; the newest when absent.
#[derive(Deserialize)]
pub(super) struct Which {
    file: Option<String>,
}

/// `GET /box/recordings`.
pub(super) async fn list(_: Access, State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    Ok(Json(json!({"data": entries(&app).await?})))
}

/// `GET /box/recordings/{id}/file`.
pub(super) async fn file(
    _: Access,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(which): Query<Which>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response<Body>, Refusal> {
    let fits =
        |entry: &RecordingEntry| entry.id == id && which.file.as_ref().is_none_or(|file| *file == entry.file);
    let found = entries(&app).await?.into_iter().find(fits);
    let entry = found.ok_or_else(|| Refusal::not_found("no such recording"))?;
    let mut file = File::open(&entry.path).await.map_err(|error| unreadable(&entry, &error))?;
    let metadata = file.metadata().await.map_err(|error| unreadable(&entry, &error))?;
    if !metadata.is_file() {
        return Err(Refusal::not_found("the recording's file is gone"));
    }
    let length = metadata.len();
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    // A file that grows has no validator that If-Range could fit: then the whole.
    let asked = if headers.contains_key(header::IF_RANGE) { None } else { asked };
    let response = Response::builder()
        .header(header::CONTENT_TYPE, "video/mp4")
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::CONTENT_DISPOSITION, disposition(&entry));
    let (response, first, count) = match range::wanted(asked, length) {
        Wanted::Whole => (response.status(StatusCode::OK), 0, length),
        Wanted::Part(first, last) => {
            let part = response.status(StatusCode::PARTIAL_CONTENT);
            (
                part.header(header::CONTENT_RANGE, format!("bytes {first}-{last}/{length}")),
                first,
                last - first + 1,
            )
        }
        Wanted::Unsatisfiable => {
            let none = response.status(StatusCode::RANGE_NOT_SATISFIABLE);
            (none.header(header::CONTENT_RANGE, format!("bytes */{length}")), 0, 0)
        }
    };
    let body = if method == Method::HEAD || count == 0 {
        Body::empty()
    } else {
        file.seek(SeekFrom::Start(first)).await.map_err(|error| unreadable(&entry, &error))?;
        Body::from_stream(chunks(file.take(count)))
    };
    let response = response.header(header::CONTENT_LENGTH, count).body(body);
    response.map_err(|error| Refusal::internal(error.to_string()))
}

async fn entries(app: &Arc<App>) -> Result<Vec<RecordingEntry>, Refusal> {
    let recordings = app.deps.recordings.clone();
    let listed = tokio::task::spawn_blocking(move || recordings()).await;
    let listed = listed.map_err(|_| Refusal::not_ready("the box is stopping"))?;
    listed.map_err(|error| Refusal::internal(format!("the catalogue of recordings: {error}")))
}

fn unreadable(entry: &RecordingEntry, error: &std::io::Error) -> Refusal {
    tracing::warn!(path = %entry.path.display(), %error, "a recording that cannot be read");
    match error.kind() {
        std::io::ErrorKind::NotFound => Refusal::not_found("the recording's file is gone"),
        _ => Refusal::internal(format!("the recording's file: {error}")),
    }
}

/// Shown in the page; saved under its own name.
fn disposition(entry: &RecordingEntry) -> String {
    let name = entry.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_. ".contains(c) { c } else { '_' };
    format!("inline; filename=\"{}\"", name.chars().map(plain).collect::<String>())
}

fn chunks(file: Take<File>) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> {
    futures_util::stream::try_unfold(file, |mut file| async move {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES.min(file.limit() as usize));
        let read = file.read_buf(&mut chunk).await?;
        Ok((read > 0).then(|| (chunk.into(), file)))
    })
}
