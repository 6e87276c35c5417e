//! Access units in, parts out.

use std::time::Duration;

use super::part::{Part, PartTable, Run, SampleEntry};
use super::{AUDIO_TIMESCALE, AudioConfig, Index, Mp4Error, Tracks, VIDEO_TIMESCALE, VideoConfig, moov};
use crate::base::clock::MediaTime;
use crate::media::h264::{NalType, nals};
use crate::media::{AccessUnit, Layer, TrackId};

/// The longest time that a part covers, unless one picture alone lasts longer.
pub const MAX_PART: Duration = Duration::from_millis(400);

/// Sound whose PTS is at most this far (ticks, 2 ms) from where the packet before it ends follows it without a
/// gap: clock rounding and jitter of the capture must not become gaps.
const AUDIO_SNAP_48K: i64 = 96;

/// Makes a fragmented MP4 of one H.264 and one AAC track. Pure: it keeps at most one part in memory.
///
/// A sample's duration is the distance to the next one of its track, so one picture and one packet of sound are
/// always held back. Parts start with each keyframe and cover at most [`MAX_PART`].
#[derive(Debug)]
pub struct FragmentMuxer {
    tracks: Tracks,
    zero: MediaTime,
    sequence: u32,
    video: Track,
    audio: Track,
}

/// The samples of one track that are not in a part yet.
#[derive(Debug)]
struct Track {
    timescale: u32,
    run: Run,
    /// The bytes of `run`'s samples.
    data: Vec<u8>,
    pending: Option<Pending>,
    /// Where the next sample cannot be earlier than: the DTS of the last one plus one tick.
    earliest: u64,
}

/// A sample that waits for the next one to know its duration.
#[derive(Debug)]
struct Pending {
    unit: AccessUnit,
    dts: u64,
    nominal: u32,
}

impl FragmentMuxer {
    /// A muxer for a file that starts with `keyframe`, which is only looked at: push it as well.
    ///
    /// # Errors
    /// [`Mp4Error::NoKeyframe`] and [`Mp4Error::Sps`].
    pub fn new(keyframe: &AccessUnit, audio: AudioConfig) -> Result<FragmentMuxer, Mp4Error> {
        if !keyframe.keyframe || keyframe.track != TrackId::Video(Layer::Full) {
            return Err(Mp4Error::NoKeyframe { pts: keyframe.pts });
        }
        Ok(FragmentMuxer {
            tracks: Tracks { video: VideoConfig::of(keyframe)?, audio },
            zero: keyframe.pts,
            sequence: 0,
            video: Track::new(VIDEO_TIMESCALE),
            audio: Track::new(AUDIO_TIMESCALE),
        })
    }

    /// What stands before the first part: `ftyp`, the place that becomes `mdat` when finished, `moov`.
    ///
    /// # Errors
    /// [`Mp4Error::Box`].
    pub fn init_segment(&self) -> Result<Vec<u8>, Mp4Error> {
        moov::init_segment(&self.tracks)
    }

    /// An empty index for the file that these parts go to.
    pub fn index(&self) -> Index {
        Index::new(self.tracks.clone())
    }

    /// Takes one access unit; gives a part when this one completes it. Sound before the first keyframe is
    /// dropped.
    ///
    /// # Errors
    /// [`Mp4Error::ParametersChanged`]: the unit was not taken; finish this file and start another with it.
    pub fn push(&mut self, unit: &AccessUnit) -> Result<Option<Part>, Mp4Error> {
        match unit.track {
            TrackId::Video(Layer::Full) => self.push_video(unit),
            TrackId::Aac => self.push_audio(unit),
            other => Err(Mp4Error::OtherTrack(other)),
        }
    }

    fn push_video(&mut self, unit: &AccessUnit) -> Result<Option<Part>, Mp4Error> {
        if unit.keyframe && self.tracks.video.changed_by(unit) {
            return Err(Mp4Error::ParametersChanged { pts: unit.pts });
        }
        let dts = self.video.ticks(unit.pts.since(self.zero)).max(self.video.earliest);
        self.video.release(dts);
        let part = if unit.keyframe || self.is_full() { self.cut()? } else { None };
        self.video.hold(unit, dts);
        Ok(part)
    }

    fn push_audio(&mut self, unit: &AccessUnit) -> Result<Option<Part>, Mp4Error> {
        if unit.pts < self.zero {
            return Ok(None);
        }
        let mut dts = self.audio.ticks(unit.pts.since(self.zero));
        if let Some(end) = self.audio.pending.as_ref().map(|pending| pending.dts + u64::from(pending.nominal))
            && (dts as i64 - end as i64).abs() <= AUDIO_SNAP_48K
        {
            dts = end;
        }
        let dts = dts.max(self.audio.earliest);
        self.audio.release(dts);
        self.release_stalled_video(unit.pts);
        let part = if self.is_full() { self.cut()? } else { None };
        self.audio.hold(unit, dts);
        Ok(part)
    }

