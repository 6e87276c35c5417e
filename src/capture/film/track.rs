//! One track of a film, looped: what it shows or sounds at any moment of the media clock.

use std::time::Duration;

use super::Film;
use super::decoder::{Decoder, Filled};
use crate::base::Shutdown;
use crate::base::clock::MediaTime;
use crate::capture::CaptureError;

/// The next turn's decoder is started this long before the turn begins.
const AHEAD: Duration = Duration::from_secs(1);

/// What a track has for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// The buffer holds the picture, or frame of sound, of that moment.
    Read,
    /// The same as before (the buffer's content is unknown).
    Same,
    /// The track is over before the film is (the buffer's content is unknown).
    Over,
    /// We are asked to stop.
    Stopped,
}

/// Decodes one track for ever. The film's beginning is at every multiple of its duration on the media clock, so that
/// picture and sound, which know nothing of each other, are always at the same place of the film.
pub struct FilmTrack {
    film: Film,
    program: &'static str,
    /// Output options of ffmpeg.
    output: Vec<String>,
    /// Pictures or frames of sound a second.
    per_second: u32,
    now: Option<Turn>,
    next: Option<Turn>,
}

/// The decoder of one turn of the loop.
struct Turn {
    number: u64,
    decoder: Decoder,
    /// The first unit that it was asked for, and the next that it will give.
    first: u64,
    at: u64,
    over: bool,
}

impl FilmTrack {
    /// `program` decodes `film` with the options `output` into `per_second` units a second.
    pub fn new(film: Film, program: &'static str, output: Vec<String>, per_second: u32) -> Self {
        FilmTrack { film, program, output, per_second, now: None, next: None }
    }

    /// Reads what the film has at `at` into `buffer`, which has the size of one unit. Moments must not go back.
    /// Blocks until the decoder has it.
    ///
    /// # Errors
    /// When the decoder cannot be started or fails.
    pub fn read(
        &mut self,
        at: MediaTime,
        buffer: &mut [u8],
        shutdown: &Shutdown,
    ) -> Result<Unit, CaptureError> {
        let turn_nanos = self.film.turn.as_nanos() as u64;
        let (number, within) = (at.as_nanos() / turn_nanos, at.as_nanos() % turn_nanos);
        // Rounded: the moments of 30 beats a second are rounded down to nanoseconds.
        let wanted = (u128::from(within) * u128::from(self.per_second) + 500_000_000) / 1_000_000_000;
        let wanted = wanted as u64;
        let mut turn = self.turn(number, wanted)?;
        let mut unit = turn.advance(wanted, buffer, shutdown)?;
        if unit == Unit::Over && turn.at == turn.first && turn.first > 0 {
            // Nothing to find after a jump into it (a still picture, a film without an index): from the beginning.
            turn = self.start(number, 0)?;
            unit = turn.advance(wanted, buffer, shutdown)?;
        }
        self.now = Some(turn);
        if turn_nanos - within < AHEAD.as_nanos() as u64 && self.next.is_none() {
            self.next = Some(self.start(number + 1, 0)?);
        }
        Ok(unit)
    }

    /// The turn with this number, taken out: the one that runs, the one prepared, or a new one from `unit` on.
    fn turn(&mut self, number: u64, unit: u64) -> Result<Turn, CaptureError> {
        let fits = |turn: &Turn| turn.number == number;
        if let Some(turn) = self.now.take().filter(fits) {
            return Ok(turn);
        }
        match self.next.take().filter(fits) {
            Some(turn) => Ok(turn),
            None => self.start(number, unit),
        }
    }

    fn start(&self, number: u64, unit: u64) -> Result<Turn, CaptureError> {
        let output: Vec<&str> = self.output.iter().map(String::as_str).collect();
        let from = unit as f64 / f64::from(self.per_second);
        let decoder = Decoder::start(self.program, &self.film.path, from, &output)?;
        Ok(Turn { number, decoder, first: unit, at: unit, over: false })
    }
}

impl Turn {
    /// Reads up to and with unit `wanted`; the last one read stays in `buffer`.
    fn advance(&mut self, wanted: u64, buffer: &mut [u8], shutdown: &Shutdown) -> Result<Unit, CaptureError> {
        let mut unit = if self.over { Unit::Over } else { Unit::Same };
        while self.at <= wanted && !self.over {
            match self.decoder.fill(buffer, shutdown)? {
                Filled::Bytes(bytes) => {
                    // Only the last frame of sound can be shorter.
                    buffer[bytes..].fill(0);
                    self.at += 1;
                    unit = Unit::Read;
                }
                Filled::End => {
                    self.over = true;
                    // What was read before the end is still the newest.
                    unit = if unit == Unit::Read { Unit::Read } else { Unit::Over };
                }
                Filled::Stopped => return Ok(Unit::Stopped),
            }
        }
        Ok(unit)
    }
}
