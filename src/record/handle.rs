//! The running recorder: one task that reads the stream, one thread that writes, one that syncs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior};

use super::disk::Disk;
use super::session::{Next, Session};
use super::sync::{Health, Shared};
use super::{BYTES_EVERY, Config, Finished, Progress, RecordError, Request};
use crate::base::{Shutdown, clock};
use crate::control::RecordingStatus;
use crate::media::{AccessUnit, Layer, Reader, Stream, Wants};
use crate::store::Store;

/// Access units between the reading task and the writing thread: about 13 s, 4 MiB at 2.5 Mbit/s. When it is
/// full the reader's own queue fills, and then the recording goes on at the next keyframe.
const QUEUE: usize = 1024;
/// How often the progress is looked at.
const TICK: Duration = Duration::from_millis(200);
/// How often the stream's units go to the writing thread, all that there are: for each one alone two threads would
/// wake 80 times a second, which costs four times as much as writing. A part reaches the disk this much later at most.
pub(super) const TAKE_EVERY: Duration = Duration::from_millis(100);

/// A recording that runs. Dropping it finishes the file as well, without waiting.
#[derive(Debug)]
pub struct RecordingHandle {
    progress: watch::Receiver<Progress>,
    stop: Shutdown,
    finished: Option<JoinHandle<Finished>>,
}

impl RecordingHandle {
    /// How it goes, and every later change.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Finishes the file (last part, index, sync, catalogue) and tells what came of it. Waits for the disk.
    pub async fn stop(mut self) -> Finished {
        self.stop.cancel();
        match self.finished.take() {
            Some(finished) => finished.await.unwrap_or_default(),
            None => Finished::default(),
        }
    }
}

impl Drop for RecordingHandle {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What the writing thread tells.
#[derive(Clone, Debug)]
struct Told {
    status: RecordingStatus,
    reason: Option<String>,
    file: Option<PathBuf>,
    started_at: Option<SystemTime>,
}

/// Begins to record `stream`; a file comes with the first keyframe, which is asked for at once. Needs a tokio
/// runtime.
///
/// # Errors
/// [`RecordError::Folder`], [`RecordError::Thread`]. Everything later is told by [`RecordingHandle::progress`].
pub fn start(
    config: Config,
    store: Store,
    stream: &Stream,
    request: Request,
) -> Result<RecordingHandle, RecordError> {
    std::fs::create_dir_all(&config.dir)
        .map_err(|source| RecordError::Folder { path: config.dir.clone(), source })?;
    let shared = Arc::new(Shared::default());
    let told = Arc::new(Mutex::new(Told {
        status: RecordingStatus::Recording,
        reason: None,
        file: None,
        started_at: None,
    }));
    let (to_writer, units) = mpsc::channel(QUEUE);
    let (done, written) = oneshot::channel();
    let disk = Disk::new(config.clone(), store, &request, shared.clone());
    let session = Session::new(disk, request.audio, config.min_free_bytes);
    let syncing = shared.clone();
    thread("record-sync", move || syncing.run())?;
    let writer =
        Writer { session, units, stream: stream.clone(), told: told.clone(), shared: shared.clone() };
    if let Err(error) = thread("record-write", move || drop(done.send(writer.run()))) {
        shared.close();
        return Err(error);
    }
    let reader = stream.subscribe("record", Wants::RECORDING);
    let sender = watch::Sender::new(Progress::begun());
    let progress = sender.subscribe();
    let teller = Teller { shared, told, health: Health::default(), progress: sender, bytes_at: clock::now() };
    let stop = Shutdown::new();
    let finished = tokio::spawn(feed(reader, to_writer, stop.clone(), written, teller));
    Ok(RecordingHandle { progress, stop, finished: Some(finished) })
}

fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), RecordError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map(drop).map_err(RecordError::Thread)
}

struct Writer {
    session: Session<Disk>,
    units: mpsc::Receiver<AccessUnit>,
    stream: Stream,
    told: Arc<Mutex<Told>>,
    shared: Arc<Shared>,
}

impl Writer {
    /// The life of the thread "record-write".
    fn run(mut self) -> Finished {
        while let Some(unit) = self.units.blocking_recv() {
            let next = self.session.push(&unit);
            self.tell();
            match next {
                Next::Continue => {}
                Next::AskKeyframe => self.stream.request_keyframe(Layer::Full),
                Next::End => break,
            }
        }
        let finished = self.session.finish();
        self.shared.close();
        finished
    }

