//! Packets, keyframes, layers, speakers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use str0m::format::{Codec, PayloadParams};
use str0m::media::{MediaTime as RtpTime, Mid, Pt, Rid};
use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite, Ssrc, Vp8Descriptor, Vp8Patch};

use super::super::Counters;
use super::member::Stream;
use super::{Engine, reply, watching};
use crate::base::clock::{self, MediaTime};
use crate::media::Layer;
use crate::room::MemberKey;
use crate::rtc::sfu::publisher::Source;
use crate::rtc::sfu::subscriber::Subscriber;
use crate::rtc::sfu::{ConnectionKey, Endpoints, dependency, settings};
use crate::sfu::{Incoming, Layering, PictureIds, Route, SenderReport, Spatial, keyframe, repair, vp9};

/// The longest playout delay that the header extension can ask for (12 bits of 10 ms).
const LONGEST_DELAY: Duration = Duration::from_millis(40_950);

/// A published track.
pub(super) struct Track {
    pub room: String,
    pub publisher: MemberKey,
    pub publisher_sid: String,
    pub sid: String,
    /// `h264`, as clients name it for dynacast.
    pub codec: String,
    pub mid: Mid,
    /// A screen, or a window of one.
    pub screen: bool,
    /// The name of the stream that it makes with others of its publisher, where viewers shall play them in step.
    pub stream: Option<String>,
    /// How long viewers shall hold it back, from and to.
    pub playout_delay: Option<(Duration, Duration)>,
    pub route: Route<Destination>,
    /// What has arrived and is not forwarded yet; empty but within a turn of the engine.
    pub waiting: Vec<Waiting>,
}

/// A publisher's packet, as far as its copies need it.
pub(super) struct Waiting {
    incoming: Incoming,
    payload: Arc<[u8]>,
    marker: bool,
    extensions: ExtensionValues,
    /// When it was captured, by our clock.
    captured: Instant,
    params: PayloadParams,
    vp8: Option<Vp8Descriptor>,
}

impl AsRef<Incoming> for Waiting {
    fn as_ref(&self) -> &Incoming {
        &self.incoming
    }
}

/// Where a subscriber's copies go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Destination {
    pub member: MemberKey,
    pub connection: ConnectionKey,
    pub mid: Mid,
    pub ssrc: Ssrc,
    /// The publisher's payload type and the subscriber's for the same (None: it has none).
    pub payload_type: Option<(Pt, Option<Pt>)>,
    /// How long it shall hold pictures back; None: it was never asked to.
    pub hold_back: Option<Duration>,
    /// It takes turns with other tracks on one stream; which turn this is.
    pub turn: Option<u32>,
}

impl PartialEq for Destination {
    fn eq(&self, other: &Self) -> bool {
        self.member == other.member
    }
}

impl Destination {
    /// Not negotiated yet.
    pub fn new(member: MemberKey, connection: ConnectionKey) -> Self {
        let (mid, ssrc) = (Mid::new(), 0.into());
        Destination { member, connection, mid, ssrc, payload_type: None, hold_back: None, turn: None }
    }

    fn payload_type(&mut self, endpoints: &mut Endpoints, params: &PayloadParams) -> Option<Pt> {
        if let Some((of, pt)) = self.payload_type
            && of == params.pt()
        {
            return pt;
        }
        let pt = Subscriber::payload_type(endpoints, self.connection, self.mid, params);
        self.payload_type = Some((params.pt(), pt));
        pt
    }
}

