//! The life of a camera: opened, streaming, lost, opened again. What it needs of the machine comes through
//! [`World`], so that it runs the same on a simulated clock with simulated cameras.

use std::io;
use std::time::Duration;

use super::convert::{Converter, Damage};
use super::error::CameraError;
use super::show::{Camera, FIRST_PICTURE, Show};
use super::stamp::{Stamps, Thin};
use crate::base::Shutdown;
use crate::base::backoff::Backoff;
use crate::base::clock::MediaTime;
use crate::capture::Config;
use crate::sys::v4l2::Format;

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

    /// Waits at most `at_most`; true, and perhaps earlier, when a camera came or went meanwhile.
    fn wait(&mut self, at_most: Duration) -> bool;
}

/// One open camera.
pub trait Source {
    /// Its name, format and patience.
    fn camera(&self) -> &Camera;

    /// How its pictures are laid out.
    fn format(&self) -> &Format;

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
/// often as it must.
pub fn drive<W: World>(world: &mut W, show: &Show, config: &Config, shutdown: &Shutdown) {
    let mut backoff = Backoff::new(RETRY_FLOOR, RETRY_CEILING);
    let mut pictures = Pictures {
        converter: Converter::new(config.size),
        stamps: Stamps::default(),
        thin: Thin::to(config.fps),
    };
    while !shutdown.is_cancelled() {
        let began = world.now();
        let opened = world.open();
        let reason = match opened {
            Ok(mut source) => match pictures.stream(world, &mut source, show, shutdown) {
                Some(reason) => reason,
                None => return,
            },
            Err(reason) => reason,
        };
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
}

impl Pictures {
    /// Shows what `source` gives until it fails: why, or None when it was to stop.
    fn stream<W: World>(
        &mut self,
        world: &W,
        source: &mut W::Opened,
        show: &Show,
        shutdown: &Shutdown,
    ) -> Option<CameraError> {
        let (camera, format) = (source.camera().clone(), source.format().clone());
        let mut course = Course { good: world.now(), patience: FIRST_PICTURE, damaged: 0, unseen: false };
        while !shutdown.is_cancelled() && !course.unseen {
            let mut take = |captured: Captured| {
                let now = world.now();
                self.take(captured, &format, now, show, &camera, &mut course);
            };
            if let Err(error) = source.next(POLL, &mut take) {
                return Some(CameraError::of(&camera.name, "reading a picture", &error));
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
