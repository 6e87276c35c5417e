//! Opening a card: all that blocks or may go wrong is done on a thread of the card's own, `sound-card`, which lets go
//! of the card when its [`Line`] is dropped.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{Data, Device, ErrorKind, SampleFormat, Stream, StreamConfig, SupportedStreamConfigRange};

use super::choose::{choose, told};
use super::{CardError, names, sample};
use crate::audio::drift::{Heard, Pulled};
use crate::base::clock::{self, MediaTime};
use crate::base::thread;

/// What may have happened and not been looked at: half a second of a card. When it is full what is heard is lost, and
/// counted as a gap; what was played is not told.
const EVENTS: usize = 64;
/// Mixes on their way to a card: 400 ms. When it is full the card does not play, and the mix is thrown away.
const SOUNDS: usize = 20;
/// How long a card may be silent before cpal looks whether it is still there.
const POLL: Duration = Duration::from_millis(250);
/// A card may be ahead of real time by what it holds; this much more is no card.
const MAX_AHEAD: Duration = Duration::from_secs(5);

/// Which way sound goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// From the card.
    Microphone,
    /// To the card.
    Speaker,
}

impl Side {
    /// `microphone` or `speaker`.
    pub fn name(self) -> &'static str {
        match self {
            Side::Microphone => "microphone",
            Side::Speaker => "speaker",
        }
    }
}

/// A card that is open.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Its ALSA name.
    pub name: String,
    /// For people.
    pub description: String,
    /// Samples a second.
    pub rate_hz: u32,
    /// Of the card; the box's sound has one.
    pub channels: u16,
    /// Samples (of each channel) that go in one piece.
    pub period: usize,
    /// Where a speaker's sound goes in: one channel at the card's rate.
    pub sound: Option<SyncSender<Vec<f32>>>,
}

/// What happens to a card.
#[derive(Debug)]
pub enum Event {
    /// It is open; the first event, unless opening failed.
    Opened(Opened),
    /// The microphone heard this.
    Heard(Heard),
    /// The speaker took this.
    Pulled(Pulled),
    /// The card was not read or written in time.
    Xrun,
    /// It is gone or broken; nothing comes after this.
    Failed(CardError),
}

/// A card being opened, or open. Dropping it lets go of the card, without waiting for that.
#[derive(Debug)]
pub struct Line {
    /// What happens. Disconnected: the card's thread has ended.
    pub events: Receiver<Event>,
    /// Dropped with the line: the card's thread waits for that.
    pub hold: SyncSender<()>,
}

/// Begins to open the card `name` (None: the default, or the first that works) on its thread.
pub fn open(name: Option<&str>, side: Side) -> Line {
    let (hold, held) = sync_channel(1);
    let (events, seen) = sync_channel(EVENTS);
    let name = name.map(str::to_owned);
    let work = move || match open_first(name.as_deref(), side, &events) {
        Ok((stream, opened)) => {
            let name = opened.name.clone();
            if events.send(Event::Opened(opened)).is_err() {
                return;
            }
            if let Err(error) = stream.play() {
                let _ = events.try_send(Event::Failed(refused(&name, side, &error)));
            }
            // Until the line is dropped.
            let _ = held.recv();
        }
        Err(error) => drop(events.send(Event::Failed(error))),
    };
    // Without a thread the line is disconnected at once, which its keeper takes for a failure.
    if let Err(error) = thread::start("sound-card", work) {
        tracing::debug!(%error, "no thread for a sound card");
    }
    Line { events: seen, hold }
}

fn refused(name: &str, side: Side, error: &cpal::Error) -> CardError {
    CardError::Refused { name: name.to_owned(), side: side.name(), message: error.to_string() }
}

/// The first of the candidates that can be opened; else why the first one could not.
fn open_first(
    name: Option<&str>,
    side: Side,
    events: &SyncSender<Event>,
) -> Result<(Stream, Opened), CardError> {
    // What alsa-lib says goes to stderr otherwise, at every attempt.
    let said = alsa::Output::local_error_handler();
    let mut first = None;
    for device in names::candidates(name, side)? {
        match open_one(&device, side, events) {
            Ok(open) => return Ok(open),
            Err(error) => first = first.or(Some(error)),
        }
    }
    if let Ok(said) = &said {
        tracing::trace!(said = %said.borrow(), "alsa-lib, while no card could be opened");
    }
    Err(first.unwrap_or(CardError::None { side: side.name() }))
}

