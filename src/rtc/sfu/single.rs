//! The single connection: the client offers, and our answer says which of its m-sections carry which track.
//!
//! A client that has too few sections for what it is to get is asked for more ([`Subscriber::missing`]) and offers
//! again. A section goes from one track to another by way of one answer in which it carries none: otherwise browsers
//! do not notice that the track is another.

use std::collections::HashMap;

use str0m::channel::ChannelId;
use str0m::media::Mid;

use super::guard::{Panicked, guard};
use super::sdp::{self, Binding, Kind, MAX_SECTIONS, Section};
use super::slot::{Slot, SlotState, renew_stream};
use super::subscriber::{Subscriber, Wanted};
use super::{ConnectionKey, Endpoints};

/// What is known of the client's offers.
#[derive(Debug, Default)]
pub(super) struct Single {
    /// m-sections in the newest offer; 0: there was none.
    sections: usize,
    /// The client was asked to offer again, and for how many sections of audio and of video.
    asked: Option<[usize; 2]>,
    /// The client offers only for itself: it is never asked to, and its sections keep their streams whatever they carry.
    pub(super) fixed: bool,
}

impl Single {
    /// What the client was asked for it may not have heard.
    pub fn forget(&mut self) {
        self.asked = None;
    }
}

/// m-sections that the client shall add to its next offer; both zero: it shall merely offer again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// For audio.
    pub audio: u32,
    /// For video.
    pub video: u32,
}

/// An answer as the client gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The SDP.
    pub sdp: String,
    /// MID → track sid, of the sections that carry a track.
    pub tracks: HashMap<String, String>,
}

impl Subscriber {
    /// For an open connection that serves both ways.
    pub fn single(key: ConnectionKey) -> Self {
        let mut subscriber = Subscriber::new(key);
        subscriber.single = Some(Single::default());
        subscriber
    }

    /// A channel for data that the client made: it serves both ways.
    pub fn adopt(&mut self, channel: ChannelId, reliable: bool) {
        let place = if reliable { &mut self.channels.reliable } else { &mut self.channels.lossy };
        *place = Some(channel);
    }

    /// The client offers.
    pub fn is_single(&self) -> bool {
        self.single.is_some()
    }

    /// Chooses the sections of the client's offer that will carry tracks. To be called with a checked offer, before it
    /// is accepted.
    ///
    /// # Errors
    /// [`Panicked`]: the connection is closed.
    pub(super) fn bind(&mut self, endpoints: &mut Endpoints, offer: &str) -> Result<(), Panicked> {
        let sections = sdp::sections(offer);
        if self.is_fixed() {
            self.bind_fixed(&sections);
            return Ok(());
        }
        let Some(single) = &mut self.single else { return Ok(()) };
        (single.sections, single.asked) = (sections.len(), None);
        let usable: Vec<(Mid, bool)> = sections.iter().filter_map(receiving).collect();
        self.slots.retain(|slot| usable.iter().any(|(mid, _)| *mid == slot.mid));
        let mut free: Vec<Mid> = Vec::new();
        for (mid, video) in usable {
            match self.slots.iter().find(|slot| slot.mid == mid) {
                Some(slot) if slot.state != SlotState::Idle => {}
                Some(_) => free.push(mid),
                None => {
                    self.slots.push(Slot { mid, video, state: SlotState::Idle, wanted: None });
                    free.push(mid);
                }
            }
        }
        let Subscriber { wanted, slots, .. } = self;
        let is_wanted =
            |slot: &Slot| slot.wanted.as_ref().is_some_and(|it| wanted.iter().any(|w| w.track == it.track));
        for slot in slots.iter_mut().filter(|slot| slot.state == SlotState::Active && !is_wanted(slot)) {
            (slot.state, slot.wanted) = (SlotState::Idle, None);
        }
        let mut renewed = Vec::new();
        for track in self.unbound() {
            let idle = |slot: &&mut Slot| free.contains(&slot.mid) && slot.video == track.video;
            let Some(slot) = self.slots.iter_mut().find(idle) else { continue };
            free.retain(|mid| *mid != slot.mid);
            (slot.state, slot.wanted) = (SlotState::Active, Some(track));
            renewed.push((slot.mid, slot.video));
        }
        let connection = endpoints.get_mut(self.key).filter(|connection| !connection.closed);
        let Some(connection) = connection else { return Ok(()) };
        let renewing = guard(|| {
            for (mid, video) in renewed {
                // One that is new has no stream yet.
                if connection.rtc.media(mid).is_some() {
                    renew_stream(&mut connection.rtc, mid, video);
                }
            }
        });
        connection.closed |= renewing.is_err();
        renewing
    }

