//! [`Storage`] on real files, and their rows in the catalogue.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::session::Storage;
use super::sync::Shared;
use super::{Config, FinishedFile, Request, names};
use crate::base::clock;
use crate::control::rfc3339;
use crate::store::{FileStatus, RecordingRow, Store};

/// Files of one id that may begin in one second.
const MAX_SAME_SECOND: u32 = 1000;

pub(super) struct Disk {
    config: Config,
    store: Store,
    id: String,
    room: Option<String>,
    shared: Arc<Shared>,
    open: Option<Open>,
}

struct Open {
    file: Arc<File>,
    row: RecordingRow,
    started: SystemTime,
}

impl Disk {
    pub(super) fn new(config: Config, store: Store, request: &Request, shared: Arc<Shared>) -> Disk {
        Disk { config, store, id: request.id.clone(), room: request.room.clone(), shared, open: None }
    }

    /// When the file that is written now was begun.
    pub(super) fn started(&self) -> Option<SystemTime> {
        self.open.as_ref().map(|open| open.started)
    }

    fn file(&self) -> io::Result<&Arc<File>> {
        self.open.as_ref().map(|open| &open.file).ok_or_else(|| io::Error::other("no file is open"))
    }

    /// Makes `<stem>.mp4.new`, where neither it nor `<stem>.mp4` exists.
    fn open_new(&self, folder: &Path, started: SystemTime) -> io::Result<(File, String)> {
        for attempt in 1..MAX_SAME_SECOND {
            let stem = names::stem(started, &self.id, attempt);
            if folder.join(format!("{stem}.mp4")).exists() {
                continue;
            }
            let path = folder.join(format!("{stem}.{}", names::NEW));
            match OpenOptions::new().write(true).create_new(true).open(path) {
                Ok(file) => return Ok((file, stem)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists))
    }

    fn put_row(&self, row: &RecordingRow) {
        // A full or broken catalogue must not stop a recording: the next start finds the file by itself.
        if let Err(error) = self.store.put_recording(row) {
            tracing::warn!(%error, file = row.file, "recording is not in the catalogue");
        }
    }
}

/// Puts what a folder lists on the disk: a new or renamed file in it.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

impl Storage for Disk {
    fn now(&self) -> Instant {
        clock::now()
    }

    fn free_bytes(&mut self) -> io::Result<u64> {
        crate::sys::free_bytes(&self.config.dir)
    }

    fn create(&mut self, first: &[u8]) -> io::Result<PathBuf> {
        self.open = None;
        let name = names::folder(self.room.as_deref());
        let folder = self.config.dir.join(&name);
        std::fs::create_dir_all(&folder)?;
        let started = clock::wall();
        let (file, stem) = self.open_new(&folder, started)?;
        let (new, path) = (folder.join(format!("{stem}.{}", names::NEW)), folder.join(format!("{stem}.mp4")));
        self.shared.write_begins();
        let written = file.write_all_at(first, 0).and_then(|()| file.sync_data());
        if let Err(error) = written.and_then(|()| std::fs::rename(&new, &path)) {
            // Nothing worth keeping is in it.
            let _ = std::fs::remove_file(&new);
            self.shared.settle();
            return Err(error);
        }
        sync_folder(&folder)?;
        sync_folder(&self.config.dir)?;
        let file = Arc::new(file);
        self.shared.wrote(&file, first.len() as u64);
        let row = RecordingRow {
            id: self.id.clone(),
            file: format!("{name}/{stem}.mp4"),
            room: self.room.clone().unwrap_or_else(|| names::BOX.to_owned()),
            started_at: rfc3339(started),
            status: FileStatus::Recording,
            duration: Duration::ZERO,
            bytes: 0,
        };
        self.put_row(&row);
        self.open = Some(Open { file, row, started });
        Ok(path)
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.file()?.clone();
        self.shared.write_begins();
        let written = file.write_all_at(bytes, at);
        self.shared.wrote(&file, if written.is_ok() { bytes.len() as u64 } else { 0 });
        written
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file()?.set_len(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        let synced = self.file()?.sync_data();
        self.shared.settle();
        synced
    }

    fn sync_error(&mut self) -> Option<io::Error> {
        self.shared.take_error()
    }

    fn close(&mut self, file: &FinishedFile) {
        if let Some(Open { mut row, .. }) = self.open.take() {
            row.status = FileStatus::Finished;
            row.duration = file.duration;
            row.bytes = file.bytes;
            self.put_row(&row);
        }
    }
}
