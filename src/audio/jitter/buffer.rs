//! Order and time of one stream's packets; pure.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::delay::{Delay, samples};
use crate::base::clock::MediaTime;
use crate::media::FRAME_SAMPLES;

/// Packets held: 1.3 s of 20 ms. When it is full the oldest is dropped.
const CAPACITY: usize = 64;
/// A sequence number this far from the expected one is of a sender that started anew.
const ANEW: i64 = 1000;
/// Frames that are made up when nothing comes, before it is taken for the end of the speech: 100 ms.
const MADE_UP: u32 = 5;
/// Sound that is this much later than it should be is left out at once, in samples: 200 ms.
const TOO_LATE: f64 = 200.0 * 48.0;
/// Sound is stretched when it is this much (5 ms) too early, in samples.
const EARLY: f64 = 5.0 * 48.0;
/// Sound is shortened when it is this much (25 ms) too late: up to a frame is in the nature of frames.
const LATE: f64 = 25.0 * 48.0;
/// A hole in the timestamps longer than this (60 ms) without a lost packet is a pause of the speaker.
const PAUSE: i64 = 60 * 48;
/// More packets missing than this are no loss to be made up for.
const MOST_LOST: i64 = 10;
/// Longest loss that is made up for in one go, in samples: 120 ms, the longest packet of Opus.
const LONGEST: i64 = 120 * 48;

/// One packet of a received track.
#[derive(Clone, Debug)]
pub struct Packet {
    /// RTP sequence number.
    pub sequence: u16,
    /// RTP timestamp, 48 kHz.
    pub timestamp_48k: u32,
    /// One Opus packet.
    pub payload: Bytes,
    /// When it came.
    pub at: MediaTime,
}

/// What is to be played next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// This packet.
    Play(Bytes),
    /// A packet is lost; the one after it, if it is here, may carry a coarse copy (Opus in-band FEC).
    Lost {
        /// The packet after the lost one.
        next: Option<Bytes>,
        /// How many samples are lost.
        samples: usize,
    },
    /// Nothing has come in time: 20 ms are to be made up from what was heard.
    MakeUp,
    /// Nobody speaks.
    Silence,
}

/// How what is played next should be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tempo {
    /// As it is.
    Even,
    /// A little shorter: sound is heard later than need be.
    Shorter,
    /// A little longer: packets come later than before.
    Longer,
}

/// Holds the packets of one stream until they are to be played.
#[derive(Debug, Default)]
pub struct JitterBuffer {
    /// By unwrapped sequence number, with the unwrapped timestamp.
    packets: BTreeMap<i64, (i64, Bytes)>,
    /// Newest sequence number and timestamp, unwrapped.
    newest: Option<(i64, i64)>,
    delay: Delay,
    /// The sequence number to be played next; None before the first.
    next: Option<i64>,
    /// Whether sound is being played.
    speaking: bool,
    /// The timestamp up to which all has been given out.
    played: i64,
    made_up: u32,
    dropped: u64,
    lost: u64,
}

impl JitterBuffer {
    /// Takes a packet, in any order, late and double ones included.
    pub fn push(&mut self, packet: Packet) {
        let (sequence, timestamp) = self.unwrap(&packet);
        if self.next.is_some_and(|next| sequence < next) {
            self.dropped += 1;
            return;
        }
        self.delay.arrived(packet.at, timestamp);
        if self.packets.len() >= CAPACITY {
            self.packets.pop_first();
            self.dropped += 1;
        }
        self.packets.insert(sequence, (timestamp, packet.payload));
    }

    fn unwrap(&mut self, packet: &Packet) -> (i64, i64) {
        let (sequence, timestamp) = match self.newest {
            Some((sequence, timestamp)) => (
                sequence + i64::from(packet.sequence.wrapping_sub(sequence as u16) as i16),
                timestamp + i64::from(packet.timestamp_48k.wrapping_sub(timestamp as u32) as i32),
            ),
            None => (i64::from(packet.sequence), i64::from(packet.timestamp_48k)),
        };
        if self.newest.is_some_and(|(newest, _)| (sequence - newest).abs() > ANEW) {
            self.packets.clear();
            (self.next, self.newest, self.speaking) = (None, None, false);
        }
        if self.newest.is_none_or(|(newest, _)| sequence > newest) {
            self.newest = Some((sequence, timestamp));
        }
        (sequence, timestamp)
    }

