//! What the reports tell about the path: the queue that stands on it, the loss, and what it carries; pure.
//!
//! A queue stands when even the fastest packet of a while was late (as in CoDel, RFC 8289 §3): jitter and the burst
//! of a keyframe leave some packets fast, an uplink that gets more than it carries leaves none.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use crate::base::units::Bitrate;
use crate::rtc::peer::Fate;

/// The while: departures this long before the last one that arrived.
const WINDOW: Duration = Duration::from_millis(400);
/// Packets that are needed in it.
const WINDOW_PACKETS: usize = 5;
/// A queue this long is too long.
const QUEUE_LIMIT: Duration = Duration::from_millis(100);
/// How long the fastest packet counts as what the path takes without a queue.
const BASE_SECONDS: u64 = 10;
/// Of so many packets so many per cent lost is too many. Random loss of 5 % does not reach either.
const LOSS_LIMITS: [(usize, usize); 2] = [(200, 12), (50, 25)];
/// Packets that are remembered.
const RECENT: usize = 400;
/// What SRTP, UDP and IPv4 add to an RTP packet, in bytes.
const OVERHEAD_BYTES: usize = 38;

/// How congestion shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sign {
    /// Packets queue for so long.
    Queue(Duration),
    /// So many per cent are lost.
    Loss(usize),
    /// No report comes any more.
    Silence,
}

/// The uplink gets more than it carries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Congestion {
    pub sign: Sign,
    /// What arrived meanwhile, all headers included; None when too little is known.
    pub carried: Option<Bitrate>,
}

impl fmt::Display for Congestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sign {
            Sign::Queue(queue) => write!(f, "{} ms of queue", queue.as_millis())?,
            Sign::Loss(percent) => write!(f, "{percent} % lost")?,
            Sign::Silence => return f.write_str("nothing gets through"),
        }
        match self.carried {
            Some(carried) => write!(f, ", about {} kbit/s get through", carried.as_bps() / 1000),
            None => Ok(()),
        }
    }
}

/// One packet, times in µs.
#[derive(Clone, Copy, Debug)]
struct Packet {
    departure: i64,
    /// By the server's clock.
    arrival: Option<i64>,
    bytes: usize,
}

impl Packet {
    /// What it took, on clocks that are not aligned: only differences mean something.
    fn transit(&self) -> Option<i64> {
        self.arrival.map(|arrival| arrival.saturating_sub(self.departure))
    }
}

/// What is known of the path.
#[derive(Debug, Default)]
pub(super) struct Path {
    /// Zero of the departures.
    epoch: Option<Instant>,
    recent: VecDeque<Packet>,
    /// Departures before this say nothing about now.
    since: i64,
    /// Departure of the last packet that arrived.
    newest: i64,
    /// By second: the fastest transit.
    fastest: VecDeque<(u64, i64)>,
}

impl Path {
    /// Takes a report.
    pub fn report(&mut self, fates: &[Fate]) {
        for fate in fates {
            let epoch = *self.epoch.get_or_insert(fate.departure);
            let departure = micros(fate.departure.saturating_duration_since(epoch));
            let packet = Packet { departure, arrival: fate.arrival_us, bytes: fate.bytes };
            if self.recent.len() >= RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back(packet);
            if let Some(transit) = packet.transit() {
                self.newest = self.newest.max(departure);
                self.note(departure, transit);
            }
        }
    }

    fn note(&mut self, departure: i64, transit: i64) {
        let second = departure.unsigned_abs() / 1_000_000;
        match self.fastest.iter_mut().find(|(of, _)| *of == second) {
            Some((_, fastest)) => *fastest = transit.min(*fastest),
            None => self.fastest.push_back((second, transit)),
        }
        let newest = self.newest.unsigned_abs() / 1_000_000;
        self.fastest.retain(|(of, _)| of + BASE_SECONDS > newest);
    }

    /// What left before `now` says nothing about what leaves from now on.
    pub fn forget(&mut self, now: Instant) {
        self.since = self.epoch.map_or(0, |epoch| micros(now.saturating_duration_since(epoch)));
        self.recent.clear();
    }

    /// The queue that stands `now` is taken for the path's own length.
    pub fn rebase(&mut self, now: Instant) {
        self.fastest.clear();
        self.forget(now);
    }

    /// How long the queue is that stands; None when too little is known.
    pub fn queue(&self) -> Option<Duration> {
        let transits = || self.window().filter_map(|packet| packet.transit());
        let (base, fastest) = (self.fastest.iter().map(|(_, transit)| *transit).min()?, transits().min()?);
        (transits().count() >= WINDOW_PACKETS)
            .then(|| Duration::from_micros(u64::try_from(fastest.saturating_sub(base)).unwrap_or(0)))
    }

    /// Whether the path gets more than it carries.
    pub fn congestion(&self) -> Option<Congestion> {
        if let Some(queue) = self.queue().filter(|queue| *queue > QUEUE_LIMIT) {
            return Some(Congestion { sign: Sign::Queue(queue), carried: carried(self.window()) });
        }
        let percent = LOSS_LIMITS.iter().find_map(|&(of, limit)| {
            let last = self.recent.iter().rev().filter(|packet| packet.departure >= self.since).take(of);
            let lost = last.clone().filter(|packet| packet.arrival.is_none()).count();
            (last.count() == of && lost * 100 > limit * of).then(|| lost * 100 / of)
        })?;
        Some(Congestion { sign: Sign::Loss(percent), carried: carried(self.recent.iter()) })
    }

    fn window(&self) -> impl Iterator<Item = &Packet> {
        let from = self.newest.saturating_sub(micros(WINDOW)).max(self.since);
        self.recent.iter().filter(move |packet| packet.departure >= from)
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// The rate at which packets arrived.
fn carried<'a>(packets: impl Iterator<Item = &'a Packet>) -> Option<Bitrate> {
    let (mut first, mut last, mut bytes) = (i64::MAX, i64::MIN, 0);
    for packet in packets {
        let Some(arrival) = packet.arrival else { continue };
        (first, last) = (first.min(arrival), last.max(arrival));
        bytes += (packet.bytes + OVERHEAD_BYTES) as u64;
    }
    let span = u64::try_from(last.checked_sub(first)?).ok().filter(|span| *span >= 50_000)?;
    let bits = bytes.saturating_mul(8_000_000) / span;
    Some(Bitrate::bps(u32::try_from(bits).unwrap_or(u32::MAX)))
}