    fn tell(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (status, reason) = self.session.status();
        told.status = status;
        if told.reason.as_deref() != reason {
            told.reason = reason.map(str::to_owned);
        }
        if let Some(file) = self.session.file()
            && told.file.as_ref() != Some(file)
        {
            told.file = Some(file.clone());
            told.started_at = self.session.storage().started();
        }
    }
}

/// Gives units to the writing thread until the stream, the writer or `stop` ends it; then waits for the disk.
async fn feed(
    mut reader: Reader,
    to_writer: mpsc::Sender<AccessUnit>,
    stop: Shutdown,
    mut written: oneshot::Receiver<Finished>,
    mut teller: Teller,
) -> Finished {
    let (mut tick, mut turn) = (tokio::time::interval(TICK), tokio::time::interval(TAKE_EVERY));
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            more = pass(&mut turn, &mut reader, &to_writer) => if !more { break },
            _ = tick.tick() => teller.publish(reader.lost()),
        }
    }
    while let Some(unit) = reader.try_recv() {
        if to_writer.send(unit).await.is_err() {
            break;
        }
    }
    let lost = reader.lost();
    // The reader goes first: what it wanted need not be encoded while the disk is waited for.
    drop((reader, to_writer));
    loop {
        tokio::select! {
            finished = &mut written => {
                teller.publish_end(lost);
                return finished.unwrap_or_default();
            }
            _ = tick.tick() => teller.publish(lost),
        }
    }
}

/// Waits for its turn and for a unit, and takes all that are there. Cancel-safe: a unit is taken from the reader only
/// when there is a place for it. False at the end.
async fn pass(turn: &mut Interval, reader: &mut Reader, to_writer: &mpsc::Sender<AccessUnit>) -> bool {
    turn.tick().await;
    let Ok(place) = to_writer.reserve().await else { return false };
    let Some(unit) = reader.recv().await else { return false };
    place.send(unit);
    while let Ok(place) = to_writer.try_reserve() {
        match reader.try_recv() {
            Some(unit) => place.send(unit),
            None => break,
        }
    }
    true
}

/// Puts together what the threads know and publishes it.
struct Teller {
    shared: Arc<Shared>,
    told: Arc<Mutex<Told>>,
    health: Health,
    progress: watch::Sender<Progress>,
    bytes_at: Instant,
}

impl Teller {
    fn publish(&mut self, lost: u64) {
        let now = clock::now();
        let slow = self.health.is_slow(now, self.shared.lag());
        let due = now.saturating_duration_since(self.bytes_at) >= BYTES_EVERY;
        let changed = self.send(lost, slow, due);
        if due || changed {
            self.bytes_at = now;
        }
    }

    /// The last word: all bytes, and no longer slow.
    fn publish_end(&mut self, lost: u64) {
        self.send(lost, false, true);
    }

    /// True when anything but the bytes changed.
    fn send(&self, lost: u64, slow: bool, bytes_due: bool) -> bool {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let status = match told.status {
            RecordingStatus::Recording if slow => RecordingStatus::StorageSlow,
            other => other,
        };
        let mut changed = false;
        self.progress.send_if_modified(|progress| {
            let mut next = Progress {
                status,
                file: told.file,
                started_at: told.started_at,
                bytes: progress.bytes,
                lost,
                reason: told.reason,
            };
            changed = next != *progress;
            if changed || bytes_due {
                next.bytes = self.shared.synced_bytes();
            }
            let modified = next != *progress;
            *progress = next;
            modified
        });
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_storage_is_told_only_of_a_recording_that_else_goes_well_and_bytes_only_when_due() {
        let shared = Arc::new(Shared::default());
        let told = Told { status: RecordingStatus::Recording, reason: None, file: None, started_at: None };
        let told = Arc::new(Mutex::new(told));
        let progress = watch::Sender::new(Progress::begun());
        let (health, bytes_at) = (Health::default(), clock::now());
        let teller = Teller { shared: shared.clone(), told: told.clone(), health, progress, bytes_at };
        let mut seen = teller.progress.subscribe();
        assert!(!teller.send(0, false, true) && !seen.has_changed().unwrap());
        assert!(teller.send(0, true, false));
        assert_eq!(seen.borrow_and_update().status, RecordingStatus::StorageSlow);
        told.lock().unwrap().status = RecordingStatus::Retrying;
        assert!(teller.send(0, true, false));
        assert_eq!(seen.borrow_and_update().status, RecordingStatus::Retrying);
        let file = tempfile::tempfile().map(Arc::new).unwrap();
        shared.wrote(&file, 7);
        shared.settle();
        assert!(!teller.send(0, true, false) && !seen.has_changed().unwrap());
        assert!(!teller.send(0, true, true));
        assert_eq!(seen.borrow_and_update().bytes, 7);
    }
}
