//! The keys file: read, checked, and made at the first start.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::base::private_file;
use crate::room::token::{Keys, KeysError};

/// Largest keys file, in bytes.
const FILE_BYTES: u64 = 256 * 1024;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysFileError {
    /// It could not be read or made.
    #[error("keys file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than its owner may read or write it.
    #[error("keys file {path}: its mode is {mode:04o}, but it must be 0600 (chmod 600 {path})")]
    Mode {
        /// The file.
        path: PathBuf,
        /// Permission bits found.
        mode: u32,
    },
    /// Far too large to be one.
    #[error("keys file {path}: {bytes} bytes; at most {FILE_BYTES} are read")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// Its text makes no sense.
    #[error("keys file {path}: {source}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, without the secret.
        source: KeysError,
    },
}

/// Reads `keys_file` as configured; when none is, `keys.toml` in `state_dir`, which is made with one random key
/// where it is missing. Returns the keys and where they stand. Blocks.
///
/// # Errors
/// [`KeysFileError`]; a file that is missing is an error only when it was configured.
pub fn load(keys_file: Option<&Path>, state_dir: &Path) -> Result<(Keys, PathBuf), KeysFileError> {
    let path = keys_file.map_or_else(|| state_dir.join("keys.toml"), Path::to_owned);
    match read(&path) {
        Err(KeysFileError::Io { source, .. })
            if keys_file.is_none() && source.kind() == io::ErrorKind::NotFound =>
        {
            let keys = Keys::random();
            private_file::write(&path, keys.to_toml().as_bytes())
                .map_err(|source| KeysFileError::Io { path: path.clone(), source })?;
            tracing::info!(path = %path.display(), key = keys.first(), "made a random key and secret");
            Ok((keys, path))
        }
        read => read.map(|keys| (keys, path)),
    }
}

fn read(path: &Path) -> Result<Keys, KeysFileError> {
    use io::Read;
    let io = |source| KeysFileError::Io { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(io)?;
    // Of the file that is open, not of whatever has its name by now.
    let metadata = file.metadata().map_err(io)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o177 != 0 {
        return Err(KeysFileError::Mode { path: path.to_owned(), mode });
    }
    if metadata.len() > FILE_BYTES {
        return Err(KeysFileError::TooLarge { path: path.to_owned(), bytes: metadata.len() });
    }
    let mut text = String::new();
    file.take(FILE_BYTES).read_to_string(&mut text).map_err(io)?;
    Keys::parse(&text).map_err(|source| KeysFileError::Content { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    #[test]
    fn the_first_start_makes_a_private_file_and_the_second_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let (made, path) = load(None, dir.path()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(load(None, dir.path()).unwrap().0.first(), made.first());
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_and_a_configured_one_is_never_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.toml");
        let missing = load(Some(&path), dir.path()).unwrap_err();
        assert!(missing.to_string().contains("k.toml") && !path.exists(), "{missing}");
        fs::write(&path, Keys::random().to_toml()).unwrap();
        for mode in [0o644, 0o640, 0o604, 0o700, 0o620] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = load(Some(&path), dir.path()).unwrap_err().to_string();
            assert!(error.contains(&format!("{mode:04o}")) && error.contains("0600"), "{error}");
        }
        for mode in [0o600, 0o400] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert!(load(Some(&path), dir.path()).is_ok());
        }
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "[keys]\na = \"short\"").unwrap();
        assert!(load(Some(&path), dir.path()).unwrap_err().to_string().contains("at least 32"));
    }
}
