//! A WAV file (RIFF, PCM) that can be read while it grows: 48 kHz, mono, 16 bits.
//!
//! Its sizes are 32 bits: just under 4 GiB (12 hours) the next file is begun, `NAME-1.wav`, `NAME-2.wav` and so on.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::PlaybackError;
use crate::media::{AUDIO_RATE, FRAME_SAMPLES};

/// Bytes before the first sample.
const HEADER_BYTES: u32 = 44;
/// Sound of one file: the last whole second under 4 GiB.
const MAX_SOUND_BYTES: u32 = (u32::MAX - HEADER_BYTES) / (AUDIO_RATE * 2) * (AUDIO_RATE * 2);

/// The file, open; its header is right after [`WavFile::update_header`].
#[derive(Debug)]
pub struct WavFile {
    /// As configured; the first file.
    path: PathBuf,
    /// Of this file, 0 for the first.
    number: u32,
    file: File,
    sound_bytes: u32,
    max_sound_bytes: u32,
}

impl WavFile {
    /// Creates the file, or empties the one that is there.
    pub fn create(path: &Path) -> Result<Self, PlaybackError> {
        Self::with_limit(path, MAX_SOUND_BYTES)
    }

    fn with_limit(path: &Path, max_sound_bytes: u32) -> Result<Self, PlaybackError> {
        let file = open(path, 0)?;
        Ok(WavFile { path: path.to_owned(), number: 0, file, sound_bytes: 0, max_sound_bytes })
    }

    /// Appends 20 ms, at once.
    pub fn write(&mut self, samples: &[i16; FRAME_SAMPLES]) -> Result<(), PlaybackError> {
        let mut bytes = [0; FRAME_SAMPLES * 2];
        for (pair, sample) in bytes.as_chunks_mut::<2>().0.iter_mut().zip(samples) {
            *pair = sample.to_le_bytes();
        }
        if self.sound_bytes > self.max_sound_bytes - bytes.len() as u32 {
            self.update_header()?;
            self.file = open(&self.path, self.number + 1)?;
            (self.number, self.sound_bytes) = (self.number + 1, 0);
        }
        self.file.write_all(&bytes).map_err(|source| self.error(source))?;
        self.sound_bytes += bytes.len() as u32;
        Ok(())
    }

    /// Makes the header tell how much sound there is.
    pub fn update_header(&mut self) -> Result<(), PlaybackError> {
        let header = header(self.sound_bytes);
        let mut rewrite = || {
            self.file.seek(SeekFrom::Start(0))?;
            self.file.write_all(&header)?;
            self.file.seek(SeekFrom::End(0))
        };
        rewrite().map(drop).map_err(|source| self.error(source))
    }

    fn error(&self, source: std::io::Error) -> PlaybackError {
        PlaybackError::File { path: numbered(&self.path, self.number), source }
    }
}

fn open(path: &Path, number: u32) -> Result<File, PlaybackError> {
    let path = numbered(path, number);
    let created = File::create(&path).and_then(|mut file| file.write_all(&header(0)).map(|()| file));
    created.map_err(|source| PlaybackError::File { path, source })
}

/// `heard.wav`, `heard-1.wav`, `heard-2.wav`.
fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// RIFF, `fmt ` and the head of `data` for so much sound.
fn header(sound_bytes: u32) -> [u8; HEADER_BYTES as usize] {
    let mut header = [0; HEADER_BYTES as usize];
    let fields: [&[u8]; 13] = [
        b"RIFF",
        &(sound_bytes + HEADER_BYTES - 8).to_le_bytes(),
        b"WAVE",
        b"fmt ",
        &16u32.to_le_bytes(),
        // PCM, one channel.
        &1u16.to_le_bytes(),
        &1u16.to_le_bytes(),
        &AUDIO_RATE.to_le_bytes(),
        &(AUDIO_RATE * 2).to_le_bytes(),
        &2u16.to_le_bytes(),
        &16u16.to_le_bytes(),
        b"data",
        &sound_bytes.to_le_bytes(),
    ];
    let bytes = fields.into_iter().flatten();
    header.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_is_finished_and_the_next_one_begun() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a.b.wav");
        let mut wav = WavFile::with_limit(&path, 1920 * 2 + 100).unwrap();
        for n in 0..5 {
            wav.write(&[n; FRAME_SAMPLES]).unwrap();
        }
        wav.update_header().unwrap();
        for (name, frames) in [("a.b.wav", 2u32), ("a.b-1.wav", 2), ("a.b-2.wav", 1)] {
            let bytes = std::fs::read(place.path().join(name)).unwrap();
            assert_eq!(bytes.len() as u32, HEADER_BYTES + frames * 1920);
            assert_eq!(bytes[..HEADER_BYTES as usize], header(frames * 1920));
        }
    }

    #[test]
    fn the_header_is_what_the_format_says() {
        let header = header(96_000);
        assert_eq!(
            (&header[..4], &header[8..16], &header[36..40]),
            (&b"RIFF"[..], &b"WAVEfmt "[..], &b"data"[..])
        );
        assert_eq!(header[4..8], 96_036u32.to_le_bytes());
        assert_eq!(header[24..28], 48_000u32.to_le_bytes());
        assert!(u64::from(MAX_SOUND_BYTES) + u64::from(HEADER_BYTES) <= u64::from(u32::MAX));
    }
}
