//! `join_request` of `/rtc/v1`: everything that a client says when it joins, in one parameter of the URL.

use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use prost::Message;

use super::frame::MAX_REQUEST_BYTES;
use super::gzip::{GzipError, decompress};
use super::proto::wrapped_join_request::Compression;
use super::proto::{JoinRequest, WrappedJoinRequest};

/// Why a `join_request` is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinRequestError {
    /// Not base64url.
    #[error("join_request is not base64url")]
    Base64,
    /// Not a `WrappedJoinRequest`, or what is in it no `JoinRequest`.
    #[error("join_request holds no {0}")]
    Undecodable(&'static str),
    /// Compressed in a way that is not known.
    #[error("join_request: compression {0} is not known; none (0) and gzip (1) are")]
    Compression(i32),
    /// What the compression holds.
    #[error("join_request: {0}")]
    Gzip(#[from] GzipError),
}

/// Reads the parameter: base64url (with or without padding) of a `WrappedJoinRequest`, compressed or not.
///
/// # Errors
/// [`JoinRequestError`]; also when it has more than [`MAX_REQUEST_BYTES`] when decompressed.
pub fn decode(text: &str) -> Result<JoinRequest, JoinRequestError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).or_else(|_| URL_SAFE.decode(text));
    let bytes = bytes.map_err(|_| JoinRequestError::Base64)?;
    let undecodable = |what| move |_| JoinRequestError::Undecodable(what);
    let wrapped = WrappedJoinRequest::decode(bytes.as_slice()).map_err(undecodable("WrappedJoinRequest"))?;
    let request = match Compression::try_from(wrapped.compression) {
        Ok(Compression::None) => wrapped.join_request,
        Ok(Compression::Gzip) => decompress(&wrapped.join_request, MAX_REQUEST_BYTES)?,
        Err(_) => return Err(JoinRequestError::Compression(wrapped.compression)),
    };
    JoinRequest::decode(request.as_slice()).map_err(undecodable("JoinRequest"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrap(compression: i32, join_request: Vec<u8>) -> String {
        URL_SAFE.encode(WrappedJoinRequest { compression, join_request }.encode_to_vec())
    }

    #[test]
    fn requests_come_with_and_without_compression_and_padding() {
        let request = JoinRequest { participant_sid: "PA_x".into(), reconnect: true, ..Default::default() };
        let plain = wrap(0, request.encode_to_vec());
        assert_eq!(decode(&plain), Ok(request.clone()));
        assert_eq!(decode(plain.trim_end_matches('=')), Ok(request.clone()));
        // What zlib makes of the same bytes.
        let packed =
            base64::engine::general_purpose::STANDARD.decode("H4sIAAAAAAACA7Ng9GIJcIyvAAAfQ5YXCAAAAA==");
        assert_eq!(decode(&wrap(1, packed.unwrap())), Ok(request));
    }

    #[test]
    fn what_is_no_request_is_told_what_it_lacks() {
        assert_eq!(decode("%%%"), Err(JoinRequestError::Base64));
        assert_eq!(decode("____"), Err(JoinRequestError::Undecodable("WrappedJoinRequest")));
        assert_eq!(decode(&wrap(0, vec![0xff])), Err(JoinRequestError::Undecodable("JoinRequest")));
        assert_eq!(decode(&wrap(7, Vec::new())), Err(JoinRequestError::Compression(7)));
        assert_eq!(decode(&wrap(1, vec![1; 20])), Err(JoinRequestError::Gzip(GzipError::Malformed)));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived(text in "[ -~]{0,80}") {
            let _ = decode(&text);
        }
    }
}
