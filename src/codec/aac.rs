//! AAC-LC (ISO/IEC 14496-3) by fdk-aac: 48 kHz mono, 1024 samples an access unit, no ADTS. fdk-aac has its own
//! licence: it is used in this file only.

use std::time::Duration;

use bytes::Bytes;
use fdk_aac::enc::{AudioObjectType, BitRate, ChannelMode, Encoder, EncoderError, EncoderParams, Transport};

use super::CodecError;
use crate::base::clock::MediaTime;
use crate::base::units::Bitrate;
use crate::media::{AUDIO_RATE, AccessUnit, AudioFrame, FRAME_SAMPLES, TrackId};

/// Samples of one access unit.
pub const AAC_SAMPLES: u32 = 1024;
/// Bits per second of the box's AAC.
pub const AAC_BITRATE: Bitrate = Bitrate::kbps(96);
/// `AudioSpecificConfig` (ISO/IEC 14496-3 §1.6.2.1): object type 2 (LC), frequency index 3 (48 kHz), one channel.
pub const AUDIO_SPECIFIC_CONFIG: [u8; 2] = [0x11, 0x88];

/// More than any access unit of one channel (6144 bits, ISO/IEC 14496-3 §4.5.3).
const MAX_UNIT_BYTES: usize = 1024;
/// Sound that is this far from where it should be counts as lost or repeated; less is jitter of the source.
const TOLERANCE: Duration = Duration::from_millis(10);
/// A gap up to this is filled with silence, so that recordings have none; after a longer one time starts afresh.
const FILLED: Duration = Duration::from_secs(1);

fn error(source: EncoderError) -> CodecError {
    CodecError::Aac { message: source.to_string() }
}

/// Encodes the frames of one microphone, gapless.
pub struct AacEncoder {
    run: Option<Run>,
}

/// Sound without a gap: where it began and how far it is.
struct Run {
    encoder: Encoder,
    /// By how much what comes out is behind what goes in, in samples: fdk-aac's algorithmic delay.
    delay: u64,
    began: MediaTime,
    samples_in: u64,
    units_out: u64,
}

impl Default for AacEncoder {
    fn default() -> Self {
        Self::new()
    }
}

impl AacEncoder {
    /// An encoder; opened with the first frame.
    pub fn new() -> Self {
        AacEncoder { run: None }
    }

    /// Encodes one frame; calls `give` for each access unit that is complete. PTS is the capture time of the first
    /// sample that a decoder makes of the unit, the encoder's delay taken off; the first unit begins with the first
    /// frame, each further one 1024 samples later. Frames that are missing (up to 1 s) become silence.
    ///
    /// # Errors
    /// When fdk-aac fails.
    pub fn encode(&mut self, frame: &AudioFrame, mut give: impl FnMut(AccessUnit)) -> Result<(), CodecError> {
        if let Some(run) = self.run.as_mut() {
            let (expected, captured) = (run.expects(), frame.captured);
            if expected.since(captured) > TOLERANCE {
                // Its time has been encoded already.
                return Ok(());
            }
            let gap = captured.since(expected);
            if gap > FILLED {
                self.finish(&mut give)?;
            } else if gap > TOLERANCE {
                run.silence(gap.as_nanos() as u64 * u64::from(AUDIO_RATE) / 1_000_000_000, &mut give)?;
            }
        }
        let run = match self.run.take() {
            Some(run) => run,
            None => Run::new(frame.captured)?,
        };
        self.run.insert(run).push(frame.samples.as_slice(), &mut give)
    }

    /// The sound has ended (or nobody wants it): gives what is still inside. The next frame begins afresh.
    ///
    /// # Errors
    /// When fdk-aac fails.
    pub fn finish(&mut self, mut give: impl FnMut(AccessUnit)) -> Result<(), CodecError> {
        let Some(mut run) = self.run.take() else { return Ok(()) };
        // Zeros push the last samples through; a last unit that would hold only padding is not made.
        let behind = run.samples_in + run.delay - run.units_out * u64::from(AAC_SAMPLES);
        run.silence(behind.div_ceil(u64::from(AAC_SAMPLES)) * u64::from(AAC_SAMPLES), &mut give)
    }
}

impl Run {
    fn new(began: MediaTime) -> Result<Self, CodecError> {
        let params = EncoderParams {
            bit_rate: BitRate::Cbr(AAC_BITRATE.as_bps()),
            sample_rate: AUDIO_RATE,
            transport: Transport::Raw,
            channels: ChannelMode::Mono,
            audio_object_type: AudioObjectType::Mpeg4LowComplexity,
        };
        let encoder = Encoder::new(params).map_err(error)?;
        let delay = u64::from(encoder.info().map_err(error)?.nDelay);
        Ok(Run { encoder, delay, began, samples_in: 0, units_out: 0 })
    }

    /// The capture time of the next sample.
    fn expects(&self) -> MediaTime {
        self.began + duration_of(self.samples_in)
    }

    fn silence(&mut self, samples: u64, give: &mut impl FnMut(AccessUnit)) -> Result<(), CodecError> {
        let mut left = samples;
        while left > 0 {
            let part = left.min(FRAME_SAMPLES as u64);
            self.push(&[0; FRAME_SAMPLES][..part as usize], give)?;
            left -= part;
        }
        Ok(())
    }

    fn push(&mut self, mut samples: &[i16], give: &mut impl FnMut(AccessUnit)) -> Result<(), CodecError> {
        let mut unit = [0; MAX_UNIT_BYTES];
        while !samples.is_empty() {
            let done = self.encoder.encode(samples, &mut unit).map_err(error)?;
            samples = samples.get(done.input_consumed..).unwrap_or_default();
            self.samples_in += done.input_consumed as u64;
            if done.output_size > 0 {
                self.unit(Bytes::copy_from_slice(&unit[..done.output_size]), give);
            } else if done.input_consumed == 0 {
                return Err(CodecError::Aac { message: "takes no sound and gives none".to_owned() });
            }
        }
        Ok(())
    }

    fn unit(&mut self, data: Bytes, give: &mut impl FnMut(AccessUnit)) {
        let start = self.units_out * u64::from(AAC_SAMPLES);
        self.units_out += 1;
        // The first units hold only what was before the first sample: nothing.
        let Some(start) = start.checked_sub(self.delay) else { return };
        give(AccessUnit {
            track: TrackId::Aac,
            pts: self.began + duration_of(start),
            duration: duration_of(u64::from(AAC_SAMPLES)),
            keyframe: true,
            data,
            audio_level: 127,
        });
    }
}

fn duration_of(samples: u64) -> Duration {
    let rate = u64::from(AUDIO_RATE);
    Duration::new(samples / rate, (samples % rate * 1_000_000_000 / rate) as u32)
}
