use std::cell::{Cell, RefCell};
use std::io::Cursor;
use std::rc::Rc;

use super::*;
use crate::base::clock;
use crate::mp4::testing::{assert_plays, film, interleaved, pictures};
use crate::mp4::{Scan, scan};

/// A disk in memory that fails when told to.
#[derive(Clone)]
struct Fake(Rc<FakeState>);

struct FakeState {
    start: Instant,
    now: Cell<Duration>,
    /// Finished and unfinished files, in order.
    files: RefCell<Vec<Vec<u8>>>,
    writes: Cell<usize>,
    /// Total bytes that fit.
    capacity: Cell<u64>,
    /// The number of the write that fails, once, half done, with this.
    fails: Cell<Option<(usize, io::ErrorKind)>>,
    sync_error: Cell<bool>,
    closed: RefCell<Vec<FinishedFile>>,
}

impl Fake {
    fn new() -> Fake {
        Fake(Rc::new(FakeState {
            start: clock::now(),
            now: Cell::default(),
            files: RefCell::default(),
            writes: Cell::default(),
            capacity: Cell::new(u64::MAX),
            fails: Cell::default(),
            sync_error: Cell::default(),
            closed: RefCell::default(),
        }))
    }

    fn used(&self) -> u64 {
        self.0.files.borrow().iter().map(|file| file.len() as u64).sum()
    }

    /// Copies what fits, as a file system does.
    fn put(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let number = self.0.writes.replace(self.0.writes.get() + 1);
        let room = self.0.capacity.get().saturating_sub(self.used());
        let mut files = self.0.files.borrow_mut();
        let file = files.last_mut().unwrap();
        let grows = (at + bytes.len() as u64).saturating_sub(file.len() as u64);
        let (fits, result) = match self.0.fails.get() {
            Some((which, kind)) if which == number => (bytes.len() / 2, Err(kind.into())),
            _ if grows > room => {
                (bytes.len() - (grows - room) as usize, Err(io::ErrorKind::StorageFull.into()))
            }
            _ => (bytes.len(), Ok(())),
        };
        let end = at as usize + fits;
        if file.len() < end {
            file.resize(end, 0);
        }
        file[at as usize..end].copy_from_slice(&bytes[..fits]);
        result
    }
}

impl Storage for Fake {
    fn now(&self) -> Instant {
        self.0.start + self.0.now.get()
    }
    fn free_bytes(&mut self) -> io::Result<u64> {
        Ok(self.0.capacity.get().saturating_sub(self.used()))
    }
    fn create(&mut self, first: &[u8]) -> io::Result<PathBuf> {
        self.0.files.borrow_mut().push(Vec::new());
        self.put(0, first)?;
        Ok(PathBuf::from(format!("{}.mp4", self.0.files.borrow().len())))
    }
    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.put(at, bytes)
    }
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.files.borrow_mut().last_mut().unwrap().truncate(length as usize);
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn sync_error(&mut self) -> Option<io::Error> {
        self.0.sync_error.take().then(|| io::Error::other("the disk is gone"))
    }
    fn close(&mut self, file: &FinishedFile) {
        self.0.closed.borrow_mut().push(file.clone());
    }
}

fn session(fake: &Fake, min_free_bytes: u64) -> Session<Fake> {
    Session::new(fake.clone(), AudioConfig::aac_lc_48k_mono(), min_free_bytes)
}

/// Pushes everything, the clock following the PTS; gives what was answered.
fn run(fake: &Fake, session: &mut Session<Fake>, units: &[AccessUnit]) -> Vec<Next> {
    let start = units[0].pts;
    let push = |unit: &AccessUnit| {
        fake.0.now.set(unit.pts.since(start));
        session.push(unit)
    };
    units.iter().map(push).collect()
}

fn whole(bytes: &[u8]) -> Duration {
    match scan(&mut Cursor::new(bytes)).unwrap() {
        Scan::Finished { duration } => duration,
        Scan::Growing { whole_bytes, index } => {
            assert_eq!(whole_bytes, bytes.len() as u64, "rubbish behind the last whole part");
            index.duration()
        }
    }
}

fn assert_bytes_play(bytes: &[u8]) {
    let file = tempfile::Builder::new().suffix(".mp4").tempfile().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    assert_plays(file.path());
}

#[test]
fn a_recording_is_one_finished_file_and_each_part_is_one_write() {
    let fake = Fake::new();
    let mut session = session(&fake, 0);
    run(&fake, &mut session, &film(2));
    // 3 parts a GOP of 1 s, the last of them held back until the end.
    assert_eq!(fake.0.writes.get(), 5);
    let finished = session.finish();
    assert_eq!(finished.files.len(), 1);
    assert_eq!(finished.duration(), Duration::from_secs(2));
    assert_eq!(*fake.0.closed.borrow(), finished.files);
    let files = fake.0.files.borrow();
    assert_eq!(finished.bytes(), files[0].len() as u64);
    assert!(matches!(scan(&mut Cursor::new(&files[0])).unwrap(), Scan::Finished { .. }));
    assert_bytes_play(&files[0]);
}

