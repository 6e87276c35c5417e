//! The steps that work on the whole of the sound: without rumble, and at an even level.

use sonora::config::{AdaptiveDigital, GainController2, MaxProcessingRate, Pipeline};
use sonora::high_pass_filter::HighPassFilter;
use sonora::{AudioProcessing, Config, StreamConfig};

use super::BLOCK;
use super::stage::{Block, Work};
use crate::media::AUDIO_RATE;

/// Without rumble and offset.
pub struct HighPass(HighPassFilter);

impl Default for HighPass {
    fn default() -> Self {
        HighPass(HighPassFilter::new(AUDIO_RATE as i32, 1))
    }
}

impl Work for HighPass {
    type Sound = Block;
    type Beside = ();

    fn run(&mut self, (): &(), voice: &mut Block) {
        let mut channels = [voice.to_vec()];
        self.0.process_channels(&mut channels);
        voice.copy_from_slice(&channels[0]);
    }
}

/// At an even level: WebRTC's AGC2, digital, with its limiter.
pub struct Gain(AudioProcessing);

impl Default for Gain {
    fn default() -> Self {
        let pipeline = Pipeline {
            // Else nothing above 16 kHz would be left.
            maximum_internal_processing_rate: MaxProcessingRate::Rate48kHz,
            ..Pipeline::default()
        };
        let adaptive_digital = Some(AdaptiveDigital::default());
        let gain_controller2 = Some(GainController2 { adaptive_digital, ..GainController2::default() });
        let config = Config { pipeline, gain_controller2, ..Config::default() };
        let format = StreamConfig::new(AUDIO_RATE, 1);
        Gain(AudioProcessing::builder().config(config).capture_config(format).build())
    }
}

impl Work for Gain {
    type Sound = Block;
    type Beside = ();

    fn run(&mut self, (): &(), voice: &mut Block) {
        let mut out = [0.0; BLOCK];
        // It cannot fail: the format is fixed and valid. If it ever did, the voice goes on as it was.
        if self.0.process_capture_f32(&[voice], &mut [&mut out]).is_ok() {
            *voice = out;
        }
    }
}
