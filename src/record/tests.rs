use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::*;
use crate::media::{AccessUnit, Stream};
use crate::mp4::testing::{assert_plays, film, pictures, probe};
use crate::mp4::{FragmentMuxer, Index};
use crate::store::{FileStatus, RecordingRow, Store};

struct Place {
    dir: tempfile::TempDir,
    store: Store,
    config: Config,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("roomd.db")).unwrap();
    let config = Config { dir: dir.path().join("recordings"), min_free_bytes: 0 };
    Place { dir, store, config }
}

fn request(id: &str) -> Request {
    Request { id: id.to_owned(), room: None, audio: AudioConfig::aac_lc_48k_mono() }
}

/// Publishes as fast as the recorder collects: half a reader's capacity at a time.
async fn publish(stream: &Stream, units: &[AccessUnit]) {
    let mut turn = tokio::time::interval(handle::TAKE_EVERY);
    for chunk in units.chunks(crate::media::READER_CAPACITY / 2) {
        turn.tick().await;
        chunk.iter().for_each(|unit| stream.publish(unit));
    }
}

async fn until(handle: &RecordingHandle, what: impl FnMut(&Progress) -> bool) -> Progress {
    let mut progress = handle.progress();
    let found = tokio::time::timeout(Duration::from_secs(20), progress.wait_for(what)).await;
    found.expect("in time").expect("a progress").clone()
}

#[tokio::test]
async fn a_recording_becomes_a_file_with_its_row() {
    let Place { dir: _dir, store, config } = place();
    let stream = Stream::new();
    let handle = start(config.clone(), store.clone(), &stream, request("meeting-1")).unwrap();
    assert_eq!(stream.demand(), crate::media::Wants::RECORDING);
    publish(&stream, &film(3)).await;
    let progress = until(&handle, |progress| progress.file.is_some()).await;
    let file = progress.file.unwrap();
    assert!(progress.started_at.is_some());
    assert_eq!(store.recordings().unwrap()[0].status, FileStatus::Recording);
    let finished = handle.stop().await;
    assert_eq!(stream.demand(), crate::media::Wants::NOTHING);
    assert_eq!(
        finished.files,
        [FinishedFile { file: file.clone(), duration: Duration::from_secs(3), bytes: finished.bytes() }]
    );
    assert_eq!(std::fs::metadata(&file).unwrap().len(), finished.bytes());
    assert_plays(&file);
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(file.starts_with(config.dir.join("box")) && name.ends_with("Z-meeting-1.mp4"), "{name}");
    let row = &store.recordings().unwrap()[0];
    assert_eq!((row.status, row.id.as_str(), row.room.as_str()), (FileStatus::Finished, "meeting-1", "box"));
    assert_eq!((row.duration, row.bytes), (Duration::from_secs(3), finished.bytes()));
    assert!(recover(&config, &store).unwrap().is_empty());
}

#[tokio::test]
async fn dropping_the_handle_finishes_the_file() {
    let Place { dir: _dir, store, config } = place();
    let stream = Stream::new();
    let handle = start(config, store.clone(), &stream, request("dropped")).unwrap();
    let mut progress = handle.progress();
    publish(&stream, &film(1)).await;
    drop(handle);
    // The sender of the progress goes when all is done.
    let ended = async { while progress.changed().await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap();
    assert_eq!(store.recordings().unwrap()[0].status, FileStatus::Finished);
}

#[tokio::test]
async fn two_recordings_of_one_id_in_one_second_are_two_files() {
    let Place { dir: _dir, store, config } = place();
    for _ in 0..3 {
        let stream = Stream::new();
        let handle = start(config.clone(), store.clone(), &stream, request("same")).unwrap();
        publish(&stream, &pictures(30, 30, 320, 180)).await;
        assert_eq!(handle.stop().await.files.len(), 1);
    }
    assert_eq!(store.recordings().unwrap().len(), 3);
}

/// A file as a crash leaves it: `cut` bytes short of its last part, and its row.
fn crashed(place: &Place, name: &str, cut: usize, listed: bool) -> (Vec<u8>, Index) {
    let units = film(2);
    let mut muxer = FragmentMuxer::new(&units[0], AudioConfig::aac_lc_48k_mono()).unwrap();
    let mut bytes = muxer.init_segment().unwrap();
    let mut index = muxer.index();
    for unit in &units {
        if let Some(part) = muxer.push(unit).unwrap() {
            index.add(bytes.len() as u64, &part.table);
            bytes.extend_from_slice(&part.bytes);
        }
    }
    bytes.truncate(bytes.len() - cut);
    let folder = place.config.dir.join("box");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(name), &bytes).unwrap();
    if listed {
        place.store.put_recording(&row(name)).unwrap();
    }
    (bytes, index)
}

fn row(name: &str) -> RecordingRow {
    RecordingRow {
        id: "listed".into(),
        file: format!("box/{name}"),
        room: "box".into(),
        started_at: "2026-11-20T09:29:59.123Z".into(),
        status: FileStatus::Recording,
        duration: Duration::ZERO,
        bytes: 0,
    }
}

