use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::audio::level::dbov;

const SIZE: Size = Size::new(160, 90);

/// Makes a film in a directory of its own by ffmpeg; the arguments stand before its name.
fn film(name: &str, arguments: &str) -> (TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join(name);
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin"])
        .args(arguments.split_whitespace())
        .arg(&path)
        .stdin(Stdio::null())
        .status();
    assert!(status.unwrap().success());
    (place, path)
}

/// Two seconds at 30 pictures a second, grey that becomes lighter by 3 with every picture (from 40), and sound that
/// is a tone in the first second only.
fn two_seconds(name: &str) -> (TempDir, PathBuf) {
    film(
        name,
        "-f lavfi -i color=gray:s=320x180:r=30:d=2,format=yuv420p,geq=lum=40+3*N:cb=128:cr=128 \
         -f lavfi -i sine=f=440:r=44100:d=2,volume=volume=gt(1\\,t):eval=frame \
         -c:v libx264 -preset ultrafast -qp 10 -c:a aac",
    )
}

fn luma_in_the_middle(frame: &VideoFrame) -> i32 {
    i32::from(frame.planes().0[45 * 160 + 80])
}

#[test]
fn a_film_is_shown_picture_by_picture_and_looped_without_a_gap() {
    let (_place, path) = two_seconds("a film.mp4");
    let mut pictures = FilmPictures::open(&path, SIZE, 30, Programs::default()).unwrap();
    assert_eq!(pictures.turn(), Duration::from_secs(2));
    let shutdown = Shutdown::new();
    for n in 0..150u64 {
        let at = MediaTime::from_nanos(n * 1_000_000_000 / 30);
        let frame = pictures.at(at, &shutdown).unwrap().unwrap();
        let expected = 40 + 3 * (n as i32 % 60);
        let luma = luma_in_the_middle(&frame);
        assert!((luma - expected).abs() <= 2, "picture {n}: {luma}, not {expected}");
        assert_eq!(frame.captured, at);
    }
}

#[test]
fn the_sound_of_a_film_stays_with_its_picture_over_many_turns() {
    let (_place, path) = two_seconds("film.mkv");
    let mut sound = FilmSound::open(&path, Programs::default()).unwrap();
    assert!(sound.has_sound());
    let shutdown = Shutdown::new();
    // AAC's priming makes it a little longer than its picture; that must not add up.
    let turn = (sound.turn().as_millis() / 20) as u64;
    assert!((101..=104).contains(&turn), "{turn} frames");
    // Begins in the middle of the third turn.
    for n in (2 * turn + 50)..(6 * turn + 50) {
        let at = MediaTime::from_millis(n * 20);
        let frame = sound.at(at, &shutdown).unwrap().unwrap();
        let (level, within) = (dbov(frame.samples.as_slice()), n % turn);
        assert_eq!(frame.captured, at);
        // Coding moves the edges by a frame or two.
        match within {
            5..=47 => assert!(level < 30, "frame {n}, {within} of the turn: -{level} dBov"),
            56..=97 => assert!(level > 50, "frame {n}, {within} of the turn: -{level} dBov"),
            _ => {}
        }
    }
}

#[test]
fn a_film_that_is_joined_late_or_left_alone_for_a_while_is_at_the_right_place() {
    let (_place, path) = two_seconds("film.mp4");
    let mut pictures = FilmPictures::open(&path, SIZE, 30, Programs::default()).unwrap();
    for ms in [1_300, 1_500, 7_900, 100_100] {
        let frame = pictures.at(MediaTime::from_millis(ms), &Shutdown::new()).unwrap().unwrap();
        let (luma, expected) = (luma_in_the_middle(&frame), 40 + 3 * (ms as i32 % 2_000 * 30 / 1_000));
        assert!((luma - expected).abs() <= 4, "at {ms} ms: {luma}, not {expected}");
    }
}

