//! The speaker by ALSA: the mix by the card's clock while there is a card; thrown away while there is none.

use super::{MIX, PlaybackError, SpeakerPath, next};
use crate::audio::card::{CardError, CardStats, Event, Keeper, Side};
use crate::audio::drift::{Playing, ResampleError};
use crate::base::Shutdown;
use crate::base::clock::{self, MediaTime};
use crate::media::FRAME_SAMPLES;

/// Plays the mix on the sound card `name` (None: the default one) until `shutdown`; while there is none the mix is
/// thrown away.
pub fn run(name: Option<&str>, path: &SpeakerPath, shutdown: &Shutdown) -> Result<(), PlaybackError> {
    let keeper = Keeper::new(name, Side::Speaker, path.report.clone(), path.card.clone());
    let mut speaker = Speaker::new(keeper, path.card.clone());
    let mut due = clock::media_now() + MIX;
    while !shutdown.is_cancelled() {
        speaker.look(clock::media_now());
        if clock::media_now() < due {
            speaker.keeper.wait(due);
            continue;
        }
        let mut mix = [0; FRAME_SAMPLES];
        path.mixer.mix(due, &mut mix);
        if let Some(heard) = speaker.play(&mix, due) {
            path.voice.played(&mix, heard);
        }
        due = next(due, clock::media_now());
    }
    Ok(())
}

/// The card and what is made for it.
struct Speaker {
    keeper: Keeper,
    stats: CardStats,
    /// None while no card is open.
    sound: Option<Playing>,
}

impl Speaker {
    fn new(keeper: Keeper, stats: CardStats) -> Self {
        Speaker { keeper, stats, sound: None }
    }

    /// Looks what has happened to the card by `now`.
    fn look(&mut self, now: MediaTime) {
        while let Some(event) = self.keeper.poll(now) {
            match event {
                Event::Opened(card) => match Playing::new(card.rate_hz, card.period) {
                    Ok(sound) => self.sound = Some(sound),
                    Err(error) => self.give_up(&error, now),
                },
                Event::Pulled(pulled) => {
                    if let Some(sound) = &mut self.sound {
                        sound.observe(&pulled);
                        self.stats.drifts(sound.ppm());
                        if pulled.missing > 0 && sound.begun() {
                            self.stats.xrun();
                        }
                    }
                }
                _ => {}
            }
        }
        if self.keeper.card().is_none() {
            self.sound = None;
        }
    }

    /// Plays the mix that was `due`; returns when it will be heard, None when it will not be.
    fn play(&mut self, mix: &[i16; FRAME_SAMPLES], due: MediaTime) -> Option<MediaTime> {
        let sound = self.sound.as_mut()?;
        let heard = sound.heard(due);
        match sound.push(mix, due) {
            Ok(made) => {
                let samples = made.len();
                let to = self.keeper.card().and_then(|card| card.sound.as_ref());
                if to.is_some_and(|to| to.try_send(made).is_ok()) {
                    return Some(heard);
                }
                // Full: the card does not play, which its keeper sees.
                sound.lost(samples);
                None
            }
            Err(error) => {
                self.give_up(&error, due);
                None
            }
        }
    }

    fn give_up(&mut self, error: &ResampleError, now: MediaTime) {
        let name = self.keeper.card().map(|card| card.name.clone()).unwrap_or_default();
        self.keeper.fail(CardError::resample(&name, Side::Speaker.name(), error), now);
        self.sound = None;
    }
}

#[cfg(test)]
mod tests;
