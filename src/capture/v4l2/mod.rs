//! Cameras by V4L2: which there are (`system`, `identity`), which of their formats is taken (`format`), what they are
//! set to (`controls`), how their pictures become the box's (`convert`, `encoded`, `stamp`), and what is seen while there is none
//! (`show`). `driver` is their life.
//!
//! The thread `camera` opens devices, waits for pictures, converts and shows them; it may hang in a driver, which
//! nobody can end. The thread that called [`run`] shows the slate meanwhile, and stops without it.

mod controls;
mod convert;
mod devices;
mod driver;
mod encoded;
mod error;
mod format;
mod identity;
mod show;
mod stamp;
mod system;

pub use devices::{CameraFound, ControlFound, Devices, FormatFound, list};
pub use driver::{Captured, Source, World, drive};
#[cfg(any(test, fuzzing))]
pub(crate) use encoded::CameraH264;
pub use encoded::{Encoding, Unfit};
pub use error::CameraError;
pub use show::{Camera, Show, stall_after};

use std::sync::Arc;

use super::{CaptureError, Config, PictureOut};
use crate::base::{Shutdown, clock, thread};
use show::SLATE_EVERY;
use system::System;

/// Shows the camera at `path` (None: the first there is), or a slate that says why there is none, until `shutdown`.
///
/// # Errors
/// When the camera's thread cannot be started, or panics.
pub fn run(
    path: Option<&str>,
    config: &Config,
    out: &PictureOut,
    shutdown: &Shutdown,
) -> Result<(), CaptureError> {
    let show = Arc::new(Show::new(config, out, clock::media_now()));
    let stop = shutdown.child_token();
    let (seen, told, of) = (show.clone(), stop.clone(), config.clone());
    let mut system = System::new(path, config);
    let device = thread::start("camera", move || drive(&mut system, &seen, &of, &told))?;
    let mut next = clock::now();
    while !shutdown.is_cancelled() && !device.is_finished() {
        show.tick(clock::media_now());
        next = clock::now().max(next + SLATE_EVERY);
        clock::sleep_until(next);
    }
    show.close();
    stop.cancel();
    if device.is_finished() && !shutdown.is_cancelled() {
        device.join().map_err(|_| thread::ThreadError::Panicked { name: "camera" })?;
    }
    Ok(())
}