#[test]
fn after_a_crash_listed_and_unlisted_files_are_repaired() {
    let place = place();
    crashed(&place, "20261120T092959Z-listed.mp4", 17, true);
    crashed(&place, "20261120T093100Z-unlisted.mp4", 0, false);
    crashed(&place, "20261120T093200Z-nameless.mp4.new", 1, false);
    let recovered = recover(&place.config, &place.store).unwrap();
    let ids: Vec<_> = recovered.iter().map(|one| (one.row.id.as_str(), one.row.status)).collect();
    let status = FileStatus::Recovered;
    assert_eq!(ids, [("listed", status), ("unlisted", status), ("nameless", status)]);
    assert!(recovered[0].cut_bytes > 0 && recovered[1].cut_bytes == 0);
    assert_eq!(recovered[0].row.started_at, "2026-11-20T09:29:59.123Z");
    assert_eq!(recovered[1].row.started_at, "2026-11-20T09:31:00Z");
    for one in &recovered {
        let file = place.config.dir.join(&one.row.file);
        assert_plays(&file);
        assert_eq!(std::fs::metadata(&file).unwrap().len(), one.row.bytes);
        let said = probe(&file, "-show_entries format=duration");
        let seconds: f64 = said.split("duration=").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
        assert!((seconds - one.row.duration.as_secs_f64()).abs() < 0.001, "{said} {:?}", one.row);
    }
    assert!(recover(&place.config, &place.store).unwrap().is_empty(), "once is enough");
}

#[test]
fn what_cannot_be_repaired_is_marked_and_left_alone() {
    let place = place();
    let folder = place.config.dir.join("box");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("holiday.mp4"), b"somebody else's film").unwrap();
    std::fs::write(folder.join("notes.txt"), b"no film").unwrap();
    std::fs::write(folder.join("20261120T092959Z-x.mp4.new"), b"torn before its first part").unwrap();
    place.store.put_recording(&row("gone.mp4")).unwrap();
    let recovered = recover(&place.config, &place.store).unwrap();
    let found: Vec<_> = recovered.iter().map(|one| (one.row.file.as_str(), one.row.status)).collect();
    assert_eq!(found, [("box/holiday.mp4", FileStatus::Damaged), ("box/gone.mp4", FileStatus::Damaged)]);
    assert!(recovered.iter().all(|one| one.reason.is_some()));
    assert_eq!(std::fs::read(folder.join("holiday.mp4")).unwrap(), b"somebody else's film");
    assert!(folder.join("notes.txt").exists() && !folder.join("20261120T092959Z-x.mp4.new").exists());
    assert!(recover(&place.config, &place.store).unwrap().is_empty());
}

#[test]
fn a_finished_file_that_lacks_only_its_row_gets_it() {
    let place = place();
    let (mut bytes, index) = crashed(&place, "20261120T092959Z-listed.mp4", 0, true);
    let finish = index.finish(bytes.len() as u64).unwrap();
    bytes.extend_from_slice(&finish.moov);
    bytes[finish.front_at as usize..][..16].copy_from_slice(&finish.front);
    std::fs::write(place.config.dir.join("box/20261120T092959Z-listed.mp4"), &bytes).unwrap();
    let recovered = recover(&place.config, &place.store).unwrap();
    assert_eq!(recovered[0].row.status, FileStatus::Finished);
    assert_eq!((recovered[0].row.duration, recovered[0].row.bytes), (index.duration(), bytes.len() as u64));
}

/// A tiny file system; None where this user may not mount one.
struct Tmpfs<'a>(&'a Path);

impl<'a> Tmpfs<'a> {
    fn mount(at: &'a Path, size: &str) -> Option<Tmpfs<'a>> {
        let options = format!("size={size}");
        let out =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).output().ok()?;
        out.status.success().then_some(Tmpfs(at))
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[tokio::test]
async fn a_file_system_that_fills_ends_the_recording_with_a_whole_file() {
    let Place { dir, store, config } = place();
    std::fs::create_dir_all(&config.dir).unwrap();
    let Some(_mounted) = Tmpfs::mount(&config.dir, "64k") else {
        // Only root may mount; the session's tests fill a disk in memory.
        return;
    };
    let stream = Stream::new();
    let handle = start(config.clone(), store.clone(), &stream, request("full")).unwrap();
    publish(&stream, &film(5)).await;
    let progress =
        until(&handle, |progress| progress.status == crate::control::RecordingStatus::DiskFull).await;
    assert!(progress.reason.is_some());
    let finished = handle.stop().await;
    assert_eq!(finished.files.len(), 1);
    assert!(finished.duration() > Duration::from_millis(300), "{finished:?}");
    assert_plays(&finished.files[0].file);
    assert_eq!(store.recordings().unwrap()[0].status, FileStatus::Finished);
    drop(dir);
}
