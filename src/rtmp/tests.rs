//! Against the server of another implementation (`shiguredo_rtmp`), and against noise.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use shiguredo_rtmp::{AvcPacketType, AvcSequenceHeader, RtmpConnectionEvent, RtmpServerConnection};

use super::amf::Writer as Amf;
use super::chunk::{self, Header, Lane, kind};
use super::*;
use crate::base::clock::MediaTime;
use crate::media::{AccessUnit, Layer, TrackId};

const KEY: &str = "s3cret-key";
/// Made by x264 (High, level 3.1, 1280x720).
const SPS: [u8; 24] = [
    0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
    0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83,
];

fn publisher() -> Publisher {
    let tc_url = "rtmp://media.example/live".to_owned();
    let address = Address { tc_url, app: "live".to_owned(), key: KEY.to_owned() };
    Publisher::new(address, Sound { config: vec![0x11, 0x88], rate: 48_000, channels: 1 })
}

fn picture(ms: u64, keyframe: bool) -> AccessUnit {
    let mut data = Vec::new();
    if keyframe {
        data.extend_from_slice(&[0, 0, 0, 1]);
        data.extend_from_slice(&SPS);
        data.extend_from_slice(&[0, 0, 0, 1, 0x68, 0xeb, 0xe3, 0xcb]);
    }
    data.extend_from_slice(&[0, 0, 0, 1, if keyframe { 0x65 } else { 0x41 }]);
    data.resize(data.len() + 5000, 7);
    AccessUnit {
        track: TrackId::Video(Layer::Full),
        pts: MediaTime::from_millis(ms),
        duration: Duration::from_nanos(33_333_333),
        keyframe,
        data: Bytes::from(data),
        audio_level: 127,
    }
}

fn sound(ms: u64) -> AccessUnit {
    AccessUnit { track: TrackId::Aac, data: Bytes::from_static(&[1, 2, 3]), ..picture(ms, true) }
}

/// Carries bytes both ways until neither has more to say.
fn converse(publisher: &mut Publisher, server: &mut RtmpServerConnection) -> Result<Vec<Event>, RtmpError> {
    let mut events = Vec::new();
    loop {
        let (up, down) = (publisher.outgoing().to_vec(), server.send_buf().to_vec());
        if up.is_empty() && down.is_empty() {
            return Ok(events);
        }
        publisher.sent(up.len());
        server.advance_send_buf(down.len());
        server.feed_recv_buf(&up).expect("the server understands");
        events.extend(publisher.receive(&down)?);
    }
}

/// What the server has told since it was asked last.
fn told(server: &mut RtmpServerConnection) -> Vec<RtmpConnectionEvent> {
    std::iter::from_fn(|| server.next_event()).collect()
}

fn publishing() -> (Publisher, RtmpServerConnection) {
    let (mut publisher, mut server) = (publisher(), RtmpServerConnection::new());
    assert_eq!(converse(&mut publisher, &mut server), Ok(vec![Event::Connected]));
    server.accept().expect("publish was asked for");
    assert_eq!(converse(&mut publisher, &mut server), Ok(vec![Event::Publishing]));
    (publisher, server)
}

#[test]
fn another_implementation_is_asked_for_the_stream_under_its_key() {
    let (mut publisher, mut server) = (publisher(), RtmpServerConnection::new());
    converse(&mut publisher, &mut server).unwrap();
    let asked = told(&mut server).into_iter().find_map(|event| match event {
        RtmpConnectionEvent::PublishRequested { app, tc_url, stream_name } => {
            Some((app, tc_url, stream_name))
        }
        _ => None,
    });
    let wanted = ("live".to_owned(), "rtmp://media.example/live".to_owned(), KEY.to_owned());
    assert_eq!(asked, Some(wanted));
    assert!(!publisher.is_publishing() && !format!("{publisher:?}").contains(KEY));
}

