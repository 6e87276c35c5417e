//! A subscriber's connection: we offer, one offer at a time. (Where one connection serves both ways the client
//! offers: `single`.)
//!
//! Tracks come and go faster than clients answer. What is wanted is kept as a list; an offer is made from the
//! difference to what was negotiated, and the next one when its answer is there.

use std::time::{Duration, Instant};

use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::format::{CodecConfig, PayloadParams};
use str0m::media::{Direction, MediaKind, Mid, Pt};
use str0m::rtp::Ssrc;
use str0m::{Rtc, RtcError};

use super::guard::{Panicked, guard};
use super::sdp::{Binding, Msid, OfferError, OfferRules, rewrite};
use super::settings;
use super::single::Single;
use super::slot::{Slot, SlotState, add_channels, renew_stream};
use super::{ConnectionKey, Endpoints};

pub use super::slot::Channels;

/// How long a client may take to answer an offer.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Clients on pion whose ICE has not begun take a second offer for an ICE restart that nobody asked for, and then
/// never connect. So the second one waits until the client is connected, or for this long: it may have no way to be.
const SETTLING: Duration = Duration::from_secs(3);

/// A track that the subscriber should get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The track, within the driver.
    pub track: u64,
    /// Video, else audio.
    pub video: bool,
    /// Whose it is.
    pub msid: Msid,
}

/// An offer for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Comes back with the answer.
    pub id: u32,
    /// The SDP.
    pub sdp: String,
}

struct Pending {
    id: u32,
    since: Instant,
    changes: SdpPendingOffer,
    /// It brings the channels for data.
    first: bool,
}

/// A subscriber's connection.
pub struct Subscriber {
    /// In [`Endpoints`].
    pub key: ConnectionKey,
    /// For data.
    pub channels: Channels,
    rules: OfferRules,
    pub(super) slots: Vec<Slot>,
    pub(super) wanted: Vec<Wanted>,
    pending: Option<Pending>,
    offers: u32,
    /// When the last offer was made.
    offered: Option<Instant>,
    /// There was something to offer, but the client was not connected yet.
    held: bool,
    restart: bool,
    /// The client offers.
    pub(super) single: Option<Single>,
}

impl Subscriber {
    /// For an open connection.
    pub fn new(key: ConnectionKey) -> Self {
        Subscriber {
            key,
            channels: Channels::default(),
            rules: OfferRules::default(),
            slots: Vec::new(),
            wanted: Vec::new(),
            pending: None,
            offers: 0,
            offered: None,
            held: false,
            restart: false,
            single: None,
        }
    }

    /// Adds a track; nothing happens when it is there.
    pub fn add(&mut self, wanted: Wanted) {
        if !self.wanted.iter().any(|known| known.track == wanted.track) {
            self.wanted.push(wanted);
        }
    }

    /// Takes a track out again.
    pub fn remove(&mut self, track: u64) {
        self.wanted.retain(|known| known.track != track);
    }

    /// The next offer restarts ICE, and an unanswered one is forgotten: the client has lost it.
    pub fn restart(&mut self) {
        if let Some(single) = &mut self.single {
            single.forget();
            return;
        }
        self.restart = true;
        if let Some(forgotten) = self.pending.take() {
            // They were only in the forgotten offer; the others' directions the library has kept.
            self.slots.retain(|slot| slot.state != SlotState::Adding);
            if forgotten.first {
                self.channels = Channels::default();
            }
        }
    }

    /// The client has not answered in time.
    pub fn overdue(&self, now: Instant) -> bool {
        self.pending
            .as_ref()
            .is_some_and(|pending| now.saturating_duration_since(pending.since) > ANSWER_TIMEOUT)
    }

    /// An offer was held back for a client that was not connected, and has waited long enough.
    pub fn is_held(&self, now: Instant) -> bool {
        self.held && !self.settles(now)
    }

    fn settles(&self, now: Instant) -> bool {
        self.offered.is_some_and(|at| now.saturating_duration_since(at) < SETTLING)
    }