    /// What is to be played next, when more sound is needed at `now`.
    pub fn step(&mut self, now: MediaTime) -> Step {
        if self.speaking {
            self.leave_out(now);
        }
        let Some((&sequence, &(timestamp, _))) = self.packets.first_key_value() else {
            return self.nothing_here();
        };
        let missing = self.next.map_or(0, |next| sequence - next);
        let goes_on = self.speaking && missing <= MOST_LOST;
        if goes_on && missing > 0 {
            return self.lose(missing, timestamp);
        }
        if goes_on && timestamp - self.played <= PAUSE {
            return self.play();
        }
        self.speaking = self.wait_for(timestamp, now) <= 0.0;
        if self.speaking { self.play() } else { Step::Silence }
    }

    /// How the newest sound should be played, when with it `ready` samples are there at `now`.
    pub fn tempo(&self, now: MediaTime, ready: usize) -> Tempo {
        // What counts is whether the next packet is there when sound is needed again.
        let needed = ready - ready % FRAME_SAMPLES;
        let wait = self.wait_for(self.played, now) - needed as f64;
        match self.speaking {
            true if wait > EARLY => Tempo::Longer,
            true if wait < -LATE => Tempo::Shorter,
            _ => Tempo::Even,
        }
    }

    /// How many samples too early it is at `now` to need `timestamp`.
    fn wait_for(&self, timestamp: i64, now: MediaTime) -> f64 {
        let base = self.delay.base().unwrap_or_default();
        timestamp as f64 + base + self.delay.target() - samples(now)
    }

    /// Leaves out what is far too late, but not all that there is.
    fn leave_out(&mut self, now: MediaTime) {
        if self.wait_for(self.played, now) >= -TOO_LATE {
            return;
        }
        while self.packets.len() > 1
            && let Some((&sequence, &(timestamp, _))) = self.packets.first_key_value()
            && self.wait_for(timestamp, now) < 0.0
        {
            self.packets.pop_first();
            self.dropped += 1;
            self.next = Some(sequence + 1);
            self.played = self.packets.first_key_value().map_or(timestamp, |(_, (next, _))| *next);
        }
    }

    fn nothing_here(&mut self) -> Step {
        self.made_up += 1;
        self.speaking &= self.made_up <= MADE_UP;
        if self.speaking { Step::MakeUp } else { Step::Silence }
    }

    fn play(&mut self) -> Step {
        let Some((sequence, (timestamp, payload))) = self.packets.pop_first() else {
            return Step::Silence;
        };
        self.next = Some(sequence + 1);
        (self.played, self.made_up) = (timestamp, 0);
        Step::Play(payload)
    }

    fn lose(&mut self, packets: i64, timestamp: i64) -> Step {
        // Of how much sound each was is known from the next one's timestamp.
        let samples = ((timestamp - self.played) / packets).clamp(0, LONGEST);
        self.next = self.next.map(|next| next + 1);
        self.played += samples;
        self.lost += 1;
        let copy =
            (packets == 1).then(|| self.packets.first_key_value().map(|(_, (_, bytes))| bytes.clone()));
        Step::Lost { next: copy.flatten(), samples: samples as usize }
    }

    /// So many samples came out of the packet that was given to be played.
    pub fn decoded(&mut self, samples: usize) {
        self.played += samples as i64;
    }

    /// How much longer than its quickest packets this stream's sound is meant to take, ms.
    pub fn target_ms(&self) -> f64 {
        self.delay.target() / 48.0
    }

    /// Packets that came too late, twice, or too many at once.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Packets that never came in time.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}
