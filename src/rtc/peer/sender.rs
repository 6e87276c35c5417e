//! Access units into RTP packets with sender reports: one media clock, one NTP time, every layer alike.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rand::RngExt;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtp;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;

use super::burst::Burst;
use super::h264::{MAX_PAYLOAD_BYTES, payloads};
use super::{PeerError, Side};
use crate::base::clock::{MediaTime, wall_of};
use crate::base::units::ClockRate;
use crate::media::{AccessUnit, Layer, TrackId};

/// How often a stream says which moment its timestamps mean. The first time is with its first packet: a server
/// cannot switch to a layer whose report it has not seen.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Seconds from 1900 (NTP) to 1970 (RFC 5905 §6).
const NTP_EPOCH_OFFSET_S: u64 = 2_208_988_800;

/// One outgoing RTP stream: numbers and counters.
#[derive(Debug)]
pub(super) struct RtpOut {
    ssrc: u32,
    payload_type: u8,
    clock: ClockRate,
    sequence: u16,
    timestamp_offset: u32,
    packets: u32,
    octets: u32,
    reported: Option<MediaTime>,
}

impl RtpOut {
    pub fn new(ssrc: u32, payload_type: u8, clock: ClockRate) -> Self {
        let mut rng = rand::rng();
        RtpOut {
            ssrc,
            payload_type,
            clock,
            // The lower half, so that nothing wraps within the first seconds (RFC 3711 §3.3.1).
            sequence: rng.random_range(0..0x8000),
            timestamp_offset: rng.random(),
            packets: 0,
            octets: 0,
            reported: None,
        }
    }

    /// The RTP timestamp of a moment.
    fn timestamp(&self, at: MediaTime) -> u32 {
        // The clock's ticks modulo 2^32, as RTP wants it.
        self.timestamp_offset.wrapping_add(at.ticks(self.clock) as u32)
    }

    fn packet(&mut self, payload: Bytes, pts: MediaTime, marker: bool) -> rtp::Packet {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload.len() as u32);
        let sequence_number = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        let header = rtp::header::Header {
            version: 2,
            marker,
            payload_type: self.payload_type,
            sequence_number,
            timestamp: self.timestamp(pts),
            ssrc: self.ssrc,
            ..Default::default()
        };
        rtp::Packet { header, payload }
    }

    /// A sender report when one is due.
    fn report(&mut self, now: MediaTime) -> Option<SenderReport> {
        if self.reported.is_some_and(|at| now.since(at) < REPORT_INTERVAL) {
            return None;
        }
        self.reported = Some(now);
        Some(SenderReport {
            ssrc: self.ssrc,
            ntp_time: ntp(wall_of(now)),
            rtp_time: self.timestamp(now),
            packet_count: self.packets,
            octet_count: self.octets,
            ..Default::default()
        })
    }
}

/// NTP's 32.32 fixed point seconds since 1900.
fn ntp(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    (since.as_secs() + NTP_EPOCH_OFFSET_S) << 32 | fraction
}

async fn send(track: &TrackLocalStaticRTP, packet: rtp::Packet) -> Result<(), PeerError> {
    let failed = |source| PeerError::Rtc { side: Side::Publisher, what: "sending", source: Box::new(source) };
    track.write_rtp(packet).await.map_err(failed)
}

async fn send_report(track: &TrackLocalStaticRTP, report: Option<SenderReport>) -> Result<(), PeerError> {
    let Some(report) = report else { return Ok(()) };
    let failed =
        |source| PeerError::Rtc { side: Side::Publisher, what: "reporting", source: Box::new(source) };
    track.write_rtcp(vec![Box::new(report)]).await.map_err(failed)
}

/// Sends pictures.
pub struct VideoSender {
    track: Arc<TrackLocalStaticRTP>,
    burst: Burst,
    streams: Vec<(Layer, RtpOut)>,
}

impl VideoSender {
    pub(super) fn new(track: Arc<TrackLocalStaticRTP>, burst: Burst, streams: Vec<(Layer, RtpOut)>) -> Self {
        VideoSender { track, burst, streams }
    }

