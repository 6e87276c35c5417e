//! Tracks come and go.

use std::time::Duration;

use livekit_protocol as proto;
use proto::request_response::{Reason, Request as Refused};
use proto::signal_response::Message as Response;
use proto::video_layer::Mode;
use str0m::format::Codec;
use tracing::{debug, info};

use super::media::{Destination, Track};
use super::member::Publication;
use super::{Engine, reply};
use crate::base::ids;
use crate::base::units::Size;
use crate::media::Layer;
use crate::room::{Event, MemberKey};
use crate::rtc::sfu::publisher::OfferedTrack;
use crate::rtc::sfu::settings;
use crate::sfu::{LayerSizes, Layering, Route};

/// Most tracks of one participant; one more is refused.
const MAX_TRACKS: usize = 32;
/// Longest name, cid or stream of a track, in bytes.
const MAX_TEXT_BYTES: usize = 256;
/// Most layers in an announcement.
const MAX_LAYERS: usize = 8;

impl Engine {
    pub(super) fn add_track(&mut self, key: MemberKey, request: proto::AddTrackRequest) {
        if let Some((reason, why)) = self.refuse_track(key, &request) {
            let request = Some(Refused::AddTrack(request));
            self.say(key, reply::refused(0, reason, why, request));
            return;
        }
        let codec = self.codec_for(&request);
        let Some(member) = self.members.get_mut(&key) else { return };
        let known = member.publications.iter().find(|publication| publication.cid == request.cid);
        let info = match known {
            Some(publication) => publication.info.clone(),
            None => {
                let info = track_info(&request, codec);
                let cid = request.cid.clone();
                member.publications.push(Publication { cid, codec, info: info.clone(), bound: None });
                info
            }
        };
        let track = Some(info);
        member.send(Response::TrackPublished(proto::TrackPublishedResponse { cid: request.cid, track }));
    }

