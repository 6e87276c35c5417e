//! The plain handshake (RTMP 1.0 §5.2) from the client's side.

use super::RtmpError;

/// Length of C1, S1, C2 and S2.
const PACKET: usize = 1536;
/// RTMP's version number.
const VERSION: u8 = 3;

/// C0 and C1: version, time 0, zero, and filler that a server may send back but need not.
pub(super) fn hello() -> Vec<u8> {
    let mut bytes = vec![0; 1 + PACKET];
    if let Some(version) = bytes.first_mut() {
        *version = VERSION;
    }
    bytes
}

/// Reads S0, S1 and S2 from the start of `received`; None: more is needed. Returns how many bytes they are and C2,
/// which is S1. S2 is not compared: servers that answer another form of the handshake fill it differently.
pub(super) fn answer(received: &[u8]) -> Result<Option<(usize, Vec<u8>)>, RtmpError> {
    match received.first() {
        None => Ok(None),
        Some(&VERSION) => {
            let whole = 1 + 2 * PACKET;
            let c2 = received.get(1..1 + PACKET).filter(|_| received.len() >= whole);
            Ok(c2.map(|s1| (whole, s1.to_vec())))
        }
        Some(_) => Err(RtmpError::Malformed("no RTMP handshake (is it an RTMP server?)")),
    }
}