impl Engine {
    /// One packet of a publisher; see [`Engine::forward_all`].
    pub(super) fn packet(&mut self, key: MemberKey, packet: RtpPacket) {
        let Some(stream) = self.stream(key, packet.header.ssrc, packet.header.payload_type) else { return };
        Counters::one(&self.outlets.counters.packets_received);
        let header = &packet.header;
        if let Some(level) = header.ext_vals.audio_level
            && !self.hears(key, stream.track, level.unsigned_abs())
        {
            return;
        }
        let (Some(member), Some(track)) = (self.members.get_mut(&key), self.tracks.get_mut(&stream.track))
        else {
            return;
        };
        let codec = stream.params.spec().codec;
        let vp8 = (codec == Codec::Vp8).then(|| Vp8Descriptor::parse(&packet.payload).ok()).flatten();
        let incoming = incoming(&packet, &stream, vp8.as_ref(), track.route.layering(), self.at);
        let rate = track.route.rate();
        let captured = member.clock.capture_time(header.timestamp, incoming.report, rate, self.at);
        let playout_delay = track.playout_delay.filter(|_| track.route.is_video());
        if track.waiting.is_empty() {
            self.waiting.push(stream.track);
        }
        let extensions = passed_on(&header.ext_vals, codec, playout_delay);
        let (marker, captured, params) = (header.marker, clock::instant_of(captured), stream.params);
        let payload = packet.payload;
        track.waiting.push(Waiting { incoming, payload, marker, extensions, captured, params, vp8 });
        if track.route.arrived(&incoming) {
            track.route.refresh(self.at);
            self.ask_for_keyframes();
        }
    }

    /// Gives what has arrived to everyone who gets it.
    pub(super) fn forward_all(&mut self) {
        let mut tracks = std::mem::take(&mut self.waiting);
        tracks.drain(..).for_each(|track| self.forward(track));
        self.waiting = tracks;
    }

    /// The packets of one track. No allocation here: the payload is shared.
    fn forward(&mut self, track: u64) {
        let Some(Track { route, waiting, .. }) = self.tracks.get_mut(&track) else { return };
        let (endpoints, watches, now, at) = (&mut self.endpoints, &mut self.watches, self.now, self.at);
        let (video, mut sent) = (route.is_video(), 0);
        route.forward(waiting, |to, copies| {
            for (packet, out) in copies {
                let Some(pt) = to.payload_type(endpoints, &packet.params) else { continue };
                let Some(out) = watching::in_turn(watches, to, video, out, at) else { continue };
                let payload = packet.payload.clone();
                let copy = RtpWrite::new(pt, out.sequence.into(), out.timestamp, packet.captured, payload)
                    .marker(packet.marker || out.ends_picture)
                    .nackable(video)
                    .ext_vals(with_delay(packet.extensions.clone(), to.hold_back));
                let copy = match packet.vp8.zip(out.picture).and_then(|(vp8, ids)| patch(&vp8, ids)) {
                    Some(patch) => copy.vp8_patch(patch),
                    None => copy,
                };
                sent += u64::from(endpoints.write(to.connection, to.ssrc, copy));
            }
            endpoints.flush_one(to.connection, now);
        });
        waiting.clear();
        self.outlets.counters.packets_forwarded.fetch_add(sent, Ordering::Relaxed);
    }

    /// Notes how loud a packet of sound is. False: others of its room are louder, it is not passed on.
    fn hears(&mut self, key: MemberKey, track: u64, minus_dbov: u8) -> bool {
        let Some(track_of) = self.tracks.get_mut(&track).filter(|track| !track.route.is_video()) else {
            return true;
        };
        if track_of.route.is_muted() {
            return false;
        }
        let room = &track_of.room;
        if !self.speakers.contains_key(room) {
            self.speakers.insert(room.clone(), Default::default());
        }
        if !self.loudest.contains_key(room) {
            self.loudest.insert(room.clone(), Default::default());
        }
        if let Some(speakers) = self.speakers.get_mut(room) {
            speakers.observe(key, minus_dbov);
        }
        let heard =
            self.loudest.get_mut(room).is_none_or(|loudest| loudest.hears(track, minus_dbov, self.at));
        if !heard {
            // What was heard before goes first.
            self.forward(track);
            if let Some(track) = self.tracks.get_mut(&track) {
                track.route.interrupt();
            }
        }
        heard
    }

    /// Where packets of `ssrc` go; learned at its first packet.
    fn stream(&mut self, key: MemberKey, ssrc: Ssrc, pt: Pt) -> Option<Stream> {
        let member = self.members.get_mut(&key)?;
        let known = member.streams.get(&*ssrc).copied().filter(|stream| stream.params.pt() == pt);
        if known.is_some() {
            return known;
        }
        let source = member.publisher.source(&mut self.endpoints, ssrc)?;
        let on = |bound: Option<(Mid, u64)>| bound.filter(|(mid, _)| *mid == source.mid);
        let (_, track) = member.publications.iter().find_map(|publication| on(publication.bound))?;
        let connection = self.endpoints.get_mut(member.publisher.key)?;
        let params = *settings::params(connection.rtc.codec_config(), pt)?;
        let layer = source.rid.and_then(|rid| Layer::from_rid(&rid)).unwrap_or(Layer::Full);
        let stream = Stream { track, layer, source, params };
        member.streams.insert(*ssrc, stream);
        Some(stream)
    }