    /// What an announced track is to be sent in: the first codec that it names, if it may be published, else our first.
    fn codec_for(&self, request: &proto::AddTrackRequest) -> Codec {
        if request.r#type != proto::TrackType::Video as i32 {
            return Codec::Opus;
        }
        let mut allowed = self.codecs.video.iter().map(|codec| codec.codec());
        // SDKs write `vp9` or `video/VP9`.
        let name = request.simulcast_codecs.first().and_then(|announced| announced.codec.rsplit('/').next());
        let named = |codec: &Codec| {
            name.is_some_and(|name| settings::encoding_name(*codec).eq_ignore_ascii_case(name))
        };
        allowed.clone().find(named).or(allowed.next()).unwrap_or(Codec::H264)
    }

    fn refuse_track(
        &self,
        key: MemberKey,
        request: &proto::AddTrackRequest,
    ) -> Option<(Reason, &'static str)> {
        let member = self.members.get(&key)?;
        let participant = self.participant(&member.room, key)?;
        let media = [proto::TrackType::Audio as i32, proto::TrackType::Video as i32];
        let long =
            [&request.cid, &request.name, &request.stream].iter().any(|text| text.len() > MAX_TEXT_BYTES);
        if !participant.grant.may_publish(request.source) {
            Some((Reason::NotAllowed, "publishing this source is not allowed"))
        } else if !media.contains(&request.r#type) {
            Some((Reason::UnsupportedType, "only audio and video"))
        } else if long || request.cid.is_empty() || request.layers.len() > MAX_LAYERS {
            Some((Reason::LimitExceeded, "a cid of 1 to 256 bytes, at most 8 layers"))
        } else if member.publications.len() >= MAX_TRACKS {
            Some((Reason::LimitExceeded, "at most 32 tracks"))
        } else {
            None
        }
    }

    /// An offer was accepted: what was announced and is in it is published; what is not sent any more is gone.
    pub(super) fn bind_tracks(&mut self, key: MemberKey, offered: &[OfferedTrack]) {
        if let Some(member) = self.members.get_mut(&key) {
            member.streams.clear();
        }
        for offer in offered {
            let Some(member) = self.members.get(&key) else { return };
            let bound = member.publications.iter().find(|p| p.bound.is_some_and(|(mid, _)| mid == offer.mid));
            let named = |p: &&Publication| Some(&p.cid) == offer.track_id.as_ref();
            let replaced = member.publications.iter().filter(|p| p.bound.is_none()).any(|p| named(&p));
            let bound = bound.map(|publication| publication.info.sid.clone());
            if let Some(sid) = bound {
                if offer.sends && !replaced {
                    continue;
                }
                self.unpublish(key, &sid);
            }
            if offer.sends {
                self.publish(key, offer);
            }
        }
    }

    fn publish(&mut self, key: MemberKey, offer: &OfferedTrack) {
        let Some(member) = self.members.get_mut(&key) else { return };
        let Some(codec) = offer.codec() else {
            info!(identity = member.identity, mid = %offer.mid, "not published: no codec of it may be published here");
            return;
        };
        let free = |p: &Publication| p.bound.is_none() && p.is_video() == offer.video;
        let named = |p: &Publication| free(p) && Some(&p.cid) == offer.track_id.as_ref();
        // SDKs whose SDP carries another track id announce one track of a kind at a time.
        let found = member.publications.iter().position(named).or(member.publications.iter().position(free));
        let Some(publication) = found.and_then(|index| member.publications.get_mut(index)) else {
            debug!(mid = %offer.mid, "an m-section that nobody announced");
            return;
        };
        self.track_keys += 1;
        let track = self.track_keys;
        publication.bound = Some((offer.mid, track));
        let info = &mut publication.info;
        info.mid = offer.mid.to_string();
        info.mime_type = mime_type(codec);
        set_simulcast(info, offer.simulcast);
        let layering = layering(offer, info);
        describe(info, layering);
        let info = info.clone();
        let mut route = if offer.video { Route::video(layering, sizes(&info)) } else { Route::audio() };
        route.set_announced(bitrates(&info));
        route.set_muted(info.muted);
        let (room, identity, publisher_sid) =
            (member.room.clone(), member.identity.clone(), member.sid.clone());
        info!(
            room,
            identity,
            track = info.sid,
            mime = info.mime_type,
            simulcast = offer.simulcast,
            "published"
        );
        let publisher = key;
        let (sid, codec) = (info.sid.clone(), codec_name(&info.mime_type));
        let screen = info.source == proto::TrackSource::ScreenShare as i32;
        let (room_name, mid) = (room.clone(), offer.mid);
        let (stream, playout_delay) = self.for_viewers(&room, &info);
        let new = Track {
            room: room_name,
            publisher,
            publisher_sid,
            sid,
            codec,
            mid,
            screen,
            stream,
            playout_delay,
            route,
            waiting: Vec::new(),
        };
        self.tracks.insert(track, new);
        if let Some(participant) = self.rooms.get_mut(&room).and_then(|r| r.participant_mut(key)) {
            participant.tracks.push(info.clone());
            participant.touch();
        }
        self.announce(&room, key);
        if let Some((room, participant)) = self.both(&room, key) {
            self.emit(Event::TrackPublished { room, participant, track: info });
        }
        self.offer_to_all(&room, track);
        self.changed = true;
    }

    /// How the room wants a track to be played: in a stream of this name, and so long after its time.
    fn for_viewers(
        &self,
        room: &str,
        info: &proto::TrackInfo,
    ) -> (Option<String>, Option<(Duration, Duration)>) {
        let Some(room) = self.rooms.get(room) else { return (None, None) };
        (room.sync_streams.then(|| stream_name(info)), room.playout_delay)
    }

    pub(super) fn unpublish(&mut self, key: MemberKey, sid: &str) {
        let Some(member) = self.members.get_mut(&key) else { return };
        let Some(index) = member.publications.iter().position(|p| p.info.sid == sid) else { return };
        let publication = member.publications.remove(index);
        let (room, identity) = (member.room.clone(), member.identity.clone());
        info!(room, identity, track = sid, "unpublished");
        if let Some((_, track)) = publication.bound {
            self.withdraw(track);
        }
        if let Some(participant) = self.rooms.get_mut(&room).and_then(|r| r.participant_mut(key)) {
            participant.tracks.retain(|info| info.sid != sid);
            participant.touch();
        }
        if !publication.is_video()
            && let Some(speakers) = self.speakers.get_mut(&room)
        {
            speakers.mute(key);
        }
        self.announce(&room, key);
        if let Some((room, participant)) = self.both(&room, key) {
            self.emit(Event::TrackUnpublished { room, participant, track: publication.info });
        }
        self.changed = true;
    }

    /// A room and one of its participants, for an event.
    pub(super) fn both(&self, room: &str, key: MemberKey) -> Option<(proto::Room, proto::ParticipantInfo)> {
        let room = self.rooms.get(room)?;
        Some((room.info(), room.participant(key)?.info()))
    }

    /// Takes a track away from everyone who gets it.
    pub(super) fn withdraw(&mut self, track: u64) {
        let Some(gone) = self.tracks.remove(&track) else { return };
        for member in self.members.values_mut().filter(|member| member.room == gone.room) {
            member.forget_track(&gone.sid);
        }
        if self.loudest.get_mut(&gone.room).is_some_and(|loudest| loudest.remove(track)) {
            self.loudest.remove(&gone.room);
        }
        for subscriber in gone.route.subscribers() {
            let Destination { member, .. } = subscriber.to;
            if let Some(member) = self.members.get_mut(&member) {
                member.subscriber.remove(track);
            }
            self.negotiate(member);
        }
    }
}