fn open_one(device: &Device, side: Side, events: &SyncSender<Event>) -> Result<(Stream, Opened), CardError> {
    let name = device.id().map(|id| id.id().to_owned()).unwrap_or_default();
    let failed = |error: cpal::Error| refused(&name, side, &error);
    let offers: Vec<SupportedStreamConfigRange> = match side {
        Side::Microphone => device.supported_input_configs().map_err(failed)?.collect(),
        Side::Speaker => device.supported_output_configs().map_err(failed)?.collect(),
    };
    let (config, format) = choose(&offers, side).ok_or_else(|| CardError::NoFormat {
        name: name.clone(),
        side: side.name(),
        offers: told(&offers),
    })?;
    let tell = Tell::new(&name, side, config.sample_rate, events.clone());
    let (stream, sound) = match side {
        Side::Microphone => (hear(device, config, format, tell).map_err(failed)?, None),
        Side::Speaker => {
            let (sound, mixed) = sync_channel(SOUNDS);
            (play(device, config, format, tell, mixed).map_err(failed)?, Some(sound))
        }
    };
    let opened = Opened {
        description: device.description().map(|told| told.name().to_owned()).unwrap_or_default(),
        rate_hz: config.sample_rate,
        channels: config.channels,
        period: stream.buffer_size().map_or(0, |frames| frames as usize),
        sound,
        name,
    };
    Ok((stream, opened))
}

/// Tells the driver, from cpal's callbacks: never blocks.
#[derive(Clone)]
struct Tell {
    events: SyncSender<Event>,
    name: String,
    side: Side,
    rate_hz: u32,
    begun: Option<MediaTime>,
    samples: u64,
    failed: bool,
}

impl Tell {
    fn new(name: &str, side: Side, rate_hz: u32, events: SyncSender<Event>) -> Self {
        Tell { events, name: name.to_owned(), side, rate_hz, begun: None, samples: 0, failed: false }
    }

    /// Whether the event found a place.
    fn tell(&self, event: Event) -> bool {
        self.events.try_send(event).is_ok()
    }

    fn error(&self, error: &cpal::Error) {
        match error.kind() {
            ErrorKind::Xrun => drop(self.tell(Event::Xrun)),
            ErrorKind::RealtimeDenied | ErrorKind::DeviceChanged => {}
            _ => drop(self.tell(Event::Failed(refused(&self.name, self.side, error)))),
        }
    }

    /// Counts `samples` at `now`; false once the card has shown that it has no clock, which is told once.
    fn keeps_time(&mut self, samples: usize, now: MediaTime) -> bool {
        let begun = *self.begun.get_or_insert(now);
        self.samples += samples as u64;
        let sound = Duration::from_secs_f64(self.samples as f64 / f64::from(self.rate_hz));
        if !self.failed && sound > now.since(begun) * 2 + MAX_AHEAD {
            let (name, side) = (self.name.clone(), self.side.name());
            self.failed = self.tell(Event::Failed(CardError::NoClock { name, side }));
        }
        !self.failed
    }
}

fn hear(
    device: &Device,
    config: StreamConfig,
    format: SampleFormat,
    mut tell: Tell,
) -> Result<Stream, cpal::Error> {
    let errors = tell.clone();
    let mut gap = false;
    let heard = move |data: &Data, info: &cpal::InputCallbackInfo| {
        let now = clock::media_now();
        let times = info.timestamp();
        let mut samples = Vec::with_capacity(data.len() / usize::from(config.channels.max(1)));
        sample::read(data, config.channels, &mut samples);
        if !tell.keeps_time(samples.len(), now) {
            return;
        }
        let at = now - times.callback.duration_since(times.capture);
        gap = !tell.tell(Event::Heard(Heard { at, samples, gap }));
    };
    device.build_input_stream_raw(config, format, heard, move |error| errors.error(&error), Some(POLL))
}

fn play(
    device: &Device,
    config: StreamConfig,
    format: SampleFormat,
    mut tell: Tell,
    mixed: Receiver<Vec<f32>>,
) -> Result<Stream, cpal::Error> {
    let errors = tell.clone();
    let channels = usize::from(config.channels.max(1));
    let (mut waiting, mut taken) = (Vec::<f32>::new(), 0);
    let asked = move |data: &mut Data, info: &cpal::OutputCallbackInfo| {
        let now = clock::media_now();
        let times = info.timestamp();
        let samples = data.len() / channels;
        while waiting.len() < samples
            && let Ok(more) = mixed.try_recv()
        {
            waiting.extend(more);
        }
        let here = samples.min(waiting.len());
        sample::write(waiting.drain(..here), data, config.channels);
        if tell.keeps_time(samples, now) {
            let heard = now + times.playback.duration_since(times.callback);
            let missing = samples - here;
            tell.tell(Event::Pulled(Pulled { now, heard, taken_before: taken, samples, missing }));
        }
        taken += here as u64;
    };
    device.build_output_stream_raw(config, format, asked, move |error| errors.error(&error), Some(POLL))
}
