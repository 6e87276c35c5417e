//! Reads a recording that was not finished: how far it is whole, and the index of that.
//!
//! The bytes may be anything: cut anywhere, zeroed blocks, another program's file. Nothing is believed that is
//! not checked against the file's length, no box is read that is larger than ours ever are.

use std::io::{self, Read, Seek, SeekFrom};
use std::time::Duration;

use super::boxes::{Fields, Header, child, children};
use super::part::{PartTable, Run, parse_moof};
use super::{AudioConfig, Index, Tracks, VideoConfig, moov};
use crate::base::units::Size;
use crate::media::h264::Sps;

/// The longest tail that a crash can tear: unsynced parts, or a `moov` that was being written. A file with more
/// than this behind its last whole part was damaged in its middle, and cutting it would lose what follows.
pub const MAX_TORN_BYTES: u64 = 64 << 20;
/// No `moov` at the front and no `moof` of ours is longer.
const MAX_BOX_BYTES: u64 = 4 << 20;

/// What a file is.
#[derive(Debug)]
pub enum Scan {
    /// It was being written: everything before `whole_bytes` is good.
    Growing {
        /// Where the last whole part ends; cut the file here.
        whole_bytes: u64,
        /// The index of the whole parts, for [`Index::finish`].
        index: Box<Index>,
    },
    /// It has its index already.
    Finished {
        /// Its length in time.
        duration: Duration,
    },
}

/// Why a file is not a recording that can be repaired.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// Reading failed.
    #[error("reading at byte {at}: {source}")]
    Read {
        /// Where.
        at: u64,
        /// The system's words.
        source: io::Error,
    },
    /// The front is not what roomd writes.
    #[error("byte {at}: {what}")]
    NotARecording {
        /// Where.
        at: u64,
        /// What is missing there.
        what: &'static str,
    },
    /// There is no whole part in it.
    #[error("no part is whole")]
    Empty,
    /// More follows the last whole part than a crash tears.
    #[error("damaged at byte {at}, {rest_bytes} bytes before its end")]
    DamagedInside {
        /// Where the last whole part ends.
        at: u64,
        /// What follows.
        rest_bytes: u64,
    },
}

/// Reads `file`. Only headers and tables are read, and the pictures of the last part. Never panics, allocates in
/// proportion to what the file truly holds.
///
/// # Errors
/// [`ScanError`]: leave the file as it is.
pub fn scan(file: &mut (impl Read + Seek)) -> Result<Scan, ScanError> {
    let length = file.seek(SeekFrom::End(0)).map_err(|source| ScanError::Read { at: 0, source })?;
    let mut source = Source { file, length };
    let not = |at, what| ScanError::NotARecording { at, what };
    let ftyp = source.header(0)?.filter(|header| &header.kind == b"ftyp");
    if ftyp.is_none_or(|header| header.box_bytes != moov::FTYP_BYTES) {
        return Err(not(0, "no ftyp of a recording"));
    }
    let place = source.header(moov::FTYP_BYTES)?.ok_or(not(moov::FTYP_BYTES, "the file ends"))?;
    if &place.kind == b"mdat" {
        return source.finished(moov::FTYP_BYTES.saturating_add(place.box_bytes));
    }
    let moov_at = moov::FTYP_BYTES + moov::PLACE.len() as u64;
    if &place.kind != b"free" || place.box_bytes != moov::PLACE.len() as u64 {
        return Err(not(moov::FTYP_BYTES, "no place for an mdat"));
    }
    let (body, moov_end) = source.body(moov_at, b"moov")?.ok_or(not(moov_at, "no moov"))?;
    let tracks = parse_tracks(&body).ok_or(not(moov_at, "moov does not describe H.264 and AAC"))?;
    source.parts(moov_end, tracks)
}

struct Source<'a, F> {
    file: &'a mut F,
    length: u64,
}