#[test]
fn pictures_and_sound_arrive_on_one_clock_from_the_first_keyframe_on() {
    let (mut publisher, mut server) = publishing();
    told(&mut server);
    // Nothing can be decoded before the first keyframe; sound from before it is left out too.
    for unit in [picture(900, false), sound(950), picture(1000, true), sound(990), sound(1010)] {
        publisher.push(&unit);
    }
    // Sound that a clock correction puts back, and another keyframe with the same parameters.
    for unit in [picture(1033, false), sound(1005), picture(1066, true)] {
        publisher.push(&unit);
    }
    converse(&mut publisher, &mut server).unwrap();
    let (mut pictures, mut sounds, mut headers) = (Vec::new(), Vec::new(), 0);
    for event in told(&mut server) {
        match event {
            RtmpConnectionEvent::VideoReceived(frame)
                if frame.avc_packet_type == Some(AvcPacketType::SequenceHeader) =>
            {
                let header = AvcSequenceHeader::from_bytes(&frame.data).expect("a decoder configuration");
                assert_eq!((header.avc_profile_indication, header.avc_level_indication), (100, 31));
                assert_eq!((header.sps_list[0].as_slice(), header.length_size_minus_one), (&SPS[..], 3));
                headers += 1;
            }
            RtmpConnectionEvent::VideoReceived(frame) => {
                assert_eq!(frame.composition_timestamp_offset.as_millis(), 0);
                assert_eq!(frame.data.len(), 4 + 1 + 5000);
                pictures.push((frame.timestamp.as_millis(), frame.is_keyframe()));
            }
            RtmpConnectionEvent::AudioReceived(frame) if frame.is_aac_sequence_header => {
                assert_eq!(frame.data, [0x11, 0x88]);
                headers += 10;
            }
            RtmpConnectionEvent::AudioReceived(frame) => sounds.push(frame.timestamp.as_millis()),
            _ => {}
        }
    }
    assert_eq!(headers, 11, "one header each");
    assert_eq!(pictures, [(0, true), (33, false), (66, true)]);
    assert_eq!(sounds, [10, 10]);
    assert_eq!(publisher.counts(), Sent { pictures: 3, sounds: 2 });
}

#[test]
fn the_clock_goes_on_past_five_hours_and_past_forty_nine_days() {
    let (mut publisher, mut server) = publishing();
    told(&mut server);
    let times = [0, 33, 16_777_214, 16_777_300, 16_777_333, 40_000_000, u64::from(u32::MAX) + 7];
    for ms in times {
        publisher.push(&picture(ms, true));
    }
    converse(&mut publisher, &mut server).unwrap();
    let arrived: Vec<u32> = told(&mut server)
        .into_iter()
        .filter_map(|event| match event {
            RtmpConnectionEvent::VideoReceived(frame)
                if frame.avc_packet_type == Some(AvcPacketType::NalUnit) =>
            {
                Some(frame.timestamp.as_millis())
            }
            _ => None,
        })
        .collect();
    assert_eq!(arrived, times.map(|ms| ms as u32));
}

#[test]
fn another_size_of_picture_is_told_before_it_is_sent() {
    let (mut publisher, mut server) = publishing();
    publisher.push(&picture(0, true));
    let mut other = picture(33, true);
    let mut data = other.data.to_vec();
    data[4 + SPS.len() + 5] = 0xea;
    other.data = Bytes::from(data);
    publisher.push(&other);
    converse(&mut publisher, &mut server).unwrap();
    let headers = told(&mut server)
        .into_iter()
        .filter(|event| {
            matches!(event, RtmpConnectionEvent::VideoReceived(frame)
            if frame.avc_packet_type == Some(AvcPacketType::SequenceHeader))
        })
        .count();
    assert_eq!(headers, 2);
}

#[test]
fn a_server_that_refuses_is_quoted_without_the_key() {
    let (mut publisher, mut server) = (publisher(), RtmpServerConnection::new());
    converse(&mut publisher, &mut server).unwrap();
    server.reject("taken").unwrap();
    let refused = converse(&mut publisher, &mut server).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the server refuses: NetStream.Publish.BadName: Stream name already in use."
    );
    let status = status_message("NetStream.Publish.Denied", &format!("no stream {KEY}\n here"));
    let refused = connected().receive(&status).unwrap_err().to_string();
    assert_eq!(refused, "the server refuses: NetStream.Publish.Denied: no stream (key) here");
}

#[test]
fn a_redirect_names_the_other_server_and_is_not_followed() {
    let body = Amf::default().text("_error").number(1.0).null().object().member("level").text("error");
    let body = body.member("code").text("NetConnection.Connect.Rejected").member("ex").object();
    let body = body.member("code").number(302.0).member("redirect");
    let body = body.text(&format!("rtmp://other.example:1935/live?name={KEY}")).end().end();
    let refused = connected().receive(&message(kind::COMMAND, &body.bytes)).unwrap_err();
    assert_eq!(refused, RtmpError::Redirected { to: "rtmp://other.example:1935/live".to_owned() });
}

