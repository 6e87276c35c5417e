//! L3: recordings: the writer, recovery after a crash, the index.
//!
//! ```text
//! media::Stream ─▶ task: Reader ─▶ bounded queue ─▶ thread "record-write": muxer, one write a part
//!                                                          └─▶ thread "record-sync": fdatasync, ≤ 1 behind
//! ```
//! Nothing here ever holds up the stream: a disk that stalls fills the queue, then the reader's own backlog, and
//! then the recording loses pictures up to the next keyframe.
//!
//! After a kill the file lacks what was not in a part yet: at most [`crate::mp4::MAX_PART`], one frame and the
//! 100 ms for which units are collected. After a power cut also the parts that were not synced; `storage_slow` says
//! when that is more than usual. A file gets its name (`.mp4`) with its first whole part in it, so every `.mp4` plays.

mod disk;
mod handle;
mod names;
mod recover;
mod session;
mod sync;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

pub use handle::{RecordingHandle, start};
pub use recover::{Recovered, recover};

use crate::control::RecordingStatus;
use crate::mp4::AudioConfig;

/// Where recordings go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The folder (`recording.dir`); made when missing.
    pub dir: PathBuf,
    /// Recording stops when the file system has less than this left (`recording.min_free`); 0: when it is full.
    pub min_free_bytes: u64,
}

/// What to record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The recording's id: 1 to 64 of `A-Z a-z 0-9 _ -`; anything else becomes `_` in the file's name.
    pub id: String,
    /// The room; None: the box's own stream, in the folder `box`.
    pub room: Option<String>,
    /// What the stream's AAC is.
    pub audio: AudioConfig,
}

/// How a recording goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// `recording` from the start on; `disk_full` is final, the others come and go.
    pub status: RecordingStatus,
    /// The file being written, or the last one; None until the first part is in it.
    pub file: Option<PathBuf>,
    /// When that file was begun.
    pub started_at: Option<SystemTime>,
    /// Bytes of all its files that are on the disk; refreshed every [`BYTES_EVERY`].
    pub bytes: u64,
    /// Access units that the disk was too slow for.
    pub lost: u64,
    /// What the disk said when it last failed.
    pub reason: Option<String>,
}

impl Progress {
    /// As every recording begins.
    fn begun() -> Progress {
        Progress {
            status: RecordingStatus::Recording,
            file: None,
            started_at: None,
            bytes: 0,
            lost: 0,
            reason: None,
        }
    }
}

/// How often [`Progress`] changes when nothing but its bytes did.
pub const BYTES_EVERY: Duration = Duration::from_secs(5);

/// What came of a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// Its files in order; mostly one, none when there never was a picture.
    pub files: Vec<FinishedFile>,
}

impl Finished {
    /// Length of all its files in time.
    pub fn duration(&self) -> Duration {
        self.files.iter().map(|file| file.duration).sum()
    }

    /// Length of all its files in bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// One file of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedFile {
    /// Where it is.
    pub file: PathBuf,
    /// Its length in time.
    pub duration: Duration,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Why recording could not begin.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The folder cannot be made or read.
    #[error("the folder of recordings {path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// No thread could be started.
    #[error("cannot start the recorder's thread: {0}")]
    Thread(std::io::Error),
    /// The catalogue failed.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

#[cfg(test)]
mod tests;