#[test]
fn a_film_of_another_shape_and_rate_gets_bars_and_as_many_pictures_as_the_camera_gives() {
    let (_place, path) = film("square.mp4", "-f lavfi -i color=white:s=120x120:r=12:d=1.5 -c:v libx264");
    let mut pictures = FilmPictures::open(&path, SIZE, 30, Programs::default()).unwrap();
    for n in 0..90u64 {
        let at = MediaTime::from_nanos(n * 1_000_000_000 / 30);
        let frame = pictures.at(at, &Shutdown::new()).unwrap().unwrap();
        assert!(luma_in_the_middle(&frame) > 230 && frame.planes().0[45 * 160 + 10] < 20, "picture {n}");
    }
    let mut silence = FilmSound::open(&path, Programs::default()).unwrap();
    let frame = silence.at(MediaTime::from_millis(40), &Shutdown::new()).unwrap().unwrap();
    assert!(!silence.has_sound() && frame.samples.iter().all(|sample| *sample == 0));
}

#[test]
fn a_still_picture_is_a_film_and_sound_alone_is_no_camera() {
    let (_place, path) = film("still.png", "-f lavfi -i color=white:s=160x90 -frames:v 1");
    let mut pictures = FilmPictures::open(&path, SIZE, 30, Programs::default()).unwrap();
    for ms in [700, 800, 1_100, 2_500] {
        let frame = pictures.at(MediaTime::from_millis(ms), &Shutdown::new()).unwrap().unwrap();
        assert!(luma_in_the_middle(&frame) > 230, "at {ms} ms");
    }
    let (_place, path) = film("raw.h264", "-f lavfi -i color=white:s=160x90:r=25 -t 2 -c:v libx264");
    let pictures = FilmPictures::open(&path, SIZE, 30, Programs::default()).unwrap();
    assert_eq!(pictures.turn(), Duration::from_secs(2));
    let (_place, path) = film("sound.wav", "-f lavfi -i sine=d=1");
    let error = FilmPictures::open(&path, SIZE, 30, Programs::default()).err().unwrap();
    assert!(matches!(error, CaptureError::NoPicture { .. }));
    assert!(FilmSound::open(&path, Programs::default()).unwrap().has_sound());
}

fn refusal(path: &Path, programs: Programs) -> String {
    FilmPictures::open(path, SIZE, 30, programs).err().unwrap().to_string()
}

#[test]
fn what_is_missing_or_no_film_is_said_with_its_path() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("no film.mp4");
    let said = refusal(&path, Programs::default());
    assert!(said.contains("no film.mp4: No such file"), "{said}");
    let said = refusal(place.path(), Programs::default());
    assert!(said.contains("not a regular file"), "{said}");
    std::fs::write(&path, "These are not the pictures that you are looking for.\n".repeat(99)).unwrap();
    let said = refusal(&path, Programs::default());
    assert!(said.contains("no film.mp4: ffprobe failed: Invalid data"), "{said}");
    let absent = Programs { ffmpeg: "ffmpeg-that-is-absent", ffprobe: "ffprobe-that-is-absent" };
    let said = refusal(&path, absent);
    assert!(said.contains("cannot run ffprobe") && said.contains("apt-get install ffmpeg"), "{said}");
}

#[test]
fn a_decoder_that_dies_is_an_error_with_its_last_line_and_a_stop_is_none() {
    let (_place, path) = two_seconds("film.mp4");
    let mut pictures =
        FilmPictures::open(&path, SIZE, 30, Programs { ffmpeg: "false", ..Programs::default() }).unwrap();
    let error = pictures.at(MediaTime::ZERO, &Shutdown::new()).err().unwrap().to_string();
    assert!(error.contains("ffmpeg failed: it said nothing (exit status: 1)"), "{error}");
    let shutdown = Shutdown::new();
    shutdown.cancel();
    let mut pictures = FilmPictures::open(&path, SIZE, 30, Programs::default()).unwrap();
    assert!(pictures.at(MediaTime::ZERO, &shutdown).unwrap().is_none());
}
