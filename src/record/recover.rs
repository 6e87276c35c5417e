//! After a crash: finds the files that nobody finished, cuts what is torn, gives them their index.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::disk::sync_folder;
use super::{Config, RecordError, names};
use crate::base::clock;
use crate::control::rfc3339;
use crate::mp4::{Index, Scan, scan};
use crate::store::{FileStatus, RecordingRow, Store};

/// A file that [`recover`] looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Its row in the catalogue, as it is now: `recovered`, `finished` (it only lacked its row) or `damaged`.
    pub row: RecordingRow,
    /// Bytes that were cut off its end: what the crash tore.
    pub cut_bytes: u64,
    /// Why it is damaged.
    pub reason: Option<String>,
}

/// Looks at every file that the catalogue holds for being written and every `.mp4` that it does not know. Blocks;
/// call it once, before the first recording. No file with a whole part in it is ever deleted.
///
/// # Errors
/// [`RecordError::Folder`], [`RecordError::Store`]. What is wrong with a single file is in its [`Recovered`].
pub fn recover(config: &Config, store: &Store) -> Result<Vec<Recovered>, RecordError> {
    let known: HashMap<String, RecordingRow> =
        store.recordings()?.into_iter().map(|row| (row.file.clone(), row)).collect();
    let mut recovered = Vec::new();
    for file in
        files(&config.dir).map_err(|source| RecordError::Folder { path: config.dir.clone(), source })?
    {
        let row = known.get(&file);
        if row.is_some_and(|row| row.status != FileStatus::Recording) {
            continue;
        }
        let one = recover_file(&config.dir, row.cloned().unwrap_or_else(|| row_of_name(&file)));
        store.put_recording(&one.row)?;
        recovered.push(one);
    }
    for row in known.into_values().filter(|row| row.status == FileStatus::Recording) {
        if !config.dir.join(&row.file).exists() {
            let row = RecordingRow { status: FileStatus::Damaged, ..row };
            store.put_recording(&row)?;
            recovered.push(Recovered { row, cut_bytes: 0, reason: Some("the file is gone".to_owned()) });
        }
    }
    for one in &recovered {
        let (status, reason) = (one.row.status.as_str(), one.reason.as_deref());
        tracing::info!(file = one.row.file, status, cut_bytes = one.cut_bytes, reason, "recording recovered");
    }
    Ok(recovered)
}

/// The `.mp4` files one folder deep, relative to `dir`. What never got its name gets it now, or goes when there
/// is no whole part in it.
fn files(dir: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for folder in entries(dir)? {
        if !folder.is_dir() {
            continue;
        }
        for path in entries(&folder)? {
            let Some(path) = named(path) else { continue };
            let relative = path.strip_prefix(dir).ok().and_then(Path::to_str);
            if let (Some(relative), Some("mp4")) = (relative, path.extension().and_then(|ext| ext.to_str())) {
                found.push(relative.to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The paths in a folder; none when it does not exist.
fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// `x.mp4.new` becomes `x.mp4` if there is a whole part in it; any other path stays as it is.
fn named(path: PathBuf) -> Option<PathBuf> {
    let Some(stem) = path.to_str().and_then(|name| name.strip_suffix(".mp4.new")) else { return Some(path) };
    let target = PathBuf::from(format!("{stem}.mp4"));
    let whole = File::open(&path).is_ok_and(|mut file| scan(&mut file).is_ok());
    if whole && !target.exists() {
        std::fs::rename(&path, &target).ok()?;
        return Some(target);
    }
    if !whole {
        // The first 400 ms of a recording, and not even those.
        let _ = std::fs::remove_file(&path);
    }
    None
}

fn row_of_name(file: &str) -> RecordingRow {
    let (folder, name) = file.split_once('/').unwrap_or((names::BOX, file));
    let stem = name.strip_suffix(".mp4").unwrap_or(name);
    let (started_at, id) =
        names::parse_stem(stem).unwrap_or_else(|| (rfc3339(clock::wall()), stem.chars().take(64).collect()));
    RecordingRow {
        id,
        file: file.to_owned(),
        room: folder.to_owned(),
        started_at,
        status: FileStatus::Recording,
        duration: Duration::ZERO,
        bytes: 0,
    }
}

fn recover_file(dir: &Path, mut row: RecordingRow) -> Recovered {
    let path = dir.join(&row.file);
    match repair(&path) {
        Ok(Repaired { status, duration, bytes, cut_bytes }) => {
            row = RecordingRow { status, duration, bytes, ..row };
            Recovered { row, cut_bytes, reason: None }
        }
        Err(reason) => {
            row.status = FileStatus::Damaged;
            row.bytes = std::fs::metadata(&path).map_or(0, |found| found.len());
            Recovered { row, cut_bytes: 0, reason: Some(reason.to_string()) }
        }
    }
}

struct Repaired {
    status: FileStatus,
    duration: Duration,
    bytes: u64,
    cut_bytes: u64,
}

/// Why a file stays as it is.
#[derive(Debug, thiserror::Error)]
enum RepairError {
    #[error(transparent)]
    Scan(#[from] crate::mp4::ScanError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn repair(path: &Path) -> Result<Repaired, RepairError> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let (whole_bytes, index) = match scan(&mut file)? {
        Scan::Finished { duration } => {
            return Ok(Repaired { status: FileStatus::Finished, duration, bytes: length, cut_bytes: 0 });
        }
        Scan::Growing { whole_bytes, index } => (whole_bytes, index),
    };
    file.set_len(whole_bytes)?;
    let bytes = match append_index(&file, &index, whole_bytes) {
        Ok(bytes) => bytes,
        Err(error) => {
            // No room for the index: the file plays without it.
            tracing::warn!(%error, path = %path.display(), "recording stays without index");
            file.set_len(whole_bytes)?;
            file.sync_data()?;
            whole_bytes
        }
    };
    if let Some(folder) = path.parent() {
        sync_folder(folder)?;
    }
    let cut_bytes = length - whole_bytes;
    Ok(Repaired { status: FileStatus::Recovered, duration: index.duration(), bytes, cut_bytes })
}

fn append_index(file: &File, index: &Index, whole_bytes: u64) -> io::Result<u64> {
    let finish = index.finish(whole_bytes).map_err(io::Error::other)?;
    file.write_all_at(&finish.moov, whole_bytes)?;
    // Only when all that it refers to is on the disk may the front say so.
    file.sync_data()?;
    file.write_all_at(&finish.front, finish.front_at)?;
    file.sync_data()?;
    Ok(whole_bytes + finish.moov.len() as u64)
}
