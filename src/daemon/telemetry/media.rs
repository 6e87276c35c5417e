//! From counters that grow to what flowed in the last seconds.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::control::telemetry::{Destination, Media, Received, Track, Uplink, rounded};
use crate::daemon::media::MediaHub;
use crate::media::{TrackCount, TrackId};
use crate::participant::UplinkFigures;
use crate::push;

/// The counters as they were at the last look.
#[derive(Debug, Default)]
pub(super) struct Flows {
    at: Option<Instant>,
    tracks: [TrackCount; TrackId::ALL.len()],
    /// Acknowledged bytes, pictures and lost access units, by the destination's id.
    destinations: BTreeMap<u64, (u64, u64, u64)>,
    concealed: u64,
}

impl Flows {
    /// What flowed since the last look, without its time; None at the first one.
    pub(super) fn next(&mut self, now: Instant, hub: &MediaHub, live: &[push::Report]) -> Option<Media> {
        let seconds = self.at.replace(now).map(|at| now.saturating_duration_since(at).as_secs_f64());
        let (tracks, destinations) = (self.tracks(seconds, hub), self.destinations(seconds, live));
        let concealed = hub.mixer.concealed();
        let before = std::mem::replace(&mut self.concealed, concealed);
        let uplink = hub.uplink.take();
        let seconds = seconds.filter(|seconds| *seconds > 0.0)?;
        let mut losses = BTreeMap::new();
        // Several readers may share a name: every destination is called the same.
        for (reader, lost) in hub.stream.losses().into_iter().filter(|(_, lost)| *lost > 0) {
            *losses.entry(reader.to_owned()).or_insert(0) += lost;
        }
        Some(Media {
            ts: String::new(),
            tracks,
            uplink: uplink.map(|figures| shown(figures, seconds)),
            received: Some(Received {
                jitter_buffer_ms: rounded(hub.mixer.longest_delay_ms()),
                concealed: concealed.saturating_sub(before),
            }),
            destinations,
            losses: losses.into_iter().collect(),
            truncated: false,
        })
    }

    fn tracks(&mut self, seconds: Option<f64>, hub: &MediaHub) -> Vec<Track> {
        let mut flowing = Vec::new();
        for ((track, now), before) in hub.stream.counts().into_iter().zip(&mut self.tracks) {
            let before = std::mem::replace(before, now);
            let (units, late) = (now.units - before.units, now.late - before.late);
            let encoded = now.encoded - before.encoded;
            let took = now.encoding.saturating_sub(before.encoding).as_secs_f64() * 1000.0;
            let Some(seconds) = seconds.filter(|seconds| *seconds > 0.0 && units > 0) else { continue };
            flowing.push(Track {
                name: track.name().to_owned(),
                bitrate_bps: ((now.bytes - before.bytes) as f64 * 8.0 / seconds) as u64,
                rate: rounded(units as f64 / seconds),
                encode_ms: (encoded > 0).then(|| rounded(took / encoded as f64)),
                dropped: late,
            });
        }
        // The smallest pictures last: they are left out first.
        flowing.reverse();
        flowing
    }

    fn destinations(&mut self, seconds: Option<f64>, live: &[push::Report]) -> Vec<Destination> {
        let mut seen = BTreeMap::new();
        let mut told = Vec::new();
        for report in live {
            let now = (report.acked_bytes, report.sent.pictures, report.lost);
            seen.insert(report.id, now);
            let before = self.destinations.get(&report.id).copied().unwrap_or_default();
            let Some(seconds) = seconds.filter(|seconds| *seconds > 0.0) else { continue };
            told.push(Destination {
                url: report.url.to_string(),
                status: report.status,
                bitrate_bps: (now.0.saturating_sub(before.0) as f64 * 8.0 / seconds) as u64,
                rate: rounded(now.1.saturating_sub(before.1) as f64 / seconds),
                rtt_ms: report.rtt.map(|rtt| rounded(rtt.as_secs_f64() * 1000.0)),
                dropped: now.2.saturating_sub(before.2),
            });
        }
        self.destinations = seen;
        told
    }
}

fn shown(figures: UplinkFigures, seconds: f64) -> Uplink {
    Uplink {
        bitrate_bps: (figures.bytes as f64 * 8.0 / seconds) as u64,
        loss: rounded(figures.lost as f64 / figures.packets.max(1) as f64),
        rtt_ms: figures.round_trip_us.map(|us| rounded(us as f64 / 1000.0)),
        jitter_ms: (figures.bytes > 0).then(|| rounded(figures.jitter_us / 1000.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{self, MediaTime};
    use crate::control::LiveStatus;
    use crate::control::live::LiveUrl;
    use crate::media::{AccessUnit, Layer};
    use std::time::Duration;

    fn unit(track: TrackId, bytes: usize) -> AccessUnit {
        AccessUnit {
            track,
            pts: MediaTime::default(),
            duration: Duration::from_millis(20),
            keyframe: true,
            data: vec![1; bytes].into(),
            audio_level: 127,
        }
    }

    #[test]
    fn what_flowed_between_two_looks_is_told_by_track_and_destination() {
        let (hub, mut flows, start) = (MediaHub::default(), Flows::default(), clock::now());
        let full = TrackId::Video(Layer::Full);
        hub.stream.publish(&unit(full, 9000));
        assert_eq!(flows.next(start, &hub, &[]), None);
        for _ in 0..20 {
            hub.stream.publish(&unit(full, 1000));
            hub.stream.publish(&unit(TrackId::Opus, 100));
            hub.stream.encoded(full, Duration::from_millis(4));
        }
        hub.stream.late(full, 3);
        let report = push::Report {
            id: 7,
            url: LiveUrl::parse("rtmp://a/live").unwrap(),
            status: LiveStatus::Live,
            acked_bytes: 50_000,
            last_error: None,
            next_try: None,
            failures: 0,
            lost: 0,
            rtt: Some(Duration::from_millis(12)),
            sent: crate::rtmp::Sent { pictures: 60, sounds: 0 },
        };
        let media = flows.next(start + Duration::from_secs(2), &hub, &[report]).unwrap();
        let names: Vec<_> = media.tracks.iter().map(|track| track.name.as_str()).collect();
        assert_eq!(names, ["opus", "video-full"]);
        let track = &media.tracks[1];
        assert_eq!((track.bitrate_bps, track.rate, track.encode_ms), (80_000, 10.0, Some(4.0)));
        assert_eq!(track.dropped, 3);
        let to = &media.destinations[0];
        assert_eq!((to.bitrate_bps, to.rate, to.rtt_ms), (200_000, 30.0, Some(12.0)));
        assert_eq!((media.uplink, media.losses.len()), (None, 0));
        let quiet = flows.next(start + Duration::from_secs(3), &hub, &[]).unwrap();
        assert_eq!((quiet.tracks.len(), quiet.destinations.len()), (0, 0));
    }
}
