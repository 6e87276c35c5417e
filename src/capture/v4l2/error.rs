//! Why a camera gives no pictures, in words that the box's owner can act upon. They stand on the slate too, which
//! everybody in the room sees: short, and nothing secret.

use std::io;

use super::encoded::Unfit;

/// What is wrong with the camera. All of it is tried again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CameraError {
    /// `auto`, and there is none.
    #[error("none is connected")]
    None,
    /// The configured one is not there.
    #[error("{device} is not connected")]
    Missing {
        /// The configured path, or path and name.
        device: String,
    },
    /// The path is something else.
    #[error("{device} is not a camera")]
    NotACamera {
        /// The path.
        device: String,
    },
    /// Another program streams from it.
    #[error("{device} is in use by another program")]
    Busy {
        /// Path and name.
        device: String,
    },
    /// The process may not open it.
    #[error("no permission to open {device} (is this user in the group \"video\"?)")]
    Denied {
        /// The path.
        device: String,
    },
    /// Its pictures need more of the USB bus than others leave.
    #[error("{device} finds no room on its USB bus (is another camera on it?)")]
    NoRoom {
        /// Path and name.
        device: String,
    },
    /// It was there, and is not any more.
    #[error("{device} was unplugged")]
    Unplugged {
        /// Path and name.
        device: String,
    },
    /// It is there and streams, and no picture comes.
    #[error("{device} gives no pictures")]
    Silent {
        /// Path and name.
        device: String,
    },
    /// Pictures come, and none can be used.
    #[error("{device} gives only damaged pictures")]
    Damaged {
        /// Path and name.
        device: String,
    },
    /// Its own H.264 cannot be passed on; another of its formats is taken.
    #[error("{device}: its H.264 cannot be passed on: {reason}")]
    Unfit {
        /// Path and name.
        device: String,
        /// Why.
        reason: Unfit,
    },
    /// It offers nothing that can be converted.
    #[error("{device} has no usable format, it offers {offers}")]
    Unusable {
        /// Path and name.
        device: String,
        /// Formats and sizes.
        offers: String,
    },
    /// The driver failed otherwise.
    #[error("{device}: {doing}: {message}")]
    Failed {
        /// Path and name.
        device: String,
        /// `setting the format`.
        doing: &'static str,
        /// What the system said.
        message: String,
    },
}

impl CameraError {
    /// From what the system said of `device` while `doing` something to it.
    pub fn of(device: &str, doing: &'static str, error: &io::Error) -> Self {
        let device = device.to_owned();
        match error.raw_os_error() {
            Some(libc::ENOENT) => CameraError::Missing { device },
            Some(libc::ENODEV | libc::ENXIO) => CameraError::Unplugged { device },
            Some(libc::ENOSPC) => CameraError::NoRoom { device },
            Some(libc::EBUSY) => CameraError::Busy { device },
            Some(libc::EACCES | libc::EPERM) => CameraError::Denied { device },
            Some(libc::ENOTTY | libc::ENOTDIR) => CameraError::NotACamera { device },
            _ => CameraError::Failed { device, doing, message: error.to_string() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_the_system_says_what_to_do() {
        let text = |code| {
            CameraError::of("/dev/video0", "starting it", &io::Error::from_raw_os_error(code)).to_string()
        };
        assert_eq!(text(libc::EBUSY), "/dev/video0 is in use by another program");
        assert_eq!(text(libc::ENOTTY), "/dev/video0 is not a camera");
        assert_eq!(text(libc::ENOENT), "/dev/video0 is not connected");
        assert_eq!(text(libc::ENODEV), "/dev/video0 was unplugged");
        assert!(text(libc::EACCES).contains("group \"video\""));
        assert!(text(libc::ENOSPC).contains("USB bus"));
        assert!(text(libc::EPROTO).starts_with("/dev/video0: starting it: "), "{}", text(libc::EPROTO));
    }
}