    /// A subscriber asks for a keyframe (PLI or FIR).
    pub(super) fn keyframe_wanted(&mut self, key: MemberKey, mid: Mid) {
        Counters::one(&self.outlets.counters.keyframes_wanted);
        let track = self.members.get(&key).and_then(|member| member.subscriber.track_of(mid));
        if let Some(track) = track.and_then(|track| self.tracks.get_mut(&track)) {
            track.route.keyframe_needed(|to| to.member == key);
            self.ask_for_keyframes();
        }
    }

    /// Passes on the keyframe requests that are due.
    pub(super) fn ask_for_keyframes(&mut self) {
        for track in self.tracks.values_mut() {
            let due = track.route.take_keyframe_requests(self.at);
            let Some(member) = self.members.get(&track.publisher) else { continue };
            for layer in Layer::ALL.into_iter().filter(|layer| due[layer.index()]) {
                let of_layer = |s: &&Stream| s.source.mid == track.mid && s.layer == layer;
                let rid: Option<Rid> = member.streams.values().find(of_layer).and_then(|s| s.source.rid);
                let source = Source { mid: track.mid, rid };
                if member.publisher.request_keyframe(&mut self.endpoints, source) {
                    Counters::one(&self.outlets.counters.keyframes_requested);
                }
            }
        }
    }

    /// Chooses layers anew and tells publishers which of theirs are watched.
    pub(super) fn refresh_tracks(&mut self) {
        for track in self.tracks.values_mut() {
            track.route.refresh(self.at);
            let publisher = self.members.get(&track.publisher).filter(|_| track.route.is_video());
            let repair_from = publisher.map(|member| member.repair_from);
            for to in track.route.destinations_mut() {
                let Some((from, viewer)) = repair_from.zip(self.members.get(&to.member)) else { continue };
                let hold_back = repair::hold_back(&from, &viewer.repair_to, self.at);
                // Zero must be said too, once there was more.
                to.hold_back =
                    (hold_back > Duration::ZERO).then_some(hold_back).or(to.hold_back.map(|_| hold_back));
            }
            let Some(on) = track.route.dynacast(self.at) else { continue };
            if let Some(member) = self.members.get_mut(&track.publisher) {
                member.send(reply::qualities(&track.sid, &track.codec, on));
            }
        }
        self.ask_for_keyframes();
    }

    /// Tells every room who began and who stopped speaking.
    pub(super) fn judge_speakers(&mut self) {
        for (name, speakers) in &mut self.speakers {
            let changes = speakers.judge(self.at);
            let Some(room) = self.rooms.get(name).filter(|_| !changes.is_empty()) else { continue };
            let seen = |key| room.participant(key).filter(|p| !p.grant.hidden).map(|p| p.sid.clone());
            let Some(message) = reply::speakers(&changes, seen) else { continue };
            for participant in room.participants.iter().filter(|p| !p.grant.waiting) {
                if let Some(member) = self.members.get_mut(&participant.key) {
                    member.send(message.clone());
                }
            }
        }
    }

    /// The library counts NACKs per stream, and says so now and then.
    pub(super) fn count_nacks(&mut self, key: MemberKey, mid: Mid, rid: Option<Rid>, nacks: u64) {
        let Some(member) = self.members.get_mut(&key) else { return };
        let layer = rid.and_then(|rid| Layer::from_rid(&rid));
        let before = member.nacks.insert((mid, layer), nacks).unwrap_or(0);
        self.outlets.counters.nacks.fetch_add(nacks.saturating_sub(before), Ordering::Relaxed);
    }
}

