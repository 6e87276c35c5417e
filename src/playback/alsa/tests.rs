use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::*;
use crate::audio::card::testing::{FakeCards, opened};
use crate::audio::drift::Pulled;
use crate::media::DeviceReport;

#[test]
fn the_mix_goes_to_the_card_while_there_is_one_and_nowhere_else_while_there_is_none() {
    let (cards, report, stats) = (FakeCards::default(), DeviceReport::default(), CardStats::default());
    let keeper = Keeper::of(Box::new(cards.clone()), Side::Speaker, false, report.clone(), stats.clone());
    let mut speaker = Speaker::new(keeper, stats);
    let mut now = MediaTime::from_millis(1000);
    let mix = [8192; FRAME_SAMPLES];
    speaker.look(now);
    assert_eq!(speaker.play(&mix, now), None);

    let (sound, card) = sync_channel(20);
    let mut open = opened("hw:0", 48_000);
    open.sound = Some(sound);
    cards.tell(Event::Opened(open));
    let mut samples = Vec::new();
    for _ in 0..50 {
        now = now + MIX;
        speaker.look(now);
        let heard = speaker.play(&mix, now).unwrap();
        assert!(heard > now && heard.since(now) <= Duration::from_millis(60), "{:?}", heard.since(now));
        while let Ok(made) = card.try_recv() {
            samples.extend(made);
        }
        let (heard, taken_before) = (now + MIX, samples.len() as u64);
        cards.tell(Event::Pulled(Pulled { now, heard, taken_before, samples: 960, missing: 0 }));
    }
    assert!(samples.len() >= 50 * 960, "{} samples", samples.len());
    assert!((samples.last().unwrap() - 0.25).abs() < 0.01);

    cards.tell(Event::Failed(CardError::Stalled { name: "hw:0".into(), side: "speaker" }));
    speaker.look(now);
    assert_eq!(speaker.play(&mix, now), None);
    assert_eq!(report.subscribe().borrow().reason.as_deref(), Some("speaker hw:0 has stalled"));
}

#[test]
fn a_mix_that_a_card_which_does_not_play_leaves_no_room_for_is_not_told_as_heard() {
    let (cards, report, stats) = (FakeCards::default(), DeviceReport::default(), CardStats::default());
    let keeper = Keeper::of(Box::new(cards.clone()), Side::Speaker, false, report, stats.clone());
    let mut speaker = Speaker::new(keeper, stats);
    let now = MediaTime::from_millis(1000);
    speaker.look(now);
    let (sound, card) = sync_channel(1);
    let mut open = opened("hw:0", 48_000);
    open.sound = Some(sound);
    cards.tell(Event::Opened(open));
    speaker.look(now);
    let mix = [8192; FRAME_SAMPLES];
    assert!(speaker.play(&mix, now).is_some());
    assert_eq!(speaker.play(&mix, now + MIX), None);
    assert!(card.try_recv().is_ok());
    assert!(speaker.play(&mix, now + MIX + MIX).is_some());
}
