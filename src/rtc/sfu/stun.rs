//! Just enough of STUN (RFC 8489) to know whom a first packet is for.

/// The USERNAME attribute.
const USERNAME: u16 = 0x0006;
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const HEADER_BYTES: usize = 20;

/// Whether a datagram is STUN (RFC 7983).
pub fn is_stun(datagram: &[u8]) -> bool {
    datagram.len() >= HEADER_BYTES && datagram.first().is_some_and(|byte| *byte < 2)
}

/// The receiver's ICE user fragment of a binding request: what stands before the colon of its USERNAME
/// (RFC 8445 §7.2.2). None for everything else; any bytes may come in. Nothing is authenticated here.
pub fn receiver_ufrag(datagram: &[u8]) -> Option<&str> {
    if datagram.get(..2)? != BINDING_REQUEST {
        return None;
    }
    let mut rest = datagram.get(HEADER_BYTES..)?;
    while let [type_high, type_low, high, low, value @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if u16::from_be_bytes([*type_high, *type_low]) == USERNAME {
            let username = std::str::from_utf8(value.get(..length)?).ok()?;
            return username.split_once(':').map(|(receiver, _)| receiver);
        }
        // Attributes are padded to four bytes.
        rest = value.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// A binding request with this USERNAME and nothing to prove it by.
#[cfg(test)]
pub(super) fn request(username: &str) -> Vec<u8> {
    let mut message = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    message.extend([7; 12]);
    message.extend([0x80, 0x22, 0, 3, b'a', b'b', b'c', 0]);
    message.extend([0, 6, 0, username.len() as u8]);
    message.extend(username.as_bytes());
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_ufrag_before_the_colon_is_found_behind_other_attributes() {
        assert_eq!(receiver_ufrag(&request("mine:theirs")), Some("mine"));
        assert_eq!(receiver_ufrag(&request("nocolon")), None);
        assert!(is_stun(&request("a:b")));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = receiver_ufrag(&bytes);
            let mut request = request("a:b");
            request.extend(bytes);
            let _ = receiver_ufrag(&request);
        }
    }
}
