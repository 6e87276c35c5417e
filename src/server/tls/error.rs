//! What can go wrong with certificates.

use std::io;
use std::path::PathBuf;

/// Why there is no (new) certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A given certificate or key file holds something else.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What was expected.
        reason: String,
    },
    /// The key does not belong to the certificate, or the library refuses it.
    #[error("certificate and key: {0}")]
    Rustls(#[from] rustls::Error),
    /// A certificate could not be made.
    #[error("making a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The process is ending.
    #[error("the box is stopping")]
    Stopping,
}