/// What a viewer's browser plays in step. The publisher's own name for it if that can stand in an SDP.
fn stream_name(info: &proto::TrackInfo) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match info.stream.as_str() {
        given if !given.is_empty() && given.bytes().all(plain) => given.to_owned(),
        _ => usual_stream(info.source).to_owned(),
    }
}

/// As LiveKit calls the stream of a track whose publisher does not name it.
fn usual_stream(source: i32) -> &'static str {
    let screen = [proto::TrackSource::ScreenShare as i32, proto::TrackSource::ScreenShareAudio as i32];
    if screen.contains(&source) { "screen" } else { "camera" }
}

/// Tells of a track's layers and codecs what is known once it is sent.
#[allow(deprecated)] // As above.
fn describe(info: &mut proto::TrackInfo, layering: Layering) {
    let video = info.r#type == proto::TrackType::Video as i32;
    let mode = match layering {
        Layering::Spatial => Mode::MultipleSpatialLayersPerStream,
        Layering::One | Layering::Simulcast if video => Mode::OneSpatialLayerPerStream,
        Layering::One | Layering::Simulcast => Mode::Unused,
    };
    for codec in &mut info.codecs {
        codec.mime_type.clone_from(&info.mime_type);
        codec.mid.clone_from(&info.mid);
        codec.video_layer_mode = mode as i32;
    }
    for layer in info.layers.iter_mut().chain(info.codecs.iter_mut().flat_map(|codec| &mut codec.layers)) {
        let Some(known) = Layer::from_quality(layer.quality).filter(|_| layering != Layering::One) else {
            continue;
        };
        layer.spatial_layer = known.index() as i32;
        if layering == Layering::Simulcast {
            layer.rid = known.rid().to_owned();
        }
    }
}

fn track_info(request: &proto::AddTrackRequest, codec: Codec) -> proto::TrackInfo {
    let video = request.r#type == proto::TrackType::Video as i32;
    let mut layers = request.layers.clone();
    if video && layers.is_empty() {
        let quality = proto::VideoQuality::High as i32;
        let (width, height) = (request.width, request.height);
        layers.push(proto::VideoLayer { quality, width, height, ..Default::default() });
    }
    let mime_type = mime_type(codec);
    let codec = proto::SimulcastCodecInfo {
        mime_type: mime_type.clone(),
        cid: request.cid.clone(),
        layers: layers.clone(),
        ..Default::default()
    };
    #[allow(deprecated)] // What clients below protocol 13 read.
    proto::TrackInfo {
        sid: ids::prefixed("TR"),
        r#type: request.r#type,
        name: request.name.clone(),
        muted: request.muted,
        width: request.width,
        height: request.height,
        disable_dtx: request.disable_dtx,
        source: request.source,
        layers,
        mime_type,
        codecs: vec![codec],
        stereo: request.stereo,
        // No RED is negotiated.
        disable_red: true,
        encryption: request.encryption,
        stream: match request.stream.as_str() {
            "" => usual_stream(request.source).to_owned(),
            given => given.to_owned(),
        },
        audio_features: request.audio_features.clone(),
        ..Default::default()
    }
}

