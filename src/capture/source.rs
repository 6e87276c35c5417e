//! Where picture and sound come from, as configured.

use std::path::PathBuf;

use super::CaptureError;

/// Where the box's pictures or sound come from.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Source {
    /// The test picture or sound.
    #[default]
    Test,
    /// A film, looped in real time.
    File(PathBuf),
    /// Nothing: no pictures, or no sound.
    None,
}

impl Source {
    /// Reads `"test"`, `"file:PATH"`, `"none"` or `"auto"` (the test source, as long as there are no devices).
    ///
    /// # Errors
    /// [`CaptureError::BadSource`] for anything else.
    pub fn parse(text: &str) -> Result<Self, CaptureError> {
        match (text, text.strip_prefix("file:")) {
            ("test" | "auto", _) => Ok(Source::Test),
            ("none", _) => Ok(Source::None),
            (_, Some(path)) if !path.is_empty() => Ok(Source::File(path.into())),
            _ => Err(CaptureError::BadSource { text: text.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_as_configured_and_others_are_refused() {
        assert_eq!(Source::parse("auto").unwrap(), Source::Test);
        assert_eq!(Source::parse("none").unwrap(), Source::None);
        assert_eq!(Source::parse("file:/a b.mp4").unwrap(), Source::File("/a b.mp4".into()));
        for bad in ["", "file:", "/dev/video0", "Test"] {
            let error = Source::parse(bad).unwrap_err().to_string();
            assert!(error.contains(&format!("\"{bad}\"")) && error.contains("file:PATH"), "{error}");
        }
    }
}