    /// What our answer to `offer` shall say, made from what the library says.
    pub(super) fn label_answer(&self, offer: &str, answer: String) -> Answer {
        if !self.is_single() {
            return Answer { sdp: answer, tracks: HashMap::new() };
        }
        let sections = sdp::sections(offer);
        let carried = |mid: &str| {
            self.slots.iter().find(|slot| *slot.mid == *mid).and_then(|slot| slot.wanted.as_ref())
        };
        let sdp = sdp::rewrite(&answer, |mid| {
            let media = |section: &&Section<'_>| matches!(section.kind, Kind::Audio | Kind::Video);
            let section = sections.iter().filter(media).find(|section| section.mid == Some(mid))?;
            let msid = carried(mid).map(|wanted| &wanted.msid);
            let direction = match (msid.is_some(), section.sends) {
                _ if section.port_zero => return None,
                (true, true) => "sendrecv",
                (true, false) => "sendonly",
                (false, true) => "recvonly",
                (false, false) => "inactive",
            };
            Some(Binding { msid, direction: Some(direction) })
        });
        let of_slot = |slot: &Slot| Some((slot.mid.to_string(), slot.wanted.as_ref()?.msid.track_id.clone()));
        Answer { sdp, tracks: self.slots.iter().filter_map(of_slot).collect() }
    }

    /// What the client shall be asked for so that it gets what it is to get; None: nothing, or it was asked.
    pub fn missing(&mut self) -> Option<Missing> {
        let unbound = self.unbound();
        let is_wanted = |slot: &Slot| {
            slot.wanted.as_ref().is_some_and(|it| self.wanted.iter().any(|w| w.track == it.track))
        };
        let spare = |slot: &&Slot| !is_wanted(slot);
        let released = self.slots.iter().any(|slot| slot.wanted.is_some() && !is_wanted(slot));
        let lack = |video: bool| {
            let spare = self.slots.iter().filter(spare).filter(|slot| slot.video == video).count();
            unbound.iter().filter(|wanted| wanted.video == video).count().saturating_sub(spare)
        };
        let lacking = [lack(false), lack(true)];
        let usable =
            self.slots.iter().any(|slot| !is_wanted(slot) && unbound.iter().any(|w| w.video == slot.video));
        let single = self.single.as_mut().filter(|single| single.sections > 0 && !single.fixed)?;
        let before = single.asked.unwrap_or_default();
        let mut room = MAX_SECTIONS.saturating_sub(single.sections + before[0] + before[1]);
        let more = [0, 1].map(|kind| {
            let more = lacking[kind].saturating_sub(before[kind]).min(room);
            room -= more;
            more
        });
        let offers_again = single.asked.is_none() && (released || usable);
        if more == [0, 0] && !offers_again {
            return None;
        }
        single.asked = Some([before[0] + more[0], before[1] + more[1]]);
        Some(Missing { audio: more[0] as u32, video: more[1] as u32 })
    }

    /// Wanted, but in no section.
    fn unbound(&self) -> Vec<Wanted> {
        let carries = |slot: &Slot, track| slot.wanted.as_ref().is_some_and(|wanted| wanted.track == track);
        let is_unbound = |wanted: &&Wanted| !self.slots.iter().any(|slot| carries(slot, wanted.track));
        self.wanted.iter().filter(is_unbound).cloned().collect()
    }
}

/// The MID of a section that the client can receive in, and whether it is for video.
pub(super) fn receiving(section: &Section<'_>) -> Option<(Mid, bool)> {
    let media = matches!(section.kind, Kind::Audio | Kind::Video);
    let usable = media && section.receives && !section.port_zero;
    section.mid.filter(|_| usable).map(|mid| (Mid::from(mid), section.kind == Kind::Video))
}

#[cfg(test)]
mod tests {
    use super::super::inlet::share;
    use super::super::sdp::Msid;
    use super::super::socket::UdpPort;
    use super::super::{Codecs, NodeIp, Role};
    use super::*;
    use crate::base::clock;
    use crate::rtc::sfu::publisher::Publisher;
    use crate::rtc::sfu::tcp::TcpPort;
    use str0m::Rtc;
    use str0m::change::SdpAnswer;
    use str0m::media::{Direction, MediaKind};

    /// Both ends of a single connection, as far as SDP goes.
    struct Call {
        client: Rtc,
        sections: Vec<(Mid, Direction)>,
        endpoints: Endpoints,
        publisher: Publisher,
        subscriber: Subscriber,
    }

    impl Call {
        fn new() -> Call {
            let node_ip = NodeIp::Fixed(std::net::Ipv4Addr::LOCALHOST.into());
            let (share, _) = share(UdpPort::bind(0).unwrap(), TcpPort::bind(0).unwrap(), 0);
            let mut endpoints = Endpoints::new(share, node_ip, Codecs::default(), true);
            let key = endpoints.open(Role::Both, clock::now());
            let (publisher, subscriber) = (Publisher::new(key), Subscriber::single(key));
            Call { client: Rtc::new(clock::now()), sections: Vec::new(), endpoints, publisher, subscriber }
        }

        fn want(&mut self, track: u64, video: bool) {
            let msid = Msid { stream_id: format!("PA_x|TR_{track}"), track_id: format!("TR_{track}") };
            self.subscriber.add(Wanted { track, video, msid });
        }

