//! Whom we trust when the room server is reached by TLS.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Why a certificate of our own choosing cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No PEM in it, or broken PEM.
    #[error("the extra CA certificate is no PEM: {0}")]
    Pem(rustls::pki_types::pem::Error),
    /// PEM, but nothing that can be a root.
    #[error("the extra CA certificate cannot be used: {0}")]
    Root(rustls::Error),
    /// The crypto provider cannot do what TLS needs.
    #[error("TLS cannot be set up: {0}")]
    Provider(rustls::Error),
}

/// The world's public roots, and `extra_ca` (PEM, one or more certificates) for a box's own CA.
///
/// # Errors
/// [`TlsError`] when `extra_ca` is no certificate.
pub fn client_config(extra_ca: Option<&[u8]>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(pem) = extra_ca {
        let mut found = false;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            roots.add(certificate.map_err(TlsError::Pem)?).map_err(TlsError::Root)?;
            found = true;
        }
        if !found {
            return Err(TlsError::Pem(rustls::pki_types::pem::Error::NoItemsFound));
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Provider)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extra_ca_must_be_a_certificate() {
        assert!(client_config(None).is_ok());
        assert!(matches!(client_config(Some(b"")), Err(TlsError::Pem(_))));
        assert!(matches!(client_config(Some(b"hello")), Err(TlsError::Pem(_))));
        let ca = rcgen::generate_simple_self_signed(vec!["box.local".into()]).unwrap();
        assert!(client_config(Some(ca.cert.pem().as_bytes())).is_ok());
    }
}
