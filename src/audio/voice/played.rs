//! What the speaker plays, by the time at which it is heard.

use std::collections::VecDeque;

use super::BLOCK;
use crate::base::clock::MediaTime;
use crate::base::units::ClockRate;
use crate::media::{AUDIO_RATE, FRAME_SAMPLES};

/// Samples kept: 1 s. When it is full (nobody listens) the oldest are dropped.
const CAPACITY: usize = AUDIO_RATE as usize;
/// A frame this far (20 ms) from where the last one ended is no jitter of the clock: sound was left out or repeated.
const JUMP: i64 = AUDIO_RATE as i64 / 50;
/// Frames that on average are this far (5 ms) off have moved too, a little at a time.
const SHIFT: i64 = AUDIO_RATE as i64 / 200;
/// Frames over which that average goes: a third of a second.
const AVERAGED: i64 = 16;

/// Puts frames that follow each other side by side, however their times jitter, and follows when they really move.
/// Without it every jitter would be a gap or an overlap, and to the canceller another room.
#[derive(Debug, Default)]
pub struct Timeline {
    /// Where the next frame begins, in samples since the media clock's zero.
    next: i64,
    /// How far off frames are on average, times [`AVERAGED`].
    off: i64,
}

impl Timeline {
    /// Where the frame stamped `at` begins.
    pub fn place(&mut self, at: MediaTime) -> i64 {
        let off = at.ticks(ClockRate::AUDIO) as i64 - self.next;
        self.off += off - self.off / AVERAGED;
        let moved = if off.abs() > JUMP { off } else { self.off / AVERAGED };
        if moved.abs() > SHIFT {
            (self.next, self.off) = (self.next + moved, 0);
        }
        let from = self.next;
        self.next += FRAME_SAMPLES as i64;
        from
    }
}

/// The queue between the speaker's thread and the microphone's.
#[derive(Debug, Default)]
pub struct Played {
    timeline: Timeline,
    /// Where the first of `samples` is.
    start: i64,
    samples: VecDeque<i16>,
}

impl Played {
    /// `samples` are heard from `heard` on. Silence need not be kept.
    pub fn push(&mut self, samples: &[i16; FRAME_SAMPLES], heard: MediaTime) {
        let from = self.timeline.place(heard);
        if samples.iter().all(|sample| *sample == 0) {
            return;
        }
        let after = from - self.start;
        if self.samples.is_empty() || !(0..=CAPACITY as i64).contains(&after) {
            self.samples.clear();
            self.start = from;
        } else {
            // Silence where nothing was told; what is told again is heard instead of the first.
            self.samples.resize(after as usize, 0);
        }
        self.samples.extend(samples);
        let over = self.samples.len().saturating_sub(CAPACITY);
        self.forget(over);
    }

    /// Fills `block` with what is heard from `at` on, silence where nothing is. What was heard before is forgotten.
    /// False when nothing is heard then or later.
    pub fn take(&mut self, at: i64, block: &mut [i16; BLOCK]) -> bool {
        block.fill(0);
        self.forget(usize::try_from(at - self.start).unwrap_or(0).min(self.samples.len()));
        let ahead = usize::try_from(self.start - at).unwrap_or(0);
        for (out, sample) in block.iter_mut().skip(ahead).zip(&self.samples) {
            *out = *sample;
        }
        !self.samples.is_empty()
    }

    fn forget(&mut self, samples: usize) {
        self.samples.drain(..samples);
        self.start += samples as i64;
    }
}
