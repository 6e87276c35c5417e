//! Who this box is: its id, made at random once and kept in the state directory.

use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::base::ids;

/// Why the box has no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The state directory or the file in it cannot be used.
    #[error("cannot {doing} {path}: {source} (box.state_dir)")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// The operating system's words.
        source: std::io::Error,
    },
    /// The file holds something else.
    #[error("{path} does not hold a box id (1 to 63 of A-Z a-z 0-9 . _ -): remove it, or set box.id")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// The id kept in `state_dir/box-id`, made now if there is none. The directory is created if it is missing.
///
/// # Errors
/// [`IdentityError`].
pub fn box_id(state_dir: &Path) -> Result<String, IdentityError> {
    let io = |doing, path: &Path| {
        let path = path.to_owned();
        move |source| IdentityError::Io { doing, path, source }
    };
    // For its owner only: it holds keys, and tokens that were ordered.
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(state_dir)
        .map_err(io("create", state_dir))?;
    let path = state_dir.join("box-id");
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let id = text.trim();
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            match (1..=63).contains(&id.len()) && id.chars().all(fits) {
                true => Ok(id.to_owned()),
                false => Err(IdentityError::Damaged { path }),
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let id = ids::random(8);
            let mut file = std::fs::File::create_new(&path).map_err(io("create", &path))?;
            file.write_all(id.as_bytes()).and_then(|()| file.sync_all()).map_err(io("write", &path))?;
            Ok(id)
        }
        Err(source) => Err(io("read", &path)(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("deep/state");
        let id = box_id(&state).unwrap();
        assert_eq!(box_id(&state).unwrap(), id);
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&state).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o700);
        std::fs::write(state.join("box-id"), "no id at all!").unwrap();
        assert!(matches!(box_id(&state), Err(IdentityError::Damaged { .. })));
    }
}
