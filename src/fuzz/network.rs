//! What comes over the network before and beside the media.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use livekit_protocol as proto;
use prost::Message;

use super::split;
use crate::rtc::peer;
use crate::rtc::sfu::framing::{Deframer, MAX_FRAME_BYTES};
use crate::rtc::sfu::sdp::{Binding, Msid, OfferRules, rewrite, sections};
use crate::rtc::sfu::stun;
use crate::rtc::signal::{frame, gzip, join_request};

/// Most bytes that are decompressed here.
const LIMIT: usize = 1 << 16;

/// A join request at each of its layers: text, base64, wrapped, gzip; and frames of signalling.
pub fn join(bytes: &[u8]) {
    if let Ok(out) = gzip::decompress(bytes, LIMIT) {
        assert!(out.len() <= LIMIT);
    }
    let _ = frame::decode_request(bytes);
    let _ = frame::decode_response(bytes);
    let _ = join_request::decode(&String::from_utf8_lossy(bytes));
    let _ = join_request::decode(&URL_SAFE_NO_PAD.encode(bytes));
    let wrapped = proto::WrappedJoinRequest { compression: 1, join_request: bytes.to_vec() };
    let _ = join_request::decode(&URL_SAFE_NO_PAD.encode(wrapped.encode_to_vec()));
}

/// Two descriptions of one connection, a zero byte between them.
pub fn sdp(bytes: &[u8]) {
    let mut rules = OfferRules::default();
    let (first, second) = split(bytes, 0);
    let msid = Msid { stream_id: "PA_a|TR_b".to_owned(), track_id: "TR_b".to_owned() };
    for text in [first, second].map(String::from_utf8_lossy) {
        let _ = rules.check(&text);
        let _ = peer::media_sources(&text);
        let count = sections(&text).len();
        for binding in [
            Binding { msid: Some(&msid), direction: Some("sendonly") },
            Binding { msid: None, direction: Some("inactive") },
            Binding { msid: None, direction: None },
        ] {
            let rewritten = rewrite(&text, |_| Some(binding));
            assert_eq!(sections(&rewritten).len(), count);
        }
    }
}

/// An offer of WHIP or WHEP, a zero byte, a fragment that comes after it.
pub fn whip(bytes: &[u8]) {
    let (offer, fragment) = split(bytes, 0);
    crate::server::api::read_sdp(&String::from_utf8_lossy(offer), &String::from_utf8_lossy(fragment));
}

/// A datagram, and the same bytes as a stream that arrives in pieces.
pub fn datagram(bytes: &[u8]) {
    let _ = stun::is_stun(bytes);
    let _ = stun::receiver_ufrag(bytes);
    let (mut deframer, mut taken) = (Deframer::default(), 0);
    let size = bytes.first().map_or(1, |first| usize::from(*first) + 1);
    for piece in bytes.chunks(size) {
        deframer.add(piece);
        loop {
            match deframer.take() {
                Ok(Some(packet)) => {
                    assert!(packet.len() <= MAX_FRAME_BYTES);
                    taken += packet.len() + 2;
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
    assert!(taken <= bytes.len());
}

/// RTCP of a server that tells what became of our packets.
pub fn feedback(bytes: &[u8]) {
    peer::read_feedback(bytes);
}
