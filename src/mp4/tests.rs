use std::io::Cursor;
use std::time::Duration;

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};

use super::testing::{START, assert_plays, film, interleaved, pictures, probe, sound};
use super::*;
use crate::media::{AccessUnit, TrackId};

/// A growing file, its index, and where each part ends.
struct Muxed {
    bytes: Vec<u8>,
    index: Index,
    ends: Vec<usize>,
    tables: Vec<PartTable>,
}

fn mux(units: &[AccessUnit]) -> Muxed {
    let first = units.iter().find(|unit| unit.track != TrackId::Aac).unwrap();
    let mut muxer = FragmentMuxer::new(first, AudioConfig::aac_lc_48k_mono()).unwrap();
    let bytes = muxer.init_segment().unwrap();
    let mut muxed = Muxed { index: muxer.index(), ends: vec![bytes.len()], bytes, tables: vec![] };
    let mut parts: Vec<Part> = units.iter().filter_map(|unit| muxer.push(unit).unwrap()).collect();
    parts.extend(muxer.finish().unwrap());
    for part in parts {
        muxed.index.add(muxed.bytes.len() as u64, &part.table);
        muxed.bytes.extend_from_slice(&part.bytes);
        muxed.ends.push(muxed.bytes.len());
        muxed.tables.push(part.table);
    }
    muxed
}

fn finished(bytes: &[u8], index: &Index) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let finish = index.finish(bytes.len() as u64).unwrap();
    bytes.extend_from_slice(&finish.moov);
    bytes[finish.front_at as usize..][..16].copy_from_slice(&finish.front);
    bytes
}

fn written(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".mp4").tempfile().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

#[test]
fn a_growing_and_a_finished_file_play_and_say_what_they_hold() {
    let muxed = mux(&film(3));
    for bytes in [muxed.bytes.clone(), finished(&muxed.bytes, &muxed.index)] {
        let file = written(&bytes);
        assert_plays(file.path());
        let said = probe(file.path(), "-count_packets -show_streams -show_format");
        for expected in [
            "codec_name=h264",
            "width=320",
            "height=180",
            "avg_frame_rate=30/1",
            "time_base=1/90000",
            "nb_read_packets=90",
            "codec_name=aac",
            "profile=LC",
            "sample_rate=48000",
            "channels=1",
            "nb_read_packets=138",
        ] {
            assert!(said.contains(expected), "{expected} is missing in {said}");
        }
    }
}

#[test]
fn a_finished_file_says_its_duration_and_seeks_to_each_keyframe() {
    let muxed = mux(&film(3));
    let file = written(&finished(&muxed.bytes, &muxed.index));
    let said = probe(file.path(), "-show_entries format=duration:stream=duration,nb_frames");
    assert!(said.contains("duration=3.000000") && said.contains("nb_frames=90"), "{said}");
    // -read_intervals seeks to the keyframe before: only the index can tell where that is.
    let said = probe(file.path(), "-select_streams v -read_intervals 2.5%+#1 -show_entries packet=pts,flags");
    assert!(said.contains("pts=180000\nflags=K"), "{said}");
    assert_eq!(muxed.index.duration(), Duration::from_secs(3));
}

#[test]
fn sound_keeps_its_distance_to_the_picture() {
    // 15 ms late; the packets before the first keyframe are not in the file.
    let units = interleaved(pictures(60, 30, 320, 180), sound(100, START - Duration::from_millis(90)));
    for (units, first_pts) in [(film(2), 720), (units, 800)] {
        let muxed = mux(&units);
        let parts = written(&muxed.bytes);
        let whole = written(&finished(&muxed.bytes, &muxed.index));
        for file in [parts, whole] {
            let said =
                probe(file.path(), "-select_streams a -read_intervals %+#1 -show_entries packet=pts_time");
            let seconds: f64 =
                said.split("pts_time=").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
            assert!(
                (seconds * 48e3 - f64::from(first_pts)).abs() <= 1.0,
                "{seconds} s, not {first_pts}/48000"
            );
        }
    }
}

#[test]
fn parts_are_short_and_each_gop_begins_one() {
    let muxed = mux(&film(4));
    let limit = MAX_PART.as_millis() as u64;
    for table in &muxed.tables {
        let ms = |run: &Run, per_ms: u64| {
            run.samples.iter().map(|sample| u64::from(sample.duration)).sum::<u64>() / per_ms
        };
        assert!(ms(&table.video, 90) <= limit && ms(&table.audio, 48) <= limit);
    }
    let with_sync = muxed.tables.iter().filter(|table| table.video.starts_with_sync).count();
    assert_eq!(with_sync, 4);
    assert!((4 * 3..=4 * 4).contains(&muxed.tables.len()), "{} parts", muxed.tables.len());
}

