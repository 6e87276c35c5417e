//! What is written when: pure but for [`Storage`], so that slow, full and broken disks are simulated.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Finished, FinishedFile};
use crate::base::backoff::Backoff;
use crate::control::RecordingStatus;
use crate::media::{AccessUnit, Layer, TrackId};
use crate::mp4::{AudioConfig, FragmentMuxer, Index, Mp4Error, Part};

/// Shortest and longest wait before a failed recording is tried again in a new file.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// The disk as the session sees it: one file at a time.
pub(super) trait Storage {
    fn now(&self) -> Instant;
    /// Left for writing on the file system.
    fn free_bytes(&mut self) -> io::Result<u64>;
    /// Makes the next file with `first` in it, all on the disk when this returns, and gives its path.
    fn create(&mut self, first: &[u8]) -> io::Result<PathBuf>;
    /// Writes `bytes` at `at` of the file in one call and has them synced soon. After an error any part of them
    /// may be there.
    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()>;
    fn truncate(&mut self, length: u64) -> io::Result<()>;
    /// Everything written so far is on the disk when this returns.
    fn sync(&mut self) -> io::Result<()>;
    /// What syncing in the background met since this was last asked.
    fn sync_error(&mut self) -> Option<io::Error>;
    /// The file is whole and nothing more will be written to it.
    fn close(&mut self, file: &FinishedFile);
}

/// What the caller of [`Session::push`] has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Push the next access unit.
    Continue,
    /// Ask the encoder for a keyframe, then the same.
    AskKeyframe,
    /// Nothing more will be written: call [`Session::finish`].
    End,
}

pub(super) struct Session<S> {
    storage: S,
    audio: AudioConfig,
    min_free_bytes: u64,
    backoff: Backoff,
    state: State,
    status: RecordingStatus,
    reason: Option<String>,
    finished: Finished,
}

enum State {
    /// For a keyframe to begin a file with.
    Waiting,
    Writing(Box<Writing>),
    Retrying {
        at: Instant,
    },
    Ended,
}

struct Writing {
    muxer: FragmentMuxer,
    index: Index,
    /// The init segment, until the first part goes to the disk with it.
    init: Option<Vec<u8>>,
    file: PathBuf,
    /// Where the last whole part ends; 0: there is no file yet.
    whole_bytes: u64,
    /// Writing failed: what the muxer still holds is not written any more.
    abandoned: bool,
}

impl<S: Storage> Session<S> {
    pub(super) fn new(storage: S, audio: AudioConfig, min_free_bytes: u64) -> Self {
        Session {
            storage,
            audio,
            min_free_bytes,
            backoff: Backoff::new(RETRY.0, RETRY.1),
            state: State::Waiting,
            status: RecordingStatus::Recording,
            reason: None,
            finished: Finished::default(),
        }
    }

    pub(super) fn storage(&self) -> &S {
        &self.storage
    }

    pub(super) fn status(&self) -> (RecordingStatus, Option<&str>) {
        (self.status, self.reason.as_deref())
    }

    /// The file being written, once there is one.
    pub(super) fn file(&self) -> Option<&PathBuf> {
        match &self.state {
            State::Writing(writing) if writing.whole_bytes > 0 => Some(&writing.file),
            _ => None,
        }
    }

    pub(super) fn push(&mut self, unit: &AccessUnit) -> Next {
        match &mut self.state {
            State::Ended => Next::End,
            State::Retrying { at } if self.storage.now() < *at => Next::Continue,
            State::Retrying { .. } => {
                self.state = State::Waiting;
                if self.begin(unit) { self.push(unit) } else { Next::AskKeyframe }
            }
            State::Waiting => {
                if self.begin(unit) {
                    self.push(unit)
                } else if matches!(self.state, State::Ended) {
                    Next::End
                } else {
                    Next::Continue
                }
            }
            State::Writing(writing) => match writing.muxer.push(unit) {
                Ok(None) => Next::Continue,
                Ok(Some(part)) => self.write(part),
                Err(Mp4Error::ParametersChanged { .. }) => {
                    self.close();
                    self.push(unit)
                }
                Err(error) => self.fail(io::Error::other(error)),
            },
        }
    }

    /// Begins a file with `unit` if it is a keyframe and there is room; true when it did.
    fn begin(&mut self, unit: &AccessUnit) -> bool {
        if unit.track != TrackId::Video(Layer::Full) || !unit.keyframe || self.is_full() {
            return false;
        }
        let muxer = FragmentMuxer::new(unit, self.audio.clone());
        match muxer.and_then(|muxer| Ok((muxer.init_segment()?, muxer))) {
            Ok((init, muxer)) => {
                let index = muxer.index();
                let writing = Writing {
                    muxer,
                    index,
                    init: Some(init),
                    file: PathBuf::new(),
                    whole_bytes: 0,
                    abandoned: false,
                };
                self.state = State::Writing(Box::new(writing));
                true
            }
            Err(error) => {
                self.fail(io::Error::other(error));
                false
            }
        }
    }

