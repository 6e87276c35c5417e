//! The life of a camera: opened, streaming, lost, opened again. What it needs of the machine comes through
//! [`World`], so that it runs the same on a simulated clock with simulated cameras.

use std::io;
use std::time::Duration;

use super::convert::{Converter, Damage};
use super::encoded::{Encoded, Unfit};
use super::error::CameraError;
use super::show::{Camera, FIRST_PICTURE, Show};
use super::stamp::{Stamps, Thin};
use crate::base::Shutdown;
use crate::base::backoff::Backoff;
use crate::base::clock::MediaTime;
use crate::capture::Config;
use crate::media::{ControlRange, ControlValues};
use crate::sys::v4l2::{Format, FourCc};

/// First and longest delay before a camera is opened again. Two seconds, because it must be back on the screen three
/// seconds after it is back.
const RETRY_FLOOR: Duration = Duration::from_millis(500);
const RETRY_CEILING: Duration = Duration::from_secs(2);
/// A camera that gave pictures for so long starts with the first delay again.
const STABLE_AFTER: Duration = Duration::from_secs(5);
/// The longest wait for a picture before looking whether to stop.
const POLL: Duration = Duration::from_millis(250);

/// The machine with its cameras and its clock.
pub trait World {
    /// An open camera.
    type Opened: Source;

    /// Now, on the media clock.
    fn now(&self) -> MediaTime;

    /// Opens the wanted camera and starts it.
    ///
    /// # Errors
    /// Why there is none.
    fn open(&mut self) -> Result<Self::Opened, CameraError>;

    /// The camera's own H.264 cannot be passed on: it is to be opened with another format from now on.
    fn avoid_h264(&mut self) {}

    /// Waits at most `at_most`; true, and perhaps earlier, when a camera came or went meanwhile.
    fn wait(&mut self, at_most: Duration) -> bool;
}

/// One open camera.
pub trait Source {
    /// Its name, format and patience.
    fn camera(&self) -> &Camera;

    /// How its pictures are laid out.
    fn format(&self) -> &Format;

    /// The next picture of its encoder, if it has one, shall be an IDR.
    ///
    /// # Errors
    /// The system's.
    fn force_keyframe(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Its controls.
    fn controls(&self) -> Vec<ControlRange> {
        Vec::new()
    }

    /// Sets its controls as far as it can; what could not be set, for people.
    fn set_controls(&mut self, _values: &ControlValues) -> Vec<String> {
        Vec::new()
    }

    /// Waits at most `wait` for a picture and hands it to `take`.
    ///
    /// # Errors
    /// The system's: it must be closed and opened again.
    fn next(&mut self, wait: Duration, take: &mut dyn FnMut(Captured)) -> io::Result<()>;
}

/// A picture as it comes from the camera.
#[derive(Clone, Copy, Debug)]
pub struct Captured<'a> {
    /// The bytes of each plane.
    pub planes: &'a [&'a [u8]],
    /// Nanoseconds since it was captured by its driver's word, if it says.
    pub age: Option<i64>,
    /// The driver says that something is wrong with it.
    pub damaged: bool,
}

/// Shows the camera of `world` in `show` until `shutdown` is cancelled or nobody looks any more. Opens it again as
/// often as it must. While it is off by order it is closed, so that its lamp says so, too.
pub fn drive<W: World>(world: &mut W, show: &Show, config: &Config, shutdown: &Shutdown) {
    let mut backoff = Backoff::new(RETRY_FLOOR, RETRY_CEILING);
    let mut pictures = Pictures {
        converter: Converter::new(config.size),
        stamps: Stamps::default(),
        thin: Thin::to(config.fps),
        encoded: None,
    };
    while !shutdown.is_cancelled() {
        let coverings = show.coverings();
        if show.is_covered() {
            show.rests(world.now());
            world.wait(POLL);
            continue;
        }
        let began = world.now();
        let opened = world.open();
        let reason = match opened {
            Ok(mut source) => {
                pictures.begin(source.format().fourcc, config);
                match pictures.stream(world, &mut source, show, coverings, shutdown) {
                    Some(CameraError::Unfit { device, reason }) => {
                        tracing::warn!(camera = device, %reason, "its H.264 is not passed on");
                        world.avoid_h264();
                        continue;
                    }
                    Some(reason) => reason,
                    None if shutdown.is_cancelled() || show.is_closed() => return,
                    None => continue,
                }
            }
            Err(reason) => reason,
        };
        show.has_controls(None);
        show.away(reason, world.now());
        if world.now().since(began) >= STABLE_AFTER {
            backoff.reset();
        }
        if pause(world, backoff.next_delay(&mut rand::rng()), shutdown) {
            backoff.reset();
        }
    }
}

