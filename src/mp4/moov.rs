//! The two `moov` boxes of a recording: the one at the front without samples, the one at the end with all.

use mp4_atom::{
    Co64, Codec, Dinf, Dref, Edts, Elst, ElstEntry, Encode, FourCC, Ftyp, Hdlr, Mdhd, Mdia, Minf, Moov, Mvex,
    Mvhd, Smhd, Stbl, Stco, Stsc, StscEntry, Stsd, Stss, Stsz, StszSamples, Stts, SttsEntry, Tkhd, Trak,
    Trex, Url, Vmhd,
};

use super::index::{Index, TrackIndex};
use super::part::NON_SYNC;
use super::{AUDIO_TIMESCALE, AUDIO_TRACK, Mp4Error, Tracks, VIDEO_TIMESCALE, VIDEO_TRACK};

/// Length of `ftyp`: header, major brand and version, five compatible brands.
pub(super) const FTYP_BYTES: u64 = 36;
/// The place for the header of a 64-bit `mdat`, as a `free` box.
pub(super) const PLACE: [u8; 16] = *b"\0\0\0\x10free\0\0\0\0\0\0\0\0";
/// Ticks per second of edit lists and of the whole movie. 1024 samples of sound are 1920 of them.
const MOVIE_TIMESCALE: u32 = 90_000;

pub(super) fn init_segment(tracks: &Tracks) -> Result<Vec<u8>, Mp4Error> {
    let mut bytes = Vec::with_capacity(2048);
    Ftyp {
        major_brand: FourCC::new(b"isom"),
        minor_version: 512,
        compatible_brands: [b"isom", b"iso5", b"iso6", b"avc1", b"mp41"].map(FourCC::new).to_vec(),
    }
    .encode(&mut bytes)?;
    debug_assert_eq!(bytes.len() as u64, FTYP_BYTES);
    bytes.extend_from_slice(&PLACE);
    fragmented(tracks)?.encode(&mut bytes)?;
    Ok(bytes)
}

/// The `moov` of a file that grows: no samples, no durations, `mvex`.
fn fragmented(tracks: &Tracks) -> Result<Moov, Mp4Error> {
    let trex = |track_id, default_sample_flags| Trex {
        track_id,
        default_sample_description_index: 1,
        default_sample_flags,
        ..Trex::default()
    };
    let empty = TrackIndex::default();
    Ok(Moov {
        mvhd: mvhd(0),
        mvex: Some(Mvex { mehd: None, trex: vec![trex(VIDEO_TRACK, NON_SYNC), trex(AUDIO_TRACK, 0)] }),
        trak: vec![video(tracks, &empty)?, audio(tracks, &empty)],
        ..Moov::default()
    })
}

/// The `moov` of a finished file. A track without samples is left out.
pub(super) fn complete(index: &Index) -> Result<Moov, Mp4Error> {
    let mut trak = vec![video(&index.tracks, &index.video)?];
    if !index.audio.sizes.is_empty() {
        trak.push(audio(&index.tracks, &index.audio));
    }
    let duration = trak.iter().map(|trak| trak.tkhd.duration).max().unwrap_or(0);
    Ok(Moov { mvhd: mvhd(duration), trak, ..Moov::default() })
}

fn mvhd(duration: u64) -> Mvhd {
    Mvhd {
        creation_time: 0,
        modification_time: 0,
        timescale: MOVIE_TIMESCALE,
        duration,
        rate: 1.into(),
        volume: 1.into(),
        matrix: Default::default(),
        next_track_id: AUDIO_TRACK + 1,
    }
}

fn video(tracks: &Tracks, index: &TrackIndex) -> Result<Trak, Mp4Error> {
    let config = &tracks.video;
    let mut trak = trak(VIDEO_TRACK, VIDEO_TIMESCALE, index, config.sample_entry()?);
    trak.tkhd.width = (config.size.width as u16).into();
    trak.tkhd.height = (config.size.height as u16).into();
    trak.mdia.hdlr = Hdlr { handler: FourCC::new(b"vide"), name: "video".to_owned() };
    trak.mdia.minf.vmhd = Some(Vmhd::default());
    trak.mdia.minf.stbl.stss = (!index.sizes.is_empty()).then(|| Stss { entries: index.sync.clone() });
    Ok(trak)
}

fn audio(tracks: &Tracks, index: &TrackIndex) -> Trak {
    let mut trak = trak(AUDIO_TRACK, AUDIO_TIMESCALE, index, tracks.audio.sample_entry());
    trak.tkhd.volume = 1.into();
    trak.tkhd.alternate_group = 1;
    trak.mdia.hdlr = Hdlr { handler: FourCC::new(b"soun"), name: "audio".to_owned() };
    trak.mdia.minf.smhd = Some(Smhd::default());
    trak
}

fn trak(track_id: u32, timescale: u32, index: &TrackIndex, codec: Codec) -> Trak {
    let movie = |ticks: u64| (u128::from(ticks) * u128::from(MOVIE_TIMESCALE) / u128::from(timescale)) as u64;
    let media = index.end() - index.first_dts;
    Trak {
        tkhd: Tkhd {
            track_id,
            duration: movie(index.end()),
            enabled: true,
            in_movie: true,
            ..Tkhd::default()
        },
        edts: (index.first_dts > 0).then(|| late_start(movie(index.first_dts), movie(media))),
        mdia: Mdia {
            mdhd: Mdhd { timescale, duration: media, language: "und".to_owned(), ..Mdhd::default() },
            minf: Minf {
                dinf: Dinf { dref: Dref { entries: vec![Url::default().into()] } },
                stbl: stbl(index, codec),
                ..Minf::default()
            },
            ..Mdia::default()
        },
        ..Trak::default()
    }
}

/// The track starts `wait` after the file's zero (§8.6.6), both in the movie's ticks.
fn late_start(wait: u64, media: u64) -> Edts {
    let edit =
        |segment_duration, media_time| ElstEntry { segment_duration, media_time, media_rate: 1.into() };
    Edts { elst: Some(Elst { entries: vec![edit(wait, None), edit(media, Some(0))] }) }
}

fn stbl(index: &TrackIndex, codec: Codec) -> Stbl {
    let stts = index.all_deltas().into_iter();
    let stsc = index.samples_per_chunk.iter();
    let large = index.chunks.last().is_some_and(|&last| u32::try_from(last).is_err());
    Stbl {
        stsd: Stsd { codecs: vec![codec] },
        stts: Stts {
            entries: stts
                .map(|(sample_count, sample_delta)| SttsEntry { sample_count, sample_delta })
                .collect(),
        },
        stsc: Stsc {
            entries: stsc
                .map(|&(first_chunk, samples_per_chunk)| StscEntry {
                    first_chunk,
                    samples_per_chunk,
                    sample_description_index: 1,
                })
                .collect(),
        },
        stsz: Stsz { samples: StszSamples::Different { sizes: index.sizes.clone() } },
        stco: (!large).then(|| Stco { entries: index.chunks.iter().map(|&offset| offset as u32).collect() }),
        co64: large.then(|| Co64 { entries: index.chunks.clone() }),
        ..Stbl::default()
    }
}
