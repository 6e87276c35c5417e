//! Which videos of a subscriber are paused because its network does not carry even their smallest layers; sound goes on.
//!
//! Estimates are wild when they begin and on busy machines, so an estimate alone pauses nothing: so much must be lost
//! besides that no picture comes whole. And where little is sent no estimate rises, so what is paused is tried again:
//! sooner when the estimate allows it, later each time that it failed.

use std::time::Duration;

use crate::base::clock::MediaTime;

/// The smallest layers have not fitted for so long.
const AFTER: Duration = Duration::from_secs(4);
/// The same while something is tried, which is for so long.
const TRIAL_AFTER: Duration = Duration::from_secs(1);
const TRIAL: Duration = Duration::from_secs(10);
/// So soon after a change what was lost before may still be told.
const SETTLE: Duration = Duration::from_secs(2);
/// A pause so soon after something went on is its failure.
const FAILED: Duration = Duration::from_secs(30);
/// What is paused is tried again after so long; after half of it when the estimate allows it.
const PATIENCE: Duration = Duration::from_secs(8);
/// The same after failures, each of which doubles it.
const LONGEST_PATIENCE: Duration = Duration::from_secs(64);
/// Smallest layers that go on need at most this share of the estimate, and those that begin again this: what is on
/// the edge does not flap.
const KEEP_PERCENT: u64 = 110;
const RESUME_PERCENT: u64 = 85;

/// The pauses of one subscriber.
#[derive(Clone, Copy, Debug)]
pub struct Pausing {
    /// Since when the smallest layers do not fit.
    starving: Option<MediaTime>,
    /// When something was paused or went on last.
    changed: Option<MediaTime>,
    /// When something went on that has not proved itself yet.
    tried: Option<MediaTime>,
    patience: Duration,
}

impl Default for Pausing {
    fn default() -> Self {
        Pausing { starving: None, changed: None, tried: None, patience: PATIENCE }
    }
}

/// One video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Video {
    /// What its smallest layer needs, in bits per second.
    pub smallest: u64,
    /// Nothing of it is sent.
    pub paused: bool,
}

impl Pausing {
    /// Decides anew about `videos`, in order of importance. `estimate`, in bits per second, is what is left for them
    /// (None: not known); `overflows`: so much is lost that no picture comes whole.
    pub fn decide(&mut self, estimate: Option<u64>, overflows: bool, videos: &mut [Video], now: MediaTime) {
        if self.tried.is_some_and(|at| now.since(at) >= FAILED) {
            (self.tried, self.patience) = (None, PATIENCE);
        }
        let settled = self.changed.is_none_or(|at| now.since(at) >= SETTLE);
        let starves = settled
            && overflows
            && estimate.is_some_and(|estimate| needed(videos) * 100 > estimate * KEEP_PERCENT);
        self.starving = starves.then(|| self.starving.unwrap_or(now));
        let in_trial = self.tried.is_some_and(|at| now.since(at) < TRIAL);
        let after = if in_trial { TRIAL_AFTER } else { AFTER };
        if self.starving.is_some_and(|since| now.since(since) >= after) {
            self.pause(estimate.unwrap_or_default(), videos, now);
        } else if !starves {
            self.go_on(estimate.unwrap_or_default(), videos, now);
        }
    }

    /// Pauses the least important until the rest fits.
    fn pause(&mut self, estimate: u64, videos: &mut [Video], now: MediaTime) {
        while needed(videos) * 100 > estimate * KEEP_PERCENT
            && let Some(last) = videos.iter_mut().rev().find(|video| !video.paused && video.smallest > 0)
        {
            last.paused = true;
        }
        if self.tried.take().is_some() {
            self.patience = (self.patience * 2).min(LONGEST_PATIENCE);
        }
        (self.starving, self.changed) = (None, Some(now));
    }

    /// Lets the most important go on, as many as fit, or one to try whether it does.
    fn go_on(&mut self, estimate: u64, videos: &mut [Video], now: MediaTime) {
        let waited = self.changed.map_or(Duration::MAX, |at| now.since(at));
        let before = videos.iter().filter(|video| video.paused).count();
        while waited >= self.patience / 2
            && let Some(index) = videos.iter().position(|video| video.paused)
            && (needed(videos) + videos[index].smallest) * 100 <= estimate * RESUME_PERCENT
        {
            videos[index].paused = false;
        }
        let paused = videos.iter().filter(|video| video.paused).count();
        if paused == before
            && waited >= self.patience
            && let Some(first) = videos.iter_mut().find(|video| video.paused)
        {
            first.paused = false;
        } else if paused == before {
            return;
        }
        (self.changed, self.tried) = (Some(now), Some(now));
    }
}

