//! L2: MP4 (ISO/IEC 14496-12), pure: boxes in and out, no files.
//!
//! While a recording grows it is fragmented, and playable up to its last whole part; once finished it is a plain,
//! indexed MP4 that every player can seek in. Both are the same bytes, but for sixteen:
//! ```text
//! growing    ftyp  free(16)  moov+mvex  moof mdat  moof mdat  …
//! finished   ftyp  mdat ────────── all of the above ─────────▶  moov (sample tables of everything)
//! ```
//! [`FragmentMuxer`] makes the growing form, [`Index`] collects what the last `moov` needs, and [`scan`] reads a
//! file that nobody finished. The switch is one write of sixteen bytes after the last `moov` is on the disk, so a
//! file is whole in the one form or the other at any moment.
//!
//! Zero of both tracks' clocks is the PTS of the first keyframe. Sound that starts later keeps its distance: by
//! `tfdt` while growing, by an empty edit (`elst`) when finished.

mod boxes;
mod index;
mod moov;
mod muxer;
mod part;
mod scan;
mod tracks;

pub use index::{Finish, Index};
pub use muxer::{FragmentMuxer, MAX_PART};
pub use part::{Part, PartTable, Run, SampleEntry};
pub use scan::{MAX_TORN_BYTES, Scan, ScanError, scan};
pub use tracks::{AudioConfig, Tracks, VideoConfig};

/// Ticks per second of the video track.
pub const VIDEO_TIMESCALE: u32 = 90_000;
/// Ticks per second of the audio track.
pub const AUDIO_TIMESCALE: u32 = 48_000;
/// `track_ID` of the video track.
pub(crate) const VIDEO_TRACK: u32 = 1;
/// `track_ID` of the audio track.
pub(crate) const AUDIO_TRACK: u32 = 2;

/// Why access units could not become MP4.
#[derive(Debug, thiserror::Error)]
pub enum Mp4Error {
    /// A file starts with a keyframe; this is none.
    #[error("the first picture at {pts:?} is no keyframe with SPS and PPS")]
    NoKeyframe {
        /// Its PTS.
        pts: crate::base::clock::MediaTime,
    },
    /// The SPS of the first keyframe is unreadable.
    #[error("the keyframe's SPS: {0}")]
    Sps(#[from] crate::media::h264::SpsError),
    /// A keyframe has another SPS or PPS than the file began with: it needs a new file.
    #[error("the picture's parameters (SPS, PPS) changed at {pts:?}: a new file is needed")]
    ParametersChanged {
        /// The keyframe's PTS.
        pts: crate::base::clock::MediaTime,
    },
    /// A track that this file does not have.
    #[error("track {0:?} does not go into this file")]
    OtherTrack(crate::media::TrackId),
    /// A part or an index is too large for its box.
    #[error("box: {0}")]
    Box(#[from] mp4_atom::Error),
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
