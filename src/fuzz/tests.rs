//! Everything in `fuzz/seeds` once through its entry; and how the seeds that are no text were made.

use std::io::Write;
use std::path::{Path, PathBuf};

use livekit_protocol as proto;
use prost::Message;
use proto::signal_request::Message as Said;
use proto::signal_response::Message as Response;
use str0m::media::{Direction, MediaKind};

use super::TARGETS;
use crate::base::clock;
use crate::media::TrackId;
use crate::mp4::testing::{START, interleaved, pictures, sound};
use crate::mp4::{AudioConfig, FragmentMuxer};
use crate::server::signal::SEPARATOR;

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target)
}

#[test]
fn every_seed_and_everything_that_was_found_is_survived() {
    for (target, entry) in TARGETS {
        let files = std::fs::read_dir(folder(target)).unwrap_or_else(|error| panic!("{target}: {error}"));
        let mut count = 0;
        for file in files {
            let path = file.unwrap().path();
            eprintln!("{}", path.display());
            entry(&std::fs::read(path).unwrap());
            count += 1;
        }
        assert!(count > 0, "{target} has no seeds");
        entry(b"");
    }
}

#[test]
fn no_seed_lies_in_a_folder_without_an_entry() {
    let mut folders: Vec<_> =
        std::fs::read_dir(folder("")).unwrap().map(|f| f.unwrap().file_name()).collect();
    folders.sort();
    assert_eq!(folders, TARGETS.map(|(target, _)| target));
}

/// `cargo test --lib fuzz -- --ignored`: writes the seeds anew that hold protobuf, RTP or MP4.
#[test]
#[ignore = "it writes into fuzz/seeds"]
fn write_the_seeds_that_are_no_text() {
    let offer = offer();
    let write = |target: &str, name: &str, bytes: &[u8]| {
        std::fs::create_dir_all(folder(target)).unwrap();
        std::fs::write(folder(target).join(name), bytes).unwrap();
    };
    write("sdp", "offer", offer.as_bytes());
    write("sdp", "offer-twice", format!("{offer}\0{offer}").as_bytes());
    let request = proto::JoinRequest {
        participant_sid: "PA_x".to_owned(),
        publisher_offer: Some(description("offer", &offer)),
        add_track_requests: vec![track("cid")],
        ..Default::default()
    };
    let (plain, packed) = (request.encode_to_vec(), gzip(&request.encode_to_vec()));
    write("join", "plain", &wrap(0, plain.clone()));
    write("join", "gzip", &wrap(1, packed.clone()));
    write("join", "only-gzip", &packed);
    let frame = |said: Said| proto::SignalRequest { message: Some(said) }.encode_to_vec();
    write("join", "frame", &frame(Said::AddTrack(track("cid"))));

    let said = |who: u8, what: &str, bytes: &[u8]| [&[who], what.as_bytes(), bytes].concat();
    let add = said(b'0', "m", &frame(Said::AddTrack(track("cid"))));
    let offered = said(b'0', "m", &frame(Said::Offer(description("offer", &offer))));
    let mute = proto::MuteTrackRequest { sid: "TRACK".to_owned(), muted: true };
    let again = proto::JoinRequest {
        reconnect: true,
        participant_sid: "MINE".to_owned(),
        sync_state: Some(proto::SyncState::default()),
        publisher_offer: Some(description("offer", &offer)),
        ..Default::default()
    };
    let permission = proto::ParticipantPermission { can_subscribe: true, ..Default::default() };
    let demote = proto::UpdateParticipantRequest {
        room: "hall".to_owned(),
        identity: "bert".to_owned(),
        permission: Some(permission),
        ..Default::default()
    };
    let user = proto::data_packet::Value::User(proto::UserPacket {
        payload: b"hello".to_vec(),
        ..Default::default()
    });
    let data = proto::DataPacket { value: Some(user), sequence: 1, ..Default::default() };
    let watch = proto::JoinRequest { reconnect: false, participant_sid: String::new(), ..again.clone() };
    let scripts: [(&str, Vec<Vec<u8>>); 6] = [
        (
            "watch",
            vec![
                said(b'1', "w", &watch.encode_to_vec()),
                add.clone(),
                offered.clone(),
                b"0t200".to_vec(),
                b"0ok-bert".to_vec(),
                b"0t200".to_vec(),
            ],
        ),
        ("publish", vec![add.clone(), offered.clone(), said(b'0', "t", b"1000")]),
        (
            "mute-and-leave",
            vec![
                add.clone(),
                offered.clone(),
                said(b'0', "m", &frame(Said::Mute(mute))),
                b"0j{\"leave\":{}}".to_vec(),
            ],
        ),
        (
            "resume",
            vec![add.clone(), b"1g".to_vec(), b"1t3000".to_vec(), said(b'1', "r", &again.encode_to_vec())],
        ),
        ("demote", vec![add, offered, said(b'0', "ou", &demote.encode_to_vec()), b"0ok-bert".to_vec()]),
        (
            "data",
            vec![
                said(b'0', "d", &data.encode_to_vec()),
                b"0s\x80\x22\x00\x03abc\x00".to_vec(),
                b"0p\x80\x60\x00\x01".to_vec(),
                b"2j{\"subscription\":{\"trackSids\":[\"TRACK\"],\"subscribe\":true}}".to_vec(),
            ],
        ),
    ];
    for (name, steps) in scripts {
        write("session", name, &steps.join(SEPARATOR));
    }
    write("server", "talk", &server_talk(&offer).join(SEPARATOR));
    write("mp4", "growing", &recording());
}

