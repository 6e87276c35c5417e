//! Whom we trust when we come by TLS: a room server, a webhook's receiver, an enrolment server …

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{ClientConfig, RootCertStore};

/// Why a certificate of our own choosing cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No PEM in it, or broken PEM.
    #[error("the CA certificate is no PEM: {0}")]
    Pem(rustls::pki_types::pem::Error),
    /// PEM, but nothing that can be a root.
    #[error("the CA certificate cannot be used: {0}")]
    Root(rustls::Error),
    /// The crypto provider cannot do what TLS needs.
    #[error("TLS cannot be set up: {0}")]
    Provider(rustls::Error),
}

/// Whose servers are trusted.
#[derive(Clone, Copy, Debug)]
pub enum Trust<'a> {
    /// Those of the public web's authorities.
    Public,
    /// And those of these: PEM, one or more certificates.
    PublicAnd(&'a [u8]),
    /// Those of these alone: PEM, one or more certificates.
    Only(&'a [u8]),
}

/// The world's public roots, and `extra_ca` (PEM, one or more certificates) for a box's own CA.
///
/// # Errors
/// [`TlsError`] when `extra_ca` is no certificate.
pub fn client_config(extra_ca: Option<&[u8]>) -> Result<Arc<ClientConfig>, TlsError> {
    config(extra_ca.map_or(Trust::Public, Trust::PublicAnd), Arc::new(DefaultTimeProvider))
}

/// Trusts whom `trust` says, by certificates that are good at the time of `clock`.
///
/// # Errors
/// [`TlsError`] when `trust` holds what is no certificate.
pub fn config(trust: Trust<'_>, clock: Arc<dyn TimeProvider>) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_details(provider, clock)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Provider)?
        .with_root_certificates(roots(trust)?)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn roots(trust: Trust<'_>) -> Result<RootCertStore, TlsError> {
    let mut roots = match trust {
        Trust::Public | Trust::PublicAnd(_) => webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(),
        Trust::Only(_) => RootCertStore::empty(),
    };
    if let Trust::PublicAnd(pem) | Trust::Only(pem) = trust {
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            roots.add(certificate.map_err(TlsError::Pem)?).map_err(TlsError::Root)?;
        }
        if roots.len() == before {
            return Err(TlsError::Pem(rustls::pki_types::pem::Error::NoItemsFound));
        }
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extra_ca_must_be_a_certificate() {
        assert!(client_config(None).is_ok());
        assert!(matches!(client_config(Some(b"")), Err(TlsError::Pem(_))));
        assert!(matches!(client_config(Some(b"hello")), Err(TlsError::Pem(_))));
        let ca = rcgen::generate_simple_self_signed(vec!["box.local".into()]).unwrap().cert.pem();
        assert!(client_config(Some(ca.as_bytes())).is_ok());
        let public = roots(Trust::Public).unwrap().len();
        assert!(public > 50);
        assert_eq!(roots(Trust::PublicAnd(ca.as_bytes())).unwrap().len(), public + 1);
        assert_eq!(roots(Trust::Only(ca.as_bytes())).unwrap().len(), 1);
    }
}
