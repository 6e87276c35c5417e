//! Whether the box's microphone is heard.

use tokio::sync::watch;

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