        /// The client offers once more, with `add` new sections.
        fn offer(&mut self, add: &[(MediaKind, Direction)]) -> Answer {
            let mut api = self.client.sdp_api();
            // A browser offers a section again as it meant it, whatever the last answer was.
            self.sections.iter().for_each(|(mid, direction)| api.set_direction(*mid, *direction));
            for (kind, direction) in add {
                self.sections.push((api.add_media(*kind, *direction, None, None, None), *direction));
            }
            if add.is_empty() {
                api.ice_restart(true);
            }
            let (offer, pending) = api.apply().expect("an offer");
            let offer = offer.to_sdp_string();
            let accepted = self.publisher.accept(&mut self.endpoints, &offer, &mut self.subscriber);
            let answer = accepted.unwrap().answer;
            let parsed = SdpAnswer::from_sdp_string(&answer.sdp).unwrap();
            self.client.sdp_api().accept_answer(pending, parsed).unwrap();
            answer
        }

        fn ssrcs(&mut self) -> Vec<u64> {
            self.subscriber.sending(&mut self.endpoints).iter().map(|(track, ..)| *track).collect()
        }
    }

    const RECEIVE_AUDIO: (MediaKind, Direction) = (MediaKind::Audio, Direction::RecvOnly);
    const RECEIVE_VIDEO: (MediaKind, Direction) = (MediaKind::Video, Direction::RecvOnly);

    #[tokio::test]
    async fn sections_carry_what_is_wanted_and_the_others_are_inactive() {
        let mut call = Call::new();
        call.want(1, true);
        assert_eq!(call.subscriber.missing(), None, "it has not offered yet");
        let answer = call.offer(&[
            RECEIVE_AUDIO,
            RECEIVE_VIDEO,
            RECEIVE_VIDEO,
            (MediaKind::Audio, Direction::SendOnly),
        ]);
        assert_eq!(answer.tracks.values().collect::<Vec<_>>(), ["TR_1"]);
        assert_eq!(answer.sdp.matches("a=inactive").count(), 2, "{}", answer.sdp);
        assert_eq!(answer.sdp.matches("a=sendonly").count(), 1);
        assert_eq!(answer.sdp.matches("a=recvonly").count(), 1);
        assert_eq!(answer.sdp.matches("a=msid:").count(), 1);
        assert!(answer.sdp.contains("a=msid:PA_x|TR_1 TR_1\r\n"), "{}", answer.sdp);
        assert_eq!(call.ssrcs(), [1]);
        assert_eq!(call.subscriber.missing(), None);
    }

    #[tokio::test]
    async fn what_does_not_fit_is_asked_for_once() {
        let mut call = Call::new();
        call.offer(&[RECEIVE_AUDIO]);
        call.want(1, false);
        call.want(2, false);
        call.want(3, true);
        assert_eq!(call.subscriber.missing(), Some(Missing { audio: 1, video: 1 }));
        assert_eq!(call.subscriber.missing(), None, "it was asked");
        call.want(4, true);
        assert_eq!(call.subscriber.missing(), Some(Missing { audio: 0, video: 1 }));
        let answer = call.offer(&[RECEIVE_AUDIO, RECEIVE_VIDEO, RECEIVE_VIDEO]);
        assert_eq!(answer.tracks.len(), 4);
        assert_eq!(call.ssrcs(), [1, 2, 3, 4]);
        assert_eq!(call.subscriber.missing(), None);
    }

    #[tokio::test]
    async fn a_section_changes_hands_by_way_of_an_inactive_answer_and_with_another_stream() {
        let mut call = Call::new();
        call.want(1, true);
        call.offer(&[RECEIVE_VIDEO]);
        let first = call.subscriber.sending(&mut call.endpoints)[0].2;
        call.subscriber.remove(1);
        call.want(2, true);
        let again = Some(Missing { audio: 0, video: 0 });
        assert_eq!(call.subscriber.missing(), again, "its section comes free");
        let between = call.offer(&[]);
        assert!(between.tracks.is_empty() && between.sdp.contains("a=inactive"), "{}", between.sdp);
        assert!(call.ssrcs().is_empty());
        assert_eq!(call.subscriber.missing(), again);
        let answer = call.offer(&[]);
        assert_eq!(answer.tracks.values().collect::<Vec<_>>(), ["TR_2"]);
        let second = call.subscriber.sending(&mut call.endpoints)[0].2;
        assert_ne!(first, second, "nothing of the old track's stream is mixed in");
        assert!(answer.sdp.contains(&format!("a=ssrc:{} msid:PA_x|TR_2 TR_2", *second)), "{}", answer.sdp);
        assert_eq!(call.subscriber.missing(), None);
    }

    #[tokio::test]
    async fn no_more_sections_are_asked_for_than_an_offer_may_have() {
        let mut call = Call::new();
        call.offer(&[RECEIVE_AUDIO]);
        (0..200).for_each(|track| call.want(track, false));
        assert_eq!(call.subscriber.missing(), Some(Missing { audio: MAX_SECTIONS as u32 - 1, video: 0 }));
        call.want(200, true);
        assert_eq!(call.subscriber.missing(), None);
    }
}
