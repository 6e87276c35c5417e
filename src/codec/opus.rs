//! Opus (RFC 6716) by libopus: 48 kHz mono, 20 ms packets, in-band FEC.

use std::time::Duration;

use bytes::Bytes;
use opus::{Application, Bitrate as OpusBitrate, Channels, Decoder, Encoder};

use super::CodecError;

use crate::base::units::Bitrate;
use crate::media::{AUDIO_RATE, AccessUnit, AudioFrame, FRAME_SAMPLES, TrackId, level};

/// The largest packet of one frame (RFC 6716 §3.2.1).
const MAX_PACKET_BYTES: usize = 1275;
/// The longest packet, 120 ms (RFC 6716 §2.1.4), in samples.
const MAX_PACKET_SAMPLES: usize = 5760;
/// What the encoder is told to expect; it makes it spend bits on the previous frame (FEC).
const EXPECTED_LOSS_PERCENT: i32 = 5;
/// From 7 on libopus looks for music and changes to CELT, which has no FEC; measured: 5 takes 0.7 % of a core, 9 takes
/// 1.0 %.
const COMPLEXITY: i32 = 5;

fn error(what: &'static str) -> impl Fn(opus::Error) -> CodecError {
    move |source| CodecError::Opus { what, source }
}

/// Encodes frames of 20 ms.
pub struct OpusEncoder {
    encoder: Encoder,
    packet: [u8; MAX_PACKET_BYTES],
}

impl OpusEncoder {
    /// An encoder of `bitrate` on average, 6 to 510 kbit/s.
    ///
    /// # Errors
    /// When libopus refuses the bitrate or has no memory.
    pub fn new(bitrate: Bitrate) -> Result<Self, CodecError> {
        let mut encoder =
            Encoder::new(AUDIO_RATE, Channels::Mono, Application::Voip).map_err(error("encoder"))?;
        let bits = OpusBitrate::Bits(i32::try_from(bitrate.as_bps()).unwrap_or(i32::MAX));
        encoder.set_bitrate(bits).map_err(error("bitrate"))?;
        encoder.set_complexity(COMPLEXITY).map_err(error("complexity"))?;
        encoder.set_inband_fec(true).map_err(error("in-band FEC"))?;
        encoder.set_packet_loss_perc(EXPECTED_LOSS_PERCENT).map_err(error("expected loss"))?;
        Ok(OpusEncoder { encoder, packet: [0; MAX_PACKET_BYTES] })
    }

    /// Encodes one frame; the packet's PTS is the frame's capture time.
    ///
    /// # Errors
    /// When libopus fails.
    pub fn encode(&mut self, frame: &AudioFrame) -> Result<AccessUnit, CodecError> {
        let samples = frame.samples.as_slice();
        let bytes = self.encoder.encode(samples, &mut self.packet).map_err(error("encode"))?;
        Ok(AccessUnit {
            track: TrackId::Opus,
            pts: frame.captured,
            duration: Duration::from_millis(20),
            keyframe: true,
            data: Bytes::copy_from_slice(&self.packet[..bytes]),
            audio_level: level::dbov(samples),
        })
    }
}

/// Decodes the packets of one remote track into 48 kHz mono (stereo is mixed down by libopus).
pub struct OpusDecoder {
    decoder: Decoder,
    samples: Box<[i16; MAX_PACKET_SAMPLES]>,
}

impl OpusDecoder {
    /// A decoder.
    ///
    /// # Errors
    /// When libopus has no memory.
    pub fn new() -> Result<Self, CodecError> {
        let decoder = Decoder::new(AUDIO_RATE, Channels::Mono).map_err(error("decoder"))?;
        Ok(OpusDecoder { decoder, samples: Box::new([0; MAX_PACKET_SAMPLES]) })
    }

    /// The sound of `packet`, 2.5 to 120 ms. Valid until the next call.
    ///
    /// # Errors
    /// When the packet is not Opus; the decoder stays usable.
    pub fn decode(&mut self, packet: &[u8]) -> Result<&[i16], CodecError> {
        if packet.is_empty() {
            // libopus would take it for a loss that fills the buffer.
            return self.conceal(None);
        }
        let samples =
            self.decoder.decode(packet, self.samples.as_mut_slice(), false).map_err(error("decode"))?;
        Ok(&self.samples[..samples.min(MAX_PACKET_SAMPLES)])
    }

    /// 20 ms in place of a packet that is lost, from what `next` (the packet after it) carries about it if it is
    /// there, else made up from what was heard before. Valid until the next call. When `next` is given, decode it
    /// with [`OpusDecoder::decode`] afterwards.
    ///
    /// # Errors
    /// When `next` is not Opus; the decoder stays usable.
    pub fn conceal(&mut self, next: Option<&[u8]>) -> Result<&[i16], CodecError> {
        let lost = &mut self.samples[..FRAME_SAMPLES];
        let samples =
            self.decoder.decode(next.unwrap_or(&[]), lost, next.is_some()).map_err(error("conceal"))?;
        Ok(&self.samples[..samples.min(FRAME_SAMPLES)])
    }
}
