//! What can go wrong with a source.

use std::path::PathBuf;

use crate::base::thread::ThreadError;

/// A source has failed. Starting it again later is worth a try, except for [`CaptureError::BadSource`].
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The configuration names a source that there is not.
    #[error("\"{text}\" is no source: use {allowed}")]
    BadSource {
        /// What was configured.
        text: String,
        /// What could be.
        allowed: &'static str,
    },
    /// The film is not there or may not be read.
    #[error("film {}: {source}", path.display())]
    FilmUnreadable {
        /// The film.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The program that decodes films is missing or cannot be started.
    #[error("film {}: cannot run {program}: {source} (Debian: apt-get install ffmpeg)", path.display())]
    Program {
        /// The film.
        path: PathBuf,
        /// `ffmpeg` or `ffprobe`.
        program: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is there but is no film, or a damaged one.
    #[error("film {}: {program} failed: {message}", path.display())]
    NotAFilm {
        /// The film.
        path: PathBuf,
        /// `ffmpeg` or `ffprobe`.
        program: &'static str,
        /// The last line that it wrote.
        message: String,
    },
    /// A film without a picture, asked to be the camera.
    #[error("film {} has no picture", path.display())]
    NoPicture {
        /// The film.
        path: PathBuf,
    },
    /// The pipe from the program broke.
    #[error("film {}: reading from ffmpeg: {source}", path.display())]
    Pipe {
        /// The film.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The thread of the source.
    #[error(transparent)]
    Thread(#[from] ThreadError),
}
