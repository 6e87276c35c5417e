//! The sample tables of a whole file, collected part by part.

use mp4_atom::Encode;

use super::part::{PartTable, Run};
use super::{AUDIO_TIMESCALE, Mp4Error, Tracks, VIDEO_TIMESCALE, moov};

/// What the `moov` of a finished file says. Grows by 4 bytes a sample and 8 a part and track: 1.2 MiB an hour.
#[derive(Clone, Debug)]
pub struct Index {
    pub(super) tracks: Tracks,
    pub(super) video: TrackIndex,
    pub(super) audio: TrackIndex,
}

/// The tables of one track (ISO/IEC 14496-12 §8.6, §8.7), run-length coded where the boxes are.
#[derive(Clone, Debug, Default)]
pub(super) struct TrackIndex {
    /// DTS of the first sample; 0 when there is none.
    pub first_dts: u64,
    /// `stsz`.
    pub sizes: Vec<u32>,
    /// `stts` of all samples but the last: (count, delta).
    pub deltas: Vec<(u32, u32)>,
    /// DTS and duration of the last sample.
    pub last: Option<(u64, u32)>,
    /// `stss`, counted from 1; pictures only.
    pub sync: Vec<u32>,
    /// `stco`.
    pub chunks: Vec<u64>,
    /// `stsc`: (first chunk, counted from 1; samples a chunk).
    pub samples_per_chunk: Vec<(u32, u32)>,
}

impl Index {
    pub(super) fn new(tracks: Tracks) -> Index {
        Index { tracks, video: TrackIndex::default(), audio: TrackIndex::default() }
    }

    /// Adds the part that starts at `offset` of the file.
    pub fn add(&mut self, offset: u64, part: &PartTable) {
        self.video.add(offset, &part.video);
        self.audio.add(offset, &part.audio);
    }

    /// From the file's zero to the end of its last sample.
    pub fn duration(&self) -> std::time::Duration {
        let video = time(self.video.end(), VIDEO_TIMESCALE);
        video.max(time(self.audio.end(), AUDIO_TIMESCALE))
    }

    /// Pictures in the file.
    pub fn pictures(&self) -> usize {
        self.video.sizes.len()
    }
}

fn time(ticks: u64, timescale: u32) -> std::time::Duration {
    std::time::Duration::from_nanos((u128::from(ticks) * 1_000_000_000 / u128::from(timescale)) as u64)
}

impl TrackIndex {
    fn add(&mut self, part_offset: u64, run: &Run) {
        if run.samples.is_empty() {
            return;
        }
        self.chunks.push(part_offset + u64::from(run.offset));
        let count = run.samples.len() as u32;
        if self.samples_per_chunk.last().is_none_or(|&(_, samples)| samples != count) {
            self.samples_per_chunk.push((self.chunks.len() as u32, count));
        }
        if run.starts_with_sync {
            self.sync.push(self.sizes.len() as u32 + 1);
        }
        let mut dts = run.first_dts;
        for sample in &run.samples {
            self.add_time(dts, sample.duration);
            self.sizes.push(sample.size_bytes);
            dts += u64::from(sample.duration);
        }
    }

    /// A sample lasts until the next one, whatever its part said: that closes the gap after a stalled camera.
    fn add_time(&mut self, dts: u64, duration: u32) {
        let Some((before, _)) = self.last else {
            self.first_dts = dts;
            self.last = Some((dts, duration));
            return;
        };
        let delta = u32::try_from(dts.saturating_sub(before)).unwrap_or(u32::MAX).max(1);
        push_delta(&mut self.deltas, delta);
        self.last = Some((before + u64::from(delta), duration));
    }

    /// `stts` with the last sample.
    pub(super) fn all_deltas(&self) -> Vec<(u32, u32)> {
        let mut deltas = self.deltas.clone();
        if let Some((_, duration)) = self.last {
            push_delta(&mut deltas, duration);
        }
        deltas
    }

    /// Where the last sample ends, in ticks since the file's zero.
    pub(super) fn end(&self) -> u64 {
        self.last.map_or(0, |(dts, duration)| dts + u64::from(duration))
    }
}

fn push_delta(deltas: &mut Vec<(u32, u32)>, delta: u32) {
    match deltas.last_mut() {
        Some((count, same)) if *same == delta => *count += 1,
        _ => deltas.push((1, delta)),
    }
}

impl Index {
    /// The bytes that are appended to finish a file, and the header that then goes over the place at the file's
    /// front; see the module's picture. `end` is the length of the file without them.
    ///
    /// # Errors
    /// [`Mp4Error::Box`].
    pub fn finish(&self, end: u64) -> Result<Finish, Mp4Error> {
        let mut bytes = Vec::new();
        moov::complete(self)?.encode(&mut bytes)?;
        let front_at = moov::FTYP_BYTES;
        let mut front = [0; 16];
        front[..8].copy_from_slice(b"\0\0\0\x01mdat");
        front[8..].copy_from_slice(&end.saturating_sub(front_at).to_be_bytes());
        Ok(Finish { moov: bytes, front_at, front })
    }
}

/// How a growing file becomes a finished one: append `moov`, sync, write `front` at `front_at`, sync.
#[derive(Clone, Debug)]
pub struct Finish {
    /// The `moov` with the sample tables.
    pub moov: Vec<u8>,
    /// Where `front` goes.
    pub front_at: u64,
    /// The header of the `mdat` that covers everything from there to `moov`.
    pub front: [u8; 16],
}
