//! One step of the processing, switched on and off without a click.

use sonora::config::{AdaptiveDigital, GainController2, MaxProcessingRate, NoiseSuppression, Pipeline};
use sonora::high_pass_filter::HighPassFilter;
use sonora::{AudioProcessing, Config, StreamConfig};

use super::BLOCK;
use super::echo::Canceller;
use crate::media::AUDIO_RATE;

/// Blocks that a step works before it is heard: it then holds nothing of what was before it.
const WARM: u32 = 2;

/// 10 ms of sound, full scale ±1.
pub type Block = [f32; BLOCK];

/// Which step.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Without rumble and offset.
    HighPass,
    /// Without what the speaker plays: WebRTC's AEC3.
    Echo,
    /// Without steady noise.
    Noise,
    /// At an even level: WebRTC's AGC2, digital, with its limiter.
    Gain,
}

enum Work {
    HighPass(HighPassFilter),
    Echo(Box<Canceller>),
    Processing(Box<AudioProcessing>),
}

/// One step of the processing.
pub struct Stage {
    kind: Kind,
    work: Option<Work>,
    /// Blocks for which it has been wanted.
    age: u32,
    /// How much of it was heard at the end of the last block, 0 or 1.
    share: f32,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage").field("kind", &self.kind).field("share", &self.share).finish()
    }
}

impl Stage {
    /// Off.
    pub fn new(kind: Kind) -> Self {
        Stage { kind, work: None, age: 0, share: 0.0 }
    }

    /// Throws away what it has learned, unless it is still heard.
    pub fn forget(&mut self) {
        if self.share == 0.0 {
            self.work = None;
        }
    }

    /// Works on `voice`, beside what the speaker plays meanwhile; fades from one to the other when `wanted` changes.
    /// False when it is off, and the voice as it was.
    pub fn run(&mut self, wanted: bool, played: &Block, voice: &mut Block) -> bool {
        if !wanted && self.share == 0.0 {
            self.age = 0;
            return false;
        }
        let work = self.work.get_or_insert_with(|| Work::new(self.kind));
        let mut done = *voice;
        work.run(played, &mut done);
        self.age = if wanted { self.age.saturating_add(1) } else { 0 };
        let target = if wanted && (self.age > WARM || self.share > 0.0) { 1.0 } else { 0.0 };
        let step = (target - self.share) / BLOCK as f32;
        for (index, (voice, done)) in voice.iter_mut().zip(done).enumerate() {
            let share = self.share + step * (index + 1) as f32;
            *voice += (done - *voice) * share;
        }
        self.share = target;
        true
    }
}

impl Work {
    fn new(kind: Kind) -> Work {
        let pipeline = Pipeline {
            // Else nothing above 16 kHz would be left.
            maximum_internal_processing_rate: MaxProcessingRate::Rate48kHz,
            ..Pipeline::default()
        };
        let mut config = Config { pipeline, ..Config::default() };
        match kind {
            Kind::HighPass => return Work::HighPass(HighPassFilter::new(AUDIO_RATE as i32, 1)),
            Kind::Echo => return Work::Echo(Box::new(Canceller::new())),
            Kind::Noise => config.noise_suppression = Some(NoiseSuppression::default()),
            Kind::Gain => {
                let adaptive_digital = Some(AdaptiveDigital::default());
                config.gain_controller2 =
                    Some(GainController2 { adaptive_digital, ..GainController2::default() });
            }
        }
        let format = StreamConfig::new(AUDIO_RATE, 1);
        let builder = AudioProcessing::builder().config(config);
        Work::Processing(Box::new(builder.capture_config(format).build()))
    }

    fn run(&mut self, played: &Block, voice: &mut Block) {
        match self {
            Work::HighPass(filter) => {
                let mut channels = [voice.to_vec()];
                filter.process_channels(&mut channels);
                voice.copy_from_slice(&channels[0]);
            }
            Work::Echo(canceller) => canceller.run(played, voice),
            Work::Processing(processing) => {
                let mut out = [0.0; BLOCK];
                // It cannot fail: the format is fixed and valid. If it ever did, the voice goes on as it was.
                if processing.process_capture_f32(&[voice], &mut [&mut out]).is_ok() {
                    *voice = out;
                }
            }
        }
    }
}
