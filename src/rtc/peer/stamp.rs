//! What the library leaves out of a simulcast publisher: MID and RID on every packet, MID and repaired RID on
//! retransmissions, and keyframe requests handed to whoever encodes.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

use super::engine::{MID_URI, REPAIRED_RID_URI, RID_URI};

/// What is to be written on the packets of one of our streams; shared with the publisher, which learns the MID
/// only when it makes the offer.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels(Arc<Mutex<HashMap<u32, Label>>>);

#[derive(Clone, Debug)]
struct Label {
    mid: Bytes,
    /// Empty for a track without simulcast.
    rid: Bytes,
}

impl Labels {
    /// The packets of `ssrc` belong to `mid` and, when it is not empty, to the layer `rid`.
    pub fn set(&self, ssrc: u32, mid: &str, rid: &str) {
        let label = Label {
            mid: Bytes::copy_from_slice(mid.as_bytes()),
            rid: Bytes::copy_from_slice(rid.as_bytes()),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(ssrc, label);
    }

    fn of(&self, ssrc: u32) -> Option<Label> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&ssrc).cloned()
    }
}

/// Told which of our SSRCs somebody wants a keyframe of. Runs on the connection's task: must not block.
pub(super) type OnKeyframeRequest = Arc<dyn Fn(u32) + Send + Sync>;

/// The interceptor next to the wire of a publishing connection.
pub(super) struct Stamp {
    labels: Labels,
    on_keyframe_request: OnKeyframeRequest,
    /// By SSRC, retransmissions' too: header extension id and value.
    extensions: HashMap<u32, Vec<(u8, Bytes)>>,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

impl Stamp {
    pub fn new(labels: Labels, on_keyframe_request: OnKeyframeRequest) -> Self {
        let (reads, writes) = (VecDeque::new(), VecDeque::new());
        Stamp { labels, on_keyframe_request, extensions: HashMap::new(), reads, writes }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Stamp {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(compound) = &packet.message.packet {
            for one in compound {
                let one = one.as_any();
                if let Some(pli) = one.downcast_ref::<PictureLossIndication>() {
                    (self.on_keyframe_request)(pli.media_ssrc);
                } else if let Some(fir) = one.downcast_ref::<FullIntraRequest>() {
                    fir.fir.iter().for_each(|entry| (self.on_keyframe_request)(entry.ssrc));
                }
            }
        }
        self.reads.push_back(packet);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reads.pop_front()
    }

    fn handle_write(&mut self, mut packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(rtp) = &mut packet.message.packet {
            for (id, value) in self.extensions.get(&rtp.header.ssrc).into_iter().flatten() {
                rtp.header.set_extension(*id, value.clone())?;
            }
        }
        self.writes.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }
}

impl Interceptor for Stamp {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        let Some(label) = self.labels.of(info.ssrc) else { return };
        let id = |uri: &str| {
            let found = info.rtp_header_extensions.iter().find(|extension| extension.uri == uri);
            found.and_then(|extension| u8::try_from(extension.id).ok())
        };
        let stamps = |rid_uri: &str| {
            let mid = id(MID_URI).map(|id| (id, label.mid.clone()));
            let rid = id(rid_uri).filter(|_| !label.rid.is_empty()).map(|id| (id, label.rid.clone()));
            mid.into_iter().chain(rid).collect::<Vec<_>>()
        };
        self.extensions.insert(info.ssrc, stamps(RID_URI));
        if let Some(ssrc) = info.ssrc_rtx {
            self.extensions.insert(ssrc, stamps(REPAIRED_RID_URI));
        }
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.extensions.remove(&info.ssrc);
        info.ssrc_rtx.map(|ssrc| self.extensions.remove(&ssrc));
    }

    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}
