//! The recording of the box's own stream: started and stopped by orders, told in the state.

use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::codec::AUDIO_SPECIFIC_CONFIG;
use crate::control::{Code, DesiredRecording, RecordingStatus, Reply, State, StatePublisher, rfc3339};
use crate::media::Stream;
use crate::mp4;
use crate::record::{self, Finished, Progress, RecordingHandle};
use crate::store::Store;

/// What the recording's lane holds.
#[derive(Debug)]
pub struct Recordings {
    config: watch::Receiver<record::Config>,
    store: Store,
    stream: Stream,
    state: StatePublisher,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    id: String,
    handle: RecordingHandle,
    /// Carries the recorder's progress into the state; ends when the recording cannot go on.
    follower: JoinHandle<()>,
}

impl Recordings {
    /// Nothing is recorded yet. Each recording goes by `config` as it is when it begins.
    pub fn new(
        config: watch::Receiver<record::Config>,
        store: Store,
        stream: Stream,
        state: StatePublisher,
    ) -> Self {
        Recordings { config, store, stream, state, running: None }
    }

    /// Begins `wanted`; what runs already is finished first.
    pub async fn start(&mut self, wanted: DesiredRecording) -> Reply {
        self.finish().await;
        let audio = mp4::AudioConfig { asc: AUDIO_SPECIFIC_CONFIG.to_vec() };
        let request = record::Request { id: wanted.id.clone(), room: None, audio };
        let config = self.config.borrow().clone();
        let handle = match record::start(config, self.store.clone(), &self.stream, request) {
            Ok(handle) => handle,
            Err(error) => {
                let reason = super::with_sources(&error);
                warn!(id = wanted.id, reason, "cannot record");
                self.state.update(|state| state.recording.reason = Some(reason.clone()));
                return Reply::refused(Code::Internal, format!("cannot record: {reason}"));
            }
        };
        info!(id = wanted.id, "recording");
        self.state.update(|state| {
            state.recording.on = true;
            state.recording.id = Some(wanted.id.clone());
            state.recording.source = Some("box".to_owned());
            state.recording.status = Some(RecordingStatus::Recording);
            state.recording.reason = None;
        });
        let follower = tokio::spawn(follow(handle.progress(), self.state.clone()));
        self.running = Some(Running { id: wanted.id.clone(), handle, follower });
        Reply::ok("recording", json!({"id": wanted.id}))
    }

    /// Ends what runs; the answer says what came of it.
    pub async fn stop(&mut self) -> Reply {
        match self.finish().await {
            None => Reply::ok("not recording", Value::Null),
            Some((id, finished)) => {
                let files: Vec<String> =
                    finished.files.iter().map(|file| file.file.display().to_string()).collect();
                let data = json!({
                    "id": id,
                    "files": files,
                    "duration_ms": finished.duration().as_millis() as u64,
                    "bytes": finished.bytes(),
                });
                let message =
                    if files.is_empty() { "stopped; there never was a picture" } else { "recorded" };
                Reply::ok(message, data)
            }
        }
    }

    /// Returns when a running recording has ended by itself (the disk is full); never otherwise.
    pub async fn broke(&mut self) {
        match &mut self.running {
            Some(running) => {
                let _ = (&mut running.follower).await;
            }
            None => return std::future::pending().await,
        }
        // Its file is whole already; the state keeps saying why it is off.
        let reason = self.state.subscribe().borrow().recording.clone();
        self.finish().await;
        self.state.update(|state| {
            state.recording.status = reason.status;
            state.recording.reason = reason.reason;
        });
    }

    async fn finish(&mut self) -> Option<(String, Finished)> {
        let running = self.running.take()?;
        running.follower.abort();
        let finished = running.handle.stop().await;
        info!(id = running.id, files = finished.files.len(), bytes = finished.bytes(), "recording stopped");
        self.state.update(|state| state.recording = Default::default());
        Some((running.id, finished))
    }
}

/// Until the recorder says that the disk is full, or is gone.
async fn follow(mut progress: tokio::sync::watch::Receiver<Progress>, state: StatePublisher) {
    loop {
        let now = progress.borrow_and_update().clone();
        let full = now.status == RecordingStatus::DiskFull;
        state.update(|state| tell(state, now));
        if full || progress.changed().await.is_err() {
            return;
        }
    }
}

fn tell(state: &mut State, progress: Progress) {
    let recording = &mut state.recording;
    recording.status = Some(progress.status);
    recording.bytes = Some(progress.bytes);
    recording.reason = progress.reason;
    recording.file = progress.file.as_ref().map(|file: &PathBuf| file.display().to_string());
    recording.started_at = progress.started_at.map(|at: SystemTime| rfc3339(at));
}