#[test]
fn variable_frame_timing_and_a_stalled_camera_are_kept() {
    let mut units = film(3);
    // The camera stops for 900 ms, and one picture comes 11 ms late.
    units.retain(|unit| {
        unit.track == TrackId::Aac
            || !(Duration::from_millis(1500)..Duration::from_millis(2400)).contains(&unit.pts.since(START))
    });
    let late = units.iter_mut().filter(|unit| unit.track != TrackId::Aac).nth(10).unwrap();
    late.pts = late.pts + Duration::from_millis(11);
    let times: Vec<u64> = units
        .iter()
        .filter(|unit| unit.track != TrackId::Aac)
        .map(|unit| ((unit.pts.since(START).as_nanos() * 90 + 500_000) / 1_000_000) as u64)
        .collect();
    let muxed = mux(&units);
    for bytes in [muxed.bytes.clone(), finished(&muxed.bytes, &muxed.index)] {
        let file = written(&bytes);
        let said = probe(file.path(), "-select_streams v -show_entries packet=pts");
        let found: Vec<u64> =
            said.lines().filter_map(|line| line.strip_prefix("pts=")?.parse().ok()).collect();
        assert_eq!(found, times);
    }
}

#[test]
fn clocks_that_go_back_or_jitter_give_a_monotonic_file() {
    let mut rng = rand::rngs::StdRng::seed_from_u64(3);
    let mut units = film(2);
    for unit in units.iter_mut().skip(1) {
        unit.pts = unit.pts + Duration::from_micros(rng.random_range(0..900));
    }
    let back = units.iter_mut().filter(|unit| unit.track != TrackId::Aac).nth(20).unwrap();
    back.pts = back.pts - Duration::from_millis(200);
    let muxed = mux(&units);
    let file = written(&finished(&muxed.bytes, &muxed.index));
    let said = probe(file.path(), "-select_streams v -show_entries packet=dts");
    let dts: Vec<u64> = said.lines().filter_map(|line| line.strip_prefix("dts=")?.parse().ok()).collect();
    assert!(dts.len() == 60 && dts.is_sorted_by(|a, b| a < b), "{dts:?}");
    // Jitter below 2 ms makes no gaps in the sound.
    let sound: Vec<u32> =
        muxed.tables.iter().flat_map(|table| &table.audio.samples).map(|sample| sample.duration).collect();
    assert!(sound.iter().all(|&duration| duration == 1024), "{sound:?}");
}

#[test]
fn another_sps_needs_another_file_and_nothing_is_taken() {
    let mut muxer = FragmentMuxer::new(&pictures(1, 1, 320, 180)[0], AudioConfig::aac_lc_48k_mono()).unwrap();
    let other = &pictures(1, 1, 160, 90)[0];
    assert!(matches!(muxer.push(other), Err(Mp4Error::ParametersChanged { .. })));
    assert!(muxer.finish().unwrap().is_none());
}

#[test]
fn a_file_does_not_begin_without_a_keyframe_or_with_another_track() {
    let pictures = pictures(2, 30, 320, 180);
    let audio = AudioConfig::aac_lc_48k_mono;
    assert!(matches!(FragmentMuxer::new(&pictures[1], audio()), Err(Mp4Error::NoKeyframe { .. })));
    assert!(matches!(FragmentMuxer::new(&sound(1, START)[0], audio()), Err(Mp4Error::NoKeyframe { .. })));
    let mut muxer = FragmentMuxer::new(&pictures[0], audio()).unwrap();
    let opus = AccessUnit { track: TrackId::Opus, ..pictures[0].clone() };
    assert!(matches!(muxer.push(&opus), Err(Mp4Error::OtherTrack(TrackId::Opus))));
}

#[test]
fn a_file_torn_at_any_byte_of_its_last_two_parts_is_whole_up_to_the_part_before() {
    let muxed = mux(&film(2));
    let from = muxed.ends[muxed.ends.len() - 3];
    for length in from..=muxed.bytes.len() {
        let expected = *muxed.ends.iter().rev().find(|&&end| end <= length).unwrap();
        match scan(&mut Cursor::new(&muxed.bytes[..length])).unwrap() {
            Scan::Growing { whole_bytes, .. } => assert_eq!(whole_bytes, expected as u64, "cut at {length}"),
            other => panic!("cut at {length}: {other:?}"),
        }
    }
}