/// What the smallest layers of all that is sent need.
fn needed(videos: &[Video]) -> u64 {
    videos.iter().filter(|video| !video.paused).map(|video| video.smallest).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::MediaTime;
    use crate::sfu::congestion::Congestion;

    const SOUND: u64 = 40_000;

    /// A subscriber behind a link, whose estimator sees little of what is not used.
    struct Network {
        ms: u64,
        /// Bits per second that the link carries.
        carries: u64,
        estimate: u64,
        congestion: Congestion,
        pausing: Pausing,
        videos: Vec<Video>,
        /// When which were paused.
        story: Vec<(u64, Vec<bool>)>,
    }

    impl Network {
        fn new(carries: u64, smallest: &[u64]) -> Network {
            let videos = smallest.iter().map(|&smallest| Video { smallest, paused: false }).collect();
            let (congestion, pausing) = (Congestion::default(), Pausing::default());
            Network { ms: 0, carries, estimate: carries, congestion, pausing, videos, story: Vec::new() }
        }

        /// In steps of 100 ms; figures come every second.
        fn run(&mut self, seconds: u64) {
            for _ in 0..seconds * 10 {
                self.ms += 100;
                let now = MediaTime::from_millis(self.ms);
                let sent = SOUND + needed(&self.videos);
                if sent > self.carries {
                    self.estimate = self.carries * 85 / 100;
                } else {
                    self.estimate =
                        (self.estimate * 1008 / 1000).min(sent * 3 / 2 + 10_000).min(self.carries);
                }
                if self.ms.is_multiple_of(1_000) && sent > SOUND {
                    let loss = 1.0 - (self.carries as f32 / sent as f32).min(1.0);
                    self.congestion.observe_loss(loss, 20, now);
                }
                self.decide(Some(self.estimate.saturating_sub(SOUND)));
            }
        }

        fn decide(&mut self, estimate: Option<u64>) {
            let now = MediaTime::from_millis(self.ms);
            let before = self.paused();
            self.pausing.decide(estimate, self.congestion.overflows(now), &mut self.videos, now);
            if before != self.paused() {
                self.story.push((self.ms, self.paused()));
            }
        }

        fn paused(&self) -> Vec<bool> {
            self.videos.iter().map(|video| video.paused).collect()
        }

        /// How long all of it was not paused, in ms, since `from`.
        fn sent_ms(&self, from: u64) -> u64 {
            let (mut since, mut sum) = (Some(from), 0);
            for (at, paused) in self.story.iter().filter(|(at, _)| *at >= from) {
                let goes_on = !paused.contains(&true);
                sum += since.take().map_or(0, |since| at - since);
                since = goes_on.then_some(*at);
            }
            sum + since.map_or(0, |since| self.ms - since)
        }
    }

    #[test]
    fn the_only_video_is_paused_when_it_does_not_fit_and_goes_on_when_it_does() {
        let mut network = Network::new(1_000_000, &[150_000]);
        network.run(30);
        assert_eq!(network.story, [], "all is well");
        network.carries = 60_000;
        network.run(12);
        assert_eq!(network.paused(), [true], "{:?}", network.story);
        network.run(120);
        let tried = network.story.iter().filter(|(_, paused)| *paused == [false]).count();
        assert!((3..=5).contains(&tried), "{:?}", network.story);
        assert!(network.sent_ms(42_000) < 30_000, "of two minutes: {:?}", network.story);
        network.carries = 1_000_000;
        network.run(70);
        assert_eq!(network.paused(), [false]);
        let story = network.story.clone();
        network.run(60);
        assert_eq!(network.story, story, "and stays");
    }

    #[test]
    fn of_several_videos_the_least_important_are_paused_and_the_most_important_go_on_first() {
        let mut network = Network::new(2_000_000, &[100_000, 150_000, 150_000]);
        network.carries = 260_000;
        network.run(8);
        assert_eq!(network.paused(), [false, true, true], "{:?}", network.story);
        network.carries = 2_000_000;
        network.run(40);
        let order: Vec<Vec<bool>> = network.story.iter().map(|(_, paused)| paused.clone()).collect();
        assert_eq!(order[1..], [vec![false, false, true], vec![false, false, false]]);
    }

    #[test]
    fn an_estimate_that_rises_ends_a_pause_after_half_of_the_patience() {
        let mut network = Network::new(60_000, &[150_000]);
        network.run(5);
        assert_eq!(network.story, [(5_000, vec![true])]);
        while network.paused() == [true] && network.ms < 60_000 {
            network.ms += 100;
            network.decide(Some(500_000));
        }
        assert_eq!(network.ms, 9_000);
    }

    #[test]
    fn no_estimate_and_no_loss_pause_nothing() {
        let mut network = Network::new(1_000_000, &[150_000, 150_000]);
        for _ in 0..600 {
            network.ms += 100;
            network.decide(Some(0));
        }
        assert_eq!(network.story, [], "a busy machine");
        for _ in 0..600 {
            network.ms += 100;
            network.congestion.observe_loss(0.5, 20, MediaTime::from_millis(network.ms));
            network.decide(None);
            network.decide(Some(400_000));
        }
        assert_eq!(network.story, [], "what is lost is not lost to us");
    }

    #[test]
    fn a_network_that_comes_and_goes_is_given_longer_and_longer_to_settle() {
        let mut network = Network::new(1_000_000, &[150_000]);
        for _ in 0..30 {
            network.carries = 60_000;
            network.run(10);
            network.carries = 1_000_000;
            network.run(10);
        }
        let changes =
            |from: u64, to: u64| network.story.iter().filter(|(at, _)| (from..to).contains(at)).count();
        assert!(changes(300_000, 600_000) <= 14, "in five minutes: {:?}", network.story);
    }

    #[test]
    fn what_is_muted_or_unsubscribed_meanwhile_is_no_obstacle_and_one_of_unknown_rate_is_never_paused() {
        let mut network = Network::new(60_000, &[150_000]);
        network.run(8);
        assert_eq!(network.paused(), [true]);
        let muted = std::mem::take(&mut network.videos);
        network.run(100);
        assert_eq!(network.paused(), [false; 0]);
        network.carries = 1_000_000;
        network.videos = muted;
        network.run(1);
        assert_eq!(network.paused(), [false], "tried as soon as it is back");
        network.run(60);
        assert_eq!(network.paused(), [false]);

        let mut network = Network::new(30_000, &[0, 150_000]);
        network.run(8);
        assert_eq!(network.paused(), [false, true]);
    }
}
