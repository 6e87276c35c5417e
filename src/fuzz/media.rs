//! Pictures and what carries them: H.264, RTP payloads, MP4, RTMP.

use std::io::Cursor;
use std::time::Duration;

use bytes::Bytes;

use crate::base::clock::MediaTime;
use crate::base::units::Size;
use crate::capture::v4l2::CameraH264;
use crate::media::h264::{Sps, nals, to_length_prefixed};
use crate::media::{AccessUnit, Layer, TrackId};
use crate::mp4::{Scan, scan};
use crate::rtc::peer;
use crate::rtmp::{Address, Publisher, Sound};
use crate::sfu::{Incoming, Layering, PictureIds, Route, SenderReport, Spatial, Wish, keyframe, vp9};

/// A camera's access unit, twice.
pub fn h264(bytes: &[u8]) {
    for nal in nals(bytes) {
        if let Ok(sps) = Sps::parse(nal) {
            assert!(sps.size.width > 0 && sps.size.height > 0);
        }
    }
    let _ = Sps::parse(bytes);
    let _ = to_length_prefixed(bytes);
    let mut camera = CameraH264::new(Size::new(64, 48));
    for _ in 0..2 {
        let Ok(Some(unit)) = camera.take(bytes) else { break };
        assert!(nals(&unit.data).next().is_some());
        camera.lost();
    }
    let unit = Bytes::copy_from_slice(bytes);
    for max_bytes in [0, 3, 100, 1200] {
        let packets = peer::h264::payloads(&unit, max_bytes);
        assert!(max_bytes < 4 || packets.iter().all(|packet| packet.len() <= max_bytes));
    }
}

/// How the layers come, then packets of one track in three layers, 16 bytes each ([`Packet`]).
pub fn rtp(bytes: &[u8]) {
    let _ = (keyframe::h264(bytes), keyframe::vp8(bytes), keyframe::av1(bytes));
    let Some((layering, packets)) = bytes.split_first() else { return };
    let layering = [Layering::Simulcast, Layering::Spatial, Layering::One][usize::from(*layering) % 3];
    let mut route: Route<u8> = Route::video(layering, [None, Some(Size::new(640, 360)), None]);
    for to in 0..3 {
        route.subscribe(to, Wish::default());
    }
    let (mut now, mut sequence, mut timestamp) = (MediaTime::from_millis(1000), 70_000u64, 0u32);
    for chunk in packets.chunks(16) {
        let [what, gap, back, ticks, ms, ids, wish, _, payload @ ..] = chunk else { return };
        let packet = Packet { what: *what, gap: *gap, ids: *ids, payload };
        now = now + Duration::from_millis(u64::from(*ms) * 8);
        // As the library does it: extended, never below zero.
        sequence = sequence.saturating_add(u64::from(*gap)).saturating_sub(u64::from(*back));
        timestamp = timestamp.wrapping_add(u32::from_be_bytes([*ticks, *ms, 0, *ticks]));
        if let Some(subscriber) = route.subscriber_mut(|to| *to == wish % 3) {
            subscriber.wish = Wish {
                disabled: wish & 1 == 1,
                size: (wish & 2 == 2).then(|| Size::new(u32::from(*wish) * 10, u32::from(*ids) * 10)),
                quality: Layer::ALL[usize::from(*wish >> 2) % 3],
            };
            (subscriber.ready, subscriber.ceiling) = (what & 0x10 == 0, Layer::ALL[usize::from(*ids) % 3]);
            subscriber.paused = what & 0x20 == 0x20;
        }
        let packet = packet.incoming(layering, sequence, timestamp, now);
        route.arrived(&packet);
        route.forward(&[packet], |_, copies| copies.for_each(drop));
        route.keyframe_needed(|to| to % 2 == what % 2);
        route.refresh(now);
        let _ = (route.take_keyframe_requests(now), route.dynacast(now));
        if what & 4 == 4 {
            route.interrupt();
        }
    }
}

/// One packet of [`rtp`]: its first byte says what it has, the others how far everything goes on; then its payload.
struct Packet<'a> {
    what: u8,
    gap: u8,
    ids: u8,
    payload: &'a [u8],
}

impl Packet<'_> {
    fn incoming(&self, layering: Layering, sequence: u64, timestamp: u32, arrival: MediaTime) -> Incoming {
        let Packet { what, gap, ids, payload } = *self;
        let picture = PictureIds { picture: u16::from(ids) << 7, base_layer: ids, key: ids & 0x1f };
        let wall = Duration::from_millis(u64::from(gap) << 40);
        let descriptor = vp9::Descriptor::parse(payload);
        let spatial = Spatial {
            begins_picture: descriptor.is_some_and(|descriptor| descriptor.begins_picture()),
            ends_layer: descriptor.is_some_and(|descriptor| descriptor.ends),
        };
        Incoming {
            layer: Layer::ALL[usize::from(what) % 3],
            spatial: (layering == Layering::Spatial).then_some(spatial),
            ssrc: u32::from(what >> 6),
            sequence,
            timestamp,
            bytes: payload.len(),
            picture: (what & 8 == 8).then_some(picture),
            keyframe: keyframe::h264(payload) || keyframe::vp8(payload),
            report: (what & 0x20 == 0x20).then_some(SenderReport { wall, timestamp: u32::from(gap) << 24 }),
            arrival,
        }
    }
}

/// A recording that nobody finished.
pub fn mp4(bytes: &[u8]) {
    if let Ok(Scan::Growing { whole_bytes, index }) = scan(&mut Cursor::new(bytes)) {
        assert!(whole_bytes <= bytes.len() as u64);
        let _ = index.finish(whole_bytes);
    }
}

/// What an RTMP server says after its handshake, in pieces as long as the first byte says.
pub fn rtmp(bytes: &[u8]) {
    let Some((cut, said)) = bytes.split_first() else { return };
    let address =
        Address { tc_url: "rtmp://a/live".to_owned(), app: "live".to_owned(), key: "secret".to_owned() };
    let mut publisher =
        Publisher::new(address, Sound { config: vec![0x11, 0x88], rate: 48_000, channels: 1 });
    let hello: Vec<u8> = std::iter::once(3).chain(std::iter::repeat_n(9, 2 * 1536)).collect();
    if publisher.receive(&hello).is_err() {
        panic!("the handshake is right");
    }
    for piece in said.chunks(usize::from(*cut) + 1) {
        if let Err(error) = publisher.receive(piece) {
            assert!(!error.to_string().contains("secret"), "{error}");
            break;
        }
        publisher.push(&picture());
    }
    publisher.unpublish();
    // A picture and an answer for each byte at most.
    assert!(publisher.outgoing().len() < 8192 + 256 * said.len());
}

fn picture() -> AccessUnit {
    AccessUnit {
        track: TrackId::Video(Layer::Full),
        pts: MediaTime::from_millis(5),
        duration: Duration::from_millis(33),
        keyframe: false,
        data: Bytes::from_static(&[0, 0, 0, 1, 0x41, 1, 2, 3]),
        audio_level: 127,
    }
}