#[test]
fn what_is_left_of_a_torn_file_plays() {
    let muxed = mux(&film(2));
    let mut rng = rand::rngs::StdRng::seed_from_u64(11);
    for _ in 0..6 {
        let length = rng.random_range(muxed.ends[1]..muxed.bytes.len());
        let torn = &muxed.bytes[..length];
        let Scan::Growing { whole_bytes, index } = scan(&mut Cursor::new(torn)).unwrap() else { panic!() };
        let file = written(&finished(&torn[..whole_bytes as usize], &index));
        assert_plays(file.path());
        let said = probe(file.path(), "-select_streams v -show_entries stream=nb_frames");
        assert!(said.contains(&format!("nb_frames={}", index.pictures())), "cut at {length}: {said}");
    }
}

#[test]
fn the_index_of_a_scan_is_the_index_of_the_muxer() {
    let muxed = mux(&film(2));
    let Scan::Growing { whole_bytes, index } = scan(&mut Cursor::new(&muxed.bytes)).unwrap() else {
        panic!()
    };
    assert_eq!(whole_bytes, muxed.bytes.len() as u64);
    assert_eq!(index.finish(whole_bytes).unwrap().moov, muxed.index.finish(whole_bytes).unwrap().moov);
}

#[test]
fn blocks_that_never_reached_the_disk_are_cut_with_their_part() {
    let muxed = mux(&film(2));
    let mut zeroed = muxed.bytes.clone();
    let last = muxed.ends[muxed.ends.len() - 2];
    let video = last + muxed.tables.last().unwrap().video.offset as usize;
    zeroed[video..].fill(0);
    let Scan::Growing { whole_bytes, .. } = scan(&mut Cursor::new(&zeroed)).unwrap() else { panic!() };
    assert_eq!(whole_bytes, last as u64);
    zeroed[last..].fill(0);
    let Scan::Growing { whole_bytes, .. } = scan(&mut Cursor::new(&zeroed)).unwrap() else { panic!() };
    assert_eq!(whole_bytes, last as u64);
}

#[test]
fn finishing_can_be_interrupted_anywhere() {
    let muxed = mux(&film(1));
    let growing = muxed.bytes.len();
    let whole = finished(&muxed.bytes, &muxed.index);
    assert!(
        matches!(scan(&mut Cursor::new(&whole)).unwrap(), Scan::Finished { duration } if duration == Duration::from_secs(1))
    );
    let mut unswitched = whole.clone();
    unswitched[..growing].copy_from_slice(&muxed.bytes);
    for length in growing..unswitched.len() {
        let Scan::Growing { whole_bytes, .. } = scan(&mut Cursor::new(&unswitched[..length])).unwrap() else {
            panic!("cut at {length}")
        };
        assert_eq!(whole_bytes, growing as u64);
    }
    assert_plays(written(&unswitched).path());
}

#[test]
fn damage_in_the_middle_of_a_long_file_is_left_alone() {
    let mut muxed = mux(&film(1));
    muxed.bytes.resize(muxed.bytes.len() + MAX_TORN_BYTES as usize + 1, 0);
    let error = scan(&mut Cursor::new(&muxed.bytes)).unwrap_err();
    assert!(matches!(error, ScanError::DamagedInside { rest_bytes, .. } if rest_bytes == MAX_TORN_BYTES + 1));
}

#[test]
fn files_of_others_and_files_without_a_part_are_refused() {
    let init = mux(&film(1));
    let cases: [&[u8]; 4] = [b"", b"GIF89a and so on and so forth", &init.bytes[..init.ends[0]], &[0; 4096]];
    for bytes in cases {
        assert!(scan(&mut Cursor::new(bytes)).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn scanning_noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = scan(&mut Cursor::new(&bytes));
    }

    #[test]
    fn scanning_a_damaged_recording_never_panics_and_what_it_finds_can_be_indexed(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        front in any::<bool>(),
        cut in any::<prop::sample::Index>(),
    ) {
        static FILM: std::sync::OnceLock<Muxed> = std::sync::OnceLock::new();
        let film = FILM.get_or_init(|| mux(&super::testing::film(1)));
        let mut bytes = film.bytes.clone();
        let range = if front { film.ends[0] + 400 } else { bytes.len() };
        for (at, value) in edits {
            bytes[at.index(range)] = value;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        if let Ok(Scan::Growing { whole_bytes, index }) = scan(&mut Cursor::new(&bytes)) {
            prop_assert!(whole_bytes <= bytes.len() as u64);
            let _ = index.finish(whole_bytes);
        }
    }
}
