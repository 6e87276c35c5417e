//! The loop that steers; pure.

use std::time::Duration;

use crate::base::clock::MediaTime;

/// Observations are late by scheduling, hardly ever early: the least of this long counts.
const WINDOW: Duration = Duration::from_secs(1);
/// Never more than this: 0.9 cents, which nobody hears.
const MAX_PPM: f64 = 500.0;
/// Most that the correction changes from one window to the next.
const MAX_CHANGE_PPM: f64 = 60.0;
/// Further away than this (30 ms) is no drift: samples were lost or made up, and are made good at once.
const JUMP: f64 = 0.030;
/// Natural frequency of the loop, radians a second: 300 ppm are found in about a minute, and are 2 ms off at worst.
const SPEED: f64 = 0.05;

/// How much slower than it says a card's clock runs, found from how late its samples come.
#[derive(Clone, Debug, Default)]
pub struct Drift {
    /// What the card's clock is off, learned slowly.
    steady_ppm: f64,
    /// That, and what takes back the lag there is.
    ppm: f64,
    /// Since when, and the least lag seen since then, seconds.
    window: Option<(MediaTime, f64)>,
    /// Of the last full window, seconds.
    lag: f64,
}

impl Drift {
    /// Takes how much later (seconds; earlier: negative) than assumed a sample was heard or played, seen at `now`.
    /// When that is too far for steering, and not just late once, returns what is to be made good at once.
    pub fn observe(&mut self, now: MediaTime, lag: f64) -> Option<f64> {
        let (since, least) = *self.window.get_or_insert((now, lag));
        let least = least.min(lag);
        if now.since(since) < WINDOW {
            self.window = Some((since, least));
            return None;
        }
        self.window = None;
        if least.abs() > JUMP {
            self.lag = 0.0;
            return Some(least);
        }
        self.lag = least;
        self.steer(least, now.since(since).as_secs_f64().min(2.0));
        None
    }

    fn steer(&mut self, lag: f64, seconds: f64) {
        let (proportional, integral) = (2.0 * SPEED * 1e6, SPEED * SPEED * 1e6);
        self.steady_ppm = (self.steady_ppm + integral * lag * seconds).clamp(-MAX_PPM, MAX_PPM);
        let wanted = (self.steady_ppm + proportional * lag).clamp(-MAX_PPM, MAX_PPM);
        self.ppm += (wanted - self.ppm).clamp(-MAX_CHANGE_PPM, MAX_CHANGE_PPM);
    }

    /// Something was made good: what was seen in this window is void.
    pub fn forget_window(&mut self) {
        (self.window, self.lag) = (None, 0.0);
    }

    /// How much slower than nominal the card is taken to run, lag included: -500 to 500.
    pub fn ppm(&self) -> f64 {
        self.ppm
    }

    /// How late the card was in the last window, seconds.
    pub fn lag(&self) -> f64 {
        self.lag
    }
}
