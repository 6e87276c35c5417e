//! What the library is told to speak: one H.264, one Opus, and the header extensions that a room server needs.

use std::time::Duration;

use rtc::ice::mdns::MulticastDnsMode;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpHeaderExtensionCapability, RtpCodecKind,
};
use webrtc::error::Error;
use webrtc::peer_connection::{
    MediaEngine, RTCConfiguration, RTCConfigurationBuilder, RTCIceServer, RTCIceTransportPolicy,
    SettingEngine, SettingEngineBuilder,
};

use super::PeerSettings;

/// RTP payload type of our H.264.
pub(super) const H264_PAYLOAD_TYPE: u8 = 108;
/// RTP payload type of retransmitted H.264 (RFC 4588).
const RTX_PAYLOAD_TYPE: u8 = 109;
/// RTP payload type of Opus, as everybody has it.
pub(super) const OPUS_PAYLOAD_TYPE: u8 = 111;

/// Header extension: which m-line a packet belongs to (RFC 9143).
pub(super) const MID_URI: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
/// Header extension: which simulcast layer (RFC 8852).
pub(super) const RID_URI: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
/// Header extension: which simulcast layer a retransmission repairs (RFC 8852).
pub(super) const REPAIRED_RID_URI: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
/// Header extension: number of a packet within the whole connection
/// (draft-holmer-rmcat-transport-wide-cc-extensions-01).
pub(super) const TRANSPORT_CC_URI: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
/// Header extension: loudness of an audio packet (RFC 6464).
pub(super) const AUDIO_LEVEL_URI: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";

fn feedback(kinds: &[(&str, &str)]) -> Vec<RTCPFeedback> {
    kinds
        .iter()
        .map(|(typ, parameter)| RTCPFeedback { typ: (*typ).into(), parameter: (*parameter).into() })
        .collect()
}

/// Constrained baseline, packetization mode 1: what every browser decodes.
pub(super) fn h264() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: "video/H264".into(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f".into(),
        rtcp_feedback: feedback(&[("nack", ""), ("nack", "pli"), ("ccm", "fir"), ("transport-cc", "")]),
    }
}

/// Opus with in-band FEC; always announced with two channels (RFC 7587 §7).
pub(super) fn opus() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: "audio/opus".into(),
        clock_rate: 48_000,
        channels: 2,
        sdp_fmtp_line: "minptime=10;useinbandfec=1".into(),
        rtcp_feedback: feedback(&[("nack", "")]),
    }
}

/// Codecs and header extensions of both connections.
pub(super) fn media_engine() -> Result<MediaEngine, Error> {
    let rtx = RTCRtpCodec {
        mime_type: "video/rtx".into(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: format!("apt={H264_PAYLOAD_TYPE}"),
        rtcp_feedback: Vec::new(),
    };
    let mut engine = MediaEngine::default();
    for (rtp_codec, payload_type, kind) in [
        (h264(), H264_PAYLOAD_TYPE, RtpCodecKind::Video),
        (rtx, RTX_PAYLOAD_TYPE, RtpCodecKind::Video),
        (opus(), OPUS_PAYLOAD_TYPE, RtpCodecKind::Audio),
    ] {
        engine.register_codec(RTCRtpCodecParameters { rtp_codec, payload_type }, kind)?;
    }
    for (uri, kind) in [
        (MID_URI, RtpCodecKind::Video),
        (RID_URI, RtpCodecKind::Video),
        (REPAIRED_RID_URI, RtpCodecKind::Video),
        (TRANSPORT_CC_URI, RtpCodecKind::Video),
        (MID_URI, RtpCodecKind::Audio),
        (AUDIO_LEVEL_URI, RtpCodecKind::Audio),
    ] {
        engine.register_header_extension(RTCRtpHeaderExtensionCapability { uri: uri.into() }, kind, None)?;
    }
    Ok(engine)
}

/// How paths are found and lost.
pub(super) fn setting_engine() -> SettingEngine {
    SettingEngineBuilder::new()
        // A room server's candidates are addresses; a socket for names that never come would be waste.
        .with_multicast_dns_mode(MulticastDnsMode::Disabled)
        // A quarter of the default: the first picture should be there within a second.
        .with_ice_connection_attempts(Some(Duration::from_millis(50)), Some(40))
        .with_ice_timeouts(
            Some(Duration::from_secs(5)),
            Some(Duration::from_secs(10)),
            Some(Duration::from_secs(2)),
        )
        .with_srflx_acceptance_min_wait(Some(Duration::from_millis(200)))
        .with_prflx_acceptance_min_wait(Some(Duration::ZERO))
        // So that the server can tell which retransmissions belong to which layer.
        .with_write_ssrc_attributes_for_simulcast(true)
        .build()
}

/// ICE servers in the library's words; those that it cannot use (TLS, TCP, no password) are left out.
pub(super) fn configuration(settings: &PeerSettings) -> RTCConfiguration {
    let usable = |url: &&String| {
        let stun = url.starts_with("stun:");
        stun || (url.starts_with("turn:") && !url.contains("transport=tcp"))
    };
    let servers = settings.ice_servers.iter().filter_map(|server| {
        let urls: Vec<String> = server.urls.iter().filter(usable).cloned().collect();
        let needs_password = urls.iter().any(|url| url.starts_with("turn:"));
        let has_password = !server.username.is_empty() && !server.credential.is_empty();
        (!urls.is_empty() && (has_password || !needs_password)).then(|| RTCIceServer {
            urls,
            username: server.username.clone(),
            credential: server.credential.clone(),
        })
    });
    let policy = if settings.relay_only { RTCIceTransportPolicy::Relay } else { RTCIceTransportPolicy::All };
    RTCConfigurationBuilder::new()
        .with_ice_servers(servers.collect())
        .with_ice_transport_policy(policy)
        .build()
}

/// Where to bind UDP: a wildcard becomes one socket per interface without loopback, looked up at each bind.
pub(super) fn udp_addresses(settings: &PeerSettings) -> Vec<String> {
    let mut addresses = vec!["0.0.0.0:0".to_owned()];
    if settings.loopback {
        addresses.insert(0, "127.0.0.1:0".to_owned());
    }
    addresses
}
