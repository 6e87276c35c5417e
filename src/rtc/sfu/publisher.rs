//! A publisher's connection: the client offers, we answer.

use std::collections::HashMap;

use str0m::change::SdpOffer;
use str0m::format::{Codec, PayloadParams};
use str0m::media::{KeyframeRequestKind, Mid, Rid};
use str0m::rtp::Ssrc;

use super::guard::guard;
use super::sdp::{self, Kind, OfferError, OfferRules};
use super::settings;
use super::single::Answer;
use super::subscriber::Subscriber;
use super::{ConnectionKey, Endpoints};

/// One m-section of an offer that carries, or may carry, a track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedTrack {
    /// Its MID.
    pub mid: Mid,
    /// Video, else audio.
    pub video: bool,
    /// The client sends in it.
    pub sends: bool,
    /// The client's id of its track (`cid` in LiveKit's AddTrack).
    pub track_id: Option<String>,
    /// It sends several layers.
    pub simulcast: bool,
    /// What both sides agreed on, the one that it sends in first; none: no common codec.
    pub codecs: Vec<PayloadParams>,
}

impl OfferedTrack {
    /// What it sends in; None: no common codec.
    pub fn codec(&self) -> Option<Codec> {
        self.codecs.first().map(|params| params.spec().codec)
    }
}

/// An offer that was accepted.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Our answer; it names tracks where the connection is a single one.
    pub answer: Answer,
    /// What the offer holds, in order.
    pub tracks: Vec<OfferedTrack>,
}

impl Accepted {
    /// Has the client send each track in the codec that `wanted` tells for its MID and its id, as far as it is among those
    /// agreed on; None: in the first of our configuration.
    pub fn prefer(&mut self, wanted: impl Fn(Mid, Option<&str>) -> Option<Codec>) {
        for track in &mut self.tracks {
            if let Some(codec) = wanted(track.mid, track.track_id.as_deref()) {
                track.codecs.sort_by_key(|params| params.spec().codec != codec);
            }
        }
        let first = |mid: &str| self.tracks.iter().find(|track| *track.mid == *mid)?.codec();
        self.answer.sdp = sdp::prefer(&self.answer.sdp, |mid| first(mid).map(settings::encoding_name));
    }
}

/// Where a publisher's packets belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The m-section.
    pub mid: Mid,
    /// The layer's RID, if it has one.
    pub rid: Option<Rid>,
}

/// A publisher's connection.
#[derive(Debug)]
pub struct Publisher {
    /// In [`Endpoints`].
    pub key: ConnectionKey,
    rules: OfferRules,
    /// Stream → its retransmission, from the newest offer.
    retransmissions: HashMap<u32, u32>,
}

impl Publisher {
    /// For an open connection.
    pub fn new(key: ConnectionKey) -> Self {
        Publisher { key, rules: OfferRules::default(), retransmissions: HashMap::new() }
    }

    /// Accepts the client's offer. `subscriber` is the same participant's: where one connection serves both ways, the
    /// answer says what it gets.
    ///
    /// # Errors
    /// [`OfferError`] when it is malformed; the connection must be closed then when it says so.
    pub fn accept(
        &mut self,
        endpoints: &mut Endpoints,
        text: &str,
        subscriber: &mut Subscriber,
    ) -> Result<Accepted, OfferError> {
        self.rules.check(text)?;
        let refused = |error: &dyn std::fmt::Display| OfferError::Refused(error.to_string());
        let parsed = guard(|| SdpOffer::from_sdp_string(text)).map_err(|e| refused(&e))?;
        let offer = parsed.map_err(|e| refused(&e))?;
        let key = self.key;
        subscriber.bind(endpoints, text).map_err(|e| refused(&e))?;
        let connection = endpoints.get_mut(key).filter(|connection| !connection.closed);
        let connection = connection.ok_or(OfferError::Closed)?;
        let accepted = guard(|| connection.rtc.sdp_api().accept_offer(offer));
        if accepted.is_err() {
            connection.closed = true;
        }
        let answer = accepted.map_err(|e| refused(&e))?.map_err(|e| refused(&e))?.to_sdp_string();
        let sections = sdp::sections(text);
        self.retransmissions = sections.iter().flat_map(|s| s.retransmissions.iter().copied()).collect();
        let track = |section: &sdp::Section<'_>| {
            let mid = Mid::from(section.mid?);
            let config = connection.rtc.codec_config();
            let pts = connection.rtc.media(mid).map(|media| media.remote_pts()).unwrap_or_default();
            let agreed = |params: &&PayloadParams| pts.contains(&params.pt());
            Some(OfferedTrack {
                mid,
                video: section.kind == Kind::Video,
                sends: section.sends && !section.port_zero,
                track_id: section.track_id.map(str::to_owned),
                simulcast: section.rids.len() > 1,
                codecs: config.params().iter().filter(agreed).copied().collect(),
            })
        };
        let media = |section: &&sdp::Section<'_>| matches!(section.kind, Kind::Audio | Kind::Video);
        let tracks = sections.iter().filter(media).filter_map(track).collect();
        endpoints.refresh_ufrag(key, None);
        Ok(Accepted { answer: subscriber.label_answer(text, answer), tracks })
    }

    /// Where packets of `ssrc` belong, once the library knows. To be asked once per stream: it also tells the
    /// library which stream repairs it, for clients whose repair packets do not say so themselves.
    pub fn source(&self, endpoints: &mut Endpoints, ssrc: Ssrc) -> Option<Source> {
        let connection = endpoints.get_mut(self.key)?;
        let mut api = connection.rtc.direct_api();
        let stream = api.stream_rx(&ssrc)?;
        let source = Source { mid: stream.mid(), rid: stream.rid() };
        let unrepaired = stream.rtx().is_none();
        if let Some(rtx) = self.retransmissions.get(&*ssrc).filter(|_| unrepaired) {
            // The media exists: it has this stream.
            api.expect_stream_rx(ssrc, Some(Ssrc::from(*rtx)), source.mid, source.rid);
        }
        Some(source)
    }

    /// Asks the client for a keyframe of one layer. False: there is no such stream.
    pub fn request_keyframe(&self, endpoints: &mut Endpoints, source: Source) -> bool {
        let Some(connection) = endpoints.get_mut(self.key) else { return false };
        let mut api = connection.rtc.direct_api();
        let Some(stream) = api.stream_rx_by_mid(source.mid, source.rid) else { return false };
        stream.request_keyframe(KeyframeRequestKind::Pli);
        endpoints.touch(self.key);
        true
    }
}