/// Waits `delay`, or until a camera came or went, and says whether that happened.
fn pause(world: &mut impl World, delay: Duration, shutdown: &Shutdown) -> bool {
    let until = world.now() + delay;
    while !shutdown.is_cancelled() {
        let left = until.since(world.now());
        if left.is_zero() {
            return false;
        }
        if world.wait(left.min(POLL)) {
            return true;
        }
    }
    false
}

/// What becomes of the camera's pictures; one for all cameras that follow each other.
struct Pictures {
    converter: Converter,
    stamps: Stamps,
    thin: Thin,
    /// Of a camera that encodes itself.
    encoded: Option<Encoded>,
}

/// How a stream goes.
struct Course {
    /// When the last picture that could be shown came, or the stream began.
    good: MediaTime,
    /// How long it may be silent from then on.
    patience: Duration,
    /// Pictures since then that could not be shown.
    damaged: u32,
    /// Nobody looks any more.
    unseen: bool,
    /// Its H.264 cannot be passed on.
    unfit: Option<Unfit>,
}

impl Encoded {
    /// As [`Pictures::take`], for what the camera has encoded.
    fn show(
        &mut self,
        captured: Captured,
        stamp: MediaTime,
        now: MediaTime,
        show: &Show,
        camera: &Camera,
        course: &mut Course,
    ) {
        if captured.damaged {
            self.lost();
            course.damaged = course.damaged.saturating_add(1);
            return show.damaged();
        }
        let data = captured.planes.first().copied().unwrap_or_default();
        match self.take(data, stamp, show.wants_raw()) {
            Ok(Some((unit, picture))) => {
                (course.good, course.patience, course.damaged) = (now, camera.stall, 0);
                course.unseen = !show.unit(unit, picture, camera, now);
            }
            Ok(None) => {}
            Err(unfit) => course.unfit = Some(unfit),
        }
    }
}

impl Pictures {
    /// A camera was opened that gives `fourcc`.
    fn begin(&mut self, fourcc: FourCc, config: &Config) {
        let encoding = config.encoding.filter(|_| fourcc == FourCc::H264);
        self.encoded = encoding.map(|encoding| Encoded::new(config.size, config.fps, encoding));
    }

    /// Shows what `source` gives until it fails: why, or None when it was to stop, or was covered since
    /// there were so many `coverings`.
    fn stream<W: World>(
        &mut self,
        world: &W,
        source: &mut W::Opened,
        show: &Show,
        coverings: u64,
        shutdown: &Shutdown,
    ) -> Option<CameraError> {
        let (camera, format) = (source.camera().clone(), source.format().clone());
        let (good, patience) = (world.now(), FIRST_PICTURE);
        let mut course = Course { good, patience, damaged: 0, unseen: false, unfit: None };
        let mut known = 0;
        show.has_controls(Some(source.controls()));
        while !shutdown.is_cancelled() && !course.unseen && show.coverings() == coverings {
            if let Some((number, values)) = show.wished_controls(known) {
                known = number;
                show.controls_set(number, source.set_controls(&values));
            }
            let mut take = |captured: Captured| {
                let now = world.now();
                self.take(captured, &format, now, show, &camera, &mut course);
            };
            if let Err(error) = source.next(POLL, &mut take) {
                return Some(CameraError::of(&camera.name, "reading a picture", &error));
            }
            if let Some(reason) = course.unfit {
                return Some(CameraError::Unfit { device: camera.name, reason });
            }
            let asks = self.encoded.as_mut().is_some_and(|own| own.wants_keyframe(show, world.now()));
            if asks && let Err(error) = source.force_keyframe() {
                tracing::debug!(camera = camera.name, %error, "it does not make the keyframe that is asked for");
            }
            if world.now().since(course.good) > course.patience {
                let device = camera.name;
                return Some(match course.damaged {
                    0 => CameraError::Silent { device },
                    _ => CameraError::Damaged { device },
                });
            }
        }
        None
    }

    fn take(
        &mut self,
        captured: Captured,
        format: &Format,
        now: MediaTime,
        show: &Show,
        camera: &Camera,
        course: &mut Course,
    ) {
        let stamp = self.stamps.stamp(captured.age, now);
        if let Some(encoded) = &mut self.encoded {
            return encoded.show(captured, stamp, now, show, camera, course);
        }
        if !self.thin.keep(stamp) {
            return;
        }
        let told = captured.damaged.then_some(Damage::Driver);
        let converted = match told {
            Some(damage) => Err(damage),
            None => self.converter.picture(format, captured.planes, stamp),
        };
        match converted {
            Ok(frame) => {
                (course.good, course.patience, course.damaged) = (now, camera.stall, 0);
                course.unseen = !show.picture(frame, camera, now);
            }
            Err(damage) => {
                course.damaged = course.damaged.saturating_add(1);
                show.damaged();
                tracing::debug!(camera = camera.name, %damage, "a picture was left out");
            }
        }
    }
}

#[cfg(test)]
mod tests;
