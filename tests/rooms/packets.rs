//! The packets of pictures that need no decoding: each tells its layer and picture; and what is counted of those that
//! arrive.

use std::collections::BTreeMap;

use str0m::media::Pt;

/// Pictures per second of the published video.
pub const FPS: u64 = 30;
/// A keyframe is so many times larger than the other pictures.
const KEYFRAME_FACTOR: usize = 5;
const PACKET_BYTES: usize = 1100;
/// H.264 NAL unit types: a sequence parameter set begins a keyframe; the rest need not be real.
const NAL_SPS: u8 = 0x67;
const NAL_OTHER: u8 = 0x41;
const HEADER_BYTES: usize = 11;

/// One stream of packets that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// The first and the last sequence number.
    pub numbers: (u64, u64),
    /// How many packets.
    pub packets: u64,
}

impl Arrived {
    /// Packets between the first and the last that did not arrive.
    pub fn lost(&self) -> u64 {
        (self.numbers.1 + 1 - self.numbers.0).saturating_sub(self.packets)
    }
}

/// One packet that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// 0 quarter to 2 full.
    pub layer: u8,
    /// Which picture of the publisher, from 0.
    pub number: u32,
    /// Packets of it that arrived, and that there are.
    pub packets: (u8, u8),
}

/// What a client has met so far.
#[derive(Debug, Default)]
pub struct Seen {
    /// Video packets by layer.
    pub video: [u64; 3],
    /// Audio packets.
    pub audio: u64,
    /// Audio packets by SSRC.
    pub audio_by_ssrc: BTreeMap<u32, u64>,
    /// What arrived, by SSRC.
    pub arrived: BTreeMap<u32, Arrived>,
    /// Pictures in order of their first packet, when asked for.
    pub pictures: Vec<Picture>,
    /// Stream states told: track sid, paused.
    pub states: Vec<(String, bool)>,
    /// Connection qualities told: participant sid, quality.
    pub qualities: Vec<(String, i32)>,
    /// How long pictures shall be held back, from and to, as the last of them said; in ms.
    pub playout_delay_ms: Option<(u64, u64)>,
    /// Ids of the streams that it was offered last.
    pub streams: std::collections::BTreeSet<String>,
    /// Sids of its own tracks.
    pub published: Vec<String>,
    pub sid: String,
    pub connected: bool,
    /// The transport that carried the first packet, `udp` or `tcp`.
    pub transport: Option<&'static str>,
}

/// The packets of one picture.
pub fn payload(layer: u8, bits_per_second: u64, keyframe: bool, number: u64) -> Vec<Vec<u8>> {
    let size = (bits_per_second / 8 / FPS) as usize * if keyframe { KEYFRAME_FACTOR } else { 1 };
    let parts = size.div_ceil(PACKET_BYTES).clamp(1, 200);
    let packet = |part: usize| {
        let mut payload = vec![0; (size / parts).clamp(HEADER_BYTES, PACKET_BYTES)];
        payload[0] = if keyframe && part == 0 { NAL_SPS } else { NAL_OTHER };
        payload[1] = layer;
        payload[2..6].copy_from_slice(&(number as u32).to_be_bytes());
        (payload[6], payload[7]) = (part as u8, parts as u8);
        payload
    };
    (0..parts).map(packet).collect()
}

/// Counts a packet that arrived.
pub fn note(seen: &mut Seen, packet: &str0m::rtp::RtpPacket) {
    let number = *packet.seq_no;
    let stream = seen.arrived.entry(*packet.header.ssrc);
    let stream = stream.or_insert(Arrived { numbers: (number, number), packets: 0 });
    stream.numbers = (stream.numbers.0.min(number), stream.numbers.1.max(number));
    stream.packets += 1;
    if packet.header.payload_type == Pt::from(111) {
        seen.audio += 1;
        *seen.audio_by_ssrc.entry(*packet.header.ssrc).or_default() += 1;
        return;
    }
    let extensions = &packet.header.ext_vals;
    let ms = |at: str0m::media::MediaTime| (at.as_seconds() * 1000.0).round() as u64;
    seen.playout_delay_ms = extensions.play_delay_min.map(ms).zip(extensions.play_delay_max.map(ms));
    let [_, layer, a, b, c, d, _, parts, ..] = packet.payload[..] else { return };
    let Some(count) = seen.video.get_mut(usize::from(layer)) else { return };
    *count += 1;
    let number = u32::from_be_bytes([a, b, c, d]);
    let known = |picture: &&mut Picture| (picture.layer, picture.number) == (layer, number);
    match seen.pictures.iter_mut().rev().take(20).find(known) {
        Some(picture) => picture.packets.0 += 1,
        None => seen.pictures.push(Picture { layer, number, packets: (1, parts) }),
    }
}
