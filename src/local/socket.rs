//! The socket file: made with the right mode from its first moment, replacing a dead one, never a living one.

use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

use super::Error;

/// A listening socket and its file, which is removed at the end.
#[derive(Debug)]
pub(super) struct ControlSocket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl ControlSocket {
    /// Listens at `path`. Its directory is made where it is missing (0755; who may order is the socket's mode).
    pub(super) fn bind(path: &Path) -> Result<Self, Error> {
        let failed = |doing| {
            let path = path.to_owned();
            move |source| Error::Io { doing, path, source }
        };
        make_directory(path)?;
        clear(path)?;
        // Bound under another name and renamed, so that nobody meets it before its mode is set.
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{}", std::process::id()));
        let temporary = PathBuf::from(temporary);
        let _ = std::fs::remove_file(&temporary);
        let listener = UnixListener::bind(&temporary).map_err(failed("create"))?;
        let inode = std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(0o660))
            .and_then(|()| std::fs::metadata(&temporary))
            .and_then(|meta| std::fs::rename(&temporary, path).map(|()| meta.ino()))
            .inspect_err(|_| {
                let _ = std::fs::remove_file(&temporary);
            })
            .map_err(failed("set up"))?;
        Ok(ControlSocket { listener, path: path.to_owned(), inode })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Not if another one took the place meanwhile.
        if std::fs::symlink_metadata(&self.path).is_ok_and(|meta| meta.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn make_directory(path: &Path) -> Result<(), Error> {
    let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
        return Ok(());
    };
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(directory).map_err(|source| Error::Io {
        doing: "create the directory of",
        path: path.to_owned(),
        source,
    })
}

/// Removes a socket that nobody listens at.
fn clear(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::Io { doing: "look at", path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(meta) if !meta.file_type().is_socket() => return Err(Error::NotASocket { path: path.to_owned() }),
        Ok(_) => {}
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(Error::InUse { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(failed)
        }
        // A full backlog or a lack of rights: somebody is there.
        Err(error) => Err(failed(error)),
    }
}
