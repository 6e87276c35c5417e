//! One signalling message in one WebSocket frame.

use prost::Message;

use super::proto::{SignalRequest, SignalResponse, signal_request, signal_response};

/// Longest frame that either side accepts. A room of a thousand participants needs about 400 kB in its join
/// response; what is longer ends the connection.
pub const MAX_FRAME_BYTES: usize = 4 << 20;

/// Longest that a client may say at once. An offer of a browser that gets 128 tracks over one connection has about
/// 900 kB: its sections repeat every codec and extension.
pub const MAX_REQUEST_BYTES: usize = 1 << 20;

/// Why a frame is no signalling message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`MAX_FRAME_BYTES`].
    #[error("a signalling frame of {0} bytes is longer than {MAX_FRAME_BYTES}")]
    TooLong(usize),
    /// The bytes are no protobuf of this type.
    #[error("a signalling frame cannot be decoded: {0}")]
    Undecodable(#[from] prost::DecodeError),
    /// Decodes, but holds no message that this version knows.
    #[error("a signalling frame holds no known message")]
    Empty,
}

fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, FrameError> {
    if bytes.len() > MAX_FRAME_BYTES {
        return Err(FrameError::TooLong(bytes.len()));
    }
    Ok(M::decode(bytes)?)
}

/// Reads what a server says.
///
/// # Errors
/// [`FrameError`]; [`FrameError::Empty`] is to be ignored: a newer server speaks of something new.
pub fn decode_response(bytes: &[u8]) -> Result<signal_response::Message, FrameError> {
    decode::<SignalResponse>(bytes)?.message.ok_or(FrameError::Empty)
}

/// Reads what a client says.
///
/// # Errors
/// [`FrameError`]; [`FrameError::Empty`] is to be ignored: a newer client speaks of something new.
pub fn decode_request(bytes: &[u8]) -> Result<signal_request::Message, FrameError> {
    decode::<SignalRequest>(bytes)?.message.ok_or(FrameError::Empty)
}

/// The frame of a client's message.
pub fn encode_request(message: signal_request::Message) -> Vec<u8> {
    SignalRequest { message: Some(message) }.encode_to_vec()
}

/// The frame of a server's message.
pub fn encode_response(message: signal_response::Message) -> Vec<u8> {
    SignalResponse { message: Some(message) }.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_the_wire() {
        let request = signal_request::Message::Ping(7);
        assert_eq!(decode_request(&encode_request(request.clone())), Ok(request));
        let response = signal_response::Message::RefreshToken("t".into());
        assert_eq!(decode_response(&encode_response(response.clone())), Ok(response));
    }

    #[test]
    fn an_unknown_message_is_told_from_a_broken_one() {
        assert_eq!(decode_response(&[]), Err(FrameError::Empty));
        // Field 100, varint: a message of a version to come.
        assert_eq!(decode_response(&[0xa0, 0x06, 0x01]), Err(FrameError::Empty));
        assert!(matches!(decode_response(&[0x0a, 0xff]), Err(FrameError::Undecodable(_))));
        assert_eq!(
            decode_request(&vec![0; MAX_FRAME_BYTES + 1]),
            Err(FrameError::TooLong(MAX_FRAME_BYTES + 1))
        );
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..256)) {
            let _ = decode_request(&bytes);
            let _ = decode_response(&bytes);
        }
    }
}
