//! What of ours goes out: its announcement, which layers somebody watches, and the way from stream to network.

use tokio::sync::watch;

use super::{Config, VideoConfig};
use crate::base::clock;
use crate::base::units::Bitrate;
use crate::codec;
use crate::media::{Layer, Reader, TrackId, Wants};
use crate::rtc::peer::{
    AudioSender, PeerError, PublishedAudio, PublishedTracks, PublishedVideo, VideoSender,
};
use crate::rtc::signal::proto::{
    AddTrackRequest, SimulcastCodec, SubscribedQuality, SubscribedQualityUpdate, TrackSource, TrackType,
    VideoLayer, VideoQuality, video_layer,
};

/// The client's id of the camera's track.
pub(super) const CAMERA: &str = "camera";
/// The client's id of the microphone's track.
pub(super) const MICROPHONE: &str = "microphone";

/// What [`Config`] wants published.
pub(super) fn tracks(config: &Config) -> PublishedTracks {
    PublishedTracks {
        video: config
            .video
            .as_ref()
            .map(|video| PublishedVideo { cid: CAMERA.into(), layers: layers(video) }),
        audio: config.audio.then(|| PublishedAudio { cid: MICROPHONE.into() }),
    }
}

fn layers(video: &VideoConfig) -> Vec<Layer> {
    if video.simulcast { Layer::ALL.to_vec() } else { vec![Layer::Full] }
}

/// LiveKit's name of the layer.
fn quality(video: &VideoConfig, layer: Layer) -> VideoQuality {
    match layer {
        Layer::Quarter => VideoQuality::Low,
        Layer::Half if video.simulcast => VideoQuality::Medium,
        Layer::Half | Layer::Full => VideoQuality::High,
    }
}

/// The announcements, to be sent before the offer.
#[allow(deprecated)]
pub(super) fn announcements(config: &Config, muted: bool) -> Vec<AddTrackRequest> {
    let video = config.video.as_ref().map(|video| {
        let layers: Vec<VideoLayer> =
            layers(video).into_iter().map(|layer| announced_layer(video, layer)).collect();
        AddTrackRequest {
            cid: CAMERA.into(),
            name: CAMERA.into(),
            r#type: TrackType::Video as i32,
            source: TrackSource::Camera as i32,
            width: video.size.width,
            height: video.size.height,
            layers: layers.clone(),
            simulcast_codecs: vec![SimulcastCodec {
                codec: "h264".into(),
                cid: CAMERA.into(),
                layers,
                video_layer_mode: video_layer::Mode::OneSpatialLayerPerStream as i32,
            }],
            ..Default::default()
        }
    });
    let audio = config.audio.then(|| AddTrackRequest {
        cid: MICROPHONE.into(),
        name: MICROPHONE.into(),
        r#type: TrackType::Audio as i32,
        source: TrackSource::Microphone as i32,
        muted,
        disable_dtx: true,
        disable_red: true,
        ..Default::default()
    });
    video.into_iter().chain(audio).collect()
}

/// What each layer takes, lowest first.
pub(super) fn bitrates(video: &VideoConfig) -> [Bitrate; 3] {
    let encoder = codec::VideoConfig { fps: video.fps, bitrate: video.bitrate, ..Default::default() };
    Layer::ALL.map(|layer| encoder.bitrate_of(layer))
}

fn announced_layer(video: &VideoConfig, layer: Layer) -> VideoLayer {
    let size = video.size.divided(layer.divisor());
    VideoLayer {
        quality: quality(video, layer) as i32,
        width: size.width,
        height: size.height,
        bitrate: bitrates(video)[layer.index()].as_bps(),
        rid: if video.simulcast { layer.rid().into() } else { String::new() },
        spatial_layer: if video.simulcast { layer.index() as i32 } else { 0 },
        ..Default::default()
    }
}

/// What is wanted of the stream, as the room and the people decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Demand {
    video: Option<VideoConfig>,
    audio: bool,
    /// By layer: somebody watches it. All of them until the server says so.
    watched: [bool; 3],
    /// Layers with an index below this may be sent; the uplink decides.
    pub allowed: usize,
    /// The room turned the camera's track off.
    pub video_muted: bool,
    /// The people turned the microphone off.
    pub audio_muted: bool,
}

impl Demand {
    pub fn new(config: &Config, audio_muted: bool) -> Self {
        Demand {
            video: config.video,
            audio: config.audio,
            watched: [true; 3],
            allowed: Layer::ALL.len(),
            video_muted: false,
            audio_muted,
        }
    }

    /// Which tracks the stream's producers are asked for.
    pub fn wants(&self) -> Wants {
        let mut video = self.wanted_video();
        video.iter_mut().skip(self.allowed).for_each(|layer| *layer = false);
        Wants { video, opus: self.audio && !self.audio_muted, aac: false }
    }

    /// The layers that would be sent if the uplink carried all.
    pub fn wanted_video(&self) -> [bool; 3] {
        let mut wanted = [false; 3];
        if let Some(video) = self.video.filter(|_| !self.video_muted) {
            for layer in layers(&video) {
                wanted[layer.index()] = self.watched[layer.index()];
            }
        }
        wanted
    }

