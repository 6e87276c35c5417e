//! Microphones by ALSA: a card's sound while there is one, silence at the same beat while there is none.

use std::time::Duration;

use super::{CaptureError, SOUND_FRAME, SoundOut};
use crate::audio::card::{CardError, CardStats, Event, Keeper, Side};
use crate::audio::drift::{Capturing, ResampleError};
use crate::base::Shutdown;
use crate::base::clock::{self, MediaTime};
use crate::media::{AudioFrame, FRAME_SAMPLES};

/// How long at most until the next look at the card and the clock.
const TURN: Duration = Duration::from_millis(20);
/// Silence that is older than this (nobody ran for so long) is left out.
const TOO_OLD: Duration = Duration::from_secs(1);

/// Hears the sound card `name` (None: the default one), silence while there is none, until `shutdown`.
pub fn run(name: Option<&str>, out: &SoundOut, shutdown: &Shutdown) -> Result<(), CaptureError> {
    let keeper = Keeper::new(name, Side::Microphone, out.report.clone(), out.card.clone());
    let mut microphone = Microphone::new(keeper, out.card.clone(), clock::media_now());
    while !shutdown.is_cancelled() {
        microphone.keeper.wait(clock::media_now() + TURN);
        microphone.turn(clock::media_now(), &mut |mut frame| {
            out.voice.process(&mut frame);
            out.hear(frame);
        });
    }
    Ok(())
}

/// The card and the frames made of it.
struct Microphone {
    keeper: Keeper,
    stats: CardStats,
    /// None while no card is open.
    sound: Option<Capturing>,
    /// When the next frame begins, while no card is open.
    next: MediaTime,
}

impl Microphone {
    /// Frames begin at `now`.
    fn new(keeper: Keeper, stats: CardStats, now: MediaTime) -> Self {
        Microphone { keeper, stats, sound: None, next: now }
    }

    /// Gives every frame that is due at `now` to `hear`.
    fn turn(&mut self, now: MediaTime, hear: &mut impl FnMut(AudioFrame)) {
        while let Some(event) = self.keeper.poll(now) {
            if let Err(error) = self.take(event) {
                self.give_up(&error, now);
            }
            self.give(now, hear);
        }
        self.give(now, hear);
    }

    fn take(&mut self, event: Event) -> Result<(), ResampleError> {
        match (event, &mut self.sound) {
            (Event::Opened(card), _) => {
                self.next = self.next();
                self.sound = Some(Capturing::new(card.rate_hz, self.next)?);
            }
            (Event::Heard(heard), Some(sound)) => {
                sound.push(&heard)?;
                self.stats.drifts(sound.ppm());
            }
            (Event::Xrun, Some(sound)) => sound.gap(),
            _ => {}
        }
        Ok(())
    }

    /// When the next frame begins.
    fn next(&self) -> MediaTime {
        self.sound.as_ref().map_or(self.next, Capturing::next)
    }

    fn give(&mut self, now: MediaTime, hear: &mut impl FnMut(AudioFrame)) {
        if self.keeper.card().is_none() {
            self.next = self.next();
            self.sound = None;
        }
        let Some(sound) = &mut self.sound else { return self.give_silence(now, hear) };
        loop {
            match sound.pop(now) {
                Ok(Some(frame)) => hear(frame),
                Ok(None) => return,
                Err(error) => return self.give_up(&error, now),
            }
        }
    }

    fn give_silence(&mut self, now: MediaTime, hear: &mut impl FnMut(AudioFrame)) {
        if now.since(self.next) > TOO_OLD {
            self.next = now - SOUND_FRAME;
        }
        while now >= self.next + SOUND_FRAME {
            hear(AudioFrame { captured: self.next, samples: Box::new([0; FRAME_SAMPLES]) });
            self.next = self.next + SOUND_FRAME;
        }
    }

    fn give_up(&mut self, error: &ResampleError, now: MediaTime) {
        let name = self.keeper.card().map(|card| card.name.clone()).unwrap_or_default();
        self.keeper.fail(CardError::resample(&name, Side::Microphone.name(), error), now);
    }
}

#[cfg(test)]
mod tests;
