//! What became of the packets sent to the room's server, in figures for people.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::rtc::peer::Fate;

/// Counts what the server tells (transport-wide feedback: of pictures only, and only where it has agreed to tell).
/// Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct UplinkMeter(Arc<Mutex<Counting>>);

#[derive(Debug, Default)]
struct Counting {
    figures: UplinkFigures,
    /// Departure and arrival of the last packet that arrived.
    last: Option<(Instant, i64)>,
}

/// The figures of a while.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UplinkFigures {
    /// Packets of which it is known what became of them.
    pub packets: u64,
    /// Those that did not arrive.
    pub lost: u64,
    /// Bytes of those that did.
    pub bytes: u64,
    /// Mean change of the time that packets take (RFC 3550 §6.4.1), in microseconds.
    pub jitter_us: f64,
    /// Shortest time from a packet's departure to the report of its arrival, in microseconds.
    pub round_trip_us: Option<u64>,
}

impl UplinkMeter {
    /// Takes a report that came at `now`.
    pub(super) fn report(&self, now: Instant, fates: &[Fate]) {
        let mut counting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Counting { figures, last } = &mut *counting;
        for fate in fates {
            figures.packets += 1;
            let Some(arrival) = fate.arrival_us else {
                figures.lost += 1;
                continue;
            };
            figures.bytes += fate.bytes as u64;
            let took = now.saturating_duration_since(fate.departure).as_micros() as u64;
            figures.round_trip_us = Some(figures.round_trip_us.map_or(took, |shortest| shortest.min(took)));
            if let Some((departed, arrived)) = *last {
                let apart = fate.departure.saturating_duration_since(departed).as_micros() as f64;
                let change = (arrival.saturating_sub(arrived) as f64 - apart).abs();
                figures.jitter_us += (change - figures.jitter_us) / 16.0;
            }
            *last = Some((fate.departure, arrival));
        }
    }

    /// The figures since the last call; None: nothing was told.
    pub fn take(&self) -> Option<UplinkFigures> {
        let mut counting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = counting.figures;
        // The jitter is a running mean: it goes on.
        counting.figures = UplinkFigures { jitter_us: taken.jitter_us, ..UplinkFigures::default() };
        (taken.packets > 0).then_some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock;
    use std::time::Duration;

    #[test]
    fn losses_bytes_the_round_trip_and_the_jitter_are_those_of_the_reports_since_the_last_look() {
        let (meter, start) = (UplinkMeter::default(), clock::now());
        assert_eq!(meter.take(), None);
        let fate = |n: u64, arrival_us| Fate {
            departure: start + Duration::from_millis(10 * n),
            bytes: 1000,
            arrival_us,
        };
        let now = start + Duration::from_millis(45);
        meter.report(
            now,
            &[fate(0, Some(7_000)), fate(1, Some(17_000)), fate(2, None), fate(3, Some(37_000))],
        );
        let figures = meter.take().unwrap();
        assert_eq!((figures.packets, figures.lost, figures.bytes), (4, 1, 3000));
        assert_eq!((figures.round_trip_us, figures.jitter_us), (Some(15_000), 0.0));
        assert_eq!(meter.take(), None);
        meter.report(now, &[fate(4, Some(63_000))]);
        assert_eq!(meter.take().map(|figures| figures.jitter_us), Some(1000.0));
    }
}
