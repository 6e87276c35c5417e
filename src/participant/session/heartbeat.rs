//! The server's timers: how often it wants to hear from us, and how long it may be silent.

use std::time::{Duration, Instant};

use crate::base::clock;
use crate::rtc::signal::proto::{JoinResponse, Ping, Pong};

/// Pings to be sent and what is known from their answers.
pub(super) struct Heartbeat {
    pub interval: tokio::time::Interval,
    /// Silence for so long means that the connection is lost.
    pub timeout: Duration,
    heard: Instant,
    rtt_ms: i64,
}

impl Heartbeat {
    /// As the join response asks, within reason.
    pub fn new(join: &JoinResponse) -> Self {
        let seconds = |asked: i32, usual: u64, range: std::ops::RangeInclusive<u64>| {
            let asked = u64::try_from(asked).ok().filter(|asked| *asked > 0).unwrap_or(usual);
            Duration::from_secs(asked.clamp(*range.start(), *range.end()))
        };
        let period = seconds(join.ping_interval, 5, 1..=60);
        let mut interval = tokio::time::interval(period);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let timeout = seconds(join.ping_timeout, 15, 5..=120).max(period * 2);
        Heartbeat { interval, timeout, heard: clock::now(), rtt_ms: 0 }
    }

    /// Something came.
    pub fn heard(&mut self) {
        self.heard = clock::now();
    }

    /// Whether it has been silent for too long.
    pub fn is_over(&self) -> bool {
        clock::now().saturating_duration_since(self.heard) > self.timeout
    }

    /// The next ping.
    pub fn ping(&self) -> Ping {
        Ping { timestamp: wall_ms(), rtt: self.rtt_ms }
    }

    /// Takes a ping's answer.
    pub fn pong(&mut self, pong: Pong) {
        self.rtt_ms = wall_ms().saturating_sub(pong.last_ping_timestamp).clamp(0, 60_000);
    }
}

fn wall_ms() -> i64 {
    let since = clock::wall().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn impossible_timers_are_bent_into_possible_ones() {
        for (ping_interval, ping_timeout) in [(0, 0), (i32::MIN, i32::MAX), (i32::MAX, i32::MIN), (5, 15)] {
            let join = JoinResponse { ping_interval, ping_timeout, ..Default::default() };
            let heartbeat = Heartbeat::new(&join);
            assert!(heartbeat.interval.period() >= Duration::from_secs(1));
            assert!(heartbeat.timeout >= heartbeat.interval.period() * 2);
            assert!(heartbeat.timeout <= Duration::from_secs(120));
        }
    }

    #[tokio::test]
    async fn nonsense_in_a_pong_is_bent_too() {
        let mut heartbeat = Heartbeat::new(&JoinResponse::default());
        for last_ping_timestamp in [i64::MIN, i64::MAX, 0] {
            heartbeat.pong(Pong { last_ping_timestamp, timestamp: 0 });
            assert!((0..=60_000).contains(&heartbeat.rtt_ms));
        }
    }
}
