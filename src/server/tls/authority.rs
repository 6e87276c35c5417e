//! The box's own certificate authority and the server certificate that it signs. Times come in.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData,
};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime, macros::datetime};

use super::TlsError;

/// How long the authority lasts: as long as a box.
const AUTHORITY_LIFETIME: Duration = Duration::days(3652);
/// How long a server certificate lasts; browsers refuse more than 398 days.
const SERVER_LIFETIME: Duration = Duration::days(390);
/// A server certificate is made anew this long before its end.
const RENEW_BEFORE: Duration = Duration::days(30);
/// Boxes without a battery start in 1970; certificates never begin before this.
const FLOOR: OffsetDateTime = datetime!(2026-01-01 0:00 UTC);
/// Clocks of visitors may be late by this much.
const BACKDATED: Duration = Duration::days(1);

/// A certificate with its key, as kept in the state directory (mode 0600).
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Stored {
    /// PEM.
    pub(crate) certificate: String,
    /// PEM, PKCS #8.
    pub(crate) key: String,
    /// Seconds since 1970.
    pub(crate) not_after: i64,
    /// The names in it, sorted; none for the authority.
    #[serde(default)]
    pub(crate) names: Vec<String>,
    /// The authority's certificate (PEM) that signed it; empty for the authority.
    #[serde(default)]
    pub(crate) authority: String,
}

impl std::fmt::Debug for Stored {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored").field("names", &self.names).field("not_after", &self.not_after).finish()
    }
}

/// The beginning of what is made at `now`.
fn begin(now: OffsetDateTime) -> OffsetDateTime {
    now.max(FLOOR) - BACKDATED
}

/// Whether the authority must be made anew.
pub(crate) fn authority_is_over(authority: &Stored, now: OffsetDateTime) -> bool {
    now.unix_timestamp() >= authority.not_after
}

/// Whether a server certificate must be made anew: another authority, other names, near its end.
pub(crate) fn must_reissue(
    server: &Stored,
    authority: &Stored,
    names: &[String],
    now: OffsetDateTime,
) -> bool {
    server.authority != authority.certificate
        || server.names != names
        || (ends_soon(server, now) && server.not_after < authority.not_after)
}

/// (One that ends with its authority cannot be renewed.)
fn ends_soon(server: &Stored, now: OffsetDateTime) -> bool {
    (now + RENEW_BEFORE).unix_timestamp() >= server.not_after
}

/// Makes an authority whose name holds `label` (the box's id), so that two boxes' can be told apart.
pub(crate) fn make_authority(label: &str, now: OffsetDateTime) -> Result<Stored, TlsError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(&format!("roomd {label}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = begin(now);
    params.not_after = params.not_before + AUTHORITY_LIFETIME;
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(Stored {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
        not_after: params.not_after.unix_timestamp(),
        names: Vec::new(),
        authority: String::new(),
    })
}

/// Makes a server certificate for `names`, signed by `authority`.
pub(crate) fn make_server(
    authority: &Stored,
    names: &[String],
    now: OffsetDateTime,
) -> Result<Stored, TlsError> {
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, KeyPair::from_pem(&authority.key)?)?;
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = named("roomd");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = begin(now);
    // Not past the authority's own end.
    let end = params.not_before + SERVER_LIFETIME;
    params.not_after =
        OffsetDateTime::from_unix_timestamp(authority.not_after).map_or(end, |over| over.min(end));
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(Stored {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
        not_after: params.not_after.unix_timestamp(),
        names: names.to_vec(),
        authority: authority.certificate.clone(),
    })
}

/// Makes a client certificate for `key` that lasts as long as `authority`; who the client is, is `common_name`.
pub(crate) fn make_client(
    authority: &Stored,
    common_name: &str,
    key: &impl PublicKeyData,
    now: OffsetDateTime,
) -> Result<String, TlsError> {
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, KeyPair::from_pem(&authority.key)?)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = named(common_name);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = begin(now);
    params.not_after = OffsetDateTime::from_unix_timestamp(authority.not_after)
        .unwrap_or(params.not_before + SERVER_LIFETIME);
    Ok(params.signed_by(key, &issuer)?.pem())
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "roomd");
    name.push(DnType::CommonName, common_name);
    name
}
