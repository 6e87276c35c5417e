//! Cameras by V4L2.

use super::{CaptureError, Config, PictureOut};
use crate::base::Shutdown;

/// Shows the camera at `path` (None: the first there is), or a slate that says why there is none, until `shutdown`.
pub fn run(
    _path: Option<&str>,
    config: &Config,
    out: &PictureOut,
    shutdown: &Shutdown,
) -> Result<(), CaptureError> {
    super::show_test(config, out, shutdown)
}