#[test]
fn pings_and_windows_are_answered() {
    let mut publisher = connected();
    let ping = message(kind::USER_CONTROL, &[0, 6, 1, 2, 3, 4]);
    publisher.receive(&ping).unwrap();
    let answered = publisher.outgoing().ends_with(&[0, 7, 1, 2, 3, 4]);
    assert!(answered);
    publisher.sent(usize::MAX);
    publisher.receive(&message(kind::WINDOW, &100u32.to_be_bytes())).unwrap();
    publisher.receive(&ping.repeat(10)).unwrap();
    let mut reader = chunk::Reader::new();
    // The writer's chunk size is ours by now, and nothing here is longer than the default.
    let kinds: Vec<u8> =
        reader_from(&mut reader, publisher.outgoing()).into_iter().map(|message| message.kind).collect();
    assert!(kinds.contains(&kind::ACKNOWLEDGEMENT), "{kinds:?}");
    for window in [0u32, 1, u32::MAX] {
        publisher.receive(&message(kind::PEER_BANDWIDTH, &window.to_be_bytes())).unwrap();
        publisher.receive(&message(kind::WINDOW, &window.to_be_bytes())).unwrap();
    }
}

/// The lane is known to the reader from a first full header.
fn reader_from(reader: &mut chunk::Reader, bytes: &[u8]) -> Vec<chunk::Message> {
    reader.feed(&message(kind::WINDOW, &[0; 4])).unwrap();
    reader.feed(bytes).unwrap()
}

#[test]
fn the_end_is_told_and_acknowledged() {
    let (mut publisher, mut server) = publishing();
    publisher.push(&picture(0, true));
    publisher.unpublish();
    publisher.push(&picture(33, false));
    let said = String::from_utf8_lossy(publisher.outgoing()).into_owned();
    let (unpublish, delete) = (said.find("FCUnpublish"), said.find("deleteStream"));
    assert!(unpublish.is_some() && unpublish < delete);
    assert_eq!(publisher.counts().pictures, 1);
    converse(&mut publisher, &mut server).unwrap();
    let status = status_message("NetStream.Unpublish.Success", "");
    assert_eq!(publisher.receive(&status), Ok(vec![Event::Unpublished]));
}

/// A message from a server, on a chunk stream of its own.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut writer = chunk::Writer::new();
    let lane = if kind == chunk::kind::COMMAND { Lane::Data } else { Lane::Control };
    writer.message(Header { lane, kind, stream: 0, at: 0 }, &[body]);
    writer.bytes
}

fn status_message(code: &str, description: &str) -> Vec<u8> {
    let status = Amf::default().text("onStatus").number(0.0).null().object();
    let status = status.member("level").text("error").member("code").text(code);
    message(kind::COMMAND, &status.member("description").text(description).end().bytes)
}

/// One whose handshake is over.
fn connected() -> Publisher {
    let mut publisher = publisher();
    let mut hello = vec![3];
    hello.resize(1 + 2 * 1536, 9);
    assert_eq!(publisher.receive(&hello), Ok(Vec::new()));
    publisher.sent(usize::MAX);
    publisher
}

/// Everything that a server says up to the end of a short stream.
fn valid_replies() -> Vec<u8> {
    let (mut publisher, mut server, mut replies) = (publisher(), RtmpServerConnection::new(), Vec::new());
    for _ in 0..8 {
        let up = publisher.outgoing().to_vec();
        publisher.sent(up.len());
        server.feed_recv_buf(&up).expect("understood");
        let _ = server.accept();
        let down = server.send_buf().to_vec();
        server.advance_send_buf(down.len());
        publisher.receive(&down).expect("valid");
        replies.extend(down);
    }
    assert!(publisher.is_publishing());
    replies
}

fn seeded() -> ProptestConfig {
    ProptestConfig {
        rng_seed: proptest::test_runner::RngSeed::Fixed(20_261_121),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(seeded())]

    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..2000), handshaken in any::<bool>(), cut in 1usize..500
    ) {
        let mut publisher = if handshaken { connected() } else { publisher() };
        for piece in bytes.chunks(cut) {
            if publisher.receive(piece).is_err() { break }
        }
        publisher.push(&picture(0, true));
        publisher.unpublish();
    }

    #[test]
    fn valid_replies_that_are_cut_or_changed_never_panic(
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..6),
        length in any::<usize>(), cut in 1usize..4000, within_handshake in any::<bool>()
    ) {
        let mut replies = valid_replies();
        let from = if within_handshake { 0 } else { 1 + 2 * 1536 };
        for (at, byte) in changes {
            let at = from + at % (replies.len() - from);
            replies[at] = byte;
        }
        replies.truncate(from + length % (replies.len() - from + 1));
        let mut publisher = publisher();
        for piece in replies.chunks(cut) {
            if publisher.receive(piece).is_err() { break }
            publisher.push(&picture(0, true));
        }
        prop_assert!(publisher.outgoing().len() < 2_000_000);
    }
}
