//! Access units on the wire: times, headers, messages.

use super::{Phase, Publisher};
use crate::base::clock::MediaTime;
use crate::media::h264::to_length_prefixed;
use crate::media::{AccessUnit, TrackId};
use crate::rtmp::chunk::{Header, Lane, kind};
use crate::rtmp::flv::{self, Parameters};

impl Publisher {
    /// Puts an access unit on the wire. Nothing passes before the first keyframe, whose time becomes 0; sound and
    /// pictures are on that one clock, and neither goes back. Opus and other layers are left out.
    pub fn push(&mut self, unit: &AccessUnit) {
        if self.phase != Phase::Publishing {
            return;
        }
        let video = match unit.track {
            TrackId::Video(_) => true,
            TrackId::Aac => false,
            TrackId::Opus => return,
        };
        if video && unit.keyframe {
            self.describe(unit);
        }
        let Some(base) = self.base.filter(|base| unit.pts >= *base) else { return };
        let at = self.time(video, base, unit.pts);
        if video {
            let data = to_length_prefixed(&unit.data);
            self.media(Lane::Video, kind::VIDEO, at, &[&flv::picture(unit.keyframe), &data]);
            self.sent.pictures += 1;
        } else {
            self.media(Lane::Audio, kind::AUDIO, at, &[&flv::sound(false), &unit.data]);
            self.sent.sounds += 1;
        }
    }

    /// Milliseconds on the wire, modulo 2^32.
    fn time(&mut self, video: bool, base: MediaTime, pts: MediaTime) -> u32 {
        let [sound, pictures] = &mut self.newest;
        let newest = if video { pictures } else { sound };
        *newest = (*newest).max(pts.since(base).as_millis() as u64);
        *newest as u32
    }

    /// Tells size and parameter sets in front of a keyframe, when they are new.
    fn describe(&mut self, keyframe: &AccessUnit) {
        let Some(parameters) = Parameters::of(&keyframe.data) else { return };
        if self.parameters.as_ref() == Some(&parameters) {
            return;
        }
        let first = self.base.is_none();
        let base = *self.base.get_or_insert(keyframe.pts);
        let at = self.time(true, base, keyframe.pts);
        let seconds = keyframe.duration.as_secs_f64();
        let fps = if seconds > 0.0 { seconds.recip().round() } else { 0.0 };
        let metadata = flv::metadata(parameters.size, fps, &self.sound);
        self.media(Lane::Data, kind::DATA, at, &[&metadata]);
        self.media(Lane::Video, kind::VIDEO, at, &[&parameters.sequence_header()]);
        if first {
            let config = self.sound.config.clone();
            self.media(Lane::Audio, kind::AUDIO, at, &[&flv::sound(true), &config]);
        }
        self.parameters = Some(parameters);
    }

    fn media(&mut self, lane: Lane, kind: u8, at: u32, parts: &[&[u8]]) {
        self.writer.message(Header { lane, kind, stream: self.stream, at }, parts);
    }
}