#[test]
fn killed_after_any_access_unit_the_file_lacks_less_than_half_a_second() {
    let fake = Fake::new();
    let mut session = session(&fake, 0);
    let units = film(3);
    for unit in &units {
        session.push(unit);
        let sent = (unit.pts + unit.duration).since(units[0].pts);
        let files = fake.0.files.borrow();
        let kept = files.first().map_or(Duration::ZERO, |file| whole(file));
        assert!(sent.saturating_sub(kept) < Duration::from_millis(480), "at {sent:?} only {kept:?} are kept");
    }
}

#[test]
fn nothing_is_made_without_a_picture() {
    let fake = Fake::new();
    let mut session = session(&fake, 0);
    let sound: Vec<_> = film(1).into_iter().filter(|unit| unit.track == TrackId::Aac).collect();
    run(&fake, &mut session, &sound);
    assert_eq!(session.finish(), Finished::default());
    assert!(fake.0.files.borrow().is_empty());
}

#[test]
fn other_parameters_begin_another_file_with_the_same_keyframe() {
    let fake = Fake::new();
    let mut session = session(&fake, 0);
    let mut units = film(1);
    units.extend(pictures(60, 30, 160, 90).into_iter().skip(30));
    run(&fake, &mut session, &units);
    let finished = session.finish();
    assert_eq!(finished.files.len(), 2);
    assert_eq!(finished.files[1].duration, Duration::from_secs(1));
    fake.0.files.borrow().iter().for_each(|file| assert_bytes_play(file));
}

#[test]
fn below_the_limit_the_file_is_finished_and_the_recording_over() {
    let fake = Fake::new();
    fake.0.capacity.set(1_030_000);
    let mut session = session(&fake, 1_000_000);
    let answers = run(&fake, &mut session, &film(3));
    assert!(answers.contains(&Next::End));
    assert_eq!(session.status().0, RecordingStatus::DiskFull);
    assert!(session.status().1.unwrap().contains("MiB are free"));
    let finished = session.finish();
    assert_eq!(finished.files.len(), 1);
    let files = fake.0.files.borrow();
    assert_eq!(files.len(), 1);
    assert_eq!(whole(&files[0]), finished.duration());
    assert_bytes_play(&files[0]);
}

#[test]
fn a_disk_below_the_limit_is_not_touched() {
    let fake = Fake::new();
    fake.0.capacity.set(10);
    let mut session = session(&fake, 1000);
    run(&fake, &mut session, &film(1));
    assert_eq!(session.status().0, RecordingStatus::DiskFull);
    assert!(fake.0.files.borrow().is_empty());
}

#[test]
fn a_disk_that_fills_anywhere_leaves_a_file_that_plays() {
    let units = film(2);
    for capacity in (1000..80_000).step_by(7_919) {
        let fake = Fake::new();
        fake.0.capacity.set(capacity);
        let mut session = session(&fake, 0);
        let answers = run(&fake, &mut session, &units);
        let finished = session.finish();
        let files = fake.0.files.borrow();
        if let Some(file) = files.first().filter(|_| !finished.files.is_empty()) {
            assert_eq!(whole(file), finished.duration(), "{capacity} bytes");
            assert_bytes_play(file);
        }
        let full = answers.contains(&Next::End);
        assert!(full || finished.duration() >= Duration::from_millis(1500), "{capacity}: {finished:?}");
    }
}

#[test]
fn after_an_error_it_goes_on_in_a_new_file_of_its_own_accord() {
    for (broken_write, by_sync) in [(2, false), (0, false), (usize::MAX, true)] {
        let fake = Fake::new();
        fake.0.fails.set(Some((broken_write, io::ErrorKind::TimedOut)));
        fake.0.sync_error.set(by_sync);
        let mut session = session(&fake, 0);
        let units = film(4);
        let answers = run(&fake, &mut session, &units);
        assert_eq!(answers.iter().filter(|&&next| next == Next::AskKeyframe).count(), 1);
        assert_eq!(session.status(), (RecordingStatus::Recording, None));
        let finished = session.finish();
        // When the first write failed there is nothing to keep of the first file.
        assert_eq!(finished.files.len(), if broken_write == 0 { 1 } else { 2 });
        assert!(finished.duration() >= Duration::from_millis(2200), "{:?}", finished.duration());
        for (file, bytes) in finished.files.iter().rev().zip(fake.0.files.borrow().iter().rev()) {
            assert_eq!(whole(bytes), file.duration);
            assert_bytes_play(bytes);
        }
    }
}

#[test]
fn while_it_is_tried_again_it_says_so() {
    let fake = Fake::new();
    fake.0.fails.set(Some((1, io::ErrorKind::TimedOut)));
    let mut session = session(&fake, 0);
    let units = interleaved(film(1), vec![]);
    run(&fake, &mut session, &units[..70]);
    let (status, reason) = session.status();
    assert_eq!(status, RecordingStatus::Retrying);
    assert!(reason.is_some());
    assert!(session.file().is_none());
}