fn offer() -> String {
    let mut rtc = str0m::Rtc::new(clock::now());
    let mut api = rtc.sdp_api();
    api.add_channel("_reliable".to_owned());
    for kind in [MediaKind::Audio, MediaKind::Video] {
        api.add_media(kind, Direction::SendOnly, Some("stream".into()), Some("cid".into()), None);
        api.add_media(kind, Direction::RecvOnly, None, None, None);
    }
    api.apply().unwrap().0.to_sdp_string()
}

fn description(kind: &str, sdp: &str) -> proto::SessionDescription {
    proto::SessionDescription { r#type: kind.to_owned(), sdp: sdp.to_owned(), ..Default::default() }
}

fn track(cid: &str) -> proto::AddTrackRequest {
    proto::AddTrackRequest {
        cid: cid.to_owned(),
        r#type: proto::TrackType::Video as i32,
        width: 640,
        height: 360,
        ..Default::default()
    }
}

fn wrap(compression: i32, join_request: Vec<u8>) -> Vec<u8> {
    proto::WrappedJoinRequest { compression, join_request }.encode_to_vec()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

#[allow(deprecated)] // Clients of protocol 16 are told of their layers there.
fn server_talk(offer: &str) -> Vec<Vec<u8>> {
    let audio = proto::TrackInfo { sid: "TR_1".to_owned(), ..Default::default() };
    let anna = proto::ParticipantInfo {
        sid: "PA_A".to_owned(),
        identity: "anna".to_owned(),
        tracks: vec![audio],
        ..Default::default()
    };
    let speaker = proto::SpeakerInfo { sid: "PA_A".to_owned(), level: 0.5, active: true };
    let quality = proto::SubscribedQuality { quality: 2, enabled: false };
    let update = proto::SubscribedQualityUpdate {
        track_sid: "TR_0".to_owned(),
        subscribed_qualities: vec![quality],
        ..Default::default()
    };
    let said = [
        Response::Update(proto::ParticipantUpdate { participants: vec![anna] }),
        Response::SpeakersChanged(proto::SpeakersChanged { speakers: vec![speaker] }),
        Response::SubscribedQualityUpdate(update),
        Response::Offer(description("offer", offer)),
        Response::RefreshToken("a.e30.b".to_owned()),
        Response::Leave(proto::LeaveRequest { can_reconnect: true, ..Default::default() }),
    ];
    said.map(|message| proto::SignalResponse { message: Some(message) }.encode_to_vec()).to_vec()
}

/// Two parts that were not finished.
fn recording() -> Vec<u8> {
    let units = interleaved(pictures(6, 3, 64, 48), sound(8, START));
    let first = units.iter().find(|unit| unit.track != TrackId::Aac).unwrap();
    let mut muxer = FragmentMuxer::new(first, AudioConfig::aac_lc_48k_mono()).unwrap();
    let mut bytes = muxer.init_segment().unwrap().to_vec();
    let mut parts: Vec<_> = units.iter().filter_map(|unit| muxer.push(unit).unwrap()).collect();
    parts.extend(muxer.finish().unwrap());
    parts.iter().for_each(|part| bytes.extend_from_slice(&part.bytes));
    bytes
}
