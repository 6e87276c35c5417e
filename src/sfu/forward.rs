//! What one subscriber gets of one track.

use crate::base::clock::MediaTime;
use crate::base::units::ClockRate;

use super::picture::{PictureIds, PictureMap};
use super::sequence::SequenceMap;
use super::timestamp::{SenderReport, TimestampMap};
use crate::media::Layer;

/// A publisher's packet, as far as forwarding needs to know it.
#[derive(Clone, Copy, Debug)]
pub struct Incoming {
    /// Its layer; [`Layer::Full`] for audio and for video without simulcast.
    pub layer: Layer,
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

/// The numbers that a subscriber's copy carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Extended sequence number.
    pub sequence: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// VP8's own numbers, where the publisher's packet has them.
    pub picture: Option<PictureIds>,
}

/// The state of forwarding one track to one subscriber.
#[derive(Clone, Copy, Debug)]
pub struct Forwarder {
    /// The layer to send; None: nothing.
    target: Option<Layer>,
    /// The source that is being sent.
    source: Option<(Layer, u32)>,
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
        (self.source.map(|(layer, _)| layer) != Some(target)).then_some(target)
    }

    /// The layer that is being sent.
    pub fn layer(&self) -> Option<Layer> {
        self.source.map(|(layer, _)| layer)
    }

    /// The numbers for this subscriber's copy of `packet`; None: it does not get one.
    pub fn forward(&mut self, packet: &Incoming) -> Option<Outgoing> {
        let target = self.target?;
        let source = (packet.layer, packet.ssrc);
        if self.source != Some(source) {
            if !packet.keyframe || !self.may_switch(packet, target) {
                return None;
            }
            self.source = Some(source);
            self.sequence.switch(packet.sequence);
            self.timestamp.switch(packet.timestamp, packet.report, packet.arrival);
            self.picture.switch(packet.picture.unwrap_or_default());
        }
        let sequence = self.sequence.map(packet.sequence)?;
        let newest = self.sequence.is_newest(sequence);
        let timestamp = self.timestamp.map(packet.timestamp, packet.report, packet.arrival, newest);
        let picture = packet.picture.map(|ids| self.picture.map(ids, newest));
        Some(Outgoing { sequence, timestamp, picture })
    }

    /// To the target always; to any layer when nothing is sent yet; to a new SSRC of the layer being sent.
    fn may_switch(&self, packet: &Incoming, target: Layer) -> bool {
        match self.source {
            None => true,
            Some((layer, _)) => packet.layer == target || packet.layer == layer,
        }
    }
}
