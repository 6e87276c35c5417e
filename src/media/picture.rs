//! The newest raw picture, for those who look now and then (the box's page).

use std::sync::Arc;

use tokio::sync::watch;

use super::VideoFrame;

/// Holds the newest picture of the source; cheap to clone, all clones are one.
#[derive(Clone, Debug)]
pub struct LatestPicture(watch::Sender<Option<Arc<VideoFrame>>>);

impl Default for LatestPicture {
    fn default() -> Self {
        LatestPicture(watch::Sender::new(None))
    }
}

impl LatestPicture {
    /// Replaces the picture; `None` when the source is gone.
    pub fn set(&self, picture: Option<Arc<VideoFrame>>) {
        self.0.send_replace(picture);
    }

    /// The newest picture, if the source has shown one.
    pub fn get(&self) -> Option<Arc<VideoFrame>> {
        self.0.borrow().clone()
    }
}
