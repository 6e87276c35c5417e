//! How long packets have to be held, from how late they came; pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::clock::MediaTime;

/// Samples of a millisecond: RTP timestamps of Opus are at 48 kHz (RFC 7587 §4.1).
const PER_MS: f64 = 48.0;
/// The quickest way of a packet is looked for in this many pieces of [`PIECE`]: 10 s.
const PIECES: usize = 10;
const PIECE: Duration = Duration::from_secs(1);
/// Width of a bin of lateness, ms, and how many there are: up to 250 ms.
const BIN_MS: f64 = 10.0;
const BINS: usize = 25;
/// What is left of an old packet's weight after one more packet: half is forgotten in 7 s.
const FORGET: f64 = 0.998;
/// The part of the packets that shall come in time.
const IN_TIME: f64 = 0.97;
/// Shortest and longest time that packets are held, ms.
const LEAST_MS: f64 = 20.0;
const MOST_MS: f64 = 200.0;
/// A packet that is this much off (2 s) is of a sender that started anew.
const ANEW: f64 = 2000.0 * PER_MS;

/// Learns the quickest way of a stream's packets and how much later than that they come. Times are in samples of
/// 48 kHz, `transit` being arrival minus timestamp.
#[derive(Clone, Debug)]
pub struct Delay {
    /// Least transit of each piece, with when it began.
    quickest: VecDeque<(MediaTime, f64)>,
    /// Weight of the packets by how late they came.
    late: [f64; BINS],
}

impl Default for Delay {
    fn default() -> Self {
        // As if one packet had come 20 ms late: 40 ms are held until more is known.
        let mut late = [0.0; BINS];
        late[1] = 5.0;
        Delay { quickest: VecDeque::new(), late }
    }
}

impl Delay {
    /// Takes a packet of `timestamp_48k` (unwrapped) that came at `at`.
    pub fn arrived(&mut self, at: MediaTime, timestamp_48k: i64) {
        let transit = samples(at) - timestamp_48k as f64;
        if self.base().is_some_and(|base| (transit - base).abs() > ANEW) {
            self.quickest.clear();
        }
        match self.quickest.back_mut() {
            Some((since, least)) if at.since(*since) < PIECE => *least = least.min(transit),
            _ => self.quickest.push_back((at, transit)),
        }
        if self.quickest.len() > PIECES {
            self.quickest.pop_front();
        }
        let late_ms = (transit - self.base().unwrap_or(transit)) / PER_MS;
        let bin = ((late_ms / BIN_MS) as usize).min(BINS - 1);
        self.late.iter_mut().for_each(|weight| *weight *= FORGET);
        self.late[bin] += 1.0;
    }

    /// The transit of the quickest packets, in samples; None before the first.
    pub fn base(&self) -> Option<f64> {
        self.quickest.iter().map(|(_, least)| *least).reduce(f64::min)
    }

    /// How much longer than the quickest way sound shall take, in samples: 20 to 200 ms.
    pub fn target(&self) -> f64 {
        let enough = self.late.iter().sum::<f64>() * IN_TIME;
        let mut sum = 0.0;
        let bin = self.late.iter().position(|weight| {
            sum += weight;
            sum >= enough
        });
        let ms = (bin.unwrap_or(BINS) + 1) as f64 * BIN_MS;
        // Half a frame more: the mix does not ask at the moment at which a packet comes.
        (ms + 10.0).clamp(LEAST_MS, MOST_MS) * PER_MS
    }
}

/// `at` in samples of 48 kHz.
pub(super) fn samples(at: MediaTime) -> f64 {
    at.as_nanos() as f64 * 48e-6
}
