//! Whether the box's microphone is heard.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use super::frame::{AUDIO_RATE, FRAME_SAMPLES};

/// Over how many samples sound fades out and in (8 ms), so that neither clicks.
const FADE: usize = AUDIO_RATE as usize * 8 / 1000;

/// The one switch that mutes the microphone, for all that reads it. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct MuteSwitch(watch::Sender<bool>);

impl Default for MuteSwitch {
    /// Not muted.
    fn default() -> Self {
        MuteSwitch(watch::Sender::new(false))
    }
}

impl MuteSwitch {
    /// Mutes or unmutes; takes effect with the next frame of sound (20 ms). True when that changed something.
    pub fn set(&self, muted: bool) -> bool {
        self.0.send_if_modified(|now| std::mem::replace(now, muted) != muted)
    }

    /// Whether the microphone is muted now.
    pub fn get(&self) -> bool {
        *self.0.borrow()
    }

    /// For those who tell others when it changes.
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }
}

/// Puts a [`MuteSwitch`] into effect on one flow of sound. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct MuteFade {
    /// Whether the last frame ended with sound. At first none has: what begins muted lets nothing through.
    open: Arc<AtomicBool>,
}

impl MuteFade {
    /// Silences `samples` while `muted`. The first frame after a change fades over 8 ms; the frame after the one that
    /// fades out is all zero.
    pub fn apply(&self, muted: bool, samples: &mut [i16; FRAME_SAMPLES]) {
        let was_open = self.open.swap(!muted, Ordering::Relaxed);
        let (fading, rest) = samples.split_at_mut(FADE);
        match (was_open, muted) {
            (true, false) => {}
            (false, false) => ramp(fading.iter_mut()),
            (true, true) => {
                ramp(fading.iter_mut().rev());
                rest.fill(0);
            }
            (false, true) => samples.fill(0),
        }
    }
}

/// From silence to full.
fn ramp<'a>(samples: impl Iterator<Item = &'a mut i16>) {
    for (step, sample) in samples.enumerate() {
        *sample = (i32::from(*sample) * step as i32 / FADE as i32) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn muting_fades_within_one_frame_and_every_frame_after_it_is_all_zero() {
        let fade = MuteFade::default();
        let apply = |muted| {
            let mut samples = [20_000; FRAME_SAMPLES];
            fade.apply(muted, &mut samples);
            samples
        };
        let steepest = |samples: &[i16]| samples.windows(2).map(|pair| pair[0].abs_diff(pair[1])).max();
        let opening = apply(false);
        assert_eq!((opening[0], opening[FADE]), (0, 20_000));
        assert!(opening.is_sorted() && steepest(&opening) < Some(60));
        assert_eq!(apply(false), [20_000; FRAME_SAMPLES]);
        let closing = apply(true);
        assert!(closing[0] > 19_900 && steepest(&closing) < Some(60));
        assert_eq!(closing[FADE..], [0; FRAME_SAMPLES - FADE]);
        assert_eq!((apply(true), apply(true)), ([0; FRAME_SAMPLES], [0; FRAME_SAMPLES]));
        assert_eq!(apply(false), opening);
    }

    #[test]
    fn what_begins_muted_lets_nothing_through() {
        let mut samples = [20_000; FRAME_SAMPLES];
        MuteFade::default().apply(true, &mut samples);
        assert_eq!(samples, [0; FRAME_SAMPLES]);
    }
}
