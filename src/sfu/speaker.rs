//! Who speaks, from the audio levels in the RTP packets (RFC 6464); nothing is decoded.

use std::time::Duration;

use crate::base::clock::MediaTime;

/// How often levels are judged.
pub const INTERVAL: Duration = Duration::from_millis(400);
/// A packet is loud when at least this loud, in -dBov: 0 is the loudest, 127 silence.
const LOUD_MINUS_DBOV: u8 = 40;
/// Speaking means that this share of an interval's packets was loud.
const LOUD_PERCENT: u32 = 40;
/// Somebody who spoke stays a speaker through this many quiet intervals: words have gaps.
const QUIET_INTERVALS: u32 = 2;
/// Smaller changes of an active speaker's level are not reported.
const LEVEL_STEP: f32 = 0.05;

/// What changed for one participant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change<K> {
    /// Who.
    pub speaker: K,
    /// 0 (silent) to 1 (loudest).
    pub level: f32,
    /// Whether it counts as speaking.
    pub active: bool,
}

#[derive(Clone, Copy, Debug)]
struct Voice<K> {
    speaker: K,
    packets: u32,
    loud: u32,
    loud_sum_minus_dbov: u32,
    quiet_intervals: u32,
    reported: f32,
}

/// The active speakers of one room.
#[derive(Clone, Debug)]
pub struct Speakers<K> {
    voices: Vec<Voice<K>>,
    judged: Option<MediaTime>,
}

impl<K> Default for Speakers<K> {
    fn default() -> Self {
        Speakers { voices: Vec::new(), judged: None }
    }
}

impl<K: Copy + PartialEq> Speakers<K> {
    /// One audio packet of `speaker`; its level is `minus_dbov` (0 loudest, 127 silence).
    pub fn observe(&mut self, speaker: K, minus_dbov: u8) {
        let position = self.voices.iter().position(|voice| voice.speaker == speaker);
        let index = position.unwrap_or_else(|| {
            let quiet_intervals = QUIET_INTERVALS;
            let voice = Voice {
                speaker,
                packets: 0,
                loud: 0,
                loud_sum_minus_dbov: 0,
                quiet_intervals,
                reported: 0.0,
            };
            self.voices.push(voice);
            self.voices.len() - 1
        });
        let Some(voice) = self.voices.get_mut(index) else { return };
        voice.packets += 1;
        if minus_dbov <= LOUD_MINUS_DBOV {
            voice.loud += 1;
            voice.loud_sum_minus_dbov += u32::from(minus_dbov);
        }
    }

    /// Judges what was observed since the last [`INTERVAL`]; empty when that is not over or nothing changed.
    /// Loudest first.
    pub fn judge(&mut self, now: MediaTime) -> Vec<Change<K>> {
        if self.judged.is_some_and(|at| now.since(at) < INTERVAL) {
            return Vec::new();
        }
        self.judged = Some(now);
        let mut changes: Vec<Change<K>> = self.voices.iter_mut().filter_map(Voice::judge).collect();
        changes.sort_by(|a, b| b.level.total_cmp(&a.level));
        changes
    }

    /// It muted itself or stopped sending: not a speaker from the next judgement on.
    pub fn mute(&mut self, speaker: K) {
        for voice in self.voices.iter_mut().filter(|voice| voice.speaker == speaker) {
            (voice.packets, voice.loud, voice.loud_sum_minus_dbov) = (0, 0, 0);
            voice.quiet_intervals = QUIET_INTERVALS;
        }
    }

    /// It left.
    pub fn remove(&mut self, speaker: K) {
        self.voices.retain(|voice| voice.speaker != speaker);
    }

    /// Who speaks now, loudest first.
    pub fn active(&self) -> Vec<Change<K>> {
        let mut active: Vec<Change<K>> = self
            .voices
            .iter()
            .filter(|voice| voice.reported > 0.0)
            .map(|voice| Change { speaker: voice.speaker, level: voice.reported, active: true })
            .collect();
        active.sort_by(|a, b| b.level.total_cmp(&a.level));
        active
    }
}

impl<K: Copy> Voice<K> {
    fn judge(&mut self) -> Option<Change<K>> {
        let speaking = self.packets > 0 && self.loud * 100 >= self.packets * LOUD_PERCENT && self.loud > 0;
        let level = if speaking {
            self.quiet_intervals = 0;
            // As an amplitude: -40 dBov is 0.01, 0 dBov is 1.
            10f32.powf(-(self.loud_sum_minus_dbov as f32 / self.loud as f32) / 20.0).clamp(0.01, 1.0)
        } else {
            self.quiet_intervals = (self.quiet_intervals + 1).min(QUIET_INTERVALS + 1);
            if self.quiet_intervals <= QUIET_INTERVALS { self.reported } else { 0.0 }
        };
        (self.packets, self.loud, self.loud_sum_minus_dbov) = (0, 0, 0);
        let changed = (level > 0.0) != (self.reported > 0.0) || (level - self.reported).abs() >= LEVEL_STEP;
        if !changed {
            return None;
        }
        self.reported = level;
        Some(Change { speaker: self.speaker, level, active: level > 0.0 })
    }
}
