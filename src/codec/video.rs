//! The threads that encode pictures: one for the full picture, one for the two lower layers.

use std::sync::Arc;
use std::time::Duration;

use super::h264::{H264Encoder, H264Settings};
use super::{CodecError, POLL};
use crate::base::Shutdown;
use crate::base::clock::{self, MediaTime};
use crate::base::pulse::Pulse;
use crate::base::thread;
use crate::base::units::Bitrate;
use crate::media::{FramePool, FrameReader, Layer, Received, Stream, TrackId, VideoFrame, VideoFrames};
use crate::sys::scale::{I420, I420Mut, scale};

/// Pictures that may wait for an encoder. Normally none does; two absorb a moment without CPU. When it is full the
/// oldest is dropped: the encoder gets the newest pictures and latency does not grow.
const PICTURES: usize = 2;

/// An encoder that nobody wanted for so long gives its memory back.
const IDLE: Duration = Duration::from_secs(10);

/// How pictures are encoded. Sizes follow from the pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoConfig {
    /// Pictures per second that the source gives, 1 to 60.
    pub fps: u32,
    /// Of the full picture; the half gets a quarter of it, the quarter two 25ths (2000 makes 500 and 160 kbit/s).
    pub bitrate: Bitrate,
    /// From one IDR to the next when nobody asks, in seconds, at least 1.
    pub keyframe_interval_s: u32,
}

impl Default for VideoConfig {
    fn default() -> Self {
        VideoConfig { fps: 30, bitrate: Bitrate::kbps(2000), keyframe_interval_s: 2 }
    }
}

impl VideoConfig {
    /// The bitrate of `layer`.
    pub const fn bitrate_of(&self, layer: Layer) -> Bitrate {
        let full = self.bitrate.as_bps();
        match layer {
            Layer::Full => self.bitrate,
            Layer::Half => Bitrate::bps(full / 4),
            Layer::Quarter => Bitrate::bps(full / 25 * 2),
        }
    }
}

/// Encodes the full picture on the thread `encode-full` while a reader of `stream` wants it. Ends when `shutdown`
/// is cancelled or `frames` is closed (then what is queued is encoded first).
///
/// # Errors
/// When the encoder fails.
pub async fn full(
    config: VideoConfig,
    frames: &VideoFrames,
    stream: &Stream,
    shutdown: &Shutdown,
) -> Result<(), CodecError> {
    let (mut pictures, stream) = (frames.subscribe(PICTURES), stream.clone());
    let work = move |shutdown: &Shutdown| {
        let mut layer = LayerEncoder::new(Layer::Full, config);
        let late = |pictures| stream.late(TrackId::Video(Layer::Full), pictures);
        each("encode-full", &mut pictures, shutdown, late, |picture| {
            let wanted = stream.demand().video[Layer::Full.index()] && !picture.encoded;
            layer.picture(picture, wanted, &stream)
        })
    };
    thread::run("encode-full", shutdown, work).await?
}

/// As [`full`], for the two lower layers, on the thread `encode-lower`. A layer that nobody wants costs nothing.
///
/// # Errors
/// When an encoder fails or the picture is too small to be scaled.
pub async fn lower(
    config: VideoConfig,
    frames: &VideoFrames,
    stream: &Stream,
    shutdown: &Shutdown,
) -> Result<(), CodecError> {
    let (mut pictures, stream) = (frames.subscribe(PICTURES), stream.clone());
    let work = move |shutdown: &Shutdown| {
        let mut layers = LowerLayers::new(config);
        // The two are encoded one after the other: what is late for one is late for both.
        let late = |pictures| {
            [Layer::Half, Layer::Quarter]
                .iter()
                .for_each(|&layer| stream.late(TrackId::Video(layer), pictures));
        };
        each("encode-lower", &mut pictures, shutdown, late, |picture| layers.picture(picture, &stream))
    };
    thread::run("encode-lower", shutdown, work).await?
}

fn each(
    name: &'static str,
    pictures: &mut FrameReader<Arc<VideoFrame>>,
    shutdown: &Shutdown,
    late: impl Fn(u64),
    mut encode: impl FnMut(&VideoFrame) -> Result<(), CodecError>,
) -> Result<(), CodecError> {
    let (pulse, mut dropped) = (Pulse::vital(name), 0);
    while !shutdown.is_cancelled() {
        pulse.beat();
        match pictures.recv(POLL) {
            Received::Frame(picture) => encode(&picture)?,
            Received::Nothing => {}
            Received::Closed => break,
        }
        if pictures.dropped() > dropped {
            late(pictures.dropped() - dropped);
            dropped = pictures.dropped();
            tracing::debug!(dropped, "the encoder was late: pictures dropped");
        }
    }
    Ok(())
}

