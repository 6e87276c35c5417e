//! What one subscriber gets of one track.

use crate::base::clock::MediaTime;
use crate::base::units::ClockRate;

use super::picture::{PictureIds, PictureMap};
use super::sequence::SequenceMap;
use super::spatial::{Cut, Spatial};
use super::timestamp::{SenderReport, TimestampMap};
use crate::media::Layer;

/// A publisher's packet, as far as forwarding needs to know it.
#[derive(Clone, Copy, Debug)]
pub struct Incoming {
    /// Its layer; [`Layer::Full`] for audio and for video in one layer.
    pub layer: Layer,
    /// Its place among the spatial layers; None: its stream has none.
    pub spatial: Option<Spatial>,
    /// Its SSRC: another one in the same layer is another source.
    pub ssrc: u32,
    /// Its sequence number, extended beyond 16 bits.
    pub sequence: u64,
    /// Its RTP timestamp.
    pub timestamp: u32,
    /// Its payload's size.
    pub bytes: usize,
    /// A decoder can begin here; always true for audio.
    pub keyframe: bool,
    /// VP8's own numbers; None for other codecs.
    pub picture: Option<PictureIds>,
    /// The newest sender report of its source.
    pub report: Option<SenderReport>,
    /// When it arrived.
    pub arrival: MediaTime,
}

impl AsRef<Incoming> for Incoming {
    fn as_ref(&self) -> &Incoming {
        self
    }
}

/// The numbers that a subscriber's copy carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Extended sequence number.
    pub sequence: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// VP8's own numbers, where the publisher's packet has them.
    pub picture: Option<PictureIds>,
    /// The last packet of its picture, whatever the publisher's says: larger layers are left out.
    pub ends_picture: bool,
}

/// The state of forwarding one track to one subscriber.
#[derive(Clone, Debug)]
pub struct Forwarder {
    /// The layer to send; None: nothing.
    target: Option<Layer>,
    /// The source that is being sent; a stream in spatial layers is [`Layer::Full`].
    source: Option<(Layer, u32)>,
    cut: Cut,
    sequence: SequenceMap,
    timestamp: TimestampMap,
    picture: PictureMap,
}

impl Forwarder {
    /// Sends nothing until a target is set.
    pub fn new(rate: ClockRate) -> Self {
        Forwarder {
            target: None,
            source: None,
            cut: Cut::default(),
            sequence: SequenceMap::default(),
            timestamp: TimestampMap::new(rate),
            picture: PictureMap::default(),
        }
    }

    /// Changes what is to be sent; None pauses. The old layer goes on until a keyframe of the new one comes.
    pub fn set_target(&mut self, target: Option<Layer>) {
        self.target = target;
        if target.is_none() {
            self.source = None;
        }
    }

    /// Nothing is sent until the source can begin anew; for sound at once.
    pub fn interrupt(&mut self) {
        self.source = None;
    }

    /// The layer that must send a keyframe before the target is reached; None when nothing is waited for.
    pub fn waits_for(&self) -> Option<Layer> {
        let target = self.target?;
        let reached = self.layer().is_some_and(|layer| match self.cut.layer() {
            Some(_) => layer >= target,
            None => layer == target,
        });
        (!reached).then_some(target)
    }

    /// The layer that is being sent.
    pub fn layer(&self) -> Option<Layer> {
        let (layer, _) = self.source?;
        Some(self.cut.layer().unwrap_or(layer))
    }

    /// The numbers for this subscriber's copy of `packet`; None: it does not get one.
    pub fn forward(&mut self, packet: &Incoming) -> Option<Outgoing> {
        let target = self.target?;
        let layer = if packet.spatial.is_some() { Layer::Full } else { packet.layer };
        if self.source != Some((layer, packet.ssrc)) {
            if !packet.keyframe || !self.may_switch(layer, target) {
                return None;
            }
            self.source = Some((layer, packet.ssrc));
            self.cut = Cut::default();
            self.sequence.switch(packet.sequence);
            self.timestamp.switch(packet.timestamp, packet.report, packet.arrival);
            self.picture.switch(packet.picture.unwrap_or_default());
        }
        let mut ends_picture = false;
        if let Some(Spatial { begins_picture, ends_layer }) = packet.spatial {
            let largest = self.cut.layer_at(packet.sequence, begins_picture, packet.keyframe, target)?;
            if packet.layer > largest {
                self.sequence.leave_out(packet.sequence);
                return None;
            }
            ends_picture = ends_layer && packet.layer == largest;
        }
        let sequence = self.sequence.map(packet.sequence)?;
        let newest = self.sequence.is_newest(sequence);
        let timestamp = self.timestamp.map(packet.timestamp, packet.report, packet.arrival, newest);
        let picture = packet.picture.map(|ids| self.picture.map(ids, newest));
        Some(Outgoing { sequence, timestamp, picture, ends_picture })
    }

    /// To the target always; to any layer when nothing is sent yet; to a new SSRC of the layer being sent.
    fn may_switch(&self, next: Layer, target: Layer) -> bool {
        match self.source {
            None => true,
            Some((layer, _)) => next == target || next == layer,
        }
    }
}
