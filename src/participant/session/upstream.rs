//! What the network carries of ours, and what is done about it.

use super::super::Event;
use super::super::uplink::Uplink;
use super::Session;
use crate::base::clock;
use crate::rtc::peer::{Fate, PublisherPeer};

impl Session {
    /// The server told what became of packets.
    pub(super) fn uplink_reported(&mut self, fates: &[Fate]) {
        self.context.config.meter.report(clock::now(), fates);
        self.look_at_uplink(|uplink, sent, wanted| uplink.report(clock::now(), fates, sent, wanted));
    }

    /// Time has passed.
    pub(super) fn uplink_due(&mut self) {
        self.look_at_uplink(|uplink, sent, wanted| uplink.tick(clock::now(), sent, wanted));
    }

    /// Why not everything is sent; None when everything is.
    pub fn uplink_reason(&self) -> Option<String> {
        self.uplink.as_ref().and_then(Uplink::reason)
    }

    fn look_at_uplink(&mut self, look: impl FnOnce(&mut Uplink, u64, [bool; 3])) {
        let sent = self.publisher.as_ref().map_or(0, PublisherPeer::packets_sent);
        let wanted = self.demand.wanted_video();
        let before = self.uplink_reason();
        let Some(uplink) = &mut self.uplink else { return };
        look(uplink, sent, wanted);
        self.demand.allowed = uplink.allowed();
        self.update_wants();
        let reason = self.uplink_reason();
        if reason != before {
            match &reason {
                Some(reason) => tracing::warn!(reason, "not everything is sent"),
                None => tracing::info!("everything is sent again"),
            }
            (self.context.events)(Event::Uplink { reason });
        }
    }
}
