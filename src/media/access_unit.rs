//! Encoded media: one access unit is one picture or one packet of sound.

use std::time::Duration;

use bytes::Bytes;

use crate::base::clock::MediaTime;

/// One simulcast layer of a picture, by the RIDs that LiveKit uses. Ordered by size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// RID `q`: a quarter of the width and height (180p of 720p).
    Quarter,
    /// RID `h`: half of the width and height (360p of 720p).
    Half,
    /// RID `f`: the full picture, the one that recordings and pushes read; also the only layer of a track without
    /// simulcast.
    Full,
}

impl Layer {
    /// All layers, lowest first, as in `a=simulcast:send q;h;f`.
    pub const ALL: [Layer; 3] = [Layer::Quarter, Layer::Half, Layer::Full];

    /// The RID (RFC 8851) of this layer.
    pub const fn rid(self) -> &'static str {
        match self {
            Layer::Quarter => "q",
            Layer::Half => "h",
            Layer::Full => "f",
        }
    }

    /// The layer of a RID: `q`, `h`, `f`, or the older `2`, `1`, `0` of some SDKs. None for others.
    pub fn from_rid(rid: &str) -> Option<Layer> {
        match rid {
            "q" | "2" => Some(Layer::Quarter),
            "h" | "1" => Some(Layer::Half),
            "f" | "0" => Some(Layer::Full),
            _ => None,
        }
    }

    /// From LiveKit's `VideoQuality` (LOW 0, MEDIUM 1, HIGH 2). None for OFF and unknown numbers.
    pub fn from_quality(quality: i32) -> Option<Layer> {
        usize::try_from(quality).ok().and_then(|index| Layer::ALL.get(index).copied())
    }

    /// By how much width and height are divided.
    pub const fn divisor(self) -> u32 {
        match self {
            Layer::Quarter => 4,
            Layer::Half => 2,
            Layer::Full => 1,
        }
    }

    /// 0 for quarter, 1 for half, 2 for full: an index into arrays of three.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// Which track of a [`super::Stream`] an access unit belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrackId {
    /// H.264 of one simulcast layer.
    Video(Layer),
    /// Opus, 48 kHz mono, 20 ms packets.
    Opus,
    /// AAC-LC, 48 kHz mono, 1024 samples an access unit, raw (no ADTS).
    Aac,
}

impl TrackId {
    /// All tracks, by [`TrackId::index`].
    pub const ALL: [TrackId; 5] = [
        TrackId::Video(Layer::Quarter),
        TrackId::Video(Layer::Half),
        TrackId::Video(Layer::Full),
        TrackId::Opus,
        TrackId::Aac,
    ];

    /// Its place in [`TrackId::ALL`].
    pub const fn index(self) -> usize {
        match self {
            TrackId::Video(layer) => layer.index(),
            TrackId::Opus => 3,
            TrackId::Aac => 4,
        }
    }

    /// `video-quarter`, `video-half`, `video-full`, `opus`, `aac`.
    pub const fn name(self) -> &'static str {
        match self {
            TrackId::Video(Layer::Quarter) => "video-quarter",
            TrackId::Video(Layer::Half) => "video-half",
            TrackId::Video(Layer::Full) => "video-full",
            TrackId::Opus => "opus",
            TrackId::Aac => "aac",
        }
    }
}

/// One encoded picture or packet of sound. Cheap to clone: the bytes are shared.
#[derive(Clone, Debug)]
pub struct AccessUnit {
    /// The track that it belongs to.
    pub track: TrackId,
    /// When its first sample was captured; decode order is presentation order (no B-frames).
    pub pts: MediaTime,
    /// How long it lasts: exact for sound, the nominal frame time for pictures.
    pub duration: Duration,
    /// H.264: an IDR picture with its SPS and PPS in front. Sound: always true.
    pub keyframe: bool,
    /// H.264: Annex B with 4-byte start codes, at least one NAL; Opus: one packet (RFC 6716); AAC: one raw
    /// access unit (ISO/IEC 14496-3). Never empty.
    pub data: Bytes,
    /// Opus: loudness in -dBov, 0 loudest, 127 silence (RFC 6464 §3). 127 for other tracks.
    pub audio_level: u8,
}

/// A set of tracks: what a reader wants, or what all readers of a stream want together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// By [`Layer::index`].
    pub video: [bool; 3],
    /// Opus packets.
    pub opus: bool,
    /// AAC access units.
    pub aac: bool,
}

impl Wants {
    /// Nothing.
    pub const NOTHING: Wants = Wants { video: [false; 3], opus: false, aac: false };
    /// What a recording or a push reads: the full picture and AAC.
    pub const RECORDING: Wants = Wants { video: [false, false, true], opus: false, aac: true };

    /// Whether `track` is in the set.
    pub fn contains(&self, track: TrackId) -> bool {
        match track {
            TrackId::Video(layer) => self.video[layer.index()],
            TrackId::Opus => self.opus,
            TrackId::Aac => self.aac,
        }
    }

    /// Everything that is in either set.
    pub fn union(self, other: Wants) -> Wants {
        let [q, h, f] = self.video;
        let [oq, oh, of] = other.video;
        Wants {
            video: [q || oq, h || oh, f || of],
            opus: self.opus || other.opus,
            aac: self.aac || other.aac,
        }
    }
}
