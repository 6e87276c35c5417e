//! What `scripts/install.sh test` has fetched; the variables are set by `make test`.

use std::path::PathBuf;

/// The path in `variable`; a missing part fails the test that needs it.
fn part(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable).map(PathBuf::from);
    match path {
        Some(path) if path.exists() => path,
        Some(path) => {
            panic!("{variable} is {}, which is not there: run `scripts/install.sh test`", path.display())
        }
        None => panic!("{variable} is not set: run the tests by `make test`"),
    }
}

/// A film with H.264 at 1280x720 and AAC.
pub fn film() -> PathBuf {
    part("ROOMD_TEST_FILM")
}

/// The folder with `playwright-core` and `livekit-client`.
pub fn node_modules() -> PathBuf {
    part("ROOMD_TEST_NODE_MODULES")
}

/// A Python with LiveKit's SDKs.
pub fn python() -> PathBuf {
    part("ROOMD_TEST_PYTHON")
}