fn incoming(
    packet: &RtpPacket,
    stream: &Stream,
    vp8: Option<&Vp8Descriptor>,
    layering: Layering,
    arrival: MediaTime,
) -> Incoming {
    let (layer, spatial) = match layering {
        Layering::Spatial => spatial(&packet.payload),
        Layering::One | Layering::Simulcast => (stream.layer, None),
    };
    let report = packet.last_sender_info.map(|info| SenderReport {
        wall: info.ntp_time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default(),
        timestamp: info.rtp_time.numer() as u32,
    });
    Incoming {
        layer,
        spatial,
        ssrc: *packet.header.ssrc,
        sequence: *packet.seq_no,
        timestamp: packet.header.timestamp,
        bytes: packet.payload.len(),
        picture: vp8.map(picture_ids),
        keyframe: is_keyframe(&stream.params, &packet.payload),
        report,
        arrival,
    }
}

/// The spatial layer of a VP9 packet, and its place there. One that cannot be read goes to everyone.
fn spatial(payload: &[u8]) -> (Layer, Option<Spatial>) {
    let descriptor = vp9::Descriptor::parse(payload);
    let layer = match descriptor.and_then(|descriptor| descriptor.spatial) {
        None | Some(0) => Layer::Quarter,
        Some(1) => Layer::Half,
        Some(_) => Layer::Full,
    };
    let spatial = Spatial {
        begins_picture: descriptor.is_some_and(|descriptor| descriptor.begins_picture()),
        ends_layer: descriptor.is_some_and(|descriptor| descriptor.ends),
    };
    (layer, Some(spatial))
}

/// Whether a decoder can begin here; with sound always.
fn is_keyframe(params: &PayloadParams, payload: &[u8]) -> bool {
    match params.spec().codec {
        Codec::H264 => keyframe::h264(payload),
        Codec::Vp8 => keyframe::vp8(payload),
        Codec::Vp9 => vp9::Descriptor::parse(payload).is_some_and(|descriptor| descriptor.is_keyframe()),
        Codec::Av1 => keyframe::av1(payload),
        _ => true,
    }
}

fn picture_ids(vp8: &Vp8Descriptor) -> PictureIds {
    PictureIds {
        picture: vp8.picture_id().unwrap_or_default(),
        base_layer: vp8.tl0_pic_idx().unwrap_or_default(),
        key: vp8.key_idx().unwrap_or_default(),
    }
}

/// The subscriber's numbers in place of the publisher's, as far as there are any. None: leave it as it is; a picture
/// number of 7 bits cannot take one of ours.
fn patch(vp8: &Vp8Descriptor, ids: PictureIds) -> Option<Vp8Patch> {
    let mut patch = vp8.patch();
    if vp8.picture_id().is_some() {
        patch = patch.picture_id(ids.picture);
    }
    if vp8.tl0_pic_idx().is_some() {
        patch = patch.tl0_pic_idx(ids.base_layer);
    }
    if vp8.key_idx().is_some() {
        patch = patch.key_idx(ids.key);
    }
    patch.build().ok()
}

/// Held back at least so long, whatever the room asks for.
fn with_delay(mut extensions: ExtensionValues, hold_back: Option<Duration>) -> ExtensionValues {
    let Some(hold_back) = hold_back else { return extensions };
    let (least, most) = (RtpTime::from(hold_back), RtpTime::from(LONGEST_DELAY));
    extensions.play_delay_min = Some(extensions.play_delay_min.map_or(least, |min| min.max(least)));
    extensions.play_delay_max = Some(extensions.play_delay_max.map_or(most, |max| max.max(least)));
    extensions
}

/// What of a publisher's header extensions a subscriber may see, and what the room adds. MID and RID are the publisher's
/// own; the dependency descriptor of other codecs than AV1 would contradict the numbers that are changed on a layer switch.
fn passed_on(
    from: &ExtensionValues,
    codec: Codec,
    playout_delay: Option<(Duration, Duration)>,
) -> ExtensionValues {
    let (min, max) = playout_delay.unzip();
    let mut extensions = ExtensionValues {
        play_delay_min: min.map(RtpTime::from),
        play_delay_max: max.map(RtpTime::from),
        audio_level: from.audio_level,
        voice_activity: from.voice_activity,
        video_orientation: from.video_orientation,
        ..Default::default()
    };
    if codec == Codec::Av1 {
        dependency::pass_on(from, &mut extensions);
    }
    extensions
}
