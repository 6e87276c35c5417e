//! The connection that sends our camera and microphone.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::RngExt;
use rtc::interceptor::{NackResponderBuilder, Slot};
use rtc::media_stream::MediaStreamTrack;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RTCRtpRtxParameters, RtpCodecKind,
};
use tokio::sync::mpsc;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::{RTCSdpType, Registry};
use webrtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit, RtpTransceiver};

use super::burst::Burst;
use super::connection::Connection;
use super::engine::{self, AUDIO_LEVEL_URI};
use super::feedback::Feedback;
use super::sender::{AudioSender, RtpOut, VideoSender};
use super::stamp::{Labels, OnKeyframeRequest, Stamp};
use super::{PeerError, PeerEvent, PeerSettings, Side};
use crate::base::units::ClockRate;
use crate::media::Layer;

/// The picture to publish.
#[derive(Clone, Debug)]
pub struct PublishedVideo {
    /// The client's id of the track, as in the signalling's AddTrack.
    pub cid: String,
    /// The layers, lowest first; a single one goes without simulcast.
    pub layers: Vec<Layer>,
}

/// The sound to publish.
#[derive(Clone, Debug)]
pub struct PublishedAudio {
    /// The client's id of the track, as in the signalling's AddTrack.
    pub cid: String,
}

/// What to publish.
#[derive(Clone, Debug, Default)]
pub struct PublishedTracks {
    /// The camera, if there is one.
    pub video: Option<PublishedVideo>,
    /// The microphone, if there is one.
    pub audio: Option<PublishedAudio>,
}

/// A track of ours within the connection.
struct Attached {
    transceiver: Arc<dyn RtpTransceiver>,
    track: Arc<TrackLocalStaticRTP>,
    /// SSRC and RID of each stream, in the order of the layers.
    streams: Vec<(u32, &'static str)>,
}

/// Sends our media to a room server.
pub struct PublisherPeer {
    connection: Connection,
    labels: Labels,
    burst: Burst,
    sent: Arc<AtomicU64>,
    layers: Vec<Layer>,
    video: Option<Attached>,
    audio: Option<Attached>,
}

impl PublisherPeer {
    /// A connection with `tracks` attached. `on_keyframe_request` is called from the connection's task whenever
    /// a receiver needs a keyframe of a layer; it must not block.
    ///
    /// # Errors
    /// [`PeerError`] when no socket can be bound.
    pub async fn new(
        settings: &PeerSettings,
        tracks: &PublishedTracks,
        on_keyframe_request: impl Fn(Layer) + Send + Sync + 'static,
        events: mpsc::Sender<(Side, PeerEvent)>,
    ) -> Result<Self, PeerError> {
        let layers = tracks.video.as_ref().map(|video| video.layers.clone()).unwrap_or_default();
        let (video_streams, audio_streams) = (streams_of(&layers), streams_of(&[Layer::Full]));
        let by_ssrc: HashMap<u32, Layer> =
            video_streams.iter().map(|(ssrc, _)| *ssrc).zip(layers.iter().copied()).collect();
        let on_keyframe_request: OnKeyframeRequest = Arc::new(move |ssrc| {
            if let Some(layer) = by_ssrc.get(&ssrc) {
                on_keyframe_request(*layer);
            }
        });
        let (labels, burst, sent) = (Labels::default(), Burst::default(), Arc::new(AtomicU64::new(0)));
        let registry = Registry::new()
            // Nearest to the wire, so that retransmissions pass them too.
            .with(Slot::from(400), Feedback::new(sent.clone(), events.clone()))
            .with(Slot::from(500), Stamp::new(labels.clone(), on_keyframe_request))
            .with(Slot::NackResponder, NackResponderBuilder::new().with_size(512).build())
            // Nearest to us, so that all others see every packet.
            .with(Slot::from(14_000), burst.release());
        let connection = Connection::new(Side::Publisher, settings, registry, events).await?;
        let mut peer = PublisherPeer { connection, labels, burst, sent, layers, video: None, audio: None };
        if let Some(video) = &tracks.video {
            let attached =
                peer.attach(&video.cid, RtpCodecKind::Video, engine::h264(), video_streams).await?;
            peer.video = Some(attached);
        }
        if let Some(audio) = &tracks.audio {
            let attached =
                peer.attach(&audio.cid, RtpCodecKind::Audio, engine::opus(), audio_streams).await?;
            peer.audio = Some(attached);
        }
        Ok(peer)
    }

