//! The time by which certificates are judged, on boxes whose clock starts in 1970.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use super::clock;

/// Nothing that runs this code does so before its release: 2026-01-01.
const RELEASE: Duration = Duration::from_secs(1_767_225_600);

/// The wall clock, but never earlier than a floor that has certainly passed: this program's own making, and the last
/// change of files that the operator or a server's answer has written. A box without a battery would take every
/// certificate for one from the future. The system's clock is not touched.
#[derive(Clone, Copy, Debug)]
pub struct NotBefore(SystemTime);

impl NotBefore {
    /// The floor by this program and `files`; what cannot be read does not count.
    pub fn of<'a>(files: impl IntoIterator<Item = &'a Path>) -> NotBefore {
        let changed = |path: &Path| std::fs::metadata(path).and_then(|about| about.modified()).ok();
        let program = changed(Path::new("/proc/self/exe"));
        let released = SystemTime::UNIX_EPOCH + RELEASE;
        NotBefore(files.into_iter().filter_map(changed).chain(program).fold(released, SystemTime::max))
    }

    /// The time to judge by.
    pub fn now(&self) -> SystemTime {
        clock::wall().max(self.0)
    }

    /// Whether the wall clock is earlier than the floor.
    pub fn clock_is_wrong(&self) -> bool {
        clock::wall() < self.0
    }
}

impl TimeProvider for NotBefore {
    fn current_time(&self) -> Option<UnixTime> {
        self.now().duration_since(SystemTime::UNIX_EPOCH).ok().map(UnixTime::since_unix_epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_the_newest_of_the_files_and_the_clock_wins_when_it_is_later() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        let at = |year: u64| SystemTime::UNIX_EPOCH + Duration::from_secs((year - 1970) * 31_557_600);
        for (path, when) in [(&old, at(1980)), (&new, at(2200))] {
            std::fs::File::create(path).unwrap().set_modified(when).unwrap();
        }
        let without = NotBefore::of([old.as_path(), Path::new("/nonexistent")]);
        assert!(!without.clock_is_wrong() && without.now() < at(2200));
        let with = NotBefore::of([old.as_path(), new.as_path()]);
        assert!(with.clock_is_wrong() && with.now() == at(2200));
        assert_eq!(with.current_time().unwrap().as_secs(), (2200 - 1970) * 31_557_600);
    }
}