impl<F: Read + Seek> Source<'_, F> {
    /// `count` bytes at `at`; None when the file is shorter.
    fn bytes(&mut self, at: u64, count: u64) -> Result<Option<Vec<u8>>, ScanError> {
        if at.checked_add(count).is_none_or(|end| end > self.length) || count > MAX_BOX_BYTES {
            return Ok(None);
        }
        let mut bytes = vec![0; count as usize];
        let read = self.file.seek(SeekFrom::Start(at)).and_then(|_| self.file.read_exact(&mut bytes));
        match read {
            Ok(()) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(source) => Err(ScanError::Read { at, source }),
        }
    }

    fn header(&mut self, at: u64) -> Result<Option<Header>, ScanError> {
        let left = self.length.saturating_sub(at).min(16);
        Ok(self.bytes(at, left)?.and_then(|bytes| Header::read(&bytes)))
    }

    /// The body of the box at `at` if it is a whole `kind`, and where it ends.
    fn body(&mut self, at: u64, kind: &[u8; 4]) -> Result<Option<(Vec<u8>, u64)>, ScanError> {
        let Some(header) = self.header(at)?.filter(|header| &header.kind == kind) else { return Ok(None) };
        let body = self.bytes(at + header.header_bytes, header.box_bytes - header.header_bytes)?;
        Ok(body.map(|body| (body, at + header.box_bytes)))
    }

    /// The duration in the `moov` at `at`, which must be the last box. It may be larger than other boxes: only
    /// its start is read.
    fn finished(&mut self, at: u64) -> Result<Scan, ScanError> {
        let not = ScanError::NotARecording { at, what: "no moov at its end" };
        let Some(header) = self.header(at)?.filter(|header| &header.kind == b"moov") else { return Err(not) };
        if at.checked_add(header.box_bytes) != Some(self.length) {
            return Err(not);
        }
        let start =
            self.bytes(at + header.header_bytes, (header.box_bytes - header.header_bytes).min(256))?;
        let duration = start.as_deref().and_then(|body| parse_duration(child(body, b"mvhd")?));
        duration.map(|duration| Scan::Finished { duration }).ok_or(not)
    }

    fn parts(&mut self, start: u64, tracks: Tracks) -> Result<Scan, ScanError> {
        let mut index = Index::new(tracks);
        let (mut end, mut whole) = (start, start);
        // The part before is taken when the next one is found whole; the last is looked at more closely.
        let mut last: Option<(u64, PartTable)> = None;
        while let Some((table, next)) = self.part(end)? {
            if let Some((at, table)) = last.replace((end, table)) {
                index.add(at, &table);
                whole = end;
            }
            end = next;
        }
        if let Some((at, table)) = last
            && self.pictures_are_whole(at, &table.video)?
        {
            index.add(at, &table);
            whole = end;
        }
        if index.pictures() == 0 {
            return Err(ScanError::Empty);
        }
        match self.length - whole {
            rest_bytes if rest_bytes > MAX_TORN_BYTES => {
                Err(ScanError::DamagedInside { at: whole, rest_bytes })
            }
            _ => Ok(Scan::Growing { whole_bytes: whole, index: Box::new(index) }),
        }
    }

    /// The part at `at` and where it ends; None unless it is whole.
    fn part(&mut self, at: u64) -> Result<Option<(PartTable, u64)>, ScanError> {
        let Some((body, moof_end)) = self.body(at, b"moof")? else { return Ok(None) };
        let Some(table) = parse_moof(&body) else { return Ok(None) };
        let Some(mdat) = self.header(moof_end)?.filter(|header| &header.kind == b"mdat") else {
            return Ok(None);
        };
        let Some(end) = moof_end.checked_add(mdat.box_bytes).filter(|&end| end <= self.length) else {
            return Ok(None);
        };
        let data = moof_end + mdat.header_bytes - at;
        let fits = |run: &Run| {
            run.samples.is_empty()
                || (u64::from(run.offset) >= data && u64::from(run.offset) + run.bytes() <= end - at)
        };
        Ok((fits(&table.video) && fits(&table.audio)).then_some((table, end)))
    }

    /// Whether the NAL units of the pictures fill their samples exactly: blocks that never reached the disk are
    /// zero.
    fn pictures_are_whole(&mut self, part: u64, run: &Run) -> Result<bool, ScanError> {
        let mut at = part + u64::from(run.offset);
        for sample in &run.samples {
            let end = at + u64::from(sample.size_bytes);
            while at < end {
                let nal = self.bytes(at, 4)?.and_then(|bytes| Fields(&bytes).u32()).unwrap_or(0);
                at += 4 + u64::from(nal);
                if nal == 0 || at > end {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

fn parse_duration(mvhd: &[u8]) -> Option<Duration> {
    let mut fields = Fields(mvhd);
    let (version, _) = fields.version_flags()?;
    fields.take(if version == 1 { 16 } else { 8 })?;
    let timescale = u128::from(fields.u32()?);
    let ticks = if version == 1 { u128::from(fields.u64()?) } else { u128::from(fields.u32()?) };
    let nanos = (ticks * 1_000_000_000).checked_div(timescale)?;
    Some(Duration::from_nanos(u64::try_from(nanos).ok()?))
}

/// The tracks that the `moov` at the front describes, if they are ours.
fn parse_tracks(moov: &[u8]) -> Option<Tracks> {
    child(moov, b"mvex")?;
    let entry = |trak| {
        let stbl = [b"mdia", b"minf", b"stbl", b"stsd"].into_iter().try_fold(trak, child)?;
        children(stbl.get(8..)?).next()
    };
    let (mut video, mut audio) = (None, None);
    for (_, trak) in children(moov).filter(|(kind, _)| kind == b"trak") {
        match entry(trak)? {
            (kind, body) if &kind == b"avc1" => video = Some(parse_avc1(body)?),
            (kind, body) if &kind == b"mp4a" => audio = Some(parse_mp4a(body)?),
            _ => return None,
        }
    }
    Some(Tracks { video: video?, audio: audio? })
}

fn parse_avc1(body: &[u8]) -> Option<VideoConfig> {
    let mut fields = Fields(body);
    fields.take(24)?;
    let size = Size::new(u32::from(fields.u16()?), u32::from(fields.u16()?));
    let mut avcc = Fields(child(body.get(78..)?, b"avcC")?);
    avcc.take(5)?;
    let sps_count = avcc.u8()? & 0x1f;
    let sps_bytes = usize::from(avcc.u16()?);
    let sps = avcc.take(sps_bytes)?.to_vec();
    let pps_count = avcc.u8()?;
    let pps_bytes = usize::from(avcc.u16()?);
    let pps = avcc.take(pps_bytes)?.to_vec();
    let ours = sps_count == 1 && pps_count == 1 && Sps::parse(&sps).is_ok_and(|sps| sps.size == size);
    ours.then_some(VideoConfig { sps, pps, size })
}

/// The AudioSpecificConfig of an `mp4a` (ISO/IEC 14496-1 §7.2.6): descriptor 3 holds 4 holds 5.
fn parse_mp4a(body: &[u8]) -> Option<AudioConfig> {
    let esds = child(body.get(28..)?, b"esds")?.get(4..)?;
    let es = descriptor(esds, 3)?.get(3..)?;
    let config = descriptor(es, 4)?.get(13..)?;
    let asc = descriptor(config, 5)?.to_vec();
    (asc.len() >= 2 && asc.len() <= 64).then_some(AudioConfig { asc })
}

/// The body of the descriptor at the front, if its tag is `tag`; its length is coded in 7-bit groups.
fn descriptor(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    let mut fields = Fields(bytes);
    if fields.u8()? != tag {
        return None;
    }
    let mut length = 0;
    for _ in 0..4 {
        let byte = fields.u8()?;
        length = length << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    fields.take(length)
}
