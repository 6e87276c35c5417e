//! When a publisher's packet was captured, on our clock: what our own sender reports are made from.

use crate::base::clock::MediaTime;
use crate::base::units::ClockRate;

use super::timestamp::SenderReport;

/// One publisher's wall clock against our media clock, shared by its tracks, so that a subscriber's lip-sync is
/// the publisher's own and does not depend on how long each track's packets were under way.
#[derive(Clone, Copy, Debug, Default)]
pub struct SenderClock {
    /// Our time minus the sender's wall clock: the smallest seen, that is the least delayed packet.
    offset_nanos: Option<i128>,
}

impl SenderClock {
    /// Our time of a packet that carries `timestamp`: never after its arrival; the arrival itself as long as
    /// no sender report came.
    pub fn capture_time(
        &mut self,
        timestamp: u32,
        report: Option<SenderReport>,
        rate: ClockRate,
        arrival: MediaTime,
    ) -> MediaTime {
        let Some(report) = report else { return arrival };
        let wall = report.wall_nanos(timestamp, rate);
        let observed = i128::from(arrival.as_nanos()) - wall;
        let offset = self.offset_nanos.map_or(observed, |known| known.min(observed));
        self.offset_nanos = Some(offset);
        MediaTime::from_nanos(u64::try_from(wall + offset).unwrap_or_default())
    }
}
