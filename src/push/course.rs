//! What time means for one destination: pure, with `now` as an argument.

use std::time::{Duration, Instant};

use crate::base::backoff::Backoff;
use crate::control::LiveStatus;
use crate::sys::SendState;

/// A destination that acknowledges nothing for so long, although there is something to send, is stalled …
pub(super) const STALLED_AFTER: Duration = Duration::from_secs(10);
/// … and left, to be tried again, after so long.
pub(super) const LEFT_AFTER: Duration = Duration::from_secs(30);
/// One that went well for so long is tried again as soon as a new one.
const STABLE_AFTER: Duration = Duration::from_secs(60);
/// First and longest delay before it is tried again.
const RETRY_FLOOR: Duration = Duration::from_secs(1);
const RETRY_CEILING: Duration = Duration::from_secs(60);

/// The course of one destination.
#[derive(Debug)]
pub(super) struct Course {
    phase: Phase,
    /// Of the connection whose server took the stream.
    flow: Option<Flow>,
    backoff: Backoff,
    /// Acknowledged on connections that have ended.
    earlier_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Connecting, up to the server's taking the stream.
    Connecting,
    Sending,
    Waiting,
    Leaving,
}

#[derive(Debug)]
struct Flow {
    since: Instant,
    /// Acknowledged before the stream began: the handshake.
    base_bytes: u64,
    bytes: u64,
    /// When something was acknowledged last, or nothing was left to acknowledge.
    progress_at: Instant,
}

impl Course {
    /// Connecting.
    pub(super) fn new() -> Course {
        Course {
            phase: Phase::Connecting,
            flow: None,
            backoff: Backoff::new(RETRY_FLOOR, RETRY_CEILING),
            earlier_bytes: 0,
        }
    }

    /// Another attempt begins.
    pub(super) fn connecting(&mut self) {
        self.phase = Phase::Connecting;
    }

    /// The server takes the stream, with `state` acknowledged so far.
    pub(super) fn accepted(&mut self, now: Instant, state: SendState) {
        let bytes = state.acked_bytes;
        self.phase = Phase::Sending;
        self.flow = Some(Flow { since: now, base_bytes: bytes, bytes, progress_at: now });
    }

    /// What the kernel tells, and whether bytes wait to be given to it. False: leave the server.
    pub(super) fn acknowledged(&mut self, now: Instant, state: SendState, waiting: bool) -> bool {
        let Some(flow) = &mut self.flow else { return true };
        if state.acked_bytes > flow.bytes || !(state.outstanding || waiting) {
            flow.bytes = flow.bytes.max(state.acked_bytes);
            flow.progress_at = now;
        }
        now.saturating_duration_since(flow.progress_at) < LEFT_AFTER
    }

    /// The attempt has failed: how long until the next.
    pub(super) fn failed(&mut self, rng: &mut impl rand::Rng) -> Duration {
        self.earlier_bytes = self.acked_bytes();
        let flow = self.flow.take();
        let lasted = flow.map(|flow| flow.progress_at.saturating_duration_since(flow.since));
        if lasted.is_some_and(|lasted| lasted >= STABLE_AFTER) {
            self.backoff.reset();
        }
        self.phase = Phase::Waiting;
        self.backoff.next_delay(rng)
    }

    /// Ordered to end.
    pub(super) fn leaving(&mut self) {
        self.phase = Phase::Leaving;
    }

    /// What is true at `now`.
    pub(super) fn status(&self, now: Instant) -> LiveStatus {
        match (self.phase, &self.flow) {
            (Phase::Waiting, _) => LiveStatus::Retrying,
            (Phase::Leaving, _) => LiveStatus::Stopped,
            (Phase::Sending, Some(flow)) => match now.saturating_duration_since(flow.progress_at) {
                still if still >= STALLED_AFTER => LiveStatus::Stalled,
                _ if flow.bytes == flow.base_bytes => LiveStatus::Connecting,
                _ => LiveStatus::Live,
            },
            _ => LiveStatus::Connecting,
        }
    }

