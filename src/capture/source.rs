//! Where picture and sound come from, as configured.

use std::path::PathBuf;

use super::CaptureError;

/// Where the box's pictures or sound come from.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Source {
    /// The first camera or microphone that there is; while there is none it is waited for.
    #[default]
    Auto,
    /// This one: a camera's device path (`/dev/video0`, `/dev/v4l/by-id/…`), or an ALSA name (`hw:CARD=PCH`).
    Device(String),
    /// The test picture or sound.
    Test,
    /// A film, looped in real time.
    File(PathBuf),
    /// Nothing: no pictures, or no sound.
    None,
}

impl Source {
    /// What `camera.source` may be, for messages.
    pub const CAMERA: &str = "\"auto\", \"/dev/videoN\", \"test\", \"file:PATH\" or \"none\"";
    /// What `microphone.source` may be, for messages.
    pub const MICROPHONE: &str = "\"auto\", \"alsa:NAME\", \"test\", \"file:PATH\" or \"none\"";

    /// Reads `camera.source`: `"auto"`, `"/dev/videoN"`, `"test"`, `"file:PATH"` or `"none"`.
    ///
    /// # Errors
    /// [`CaptureError::BadSource`] for anything else.
    pub fn camera(text: &str) -> Result<Self, CaptureError> {
        let device = text.starts_with("/dev/").then(|| Source::Device(text.to_owned()));
        Self::parse(text, device, Self::CAMERA)
    }

    /// Reads `microphone.source`: `"auto"`, `"alsa:NAME"`, `"test"`, `"file:PATH"` or `"none"`.
    ///
    /// # Errors
    /// [`CaptureError::BadSource`] for anything else.
    pub fn microphone(text: &str) -> Result<Self, CaptureError> {
        let name = text.strip_prefix("alsa:").filter(|name| !name.is_empty());
        Self::parse(text, name.map(|name| Source::Device(name.to_owned())), Self::MICROPHONE)
    }

    fn parse(text: &str, device: Option<Source>, allowed: &'static str) -> Result<Self, CaptureError> {
        match (text, text.strip_prefix("file:"), device) {
            (_, _, Some(device)) => Ok(device),
            ("auto", ..) => Ok(Source::Auto),
            ("test", ..) => Ok(Source::Test),
            ("none", ..) => Ok(Source::None),
            (_, Some(path), _) if !path.is_empty() => Ok(Source::File(path.into())),
            _ => Err(CaptureError::BadSource { text: text.to_owned(), allowed }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_as_configured_and_others_are_refused() {
        assert_eq!(Source::camera("auto").unwrap(), Source::Auto);
        assert_eq!(Source::camera("none").unwrap(), Source::None);
        assert_eq!(Source::camera("file:/a b.mp4").unwrap(), Source::File("/a b.mp4".into()));
        assert_eq!(Source::camera("/dev/video2").unwrap(), Source::Device("/dev/video2".into()));
        assert_eq!(Source::microphone("alsa:hw:1,0").unwrap(), Source::Device("hw:1,0".into()));
        for bad in ["", "file:", "video0", "Test", "alsa:x"] {
            let error = Source::camera(bad).unwrap_err().to_string();
            assert!(error.contains(&format!("\"{bad}\"")) && error.contains("/dev/videoN"), "{error}");
        }
        assert!(Source::microphone("/dev/video0").unwrap_err().to_string().contains("alsa:NAME"));
        assert!(Source::microphone("alsa:").is_err());
    }
}
