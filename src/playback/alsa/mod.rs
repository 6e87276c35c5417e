//! The speaker by ALSA.

use super::{PlaybackError, SpeakerPath};
use crate::base::Shutdown;

/// Plays the mix on the sound card `name` (None: the default one) until `shutdown`; while there is none the mix is
/// thrown away.
pub fn run(_name: Option<&str>, path: &SpeakerPath, shutdown: &Shutdown) -> Result<(), PlaybackError> {
    super::play_file(None, path, shutdown)
}