    /// Of the stream, over all connections.
    pub(super) fn acked_bytes(&self) -> u64 {
        let now = self.flow.as_ref().map_or(0, |flow| flow.bytes.saturating_sub(flow.base_bytes));
        self.earlier_bytes.saturating_add(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock;
    use rand::SeedableRng;

    const SECOND: Duration = Duration::from_secs(1);

    fn sent(acked_bytes: u64, outstanding: bool) -> SendState {
        SendState { acked_bytes, outstanding, ..SendState::default() }
    }

    /// Sending since `now`, with 3000 bytes of handshake.
    fn sending(now: Instant) -> Course {
        let mut course = Course::new();
        course.accepted(now, sent(3000, false));
        course
    }

    #[test]
    fn it_is_live_once_something_of_the_stream_is_acknowledged() {
        let now = clock::now();
        let mut course = sending(now);
        assert_eq!(course.status(now), LiveStatus::Connecting);
        course.acknowledged(now, sent(3000, true), true);
        assert_eq!((course.status(now), course.acked_bytes()), (LiveStatus::Connecting, 0));
        course.acknowledged(now, sent(3500, true), false);
        assert_eq!((course.status(now), course.acked_bytes()), (LiveStatus::Live, 500));
    }

    #[test]
    fn a_server_that_takes_nothing_is_stalled_after_ten_seconds_and_left_after_thirty() {
        let start = clock::now();
        let mut course = sending(start);
        course.acknowledged(start, sent(4000, true), false);
        let mut seen = Vec::new();
        for second in 1..=30 {
            let now = start + SECOND * second;
            let stays = course.acknowledged(now, sent(4000, true), second > 5);
            assert_eq!(stays, second < 30, "after {second} s");
            seen.push(course.status(now));
        }
        assert!(seen[..9].iter().all(|status| *status == LiveStatus::Live));
        assert!(seen[9..].iter().all(|status| *status == LiveStatus::Stalled));
        // One byte more, and it goes on.
        let now = start + SECOND * 29;
        assert!(course.acknowledged(now, sent(4001, true), true));
        assert_eq!(course.status(now), LiveStatus::Live);
    }

    #[test]
    fn a_stream_without_anything_to_send_does_not_stall() {
        let start = clock::now();
        let mut course = sending(start);
        course.acknowledged(start, sent(4000, false), false);
        for minute in 1..10 {
            let now = start + SECOND * 60 * minute;
            assert!(course.acknowledged(now, sent(4000, false), false));
            assert_eq!(course.status(now), LiveStatus::Live);
        }
    }

    #[test]
    fn delays_grow_to_a_minute_and_begin_anew_after_a_minute_that_went_well() {
        let mut rng = rand::rngs::StdRng::seed_from_u64(5);
        let (mut course, mut now) = (Course::new(), clock::now());
        let mut delays = Vec::new();
        for _ in 0..10 {
            course.connecting();
            delays.push(course.failed(&mut rng));
            assert_eq!(course.status(now), LiveStatus::Retrying);
        }
        assert!(delays[0] <= SECOND && delays[9] >= SECOND * 30 && delays[9] <= SECOND * 60, "{delays:?}");
        for (seconds, longest) in [(59, SECOND * 60), (61, SECOND)] {
            course.connecting();
            course.accepted(now, sent(3000, false));
            now += SECOND * seconds;
            course.acknowledged(now, sent(3700, true), false);
            // The time in which nothing went does not count.
            let delay = course.failed(&mut rng);
            assert!(delay <= longest && delay >= longest / 2, "after {seconds} s: {delay:?}");
        }
        assert_eq!(course.acked_bytes(), 1400, "of both connections");
        course.leaving();
        assert_eq!((course.status(now), course.acked_bytes()), (LiveStatus::Stopped, 1400));
    }
}
