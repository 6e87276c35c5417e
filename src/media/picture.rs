//! The newest raw picture, for those who look now and then (the box's page).

use std::sync::Arc;

use tokio::sync::watch;

use super::VideoFrame;

/// Holds the newest picture of the source; cheap to clone, all clones are one.
#[derive(Clone, Debug)]
pub struct LatestPicture(watch::Sender<Newest>);

#[derive(Debug, Default)]
struct Newest {
    picture: Option<Arc<VideoFrame>>,
    withdrawn: u64,
}

impl Default for LatestPicture {
    fn default() -> Self {
        LatestPicture(watch::Sender::new(Newest::default()))
    }
}

impl LatestPicture {
    /// Replaces the picture; `None` when the source is gone, or what it has shown is to be seen no more.
    pub fn set(&self, picture: Option<Arc<VideoFrame>>) {
        self.0.send_modify(|newest| {
            newest.withdrawn += u64::from(picture.is_none());
            newest.picture = picture;
        });
    }

    /// How often the picture was taken away. What was made of one before that is not to be shown after it.
    pub fn withdrawn(&self) -> u64 {
        self.0.borrow().withdrawn
    }

    /// Waits for a picture, if there is none.
    pub async fn shown(&self) {
        // Never an error: the sender is ours.
        let _ = self.0.subscribe().wait_for(|newest| newest.picture.is_some()).await;
    }

    /// The newest picture, if the source has shown one.
    pub fn get(&self) -> Option<Arc<VideoFrame>> {
        self.0.borrow().picture.clone()
    }
}
