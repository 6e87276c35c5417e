//! TLS for the broker: 1.2 and newer, by aws-lc-rs, with our own or the public web's authorities.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::config::read;
use super::{Access, Error};
use crate::base::not_before::NotBefore;

/// What a TLS connection needs, from the files as they are now.
pub(super) fn client_config(access: &Access) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    // A box without a battery: its certificate is dated by the server that gave it.
    let time =
        NotBefore::of([&access.cert_file, &access.ca_file].into_iter().flatten().map(PathBuf::as_path));
    let builder = ClientConfig::builder_with_details(provider, Arc::new(time))
        .with_safe_default_protocol_versions()
        .map_err(|error| bad("url", &error))?
        .with_root_certificates(roots(access)?);
    let config = match (&access.cert_file, &access.key_file) {
        (None, None) => builder.with_no_client_auth(),
        (Some(cert), Some(key)) => {
            let chain = certificates("cert_file", &read("cert_file", cert)?)?;
            // The parser's error may quote the file: say only that it is none.
            let key = PrivateKeyDer::from_pem_slice(&read("key_file", key)?)
                .map_err(|_| bad("key_file", &"holds no private key in PEM"))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| bad("cert_file", &error))?
        }
        (Some(_), None) => return Err(bad("key_file", &"is needed with cert_file")),
        (None, Some(_)) => return Err(bad("cert_file", &"is needed with key_file")),
    };
    Ok(Arc::new(config))
}

fn roots(access: &Access) -> Result<RootCertStore, Error> {
    let Some(path) = &access.ca_file else {
        return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates("ca_file", &read("ca_file", path)?)? {
        roots.add(certificate).map_err(|error| bad("ca_file", &error))?;
    }
    Ok(roots)
}

fn certificates(key: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| bad(key, &error))?;
    if chain.is_empty() {
        return Err(bad(key, &"holds no certificate in PEM"));
    }
    Ok(chain)
}

fn bad(key: &'static str, reason: &impl ToString) -> Error {
    Error::Tls { key, reason: reason.to_string() }
}
