use std::time::Duration;

use bytes::Bytes;

use super::*;

fn unit(track: TrackId, ms: u64, keyframe: bool) -> AccessUnit {
    AccessUnit {
        track,
        pts: MediaTime::from_millis(ms),
        duration: Duration::from_millis(20),
        keyframe,
        data: Bytes::from_static(b"x"),
        audio_level: 127,
    }
}

const FULL: TrackId = TrackId::Video(Layer::Full);

#[test]
fn a_reader_starts_at_a_keyframe_and_asks_for_it() {
    let stream = Stream::new();
    let mut reader = stream.subscribe("test", Wants::RECORDING);
    assert!(stream.take_keyframe_request(Layer::Full, MediaTime::ZERO));
    stream.publish(&unit(FULL, 0, false));
    stream.publish(&unit(FULL, 33, true));
    assert_eq!(reader.try_recv().map(|unit| unit.pts), Some(MediaTime::from_millis(33)));
    assert!(reader.try_recv().is_none());
}

#[test]
fn a_slow_reader_loses_its_own_backlog_counted_and_goes_on_at_a_keyframe() {
    let stream = Stream::new();
    let mut slow = stream.subscribe("slow", Wants::RECORDING);
    let mut quick = stream.subscribe("quick", Wants::RECORDING);
    let mut seen = 0;
    for index in 0..READER_CAPACITY as u64 + 2 {
        stream.publish(&unit(FULL, index * 33, index == 0));
        seen += u64::from(quick.try_recv().is_some());
    }
    assert_eq!(seen, READER_CAPACITY as u64 + 2);
    assert_eq!(quick.lost(), 0);
    assert!(slow.lost() >= READER_CAPACITY as u64);
    assert!(slow.try_recv().is_none());
    assert!(stream.take_keyframe_request(Layer::Full, MediaTime::from_millis(60_000)));
    stream.publish(&unit(FULL, 70_000, true));
    assert!(slow.try_recv().is_some());
}

#[test]
fn demand_follows_the_readers() {
    let stream = Stream::new();
    assert_eq!(stream.demand(), Wants::NOTHING);
    let reader = stream.subscribe("a", Wants::RECORDING);
    let other = stream.subscribe("b", Wants { opus: true, ..Wants::NOTHING });
    assert_eq!(stream.demand(), Wants { opus: true, ..Wants::RECORDING });
    drop(reader);
    other.set_wants(Wants { video: [true, false, false], ..Wants::NOTHING });
    assert_eq!(stream.demand(), Wants { video: [true, false, false], ..Wants::NOTHING });
}

#[tokio::test]
async fn a_closed_stream_ends_after_what_is_queued() {
    let stream = Stream::new();
    let mut reader = stream.subscribe("test", Wants { opus: true, ..Wants::NOTHING });
    stream.publish(&unit(TrackId::Opus, 0, true));
    stream.close();
    assert!(reader.recv().await.is_some());
    assert!(reader.recv().await.is_none());
}