#[allow(deprecated)] // As above.
fn set_simulcast(info: &mut proto::TrackInfo, simulcast: bool) {
    info.simulcast = simulcast;
}

#[allow(deprecated)] // As above.
fn sizes(info: &proto::TrackInfo) -> LayerSizes {
    let mut sizes = LayerSizes::default();
    for layer in &info.layers {
        if let Some(known) = Layer::from_quality(layer.quality) {
            sizes[known.index()] = Some(Size::new(layer.width, layer.height));
        }
    }
    sizes
}

/// VP9 with several layers announced and without simulcast: spatial ones (LiveKit's SDKs: `L3T3_KEY`).
fn layering(offer: &OfferedTrack, info: &proto::TrackInfo) -> Layering {
    if offer.simulcast {
        Layering::Simulcast
    } else if offer.codec() == Some(Codec::Vp9) && sizes(info).iter().flatten().count() > 1 {
        Layering::Spatial
    } else {
        Layering::One
    }
}

fn bitrates(info: &proto::TrackInfo) -> [Option<u32>; 3] {
    let mut bitrates = [None; 3];
    #[allow(deprecated)] // As above.
    for layer in &info.layers {
        if let Some(known) = Layer::from_quality(layer.quality).filter(|_| layer.bitrate > 0) {
            bitrates[known.index()] = Some(layer.bitrate);
        }
    }
    bitrates
}

/// As LiveKit writes it.
fn mime_type(codec: Codec) -> String {
    let kind = if codec.is_audio() { "audio" } else { "video" };
    format!("{kind}/{}", settings::encoding_name(codec))
}

fn codec_name(mime_type: &str) -> String {
    mime_type.rsplit('/').next().unwrap_or_default().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_named_as_its_publisher_says_unless_that_breaks_the_sdp() {
        let name = |stream: &str, source: proto::TrackSource| {
            let (stream, source) = (stream.to_owned(), source as i32);
            stream_name(&proto::TrackInfo { stream, source, ..Default::default() })
        };
        let (camera, screen) = (proto::TrackSource::Microphone, proto::TrackSource::ScreenShareAudio);
        assert_eq!([name("", camera), name("", screen)], ["camera", "screen"]);
        assert_eq!(name("desk-2", camera), "desk-2");
        for bad in ["a b", "a\r\na=sendrecv", "PA_1|TR_2", "\u{e9}"] {
            assert_eq!(name(bad, camera), "camera", "{bad:?}");
        }
    }

    #[test]
    #[allow(deprecated)] // As above.
    fn layers_are_told_by_the_way_in_which_they_come() {
        let layer = |quality| proto::VideoLayer { quality, ..Default::default() };
        let request = proto::AddTrackRequest {
            r#type: proto::TrackType::Video as i32,
            source: proto::TrackSource::ScreenShare as i32,
            layers: vec![layer(0), layer(1), layer(2)],
            ..Default::default()
        };
        let described = |layering| {
            let mut info = track_info(&request, Codec::Vp9);
            describe(&mut info, layering);
            assert_eq!((info.stream.as_str(), info.layers.len()), ("screen", 3));
            assert_eq!(info.layers, info.codecs[0].layers);
            let layers: Vec<_> = info.layers.iter().map(|l| (l.spatial_layer, l.rid.clone())).collect();
            (info.codecs[0].video_layer_mode(), layers)
        };
        let layers =
            |rids: [&str; 3]| [0, 1, 2].map(|index| (index, rids[index as usize].to_owned())).to_vec();
        let (one, many) = (Mode::OneSpatialLayerPerStream, Mode::MultipleSpatialLayersPerStream);
        assert_eq!(described(Layering::Simulcast), (one, layers(["q", "h", "f"])));
        assert_eq!(described(Layering::Spatial), (many, layers(["", "", ""])));
        assert_eq!(described(Layering::One), (one, vec![(0, String::new()); 3]));
    }
}
