//! H.264 access units into RTP payloads (RFC 6184, packetization mode 1).

use bytes::{BufMut, Bytes, BytesMut};

use crate::media::h264::{NalType, nals};

/// Longest payload that we make: a packet with header, extensions, SRTP tag and IP headers stays below the 1280
/// bytes that every path carries.
pub const MAX_PAYLOAD_BYTES: usize = 1160;

/// NAL unit type of a single-time aggregation packet (§5.7.1).
const STAP_A: u8 = 24;
/// NAL unit type of a fragmentation unit (§5.8).
const FU_A: u8 = 28;
/// The F and NRI bits of a NAL unit header (§1.3).
const F_AND_NRI: u8 = 0xe0;

/// Splits one access unit (Annex B) into payloads of at most `max_bytes`; the last one gets the marker bit.
/// Small NAL units next to each other (SPS, PPS, SEI) go into one STAP-A, large ones become FU-As, others go as
/// they are, without a copy. Access unit delimiters are left out. Empty when there is no NAL unit in it.
pub fn payloads(access_unit: &Bytes, max_bytes: usize) -> Vec<Bytes> {
    let mut out = Vec::with_capacity(access_unit.len() / max_bytes.max(1) + 2);
    let mut small: Vec<&[u8]> = Vec::new();
    let mut small_bytes = 1;
    for nal in nals(access_unit) {
        if NalType::of(nal) == Some(NalType::AccessUnitDelimiter) {
            continue;
        }
        if small_bytes + 2 + nal.len() > max_bytes {
            flush(&mut small, access_unit, &mut out);
            small_bytes = 1;
        }
        if nal.len() > max_bytes {
            fragment(nal, max_bytes, &mut out);
        } else {
            small_bytes += 2 + nal.len();
            small.push(nal);
        }
    }
    flush(&mut small, access_unit, &mut out);
    out
}

/// One NAL unit as it is, several as a STAP-A.
fn flush(small: &mut Vec<&[u8]>, access_unit: &Bytes, out: &mut Vec<Bytes>) {
    match small.as_slice() {
        [] => {}
        [one] => out.push(access_unit.slice_ref(one)),
        several => {
            // The highest importance of those within (§5.7).
            let nri =
                several.iter().filter_map(|nal| nal.first()).map(|first| first & 0x60).max().unwrap_or(0);
            let mut packet =
                BytesMut::with_capacity(1 + several.iter().map(|nal| 2 + nal.len()).sum::<usize>());
            packet.put_u8(nri | STAP_A);
            for nal in several {
                // Fits: a NAL unit in here is no longer than a packet.
                packet.put_u16(nal.len() as u16);
                packet.put_slice(nal);
            }
            out.push(packet.freeze());
        }
    }
    small.clear();
}

fn fragment(nal: &[u8], max_bytes: usize, out: &mut Vec<Bytes>) {
    let Some((&header, body)) = nal.split_first() else { return };
    let chunk_bytes = max_bytes.saturating_sub(2).max(1);
    // Even pieces: a last packet of three bytes costs as much as a full one.
    let count = body.len().div_ceil(chunk_bytes);
    let even_bytes = body.len().div_ceil(count.max(1)).max(1);
    let mut all = BytesMut::with_capacity(body.len() + 2 * count);
    for (index, chunk) in body.chunks(even_bytes).enumerate() {
        let start = u8::from(index == 0) << 7;
        let end = u8::from((index + 1) * even_bytes >= body.len()) << 6;
        all.put_u8(header & F_AND_NRI | FU_A);
        all.put_u8(start | end | header & 0x1f);
        all.put_slice(chunk);
        out.push(all.split().freeze());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Joins payloads to NAL units again, written from RFC 6184 alone.
    fn depacketize(payloads: &[Bytes]) -> Vec<Vec<u8>> {
        let mut nals: Vec<Vec<u8>> = Vec::new();
        for payload in payloads {
            match payload[0] & 0x1f {
                24 => {
                    let mut rest = &payload[1..];
                    while !rest.is_empty() {
                        let length = usize::from(rest[0]) << 8 | usize::from(rest[1]);
                        nals.push(rest[2..2 + length].to_vec());
                        rest = &rest[2 + length..];
                    }
                }
                28 => {
                    if payload[1] & 0x80 != 0 {
                        nals.push(vec![payload[0] & 0xe0 | payload[1] & 0x1f]);
                    }
                    nals.last_mut().unwrap().extend_from_slice(&payload[2..]);
                }
                _ => nals.push(payload.to_vec()),
            }
        }
        nals
    }

    fn annexb(nals: &[Vec<u8>]) -> Bytes {
        let parts = nals.iter().flat_map(|nal| [&[0, 0, 0, 1][..], nal]).collect::<Vec<_>>();
        Bytes::from(parts.concat())
    }

    #[test]
    fn a_keyframe_becomes_one_stap_a_and_even_fragments() {
        let (sps, pps) = (vec![0x67, 0x42, 0xe0, 0x1f, 9], vec![0x68, 0xce, 0x38]);
        let mut idr = vec![0x65];
        idr.extend((0..5000u32).map(|i| (i % 250) as u8 + 1));
        let packets = payloads(&annexb(&[sps.clone(), pps.clone(), idr.clone()]), 1000);
        assert_eq!(packets[0][0] & 0x1f, STAP_A);
        assert_eq!(packets[1][1] & 0xc0, 0x80, "the first fragment has the start bit only");
        assert_eq!(packets.last().unwrap()[1] & 0xc0, 0x40, "the last one has the end bit only");
        assert!(packets.iter().all(|packet| packet.len() <= 1000));
        assert_eq!(depacketize(&packets), [sps, pps, idr]);
    }

    #[test]
    fn a_small_picture_is_one_packet_without_a_copy() {
        let unit = annexb(&[vec![0x09, 0x10], vec![0x41, 1, 2, 3]]);
        let packets = payloads(&unit, 1000);
        assert_eq!(packets, [Bytes::from_static(&[0x41, 1, 2, 3])]);
        assert_eq!(packets[0].as_ptr(), unit.slice(10..).as_ptr());
    }

    #[test]
    fn nothing_makes_no_packet() {
        assert!(payloads(&Bytes::new(), 1000).is_empty());
        assert!(payloads(&Bytes::from_static(&[1, 2, 3]), 1000).is_empty());
        let _ = payloads(&Bytes::from_static(&[0, 0, 1, 0x65, 1, 2, 3]), 0);
    }

    proptest::proptest! {
        #[test]
        fn any_nal_units_come_out_as_they_went_in(
            lengths in proptest::collection::vec(1usize..4000, 1..12),
            max_bytes in 50usize..1500,
        ) {
            let nals: Vec<Vec<u8>> = lengths
                .iter()
                .enumerate()
                .map(|(index, &length)| {
                    let kind = [0x67, 0x68, 0x06, 0x65, 0x41][index % 5];
                    std::iter::once(kind).chain((0..length).map(|i| (i % 251) as u8 + 2)).collect()
                })
                .collect();
            let packets = payloads(&annexb(&nals), max_bytes);
            proptest::prop_assert!(packets.iter().all(|packet| packet.len() <= max_bytes));
            proptest::prop_assert_eq!(depacketize(&packets), nals);
        }
    }
}