    /// The next offer; None: nothing to say, or an answer is awaited, or the client is not ready for another one, or it
    /// is the client that offers.
    ///
    /// # Errors
    /// [`Panicked`]: the connection is closed.
    pub fn offer(&mut self, endpoints: &mut Endpoints, now: Instant) -> Result<Option<Offer>, Panicked> {
        if self.pending.is_some() || self.single.is_some() {
            return Ok(None);
        }
        let key = self.key;
        let Some(connection) = endpoints.get_mut(key).filter(|connection| !connection.closed) else {
            return Ok(None);
        };
        self.held = !connection.connected && !self.restart && self.settles(now);
        if self.held {
            return Ok(None);
        }
        let first = self.channels.reliable.is_none();
        let made = guard(|| self.change(&mut connection.rtc));
        connection.closed |= made.is_err();
        let Some((sdp, changes, coming_ufrag)) = made? else { return Ok(None) };
        self.offers = self.offers.wrapping_add(1).max(1);
        self.pending = Some(Pending { id: self.offers, since: now, changes, first });
        (self.offered, self.restart) = (Some(now), false);
        endpoints.refresh_ufrag(key, coming_ufrag);
        Ok(Some(Offer { id: self.offers, sdp: self.label(&sdp) }))
    }

    fn change(&mut self, rtc: &mut Rtc) -> Option<(String, SdpPendingOffer, Option<String>)> {
        let unwanted = |slot: &Slot, wanted: &[Wanted]| {
            let carries = slot.wanted.as_ref().is_some_and(|it| wanted.iter().any(|w| w.track == it.track));
            slot.state == SlotState::Active && !carries
        };
        let fresh: Vec<Wanted> =
            self.wanted.iter().filter(|wanted| !self.has(wanted.track)).cloned().collect();
        let mut revived = Vec::new();
        for wanted in &fresh {
            let idle = |slot: &&mut Slot| slot.state == SlotState::Idle && slot.video == wanted.video;
            let Some(slot) = self.slots.iter_mut().find(idle) else { continue };
            renew_stream(rtc, slot.mid, slot.video);
            (slot.state, slot.wanted) = (SlotState::Reviving, Some(wanted.clone()));
            revived.push(wanted.track);
        }
        let mut api = rtc.sdp_api();
        if self.channels.reliable.is_none() {
            self.channels = add_channels(&mut api);
        }
        for slot in &mut self.slots {
            if unwanted(slot, &self.wanted) {
                slot.state = SlotState::Removing;
            }
            match slot.state {
                SlotState::Removing => api.set_direction(slot.mid, Direction::Inactive),
                SlotState::Reviving => api.set_direction(slot.mid, Direction::SendOnly),
                _ => {}
            }
        }
        for wanted in fresh.into_iter().filter(|wanted| !revived.contains(&wanted.track)) {
            let kind = if wanted.video { MediaKind::Video } else { MediaKind::Audio };
            let (stream, track) = (wanted.msid.stream_id.clone(), wanted.msid.track_id.clone());
            let mid = api.add_media(kind, Direction::SendOnly, Some(stream), Some(track), None);
            let video = wanted.video;
            self.slots.push(Slot { mid, video, state: SlotState::Adding, wanted: Some(wanted) });
        }
        let coming_ufrag = self.restart.then(|| api.ice_restart(true).ufrag);
        let (offer, pending) = api.apply()?;
        Some((offer.to_sdp_string(), pending, coming_ufrag))
    }

    fn has(&self, track: u64) -> bool {
        let carries = |slot: &Slot| slot.wanted.as_ref().is_some_and(|wanted| wanted.track == track);
        self.slots.iter().any(|slot| slot.state != SlotState::Removing && carries(slot))
    }

