//! The connection of a client that offers once and then watches whatever it is given (WHEP): one section for sound and
//! one for video, whose streams go on while what they carry changes, without a word to the client.

use str0m::media::Mid;

use super::ConnectionKey;
use super::sdp::{Msid, Section};
use super::single::receiving;
use super::slot::{Slot, SlotState};
use super::subscriber::{Subscriber, Wanted};

/// No track has this key.
const NOTHING: u64 = 0;

impl Subscriber {
    /// For an open connection that serves both ways.
    pub fn fixed(key: ConnectionKey) -> Self {
        let mut subscriber = Subscriber::single(key);
        if let Some(single) = &mut subscriber.single {
            single.fixed = true;
        }
        subscriber
    }

    /// It carries what [`Subscriber::show`] says, and nothing else.
    pub fn is_fixed(&self) -> bool {
        self.single.as_ref().is_some_and(|single| single.fixed)
    }

    /// Takes the first section for sound and the first for video that the client can receive in.
    pub(super) fn bind_fixed(&mut self, sections: &[Section<'_>]) {
        let usable: Vec<(Mid, bool)> = sections.iter().filter_map(receiving).collect();
        for video in [false, true] {
            let first = usable.iter().find(|(_, of_video)| *of_video == video).map(|(mid, _)| *mid);
            let before = self.slots.iter().find(|slot| slot.video == video).map(|slot| slot.mid);
            if before == first {
                continue;
            }
            self.slots.retain(|slot| slot.video != video);
            if let Some(mid) = first {
                let wanted = Wanted { track: NOTHING, video, msid: msid(video) };
                self.slots.push(Slot { mid, video, state: SlotState::Active, wanted: Some(wanted) });
            }
        }
    }

    /// What the section of this kind carries.
    pub fn shown(&self, video: bool) -> Option<u64> {
        let slot = self.slots.iter().find(|slot| slot.video == video)?;
        slot.wanted.as_ref().map(|wanted| wanted.track).filter(|track| *track != NOTHING)
    }

    /// From now on the section of this kind carries `track`, or nothing. False: there is no such section.
    pub fn show(&mut self, video: bool, track: Option<u64>) -> bool {
        let slot = self.slots.iter_mut().find(|slot| slot.video == video);
        let Some(wanted) = slot.and_then(|slot| slot.wanted.as_mut()) else { return false };
        wanted.track = track.unwrap_or(NOTHING);
        true
    }
}

/// One stream for both, so that a browser keeps picture and sound together.
fn msid(video: bool) -> Msid {
    let track_id = if video { "video" } else { "audio" };
    Msid { stream_id: "room".to_owned(), track_id: track_id.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use str0m::Rtc;
    use str0m::media::{Direction, MediaKind};

    use super::super::inlet::share;
    use super::super::publisher::Publisher;
    use super::super::socket::UdpPort;
    use super::super::tcp::TcpPort;
    use super::super::{Codecs, Endpoints, NodeIp, Role};
    use super::*;
    use crate::base::clock;

    #[tokio::test]
    async fn the_streams_stay_whatever_they_carry_and_the_client_is_asked_for_nothing() {
        let (share, _) = share(UdpPort::bind(0).unwrap(), TcpPort::bind(0).unwrap(), 0);
        let node_ip = NodeIp::Fixed(Ipv4Addr::LOCALHOST.into());
        let mut endpoints = Endpoints::new(share, node_ip, Codecs::default(), true);
        let key = endpoints.open(Role::Both, clock::now());
        let (mut publisher, mut subscriber) = (Publisher::new(key), Subscriber::fixed(key));
        let mut client = Rtc::new(clock::now());
        let mut api = client.sdp_api();
        for kind in [MediaKind::Audio, MediaKind::Video, MediaKind::Video] {
            api.add_media(kind, Direction::RecvOnly, None, None, None);
        }
        let offer = api.apply().unwrap().0.to_sdp_string();
        let answer = publisher.accept(&mut endpoints, &offer, &mut subscriber).unwrap().answer.sdp;
        assert_eq!(answer.matches("a=sendonly").count(), 2, "{answer}");
        assert_eq!(answer.matches("a=inactive").count(), 1, "the second video: {answer}");
        assert!(answer.contains("a=msid:room audio") && answer.contains("a=msid:room video"), "{answer}");
        assert_eq!((subscriber.shown(true), subscriber.missing()), (None, None));

        assert!(subscriber.show(true, Some(7)));
        let stream = |subscriber: &Subscriber, endpoints: &mut Endpoints| {
            let sending = subscriber.sending(endpoints);
            sending
                .iter()
                .find(|(track, ..)| subscriber.shown(true) == Some(*track))
                .map(|(_, mid, ssrc)| (*mid, *ssrc))
        };
        let first = stream(&subscriber, &mut endpoints).expect("a stream");
        assert_eq!(subscriber.track_of(first.0), Some(7));
        subscriber.remove(7);
        assert!(subscriber.show(true, Some(8)));
        assert_eq!(stream(&subscriber, &mut endpoints), Some(first));
        assert_eq!((subscriber.track_of(first.0), subscriber.missing()), (Some(8), None));
        assert!(subscriber.show(true, None) && subscriber.shown(true).is_none());
    }
}
