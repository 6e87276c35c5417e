//! Files for one user's eyes: mode 0600, whole or not at all, whenever the power fails.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, fchown};
use std::path::Path;

/// The user and the group that a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Writes `path` (mode 0600), synced, replacing it in one step; its folder is made (0700) when missing.
///
/// # Errors
/// The system's; then the old file stands.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    replace(path, content, None)
}

/// As [`write()`], for `owner` (root alone may give files away); the folder must be there.
///
/// # Errors
/// The system's; then the old file stands.
pub fn write_for(owner: Owner, path: &Path, content: &[u8]) -> io::Result<()> {
    replace(path, content, Some(owner))
}

/// Makes `folder` (0700) for `owner` where it is missing; its parent must be there.
///
/// # Errors
/// The system's.
pub fn make_folder(owner: Owner, folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => step()?,
    }
    // Also if it is there: the power may have failed between the two.
    fchown(File::open(folder)?, Some(owner.uid), Some(owner.gid))?;
    sync_folder_of(folder)
}

/// Opens `path` for reading if it is a file: whoever owns its folder cannot make root read through a link, or wait.
///
/// # Errors
/// The system's; [`io::ErrorKind::InvalidInput`] for a device, a pipe, a folder.
pub fn open(path: &Path) -> io::Result<File> {
    open_by(OpenOptions::new().read(true), path)
}

fn open_by(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file")),
    }
}

/// Overwrites what is in `path`, which must be a file and no link, then removes it. (A flash card may keep the old
/// bytes somewhere all the same.)
///
/// # Errors
/// The system's.
pub fn erase(path: &Path) -> io::Result<()> {
    let mut file = open_by(OpenOptions::new().write(true), path)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(0);
    file.write_all(&vec![0; length])?;
    file.sync_all()?;
    step()?;
    fs::remove_file(path)?;
    step()?;
    sync_folder_of(path)
}

fn replace(path: &Path, content: &[u8], owner: Option<Owner>) -> io::Result<()> {
    let fresh = path.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // create_new: the mode is that of a file that nobody else had open before.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    step()?;
    if let Some(owner) = owner {
        fchown(&file, Some(owner.uid), Some(owner.gid))?;
    }
    file.write_all(content)?;
    file.sync_all()?;
    step()?;
    fs::rename(&fresh, path)?;
    step()?;
    sync_folder_of(path)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()?;
    step()
}

/// Between two changes of the disk; in a test the power may fail here.
#[cfg(not(test))]
#[allow(clippy::unnecessary_wraps)]
fn step() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(crate) use power::step;

/// A power cut for tests: of everything in this module, on this thread.
#[cfg(test)]
pub(crate) mod power {
    use std::cell::Cell;
    use std::io;

    thread_local!(static STEPS_LEFT: Cell<Option<u32>> = const { Cell::new(None) });

    /// The power fails after `steps` more steps; None: never.
    pub(crate) fn fails_after(steps: Option<u32>) {
        STEPS_LEFT.set(steps);
    }

    /// Whether it has failed.
    pub(crate) fn is_off() -> bool {
        STEPS_LEFT.get() == Some(0)
    }

    pub(crate) fn step() -> io::Result<()> {
        match STEPS_LEFT.get() {
            None => return Ok(()),
            Some(left) => STEPS_LEFT.set(Some(left.saturating_sub(1))),
        }
        if is_off() { Err(io::Error::other("the power failed")) } else { Ok(()) }
    }
}
