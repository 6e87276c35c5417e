//! The TLS side of the box: a certificate from its own authority (kept in `identity/` of the state directory,
//! offered at `/ca.crt`), or the files that the configuration names. Certificates are exchanged while running.

pub(crate) mod authority;
mod error;
mod names;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;

use crate::base::private_file;
use authority::Stored;
pub use error::TlsError;
pub use names::{current as current_names, wanted};

/// Where certificates come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// The box's own authority, in `identity/` of `state_dir`; `box_id` stands in the authority's name.
    Own {
        /// The daemon's state directory.
        state_dir: PathBuf,
        /// The box's id.
        box_id: String,
    },
    /// PEM files of somebody else, read again when they change.
    Files {
        /// The chain, the server's own certificate first.
        cert_file: PathBuf,
        /// Its key.
        key_file: PathBuf,
    },
}

/// The certificate in force. Shared by the listener and whoever calls [`Tls::refresh`].
#[derive(Debug)]
pub struct Tls {
    source: Source,
    current: Arc<Current>,
    /// PEM of the box's own authority.
    authority: RwLock<Option<String>>,
    /// Names, or the files' bytes, that `current` was made from; also keeps two refreshes apart.
    made_from: Mutex<Vec<u8>>,
}

#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// What a look at the source gave.
struct Loaded {
    key: CertifiedKey,
    made_from: Vec<u8>,
    authority: Option<String>,
}

impl Tls {
    /// Reads or makes the certificate for `now`. Blocks for files and key generation.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what is wrong.
    pub fn open(source: Source, now: OffsetDateTime) -> Result<Tls, TlsError> {
        let loaded = load(&source, &names::current(), now, &[])?
            .map_or_else(|| Err(TlsError::Make(rcgen::Error::CouldNotParseCertificate)), Ok)?;
        Ok(Tls {
            source,
            current: Arc::new(Current(RwLock::new(Arc::new(loaded.key)))),
            authority: RwLock::new(loaded.authority),
            made_from: Mutex::new(loaded.made_from),
        })
    }

    /// Looks at the machine's names and addresses, the certificate's end, and the configured files; puts a new
    /// certificate in force when something changed, and says whether it did. Open connections go on. Blocks.
    ///
    /// # Errors
    /// [`TlsError`]; then the old certificate stays in force.
    pub fn refresh(&self, now: OffsetDateTime) -> Result<bool, TlsError> {
        self.refresh_for(&names::current(), now)
    }

    fn refresh_for(&self, names: &[String], now: OffsetDateTime) -> Result<bool, TlsError> {
        let mut made_from = self.made_from.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(loaded) = load(&self.source, names, now, &made_from)? else { return Ok(false) };
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded.key);
        *self.authority.write().unwrap_or_else(PoisonError::into_inner) = loaded.authority;
        *made_from = loaded.made_from;
        Ok(true)
    }

    /// What to accept connections with: HTTP/1.1, TLS 1.2 and 1.3, always the certificate in force.
    ///
    /// # Errors
    /// [`TlsError::Rustls`].
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self.current.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// The box's own authority as PEM; none when certificates come from files.
    pub fn authority_pem(&self) -> Option<String> {
        self.authority.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// None: what was made from `before` is still right.
fn load(
    source: &Source,
    names: &[String],
    now: OffsetDateTime,
    before: &[u8],
) -> Result<Option<Loaded>, TlsError> {
    match source {
        Source::Own { state_dir, box_id } => own(&state_dir.join("identity"), box_id, names, now, before),
        Source::Files { cert_file, key_file } => given(cert_file, key_file, before),
    }
}

fn own(
    folder: &Path,
    box_id: &str,
    names: &[String],
    now: OffsetDateTime,
    before: &[u8],
) -> Result<Option<Loaded>, TlsError> {
    let (authority_path, server_path) = (folder.join("ca.json"), folder.join("server.json"));
    let authority = match stored(&authority_path)? {
        Some(authority) if !authority::authority_is_over(&authority, now) => authority,
        _ => {
            let made = authority::make_authority(box_id, now)?;
            keep(&authority_path, &made)?;
            tracing::info!(path = %authority_path.display(), "made the box's own certificate authority");
            made
        }
    };
    let server = match stored(&server_path)? {
        Some(server) if !authority::must_reissue(&server, &authority, names, now) => server,
        _ => {
            let made = authority::make_server(&authority, names, now)?;
            keep(&server_path, &made)?;
            tracing::info!(names = %names.join(" "), "made a new TLS certificate");
            made
        }
    };
    if server.certificate.as_bytes() == before {
        return Ok(None);
    }
    let key = certified(&server_path, server.certificate.as_bytes(), &server_path, server.key.as_bytes())?;
    let made_from = server.certificate.into_bytes();
    Ok(Some(Loaded { key, made_from, authority: Some(authority.certificate) }))
}

fn given(cert_file: &Path, key_file: &Path, before: &[u8]) -> Result<Option<Loaded>, TlsError> {
    let read = |path: &Path| fs::read(path).map_err(|source| TlsError::Io { path: path.to_owned(), source });
    let (certificate, key) = (read(cert_file)?, read(key_file)?);
    let both = [certificate.as_slice(), key.as_slice()].concat();
    if both == before {
        return Ok(None);
    }
    let key = certified(cert_file, &certificate, key_file, &key)?;
    Ok(Some(Loaded { key, made_from: both, authority: None }))
}

fn certified(
    cert_path: &Path,
    certificate: &[u8],
    key_path: &Path,
    key: &[u8],
) -> Result<CertifiedKey, TlsError> {
    let wrong = |path: &Path, reason: String| TlsError::File { path: path.to_owned(), reason };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(cert_path, format!("not a PEM certificate: {error}")))?;
    if chain.is_empty() {
        return Err(wrong(cert_path, "holds no PEM certificate (BEGIN CERTIFICATE)".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| wrong(key_path, "holds no PEM private key (BEGIN PRIVATE KEY)".to_owned()))?;
    Ok(CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?)
}

/// None when there is none, or it is not what was once written (then it is made anew).
fn stored(path: &Path) -> Result<Option<Stored>, TlsError> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)
            .inspect_err(
                |_| tracing::warn!(path = %path.display(), "not readable as a certificate; made anew"),
            )
            .ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TlsError::Io { path: path.to_owned(), source }),
    }
}

fn keep(path: &Path, made: &Stored) -> Result<(), TlsError> {
    let json = serde_json::to_vec_pretty(made).unwrap_or_default();
    private_file::write(path, &json).map_err(|source| TlsError::Io { path: path.to_owned(), source })
}
