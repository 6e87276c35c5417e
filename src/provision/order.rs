//! `roomd-provision.json`: where it is looked for, and how it is read.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::Error;
use super::handover::HANDED_OVER;
use crate::base::private_file;
use crate::control::enrolment::EnrolmentOrder;

/// Where the file is looked for, in this order. The last one is the daemon's, for the job `reprovision`.
pub const PLACES: [&str; 4] = [
    "/boot/firmware/roomd-provision.json",
    "/boot/roomd-provision.json",
    "/etc/roomd/roomd-provision.json",
    HANDED_OVER,
];

/// Largest file, in bytes.
const FILE_BYTES: u64 = 64 * 1024;

/// The files to be tried one after the other until one is good: `given`, else those of [`PLACES`] that are there.
///
/// # Errors
/// [`Error::NoFile`] when there is none.
pub fn find(given: Option<&Path>) -> Result<Vec<PathBuf>, Error> {
    let places = given.map_or_else(|| PLACES.map(PathBuf::from).to_vec(), |path| vec![path.to_owned()]);
    // A link to nowhere is there too: it is to be told, and the daemon's to be removed.
    let found: Vec<PathBuf> = places.iter().filter(|path| path.symlink_metadata().is_ok()).cloned().collect();
    if found.is_empty() {
        let looked: Vec<String> = places.iter().map(|path| path.display().to_string()).collect();
        return Err(Error::NoFile { looked: looked.join(", ") });
    }
    Ok(found)
}

/// What lies in the file's place.
pub(super) enum Found {
    /// An order.
    Order(Box<EnrolmentOrder>),
    /// Nothing but zeros: it was being erased when the power failed.
    Erased,
}

/// Reads and checks the file.
pub(super) fn read(path: &Path) -> Result<Found, Error> {
    let bad = |reason: String| Error::File { path: path.to_owned(), reason };
    let mut bytes = Vec::new();
    private_file::open(path)
        .and_then(|file| file.take(FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| bad(format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(bad(format!("larger than {FILE_BYTES} bytes")));
    }
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(Found::Erased);
    }
    // Windows editors begin with a byte order mark.
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    EnrolmentOrder::parse(text).map(|order| Found::Order(Box::new(order))).map_err(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_begin_with_a_mark_and_one_of_zeros_was_erased_and_a_huge_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("roomd-provision.json");
        std::fs::write(&path, "\u{feff}{\"enroll_url\": \"https://h/\", \"token\": \"t\", \"fleet\": \"f\"}")
            .unwrap();
        assert!(matches!(read(&path), Ok(Found::Order(order)) if order.fleet == "f"));
        std::fs::write(&path, [0; 200]).unwrap();
        assert!(matches!(read(&path), Ok(Found::Erased)));
        std::fs::write(&path, vec![b' '; 70_000]).unwrap();
        assert!(read(&path).err().unwrap().to_string().contains("larger than 65536"));
        assert!(find(Some(&dir.path().join("none"))).unwrap_err().is_final());
    }
}