    fn label(&self, sdp: &str) -> String {
        rewrite(sdp, |mid| {
            let slot = self.slots.iter().find(|slot| *slot.mid == *mid)?;
            let carries = !matches!(slot.state, SlotState::Idle | SlotState::Removing);
            let msid = slot.wanted.as_ref().filter(|_| carries).map(|wanted| &wanted.msid);
            Some(Binding { msid, direction: None })
        })
    }

    /// Takes the client's answer to offer `id` (0: it does not say). Ok(false): it is to an older offer and
    /// ignored. The tracks that can be sent now: [`Subscriber::sending`].
    ///
    /// # Errors
    /// [`OfferError`]: the answer is malformed or does not fit; the negotiation cannot go on.
    pub fn answer(&mut self, endpoints: &mut Endpoints, text: &str, id: u32) -> Result<bool, OfferError> {
        let Some(pending) = self.pending.take_if(|pending| id == 0 || pending.id == id) else {
            return Ok(false);
        };
        self.rules.check(text)?;
        let refused = |error: &dyn std::fmt::Display| OfferError::Refused(error.to_string());
        let key = self.key;
        let connection = endpoints.get_mut(key).filter(|connection| !connection.closed);
        let connection = connection.ok_or(OfferError::Closed)?;
        let accepted = guard(|| -> Result<(), RtcError> {
            let answer = SdpAnswer::from_sdp_string(text).map_err(|e| RtcError::RemoteSdp(e.to_string()))?;
            connection.rtc.sdp_api().accept_answer(pending.changes, answer)
        });
        connection.closed |= accepted.is_err();
        accepted.map_err(|e| refused(&e))?.map_err(|e| refused(&e))?;
        for slot in &mut self.slots {
            match slot.state {
                SlotState::Adding | SlotState::Reviving => slot.state = SlotState::Active,
                SlotState::Removing => (slot.state, slot.wanted) = (SlotState::Idle, None),
                SlotState::Active | SlotState::Idle => {}
            }
        }
        endpoints.refresh_ufrag(key, None);
        Ok(true)
    }

    /// The tracks that are negotiated, each with its m-section and the SSRC of its stream. A track that the
    /// client refused is not among them.
    pub fn sending(&self, endpoints: &mut Endpoints) -> Vec<(u64, Mid, Ssrc)> {
        let Some(connection) = endpoints.get_mut(self.key) else { return Vec::new() };
        let mut tracks = Vec::new();
        for slot in self.slots.iter().filter(|slot| slot.state == SlotState::Active) {
            let Some(wanted) = &slot.wanted else { continue };
            let sends = connection.rtc.media(slot.mid).is_some_and(|media| media.direction().is_sending());
            let mut api = connection.rtc.direct_api();
            let Some(stream) = api.stream_tx_by_mid(slot.mid, None).filter(|_| sends) else { continue };
            // The publisher has paced it already; what does not fit is not sent at all, rather than late.
            stream.set_unpaced(true);
            tracks.push((wanted.track, slot.mid, stream.ssrc()));
        }
        tracks
    }

    /// The track that m-section `mid` carries.
    pub fn track_of(&self, mid: Mid) -> Option<u64> {
        let slot = self.slots.iter().find(|slot| slot.mid == mid && slot.state == SlotState::Active)?;
        slot.wanted.as_ref().map(|wanted| wanted.track)
    }

    /// The payload type under which `mid`'s receiver takes what was published as `published`; None: it cannot.
    pub fn payload_type(
        endpoints: &mut Endpoints,
        key: ConnectionKey,
        mid: Mid,
        published: &PayloadParams,
    ) -> Option<Pt> {
        let connection = endpoints.get_mut(key)?;
        let config: &CodecConfig = connection.rtc.codec_config();
        let pts = connection.rtc.media(mid)?.remote_pts();
        let rated = pts.iter().filter_map(|pt| {
            let params = settings::params(config, *pt)?;
            Some((settings::compatibility(published, params)?, *pt))
        });
        rated.max_by_key(|(rating, _)| *rating).map(|(_, pt)| pt)
    }
}
