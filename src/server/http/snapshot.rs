//! Pictures taken by order: each under a URL that nobody can guess, for ten minutes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::App;
use super::refusal::Refusal;
use crate::base::{clock, ids};

/// How long a picture can be fetched.
const LIFETIME: Duration = Duration::from_secs(10 * 60);
/// Pictures kept; one more and the oldest is gone.
const KEPT: usize = 8;
/// Characters of 5 bits in its name.
const SECRET_LENGTH: usize = 32;

/// A picture that can be fetched.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// Where, from other machines if the box can be reached from there.
    pub url: String,
    /// All URLs of it.
    pub urls: Vec<String>,
    /// For how long, in seconds.
    pub expires_s: u64,
    /// Its length.
    pub bytes: usize,
    /// `image/jpeg`.
    pub content_type: &'static str,
}

impl Snapshot {
    /// The picture `path` on a service that is reached by `bases`; None: it is reached by nothing.
    pub(super) fn at(path: &str, bases: impl Iterator<Item = String>, bytes: usize) -> Option<Snapshot> {
        let urls: Vec<String> = bases.map(|base| format!("{base}{path}")).collect();
        let url = urls.iter().find(|url| url.starts_with("https://")).or(urls.first())?.clone();
        Some(Snapshot { url, urls, expires_s: LIFETIME.as_secs(), bytes, content_type: "image/jpeg" })
    }
}

/// The pictures with their names. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub(super) struct Snapshots(Arc<Mutex<VecDeque<(String, Instant, Bytes)>>>);

impl std::fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Snapshots")
    }
}

impl Snapshots {
    /// Keeps `jpeg`; its path.
    pub(super) fn keep(&self, jpeg: Bytes, now: Instant) -> String {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(_, until, _)| now < *until);
        while kept.len() >= KEPT {
            kept.pop_front();
        }
        let name = ids::random(SECRET_LENGTH);
        kept.push_back((name.clone(), now + LIFETIME, jpeg));
        format!("/box/snapshots/{name}")
    }

    fn get(&self, name: &str, now: Instant) -> Option<Bytes> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(known, until, _)| known == name && now < *until).map(|(_, _, jpeg)| jpeg.clone())
    }
}

/// `GET /box/snapshots/{name}`: the name is the right to see it.
pub(super) async fn snapshot(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    let jpeg = app.snapshots.get(&name, clock::now());
    let jpeg = jpeg.ok_or_else(|| Refusal::not_found("no such picture (any more)"))?;
    let headers = [(header::CONTENT_TYPE, "image/jpeg"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, jpeg).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_can_be_fetched_for_ten_minutes_and_the_oldest_of_many_goes() {
        let (snapshots, now) = (Snapshots::default(), clock::now());
        let names: Vec<String> = (0..KEPT + 1)
            .map(|n| snapshots.keep(Bytes::from(vec![n as u8]), now))
            .map(|path| path.rsplit('/').next().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(snapshots.get(&names[0], now), None);
        assert_eq!(snapshots.get(&names[1], now).as_deref(), Some(&[1][..]));
        assert_eq!(snapshots.get(&names[1], now + LIFETIME), None);
        assert_eq!(snapshots.get("", now), None);
        let bases = ["http://127.0.0.1:1", "https://192.0.2.1:2"].map(str::to_owned);
        let shown = Snapshot::at("/box/snapshots/x", bases.into_iter(), 7).map(|snapshot| snapshot.url);
        assert_eq!(shown.as_deref(), Some("https://192.0.2.1:2/box/snapshots/x"));
        assert!(Snapshot::at("/x", std::iter::empty(), 7).is_none());
    }
}