    /// Sends one picture; returns once its packets are with the connection's task. Units of other tracks and of
    /// layers that are not published are left out.
    ///
    /// # Errors
    /// [`PeerError`] when the connection is gone.
    pub async fn send(&mut self, unit: &AccessUnit, now: MediaTime) -> Result<(), PeerError> {
        let TrackId::Video(layer) = unit.track else { return Ok(()) };
        let Some((_, out)) = self.streams.iter_mut().find(|(published, _)| *published == layer) else {
            return Ok(());
        };
        let payloads = payloads(&unit.data, MAX_PAYLOAD_BYTES);
        let last = payloads.len().saturating_sub(1);
        let packet = |(index, payload)| out.packet(payload, unit.pts, index == last);
        let packets = payloads.into_iter().enumerate().map(packet).collect();
        for packet in self.burst.leave(packets) {
            send(&self.track, packet).await?;
        }
        send_report(&self.track, out.report(now)).await
    }
}

/// Sends sound.
pub struct AudioSender {
    track: Arc<TrackLocalStaticRTP>,
    out: RtpOut,
    /// Header extension id of the audio level; None when the server does not want it.
    level_id: Option<u8>,
    /// The next packet is the first after silence (RFC 3551 §4.1).
    talkspurt: bool,
}

/// Loudness at and above which a packet counts as voice (RFC 6464 §3, the V bit), in -dBov.
const VOICE_LEVEL: u8 = 50;

impl AudioSender {
    pub(super) fn new(track: Arc<TrackLocalStaticRTP>, out: RtpOut, level_id: Option<u8>) -> Self {
        AudioSender { track, out, level_id, talkspurt: true }
    }

    /// Sends one Opus packet; returns once it is with the connection's task.
    ///
    /// # Errors
    /// [`PeerError`] when the connection is gone.
    pub async fn send(&mut self, unit: &AccessUnit, now: MediaTime) -> Result<(), PeerError> {
        let mut packet = self.out.packet(unit.data.clone(), unit.pts, self.talkspurt);
        self.talkspurt = false;
        if let Some(id) = self.level_id {
            let level = unit.audio_level.min(127);
            let voice = u8::from(level <= VOICE_LEVEL) << 7;
            let failed = |source| PeerError::Rtc {
                side: Side::Publisher,
                what: "audio level",
                source: Box::new(source),
            };
            packet.header.set_extension(id, Bytes::copy_from_slice(&[voice | level])).map_err(failed)?;
        }
        send(&self.track, packet).await?;
        send_report(&self.track, self.out.report(now)).await
    }

    /// Nothing was sent for a while (muted): the next packet begins a talkspurt.
    pub fn paused(&mut self) {
        self.talkspurt = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_all_layers_name_the_same_moment() {
        let now = MediaTime::from_millis(12_345);
        let mut layers: Vec<RtpOut> = (1..4).map(|ssrc| RtpOut::new(ssrc, 108, ClockRate::VIDEO)).collect();
        let pts = MediaTime::from_millis(12_300);
        for out in &mut layers {
            let packet = out.packet(Bytes::from_static(b"abc"), pts, true);
            let report = out.report(now).unwrap();
            // 45 ms between picture and report, in both clocks.
            assert_eq!(report.rtp_time.wrapping_sub(packet.header.timestamp), 45 * 90);
            assert_eq!(report.ntp_time, ntp(wall_of(now)));
            assert_eq!((report.packet_count, report.octet_count), (1, 3));
            assert!(out.report(now + Duration::from_millis(999)).is_none());
            assert!(out.report(now + Duration::from_millis(1000)).is_some());
        }
    }

    #[test]
    fn sequence_numbers_and_timestamps_wrap() {
        let mut out = RtpOut::new(1, 111, ClockRate::AUDIO);
        out.sequence = u16::MAX;
        out.timestamp_offset = u32::MAX;
        let first = out.packet(Bytes::new(), MediaTime::ZERO, false);
        let second = out.packet(Bytes::new(), MediaTime::from_millis(20), false);
        assert_eq!((first.header.sequence_number, second.header.sequence_number), (u16::MAX, 0));
        assert_eq!((first.header.timestamp, second.header.timestamp), (u32::MAX, 959));
    }

    #[test]
    fn ntp_counts_from_1900() {
        assert_eq!(ntp(SystemTime::UNIX_EPOCH), NTP_EPOCH_OFFSET_S << 32);
        let half = SystemTime::UNIX_EPOCH + Duration::from_millis(500);
        assert_eq!(ntp(half) & 0xffff_ffff, 1 << 31);
    }
}
