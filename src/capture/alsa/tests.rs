use super::*;
use crate::audio::card::testing::{FakeCards, opened};
use crate::audio::drift::Heard;
use crate::media::{DeviceReport, DeviceStatus};

/// A microphone with simulated cards, on a simulated clock.
struct Bench {
    cards: FakeCards,
    microphone: Microphone,
    report: DeviceReport,
    stats: CardStats,
    now: MediaTime,
    frames: Vec<AudioFrame>,
}

impl Bench {
    fn new(follows: bool) -> Self {
        let (cards, report, stats) = (FakeCards::default(), DeviceReport::default(), CardStats::default());
        let keeper =
            Keeper::of(Box::new(cards.clone()), Side::Microphone, follows, report.clone(), stats.clone());
        let now = MediaTime::from_millis(1000);
        let microphone = Microphone::new(keeper, stats.clone(), now);
        Bench { cards, microphone, report, stats, now, frames: Vec::new() }
    }

    /// Lets `millis` pass, 10 ms at a time; a card that plays hears `value`.
    fn pass(&mut self, millis: u64, value: Option<f32>) {
        for _ in 0..millis / 10 {
            self.now = self.now + Duration::from_millis(10);
            if let Some(value) = value {
                let at = self.now - Duration::from_millis(10);
                self.cards.tell(Event::Heard(Heard { at, samples: vec![value; 480], gap: false }));
            }
            let frames = &mut self.frames;
            self.microphone.turn(self.now, &mut |frame| frames.push(frame));
        }
    }

    fn status(&self) -> (DeviceStatus, Option<String>) {
        let device = self.report.subscribe().borrow().clone();
        (device.status, device.reason)
    }

    /// Every frame begins where the one before it ended, and none is overdue.
    fn assert_continuous(&self) {
        for pair in self.frames.windows(2) {
            assert_eq!(pair[1].captured, pair[0].captured + SOUND_FRAME);
        }
        let last = self.frames.last().unwrap().captured;
        assert!(self.now.since(last) <= Duration::from_millis(160), "the last frame is of {last:?}");
    }

    /// Frames captured from `from` on that are not silent.
    fn loud_since(&self, from: MediaTime) -> usize {
        self.frames.iter().filter(|frame| frame.captured >= from && frame.samples[480] != 0).count()
    }
}

#[test]
fn a_card_that_is_unplugged_becomes_silence_and_is_heard_again_when_it_is_back() {
    let mut bench = Bench::new(false);
    bench.pass(100, None);
    assert_eq!(bench.status().0, DeviceStatus::Starting);
    bench.cards.tell(Event::Opened(opened("hw:1", 48_000)));
    bench.pass(1000, Some(0.5));
    assert_eq!((bench.status().0, bench.loud_since(MediaTime::ZERO) > 40), (DeviceStatus::Running, true));
    bench.assert_continuous();

    let error = CardError::Stalled { name: "hw:1".into(), side: "microphone" };
    bench.cards.tell(Event::Failed(error));
    let unplugged = bench.now;
    bench.pass(3000, None);
    assert_eq!(bench.status(), (DeviceStatus::Failed, Some("microphone hw:1 has stalled".into())));
    assert_eq!(bench.loud_since(unplugged), 0);
    assert!(bench.cards.opened() >= 2, "it is tried again");
    bench.assert_continuous();

    bench.cards.tell(Event::Opened(opened("hw:1", 48_000)));
    bench.pass(1000, Some(0.5));
    assert_eq!(bench.status(), (DeviceStatus::Running, None));
    assert!(bench.loud_since(unplugged) > 40);
    bench.assert_continuous();
    assert_eq!(bench.stats.failures(), 1);
}

#[test]
fn a_card_that_says_nothing_any_more_is_given_up_after_half_a_second_of_silence() {
    let mut bench = Bench::new(false);
    bench.pass(20, None);
    bench.cards.tell(Event::Opened(opened("hw:1", 48_000)));
    bench.pass(500, Some(0.25));
    bench.pass(490, None);
    assert_eq!(bench.status().0, DeviceStatus::Running);
    bench.pass(50, None);
    assert_eq!(bench.status().0, DeviceStatus::Failed);
    bench.assert_continuous();
}

#[test]
fn the_end_of_the_cards_thread_is_a_failure_of_the_card() {
    let mut bench = Bench::new(false);
    bench.pass(20, None);
    bench.cards.tell(Event::Opened(opened("hw:1", 48_000)));
    bench.pass(100, Some(0.25));
    bench.cards.hang_up();
    bench.pass(100, None);
    let reason = bench.status().1.unwrap();
    assert!(reason.contains("hw:1") && reason.contains("thread"), "{reason}");
    bench.assert_continuous();
}

#[test]
fn a_new_card_is_tried_at_once_and_the_default_followed() {
    let mut bench = Bench::new(true);
    // Until the backoff is at its longest.
    for attempt in 1..=10 {
        while bench.cards.opened() < attempt {
            bench.pass(10, None);
        }
        bench.cards.tell(Event::Failed(CardError::None { side: "microphone" }));
        bench.pass(10, None);
    }
    bench.cards.list("1 [USB]");
    bench.pass(1100, None);
    assert_eq!(bench.cards.opened(), 11);
    bench.cards.tell(Event::Opened(opened("default", 48_000)));
    bench.pass(500, Some(0.5));
    assert_eq!(bench.status().0, DeviceStatus::Running);
    bench.cards.list("1 [USB] 2 [Other]");
    bench.pass(1100, Some(0.5));
    assert_eq!(bench.cards.opened(), 12);
    bench.assert_continuous();
}

#[test]
fn an_xrun_is_counted_and_its_time_filled_with_silence() {
    let mut bench = Bench::new(false);
    bench.pass(20, None);
    bench.cards.tell(Event::Opened(opened("hw:1", 48_000)));
    bench.pass(400, Some(0.5));
    let lost = bench.now;
    bench.pass(60, None);
    bench.cards.tell(Event::Xrun);
    bench.pass(400, Some(0.5));
    assert_eq!(bench.stats.xruns(), 1);
    bench.assert_continuous();
    let silent = |frame: &&AudioFrame| frame.captured >= lost && frame.samples[480] == 0;
    let silent = bench.frames.iter().filter(silent).count();
    assert!((2..=4).contains(&silent), "{silent} frames are silent for 60 ms");
}