    /// A picture that lasts longer than a part (the camera stopped) is written with its nominal duration; the
    /// next one's `tfdt` tells how long it really stood.
    fn release_stalled_video(&mut self, now: MediaTime) {
        if let Some(pending) = &self.video.pending
            && now.since(pending.unit.pts) > MAX_PART
        {
            self.video.release(pending.dts + u64::from(pending.nominal));
        }
    }

    /// Whether one more picture or packet of sound would make the part longer than [`MAX_PART`].
    fn is_full(&self) -> bool {
        let spans = [self.video.span(), self.audio.span()];
        let start = spans.iter().flatten().map(|(start, _)| *start).min();
        let end = spans.iter().flatten().map(|(_, end)| *end).max();
        // One frame at 30 Hz more than what it covers now.
        let next = Duration::from_millis(34);
        start.zip(end).is_some_and(|(start, end)| end.saturating_sub(start) + next > MAX_PART)
    }

    /// Makes a part of what is complete; None when nothing is.
    fn cut(&mut self) -> Result<Option<Part>, Mp4Error> {
        if self.video.run.samples.is_empty() && self.audio.run.samples.is_empty() {
            return Ok(None);
        }
        self.sequence = self.sequence.wrapping_add(1);
        let table = PartTable {
            video: std::mem::take(&mut self.video.run),
            audio: std::mem::take(&mut self.audio.run),
        };
        let part = Part::new(self.sequence, table, &self.video.data, &self.audio.data);
        self.video.data.clear();
        self.audio.data.clear();
        part.map(Some)
    }

    /// The last part, with the samples held back at their nominal durations; None when there is none.
    ///
    /// # Errors
    /// [`Mp4Error::Box`].
    pub fn finish(&mut self) -> Result<Option<Part>, Mp4Error> {
        for track in [&mut self.video, &mut self.audio] {
            if let Some(pending) = &track.pending {
                track.release(pending.dts + u64::from(pending.nominal));
            }
        }
        self.cut()
    }
}

impl Track {
    fn new(timescale: u32) -> Track {
        Track { timescale, run: Run::default(), data: Vec::new(), pending: None, earliest: 0 }
    }

    /// `time` in this track's ticks, rounded to the nearest: 33.333333 ms are 3000, not 2999.
    fn ticks(&self, time: Duration) -> u64 {
        ((time.as_nanos() * u128::from(self.timescale) + 500_000_000) / 1_000_000_000) as u64
    }

    /// Completes the pending sample, which ends where the next one starts.
    fn release(&mut self, next_dts: u64) {
        let Some(pending) = self.pending.take() else { return };
        let before = self.data.len();
        append_sample(&pending.unit, &mut self.data);
        if self.run.samples.is_empty() {
            self.run.first_dts = pending.dts;
            self.run.starts_with_sync = pending.unit.keyframe;
        }
        self.run.samples.push(SampleEntry {
            duration: u32::try_from(next_dts.saturating_sub(pending.dts)).unwrap_or(u32::MAX).max(1),
            size_bytes: (self.data.len() - before) as u32,
        });
    }

    fn hold(&mut self, unit: &AccessUnit, dts: u64) {
        let nominal = u32::try_from(self.ticks(unit.duration)).unwrap_or(u32::MAX).max(1);
        self.pending = Some(Pending { unit: unit.clone(), dts, nominal });
        self.earliest = dts + 1;
    }

    /// From where to where the complete samples go, since the file's zero.
    fn span(&self) -> Option<(Duration, Duration)> {
        let length: u64 = self.run.samples.iter().map(|sample| u64::from(sample.duration)).sum();
        let time = |ticks: u64| {
            Duration::from_nanos((u128::from(ticks) * 1_000_000_000 / u128::from(self.timescale)) as u64)
        };
        (length > 0).then(|| (time(self.run.first_dts), time(self.run.first_dts + length)))
    }
}

/// Pictures become length-prefixed NAL units without parameter sets and delimiters (they stand in `avc1`); sound
/// stays as it is.
fn append_sample(unit: &AccessUnit, out: &mut Vec<u8>) {
    if unit.track == TrackId::Aac {
        out.extend_from_slice(&unit.data);
        return;
    }
    for nal in nals(&unit.data) {
        if !matches!(NalType::of(nal), Some(NalType::Sps | NalType::Pps | NalType::AccessUnitDelimiter)) {
            out.extend_from_slice(&(nal.len() as u32).to_be_bytes());
            out.extend_from_slice(nal);
        }
    }
}
