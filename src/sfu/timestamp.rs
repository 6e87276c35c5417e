//! RTP timestamps for one subscriber: continuous over layers whose clocks begin anywhere.

use std::time::Duration;

use crate::base::clock::MediaTime;
use crate::base::units::ClockRate;

/// The newest sender report of a source (RFC 3550 §6.4.1): one instant on two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport {
    /// The sender's wall clock, since 1970.
    pub wall: Duration,
    /// The same instant on the RTP clock.
    pub timestamp: u32,
}

impl SenderReport {
    /// Nanoseconds on the sender's wall clock of RTP time `timestamp`, by this report.
    pub fn wall_nanos(&self, timestamp: u32, rate: ClockRate) -> i128 {
        let ticks = i128::from(timestamp.wrapping_sub(self.timestamp) as i32);
        self.wall.as_nanos() as i128 + ticks * 1_000_000_000 / i128::from(rate.hz())
    }

    /// RTP time at `wall_nanos` on the sender's wall clock. None when further than the RTP clock can express.
    fn timestamp_at(&self, wall_nanos: i128, rate: ClockRate) -> Option<u32> {
        let ticks = (wall_nanos - self.wall.as_nanos() as i128) * i128::from(rate.hz()) / 1_000_000_000;
        Some(self.timestamp.wrapping_add(i32::try_from(ticks).ok()? as u32))
    }
}

/// How far the sender reports may disagree with the arrival times before they are not believed.
const REPORT_TRUST: Duration = Duration::from_secs(1);

/// Maps the timestamps of whatever source is forwarded on to one clock.
#[derive(Clone, Copy, Debug)]
pub struct TimestampMap {
    rate: ClockRate,
    offset: u32,
    report: Option<SenderReport>,
    /// The newest timestamp given out, and when its packet arrived.
    last: Option<(u32, MediaTime)>,
}

impl TimestampMap {
    /// For a source of `rate`.
    pub fn new(rate: ClockRate) -> Self {
        TimestampMap { rate, offset: 0, report: None, last: None }
    }

    /// From now on another source is forwarded, beginning with `timestamp`, which arrived at `arrival`.
    ///
    /// The distance to what was sent before comes from both sources' sender reports, which is exact; without
    /// them, or when they are off by more than a second, from the arrival times.
    pub fn switch(&mut self, timestamp: u32, report: Option<SenderReport>, arrival: MediaTime) {
        if let Some((last, at)) = self.last {
            let elapsed = arrival.since(at).as_nanos() * u128::from(self.rate.hz()) / 1_000_000_000;
            let by_arrival = last.wrapping_add(elapsed.min(u128::from(u32::MAX / 4)) as u32);
            let by_report = self.by_report(timestamp, report).filter(|mapped| {
                let apart = u64::from((mapped.wrapping_sub(by_arrival) as i32).unsigned_abs());
                apart <= REPORT_TRUST.as_secs() * u64::from(self.rate.hz())
            });
            let mapped = by_report.unwrap_or(by_arrival);
            // The same instant twice would be taken for one frame.
            let mapped = if (mapped.wrapping_sub(last) as i32) < 1 { last.wrapping_add(1) } else { mapped };
            self.offset = mapped.wrapping_sub(timestamp);
        }
        self.report = report;
    }

    fn by_report(&self, timestamp: u32, report: Option<SenderReport>) -> Option<u32> {
        let wall_nanos = report?.wall_nanos(timestamp, self.rate);
        Some(self.report?.timestamp_at(wall_nanos, self.rate)?.wrapping_add(self.offset))
    }

    /// The subscriber's timestamp for `timestamp`. `newest`: nothing later in sequence was mapped before.
    pub fn map(
        &mut self,
        timestamp: u32,
        report: Option<SenderReport>,
        arrival: MediaTime,
        newest: bool,
    ) -> u32 {
        let mapped = timestamp.wrapping_add(self.offset);
        if newest {
            self.last = Some((mapped, arrival));
            self.report = report.or(self.report);
        }
        mapped
    }
}