/// The encoder of a layer that is there only while someone wants it.
pub(super) struct LayerEncoder {
    layer: Layer,
    config: VideoConfig,
    encoder: Option<H264Encoder>,
    /// Pictures since someone wanted it.
    idle: u32,
    /// When the last keyframe was captured.
    keyframe: Option<MediaTime>,
}

impl LayerEncoder {
    pub(super) fn new(layer: Layer, config: VideoConfig) -> Self {
        LayerEncoder { layer, config, encoder: None, idle: 0, keyframe: None }
    }

    /// Encodes and publishes `picture`, of this layer's size, if it is `wanted`.
    pub(super) fn picture(
        &mut self,
        picture: &VideoFrame,
        wanted: bool,
        stream: &Stream,
    ) -> Result<(), CodecError> {
        if !wanted {
            self.rest();
            return Ok(());
        }
        let resumed = std::mem::take(&mut self.idle) > 0;
        // Asked always, so that the request counts as answered.
        let asked = stream.take_keyframe_request(self.layer, picture.captured);
        // The encoder counts pictures, and a slate or a camera in the dark gives fewer of them a second. Half a
        // second of patience, so that at the full rate its own count comes first.
        let longest =
            Duration::from_secs(self.config.keyframe_interval_s.into()) + Duration::from_millis(500);
        let overdue = self.keyframe.is_some_and(|at| picture.captured.since(at) >= longest);
        let began = clock::now();
        let encoded = self.encoder_for(picture)?.encode(picture, asked || resumed || overdue)?;
        stream.encoded(TrackId::Video(self.layer), clock::now().saturating_duration_since(began));
        if let Some(unit) = encoded {
            if unit.keyframe {
                self.keyframe = Some(unit.pts);
            }
            stream.publish(&unit);
        }
        Ok(())
    }

    /// Nobody wants this layer now.
    pub(super) fn rest(&mut self) {
        self.idle = self.idle.saturating_add(1);
        if u64::from(self.idle) > IDLE.as_secs() * u64::from(self.config.fps) {
            self.encoder = None;
        }
    }

    fn encoder_for(&mut self, picture: &VideoFrame) -> Result<&mut H264Encoder, CodecError> {
        let config = self.config;
        let settings = H264Settings {
            layer: self.layer,
            size: picture.size(),
            fps: config.fps,
            bitrate: config.bitrate_of(self.layer),
            intra_period: config.fps.saturating_mul(config.keyframe_interval_s).max(1),
        };
        // Another camera, another size: a new encoder, which starts with an IDR.
        let fitting = self.encoder.take().filter(|encoder| encoder.settings().size == settings.size);
        let encoder = match fitting {
            Some(encoder) => encoder,
            None => H264Encoder::new(settings)?,
        };
        Ok(self.encoder.insert(encoder))
    }
}

/// Scales and encodes half and quarter.
pub(super) struct LowerLayers {
    half: LayerEncoder,
    quarter: LayerEncoder,
    /// Memory of the scaled pictures.
    pools: [Option<FramePool>; 2],
}

impl LowerLayers {
    pub(super) fn new(config: VideoConfig) -> Self {
        LowerLayers {
            half: LayerEncoder::new(Layer::Half, config),
            quarter: LayerEncoder::new(Layer::Quarter, config),
            pools: [None, None],
        }
    }

    /// Encodes and publishes the layers of `picture` (the full one) that are wanted now.
    pub(super) fn picture(&mut self, picture: &VideoFrame, stream: &Stream) -> Result<(), CodecError> {
        let wants = stream.demand().video;
        let mut half = None;
        if wants[Layer::Half.index()] {
            let scaled = self.scaled(Layer::Half, picture, picture)?;
            self.half.picture(&scaled, true, stream)?;
            half = Some(scaled);
        } else {
            self.half.rest();
        }
        if wants[Layer::Quarter.index()] {
            // From the half if there is one: a quarter of the pixels to read.
            let scaled = self.scaled(Layer::Quarter, picture, half.as_ref().unwrap_or(picture))?;
            self.quarter.picture(&scaled, true, stream)
        } else {
            self.quarter.rest();
            Ok(())
        }
    }

    fn scaled(
        &mut self,
        layer: Layer,
        full: &VideoFrame,
        from: &VideoFrame,
    ) -> Result<VideoFrame, CodecError> {
        let size = full.size().divided(layer.divisor());
        let pool = &mut self.pools[layer.index()];
        if pool.as_ref().is_none_or(|pool| pool.size() != size) {
            *pool = Some(FramePool::new(size));
        }
        let pool = pool.get_or_insert_with(|| FramePool::new(size));
        let mut scaled = pool.take(full.captured);
        let source = I420 { width: from.size().width, height: from.size().height, planes: from.planes() };
        let target = I420Mut { width: size.width, height: size.height, planes: scaled.planes_mut() };
        if scale(source, target) { Ok(scaled) } else { Err(CodecError::Scale { layer, size: full.size() }) }
    }
}