    /// Whether less than the limit is left; then nothing more is written. An unreadable limit does not stop a
    /// recording: writing will tell.
    fn is_full(&mut self) -> bool {
        let full = self.storage.free_bytes().is_ok_and(|free| free < self.min_free_bytes);
        if full {
            self.reason = Some(format!("less than {} MiB are free", self.min_free_bytes >> 20));
            self.end_full();
        }
        full
    }

    fn end_full(&mut self) {
        self.status = RecordingStatus::DiskFull;
        self.close();
        self.state = State::Ended;
    }

    fn write(&mut self, part: Part) -> Next {
        if let Err(error) = self.write_part(&part) {
            return self.fail(error);
        }
        if let Some(error) = self.storage.sync_error() {
            return self.fail(error);
        }
        self.backoff.reset();
        self.status = RecordingStatus::Recording;
        self.reason = None;
        if self.is_full() { Next::End } else { Next::Continue }
    }

    fn write_part(&mut self, part: &Part) -> io::Result<()> {
        let State::Writing(writing) = &mut self.state else { return Ok(()) };
        let at = match writing.init.take() {
            Some(mut first) => {
                let at = first.len() as u64;
                first.extend_from_slice(&part.bytes);
                writing.file = self.storage.create(&first)?;
                at
            }
            None => {
                self.storage.write(writing.whole_bytes, &part.bytes)?;
                writing.whole_bytes
            }
        };
        writing.index.add(at, &part.table);
        writing.whole_bytes = at + part.bytes.len() as u64;
        Ok(())
    }

    /// Writing failed: what is whole is kept; full disks end the recording, others are tried again.
    fn fail(&mut self, error: io::Error) -> Next {
        self.reason = Some(error.to_string());
        if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            self.abandon_rest();
            self.end_full();
            return Next::End;
        }
        tracing::warn!(%error, "recording failed, it goes on in a new file");
        self.abandon_rest();
        self.close();
        self.status = RecordingStatus::Retrying;
        let at = self.storage.now() + self.backoff.next_delay(&mut rand::rng());
        self.state = State::Retrying { at };
        Next::Continue
    }

    /// Cuts a torn part off and drops what the muxer still holds.
    fn abandon_rest(&mut self) {
        let State::Writing(writing) = &mut self.state else { return };
        writing.abandoned = true;
        if writing.whole_bytes > 0 {
            // If even this fails the next start cuts it.
            let _ = self.storage.truncate(writing.whole_bytes);
        }
    }

    /// Finishes the file that is being written, if there is one: last part, index, catalogue.
    fn close(&mut self) {
        let last = match &mut self.state {
            State::Writing(writing) if !writing.abandoned => writing.muxer.finish().ok().flatten(),
            _ => None,
        };
        if let Some(part) = last
            && let Err(error) = self.write_part(&part)
        {
            self.reason = Some(error.to_string());
            self.abandon_rest();
        }
        let State::Writing(writing) = std::mem::replace(&mut self.state, State::Waiting) else { return };
        if writing.whole_bytes == 0 {
            return;
        }
        let bytes = match write_index(&mut self.storage, &writing.index, writing.whole_bytes) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::warn!(%error, file = %writing.file.display(), "recording stays without index");
                let _ = self.storage.truncate(writing.whole_bytes).and_then(|()| self.storage.sync());
                writing.whole_bytes
            }
        };
        let file = FinishedFile { file: writing.file, duration: writing.index.duration(), bytes };
        self.storage.close(&file);
        self.finished.files.push(file);
    }

    /// Finishes the file and tells what came of all.
    pub(super) fn finish(mut self) -> Finished {
        self.close();
        self.finished
    }
}

/// Turns a growing file of `whole_bytes` into a finished one and gives its length. On an error the file still
/// plays, but has rubbish after `whole_bytes`.
pub(super) fn write_index(storage: &mut impl Storage, index: &Index, whole_bytes: u64) -> io::Result<u64> {
    let finish = index.finish(whole_bytes).map_err(io::Error::other)?;
    storage.write(whole_bytes, &finish.moov)?;
    // Only when all that it refers to is on the disk may the front say so.
    storage.sync()?;
    storage.write(finish.front_at, &finish.front)?;
    storage.sync()?;
    Ok(whole_bytes + finish.moov.len() as u64)
}

#[cfg(test)]
mod tests;