    async fn attach(
        &self,
        cid: &str,
        kind: RtpCodecKind,
        codec: RTCRtpCodec,
        streams: Vec<(u32, &'static str)>,
    ) -> Result<Attached, PeerError> {
        let coding = |&(ssrc, rid): &(u32, &'static str)| RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters {
                rid: rid.into(),
                ssrc: Some(ssrc),
                rtx: (kind == RtpCodecKind::Video)
                    .then(|| RTCRtpRtxParameters { ssrc: rand::rng().random() }),
                fec: None,
            },
            codec: codec.clone(),
            active: true,
            ..Default::default()
        };
        let codings: Vec<_> = streams.iter().map(coding).collect();
        let track = MediaStreamTrack::new("box".into(), cid.into(), cid.into(), kind, codings.clone());
        let track = Arc::new(TrackLocalStaticRTP::new(track));
        let init = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Sendonly,
            streams: vec!["box".into()],
            send_encodings: codings,
        };
        let transceiver = self
            .connection
            .pc
            .add_transceiver_from_track(track.clone(), Some(init))
            .await
            .map_err(self.connection.failed("attaching a track"))?;
        Ok(Attached { transceiver, track, streams })
    }

    /// The offer of everything attached, applied locally; with fresh ICE credentials when `restart_ice`.
    ///
    /// # Errors
    /// [`PeerError`] when the connection is gone.
    pub async fn offer(&self, restart_ice: bool) -> Result<String, PeerError> {
        let sdp = self.connection.offer(restart_ice).await?;
        for attached in self.video.iter().chain(&self.audio) {
            let mid = attached.transceiver.mid().await.map_err(self.connection.failed("mid"))?;
            let mid = mid.ok_or(PeerError::NotNegotiated("mid"))?;
            for (ssrc, rid) in &attached.streams {
                self.labels.set(*ssrc, &mid, rid);
            }
        }
        Ok(sdp)
    }

    /// The server's answer to the last offer.
    ///
    /// # Errors
    /// [`PeerError`] for an answer that is none.
    pub async fn answer(&self, sdp: String) -> Result<(), PeerError> {
        self.connection.set_remote(RTCSdpType::Answer, sdp).await
    }

    /// A candidate of the server (JSON), at any time.
    ///
    /// # Errors
    /// [`PeerError::Candidate`] when it is no JSON.
    pub async fn add_candidate(&self, json: &str) -> Result<(), PeerError> {
        self.connection.add_candidate(json).await
    }

    /// How many packets have left so far whose fate the server tells.
    pub fn packets_sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Where pictures go in; None without a camera.
    pub fn video_sender(&self) -> Option<VideoSender> {
        let video = self.video.as_ref()?;
        let out =
            |&(ssrc, _): &(u32, &'static str)| RtpOut::new(ssrc, engine::H264_PAYLOAD_TYPE, ClockRate::VIDEO);
        let streams = self.layers.iter().copied().zip(video.streams.iter().map(out));
        Some(VideoSender::new(video.track.clone(), self.burst.clone(), streams.collect()))
    }

    /// Where sound goes in; None without a microphone. Only after [`PublisherPeer::answer`].
    ///
    /// # Errors
    /// [`PeerError`] when the connection is gone.
    pub async fn audio_sender(&self) -> Result<Option<AudioSender>, PeerError> {
        let Some(audio) = &self.audio else { return Ok(None) };
        let failed = |what| self.connection.failed(what);
        let sender = audio.transceiver.sender().await.map_err(failed("sender"))?;
        let sender = sender.ok_or(PeerError::NotNegotiated("audio"))?;
        let parameters = sender.get_parameters().await.map_err(failed("parameters"))?;
        let extensions = &parameters.rtp_parameters.header_extensions;
        let level_id = extensions.iter().find(|extension| extension.uri == AUDIO_LEVEL_URI);
        let level_id = level_id.and_then(|extension| u8::try_from(extension.id).ok());
        let (ssrc, _) = audio.streams.first().copied().ok_or(PeerError::NotNegotiated("audio"))?;
        let out = RtpOut::new(ssrc, engine::OPUS_PAYLOAD_TYPE, ClockRate::AUDIO);
        Ok(Some(AudioSender::new(audio.track.clone(), out, level_id)))
    }

    /// Ends it.
    pub async fn close(&self) {
        self.connection.close().await;
    }
}

/// A random SSRC for each layer, and its RID when there are several.
fn streams_of(layers: &[Layer]) -> Vec<(u32, &'static str)> {
    let rid = |layer: &Layer| if layers.len() > 1 { layer.rid() } else { "" };
    layers.iter().map(|layer| (rand::rng().random(), rid(layer))).collect()
}
