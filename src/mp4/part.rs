//! A part: one `moof` and its `mdat` (ISO/IEC 14496-12 §8.8), written and read.

use mp4_atom::{Encode, Mfhd, Moof, Tfdt, Tfhd, Traf, Trun, TrunEntry};

use super::boxes::{Fields, child, children};
use super::{AUDIO_TRACK, Mp4Error, VIDEO_TRACK};

/// `sample_depends_on = 2`: an IDR (§8.8.3.1).
const SYNC: u32 = 0x0200_0000;
/// `sample_depends_on = 1`, `sample_is_non_sync_sample = 1`.
pub(super) const NON_SYNC: u32 = 0x0101_0000;
const NON_SYNC_BIT: u32 = 0x0001_0000;

/// One sample in its track's ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleEntry {
    /// How long until the next sample, in the track's ticks.
    pub duration: u32,
    /// Its length in bytes.
    pub size_bytes: u32,
}

/// The samples of one track in one part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Decode time of the first, in the track's ticks since the file's zero.
    pub first_dts: u64,
    /// Where its bytes start, counted from the start of the part.
    pub offset: u32,
    /// Whether the first sample is a sync sample; no other one of a picture track is.
    pub starts_with_sync: bool,
    /// The samples, without gaps.
    pub samples: Vec<SampleEntry>,
}

impl Run {
    /// Total length in bytes.
    pub fn bytes(&self) -> u64 {
        self.samples.iter().map(|sample| u64::from(sample.size_bytes)).sum()
    }
}

/// What a part says about its samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartTable {
    /// Pictures; may be empty.
    pub video: Run,
    /// Sound; may be empty.
    pub audio: Run,
}

/// A part ready to be written in one piece.
#[derive(Clone, Debug)]
pub struct Part {
    /// `moof` and `mdat`.
    pub bytes: Vec<u8>,
    /// The same as a table.
    pub table: PartTable,
}

impl Part {
    /// Puts samples together; `table`'s offsets are filled in here.
    pub(super) fn new(
        sequence: u32,
        mut table: PartTable,
        video: &[u8],
        audio: &[u8],
    ) -> Result<Part, Mp4Error> {
        let mut bytes = Vec::with_capacity(video.len() + audio.len() + 1024);
        // The length of a moof does not depend on the offsets in it: once to learn it, once with them.
        moof(sequence, &table)?.encode(&mut bytes)?;
        let data = bytes.len() + 8;
        let too_long = |_| mp4_atom::Error::TooLarge(mp4_atom::FourCC::new(b"mdat"));
        table.video.offset = u32::try_from(data).map_err(too_long)?;
        table.audio.offset = u32::try_from(data + video.len()).map_err(too_long)?;
        let mdat = u32::try_from(8 + video.len() + audio.len()).map_err(too_long)?;
        bytes.clear();
        moof(sequence, &table)?.encode(&mut bytes)?;
        bytes.extend_from_slice(&mdat.to_be_bytes());
        bytes.extend_from_slice(b"mdat");
        bytes.extend_from_slice(video);
        bytes.extend_from_slice(audio);
        Ok(Part { bytes, table })
    }
}

fn moof(sequence: u32, table: &PartTable) -> Result<Moof, Mp4Error> {
    let tracks = [(VIDEO_TRACK, &table.video), (AUDIO_TRACK, &table.audio)];
    let traf = tracks.into_iter().filter(|(_, run)| !run.samples.is_empty());
    let traf = traf.map(|(track, run)| traf_of(track, run)).collect::<Result<_, Mp4Error>>()?;
    Ok(Moof { mfhd: Mfhd { sequence_number: sequence }, traf })
}

fn traf_of(track: u32, run: &Run) -> Result<Traf, Mp4Error> {
    let entries: Vec<TrunEntry> = run
        .samples
        .iter()
        .enumerate()
        .map(|(index, sample)| TrunEntry {
            duration: Some(sample.duration),
            size: Some(sample.size_bytes),
            flags: (track == VIDEO_TRACK && index == 0 && run.starts_with_sync).then_some(SYNC),
            cts: None,
        })
        .collect();
    let data_offset =
        i32::try_from(run.offset).map_err(|_| mp4_atom::Error::TooLarge(mp4_atom::FourCC::new(b"trun")))?;
    Ok(Traf {
        tfhd: Tfhd { track_id: track, default_base_is_moof: true, ..Tfhd::default() },
        tfdt: Some(Tfdt { base_media_decode_time: run.first_dts }),
        trun: vec![Trun { data_offset: Some(data_offset), samples: entries.into() }],
        ..Traf::default()
    })
}

/// Reads the body of a `moof` as [`Part::new`] writes it; None for anything else. Allocates no more than the
/// body's own length.
pub(super) fn parse_moof(body: &[u8]) -> Option<PartTable> {
    let mut table = PartTable::default();
    for (_, traf) in children(body).filter(|(kind, _)| kind == b"traf") {
        let mut tfhd = Fields(child(traf, b"tfhd")?);
        let (_, _flags) = tfhd.version_flags()?;
        let run = match tfhd.u32()? {
            VIDEO_TRACK => &mut table.video,
            AUDIO_TRACK => &mut table.audio,
            _ => return None,
        };
        if !run.samples.is_empty() {
            return None;
        }
        *run = parse_run(child(traf, b"tfdt")?, child(traf, b"trun")?)?;
    }
    (!table.video.samples.is_empty() || !table.audio.samples.is_empty()).then_some(table)
}

fn parse_run(tfdt: &[u8], trun: &[u8]) -> Option<Run> {
    let mut tfdt = Fields(tfdt);
    let (version, _) = tfdt.version_flags()?;
    let first_dts = if version == 1 { tfdt.u64()? } else { u64::from(tfdt.u32()?) };
    let mut trun = Fields(trun);
    let (_, flags) = trun.version_flags()?;
    // Data offset, per-sample durations and sizes, no per-sample flags or composition times: our own form.
    if flags & !0x4 != 0x301 {
        return None;
    }
    let count = trun.u32()? as usize;
    let offset = u32::try_from(trun.u32()? as i32).ok()?;
    let starts_with_sync = flags & 0x4 != 0 && trun.u32()? & NON_SYNC_BIT == 0;
    if count > trun.0.len() / 8 {
        return None;
    }
    let mut samples = Vec::with_capacity(count);
    for _ in 0..count {
        samples.push(SampleEntry { duration: trun.u32()?, size_bytes: trun.u32()? });
    }
    // A century of 90 kHz: nothing that is added to it later can overflow.
    (first_dts < 1 << 48).then_some(Run { first_dts, offset, starts_with_sync, samples })
}