    /// Takes what the server says about who watches what.
    #[allow(deprecated)]
    pub fn quality_update(&mut self, update: &SubscribedQualityUpdate) {
        let Some(video) = self.video else { return };
        let h264 = update.subscribed_codecs.iter().find(|codec| codec.codec.to_lowercase().contains("h264"));
        let qualities: &[SubscribedQuality] = match (h264, update.subscribed_codecs.is_empty()) {
            (Some(codec), _) => &codec.qualities,
            (None, true) => &update.subscribed_qualities,
            // Others are wanted in codecs that we do not have; the server will not get them.
            (None, false) => return,
        };
        let on = |wanted: VideoQuality| qualities.iter().any(|q| q.enabled && q.quality == wanted as i32);
        for layer in Layer::ALL {
            self.watched[layer.index()] = if video.simulcast {
                on(quality(&video, layer))
            } else {
                [VideoQuality::Low, VideoQuality::Medium, VideoQuality::High].into_iter().any(on)
            };
        }
    }
}

/// Carries access units from the stream to the connection until either ends.
pub(super) async fn pump(
    mut reader: Reader,
    mut video: Option<VideoSender>,
    mut audio: Option<AudioSender>,
    mut wants: watch::Receiver<Wants>,
) -> Result<(), PeerError> {
    loop {
        tokio::select! {
            unit = reader.recv() => {
                let Some(unit) = unit else { return Ok(()) };
                let now = clock::media_now();
                match (unit.track, &mut video, &mut audio) {
                    (TrackId::Video(_), Some(video), _) => video.send(&unit, now).await?,
                    (TrackId::Opus, _, Some(audio)) => audio.send(&unit, now).await?,
                    _ => {}
                }
            }
            changed = wants.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let now_wanted = *wants.borrow_and_update();
                reader.set_wants(now_wanted);
                if let (false, Some(audio)) = (now_wanted.opus, &mut audio) {
                    audio.paused();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::TokenSource;
    use super::*;
    use crate::base::units::Size;
    use crate::rtc::signal::proto::SubscribedCodec;

    fn config(simulcast: bool) -> Config {
        let video =
            VideoConfig { size: Size::new(1280, 720), fps: 30, bitrate: Bitrate::kbps(2000), simulcast };
        Config {
            url: "ws://h".into(),
            room: "r".into(),
            token: TokenSource::fixed("t".into()),
            extra_ca: None,
            video: Some(video),
            audio: true,
            meter: Default::default(),
            attributes: tokio::sync::watch::channel(Default::default()).1,
        }
    }

    fn update(codec: &str, on: [bool; 3]) -> SubscribedQualityUpdate {
        let qualities =
            (0..3).map(|quality| SubscribedQuality { quality, enabled: on[quality as usize] }).collect();
        SubscribedQualityUpdate {
            subscribed_codecs: vec![SubscribedCodec { codec: codec.into(), qualities }],
            ..Default::default()
        }
    }

    #[test]
    fn three_layers_are_announced_with_their_sizes() {
        let announced = announcements(&config(true), true);
        let sizes: Vec<_> = announced[0].layers.iter().map(|l| (l.rid.as_str(), l.width, l.height)).collect();
        assert_eq!(sizes, [("q", 320, 180), ("h", 640, 360), ("f", 1280, 720)]);
        assert_eq!(announced[0].simulcast_codecs[0].cid, announced[0].cid);
        assert!(announced[1].muted && announced[1].disable_red);
        let single = announcements(&config(false), false);
        assert_eq!(single[0].layers.len(), 1);
        assert_eq!(single[0].layers[0].quality, VideoQuality::High as i32);
    }

    #[test]
    fn only_watched_layers_are_wanted() {
        let mut demand = Demand::new(&config(true), false);
        assert_eq!(demand.wants(), Wants { video: [true; 3], opus: true, aac: false });
        demand.quality_update(&update("video/h264", [true, false, false]));
        assert_eq!(demand.wants().video, [true, false, false]);
        demand.quality_update(&update("vp8", [true; 3]));
        assert_eq!(demand.wants().video, [true, false, false]);
        demand.quality_update(&update("h264", [false; 3]));
        demand.audio_muted = true;
        assert_eq!(demand.wants(), Wants::NOTHING);
    }

    #[test]
    fn what_the_uplink_does_not_carry_is_not_wanted_and_the_sound_always_is() {
        let mut demand = Demand::new(&config(true), false);
        demand.quality_update(&update("h264", [true, false, true]));
        for (allowed, video) in [(3, [true, false, true]), (2, [true, false, false]), (0, [false; 3])] {
            demand.allowed = allowed;
            assert_eq!(demand.wants(), Wants { video, opus: true, aac: false });
            assert_eq!(demand.wanted_video(), [true, false, true]);
        }
    }

    #[test]
    fn without_simulcast_any_quality_means_the_full_picture() {
        let mut demand = Demand::new(&config(false), false);
        assert_eq!(demand.wants().video, [false, false, true]);
        demand.quality_update(&update("h264", [true, false, false]));
        assert_eq!(demand.wants().video, [false, false, true]);
        demand.video_muted = true;
        assert_eq!(demand.wants().video, [false; 3]);
    }
}
