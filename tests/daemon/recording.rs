//! Recordings of the box's own stream, measured from the files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::{RngExt, SeedableRng};

use crate::roomd::Roomd;
use crate::{film, gate};

/// Every finished or growing recording under a box's folder, oldest first.
fn files(dir: &Path) -> Vec<PathBuf> {
    let folder = dir.join("state/recordings/box");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "mp4"))
        .collect();
    files.sort();
    files
}

/// Records `seconds` of media time and returns the one file.
fn record(roomd: &mut Roomd, seconds: u64) -> PathBuf {
    let started = roomd.ask(&["record", "on"]);
    assert_eq!(started["ok"], true, "{started}");
    let began = std::time::Instant::now();
    roomd.wait_for("the time to pass", |_| began.elapsed() >= Duration::from_secs(seconds.min(25)));
    let stopped = roomd.ask(&["record", "off"]);
    assert_eq!(stopped["ok"], true, "{stopped}");
    let files = files(roomd.dir.path());
    assert_eq!(files.len(), 1, "{files:?}");
    files.into_iter().next().expect("one file")
}

#[test]
fn a_film_recorded_for_twenty_seconds_is_whole_720p30_and_aac() {
    let _gate = gate::undisturbed();
    let film = crate::parts::film();
    let source = format!("file:{}", film.display());
    let config = format!("[camera]\nsource = {source:?}\n[microphone]\nsource = {source:?}");
    let mut roomd = Roomd::start(&config);
    roomd.wait_for("the film", |roomd| roomd.state()["camera"]["status"] == "running");
    let file = record(&mut roomd, 20);
    let probe = film::probe(&file);
    let (video, audio) = (film::stream(&probe, "video"), film::stream(&probe, "audio"));
    assert_eq!((video["codec_name"].as_str(), audio["codec_name"].as_str()), (Some("h264"), Some("aac")));
    assert_eq!((video["width"].as_u64(), video["height"].as_u64()), (Some(1280), Some(720)));
    let packets: f64 = video["nb_read_packets"].as_str().and_then(|text| text.parse().ok()).expect("packets");
    let seconds = film::duration(&probe);
    assert!((packets / seconds - 30.0).abs() < 1.5, "{packets} pictures in {seconds} s");
    assert!((18.0..=24.0).contains(&seconds), "{seconds} s");
    film::decodes_without_error(&file);
}

#[test]
fn beep_and_flash_are_within_forty_milliseconds_and_the_timestamps_are_distinct() {
    let _gate = gate::undisturbed();
    let mut roomd = Roomd::start("");
    let file = record(&mut roomd, 12);
    film::decodes_without_error(&file);
    let pictures = film::pictures(&file);
    assert!(pictures.len() > 300, "{} pictures", pictures.len());
    let distinct = film::distinct_share(&pictures);
    assert!(distinct >= 0.98, "{distinct} of the timestamps are distinct");
    let (flashes, beeps) = (film::flashes(&pictures), film::beeps(&file, 1000.0));
    assert!(flashes.len() >= 9, "flashes at {flashes:?}, beeps at {beeps:?}");
    // The beep of a flash in the last moment is cut off by the file's end: too short to be found.
    let end = pictures.last().map_or(0.0, |last| last.at) - 0.2;
    for flash in flashes.iter().filter(|flash| **flash < end) {
        let nearest = beeps.iter().map(|beep| (beep - flash).abs()).fold(f64::MAX, f64::min);
        assert!(nearest <= 0.040, "flash at {flash} s, beeps at {beeps:?}");
    }
}

#[test]
fn a_growing_recording_plays() {
    let _gate = gate::undisturbed();
    let mut roomd = Roomd::start("");
    roomd.ask(&["record", "on"]);
    roomd.wait_for("a file with two seconds in it", |roomd| {
        files(roomd.dir.path())
            .first()
            .is_some_and(|file| std::fs::metadata(file).is_ok_and(|meta| meta.len() > 200_000))
    });
    let copy = roomd.path("copy.mp4");
    std::fs::copy(&files(roomd.dir.path())[0], &copy).unwrap();
    assert!(!film::pictures(&copy).is_empty());
}

#[test]
fn twenty_kills_at_random_moments_leave_files_that_play_and_lack_at_most_a_second() {
    let _gate = gate::undisturbed();
    let mut rng = rand::rngs::StdRng::seed_from_u64(20);
    let mut dir = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let before = files(dir.path());
        let new = |dir: &Path| files(dir).into_iter().find(|file| !before.contains(file));
        let mut roomd = Roomd::start_in(dir, "");
        if round == 0 {
            roomd.ask(&["record", "on"]);
        }
        roomd.wait_for("this run's file", |roomd| new(roomd.dir.path()).is_some());
        let began = std::time::Instant::now();
        let pause = Duration::from_millis(rng.random_range(0..2000));
        roomd.wait_for("a random moment", |_| began.elapsed() >= pause);
        let killed_at = std::time::SystemTime::now();
        dir = roomd.kill();
        let newest = new(dir.path()).expect("this run's file is still there");
        let pictures = film::pictures(&newest);
        let last = pictures.iter().rev().find_map(|picture| picture.shown).expect("a readable timestamp");
        let killed = killed_at.duration_since(std::time::UNIX_EPOCH).unwrap().as_micros() as u64 / 100;
        let short = killed.saturating_sub(last) as f64 / 10_000.0;
        assert!(short <= 1.0, "round {round}: {} is {short} s short", newest.display());
    }
    // The next start makes every one of them whole and keeps it.
    let roomd = Roomd::start_in(dir, "");
    roomd.ask(&["record", "off"]);
    let (_, dir) = roomd.stop();
    for file in files(dir.path()) {
        film::probe(&file);
        film::decodes_without_error(&file);
    }
}
