//! Where a decoder can begin, read from RTP payloads without decoding.

/// NAL unit types of ITU-T H.264 table 7-1 and RFC 6184 §5.2.
const NAL_SPS: u8 = 7;
const NAL_STAP_A: u8 = 24;

/// Whether an H.264 payload (RFC 6184) carries a sequence parameter set: the first packet from which a decoder
/// can begin, as senders repeat the parameter sets before every IDR. Any bytes may come in.
pub fn h264(payload: &[u8]) -> bool {
    match payload.first().map(|byte| byte & 0x1f) {
        Some(NAL_SPS) => true,
        Some(NAL_STAP_A) => stap_a_has_sps(payload.get(1..).unwrap_or_default()),
        _ => false,
    }
}

fn stap_a_has_sps(mut rest: &[u8]) -> bool {
    while let [high, low, unit @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length > 0 && unit.first().is_some_and(|byte| byte & 0x1f == NAL_SPS) {
            return true;
        }
        match unit.get(length..) {
            Some(next) if length > 0 => rest = next,
            _ => return false,
        }
    }
    false
}

/// Whether a VP8 payload (RFC 7741 §4.2) begins a keyframe.
pub fn vp8(payload: &[u8]) -> bool {
    let Some((&first, mut rest)) = payload.split_first() else { return false };
    let starts_first_partition = first & 0x10 != 0 && first & 0x07 == 0;
    if first & 0x80 != 0 {
        let Some((&extension, after)) = rest.split_first() else { return false };
        rest = after;
        if extension & 0x80 != 0 {
            let long = rest.first().is_some_and(|byte| byte & 0x80 != 0);
            rest = rest.get(if long { 2 } else { 1 }..).unwrap_or_default();
        }
        if extension & 0x40 != 0 {
            rest = rest.get(1..).unwrap_or_default();
        }
        if extension & 0x30 != 0 {
            rest = rest.get(1..).unwrap_or_default();
        }
    }
    starts_first_partition && rest.first().is_some_and(|byte| byte & 0x01 == 0)
}

/// Whether an AV1 payload begins a new coded video sequence: the N bit of its aggregation header (RTP payload format for
/// AV1 §4.4).
pub fn av1(payload: &[u8]) -> bool {
    payload.first().is_some_and(|header| header & 0x08 != 0)
}
