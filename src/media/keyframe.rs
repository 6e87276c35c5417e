//! Many may ask for a keyframe at once; the encoder is asked once, and not too often.

use std::time::Duration;

use crate::base::clock::MediaTime;

/// Merges keyframe requests of one layer and lets at most one through per [`KeyframeArbiter::INTERVAL`].
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyframeArbiter {
    wanted: bool,
    granted: Option<MediaTime>,
}

impl KeyframeArbiter {
    /// The shortest time between two keyframes that were asked for.
    pub const INTERVAL: Duration = Duration::from_millis(500);

    /// Someone needs a keyframe.
    pub fn request(&mut self) {
        self.wanted = true;
    }

    /// Whether to make the next picture a keyframe. True at most once per interval; a request that comes too
    /// early is kept, not lost.
    pub fn take(&mut self, now: MediaTime) -> bool {
        let early = self.granted.is_some_and(|at| now.since(at) < Self::INTERVAL);
        if !self.wanted || early {
            return false;
        }
        self.wanted = false;
        self.granted = Some(now);
        true
    }

    /// A keyframe came by itself: requests made before it are answered.
    pub fn keyframe_sent(&mut self, at: MediaTime) {
        self.wanted = false;
        self.granted = Some(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_requests_in_half_a_second_make_one_keyframe_and_the_next_is_kept() {
        let mut arbiter = KeyframeArbiter::default();
        let mut granted = Vec::new();
        for ms in (0..1200).step_by(10) {
            if ms < 700 {
                arbiter.request();
            }
            if arbiter.take(MediaTime::from_millis(ms)) {
                granted.push(ms);
            }
        }
        assert_eq!(granted, [0, 500, 1000]);
    }

    #[test]
    fn a_keyframe_that_came_by_itself_answers_the_request() {
        let mut arbiter = KeyframeArbiter::default();
        arbiter.request();
        arbiter.keyframe_sent(MediaTime::from_millis(5));
        assert!(!arbiter.take(MediaTime::from_millis(900)));
    }
}
