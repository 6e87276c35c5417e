//! The steps that work on three bands of 8 kHz: without echo, and without noise. Splitting and merging is dear, so
//! both share it.

use sonora::three_band_filter_bank::{NUM_BANDS, SPLIT_BAND_SIZE, ThreeBandFilterBank};
use sonora_ns::config::NsConfig;
use sonora_ns::noise_suppressor::NoiseSuppressor;

use super::BLOCK;
use super::echo::{Beside, Canceller};
use super::stage::{Block, Stage, Work};

/// Samples of 10 ms of a band.
pub const BAND: usize = SPLIT_BAND_SIZE;

/// 10 ms of sound in bands, lowest first, in steps of 16 bits.
pub type Bands = [[f32; BAND]; NUM_BANDS];

/// Those steps count in steps of 16 bits.
const SCALE: f32 = 32_768.0;
/// In those steps; louder, and the microphone may have clipped.
const CLIPS: f32 = 32_700.0;

/// What is wanted of a [`Cleaner`].
pub struct Wanted {
    /// What the speaker plays meanwhile.
    pub played: Block,
    /// The echo is to be taken out, now or when there is one.
    pub echo: bool,
    /// There may be an echo now.
    pub awake: bool,
    /// Noise is to be taken out.
    pub noise: bool,
}

impl Wanted {
    /// Whether there is anything to do now.
    pub fn now(&self) -> bool {
        self.echo && self.awake || self.noise
    }
}

/// Takes out echo and noise.
#[derive(Default)]
pub struct Cleaner {
    heard: ThreeBandFilterBank,
    played: ThreeBandFilterBank,
    echo: Stage<Canceller>,
    noise: Stage<Noise>,
}

impl Work for Cleaner {
    type Sound = Block;
    type Beside = Wanted;

    fn run(&mut self, wanted: &Wanted, voice: &mut Block) {
        let clipped = voice.iter().any(|sample| (sample * SCALE).abs() >= CLIPS);
        let mut bands = split(&mut self.heard, voice);
        let echo = wanted.echo && wanted.awake;
        let played = if echo { split(&mut self.played, &wanted.played) } else { [[0.0; BAND]; NUM_BANDS] };
        self.echo.run(echo, &Beside { played, clipped }, &mut bands);
        if !wanted.echo {
            self.echo.forget();
        }
        self.noise.run(wanted.noise, &(), &mut bands);
        if !wanted.noise {
            self.noise.forget();
        }
        let mut merged = [0.0; BLOCK];
        self.heard.synthesis(&bands, &mut merged);
        *voice = merged.map(|sample| sample / SCALE);
    }
}

fn split(bank: &mut ThreeBandFilterBank, sound: &Block) -> Bands {
    let mut bands = [[0.0; BAND]; NUM_BANDS];
    bank.analysis(&sound.map(|sample| sample * SCALE), &mut bands);
    bands
}

/// Without steady noise: WebRTC's noise suppression, 12 dB.
struct Noise(NoiseSuppressor);

impl Default for Noise {
    fn default() -> Self {
        Noise(NoiseSuppressor::new_with_bands(NsConfig::default(), NUM_BANDS))
    }
}

impl Work for Noise {
    type Sound = Bands;
    type Beside = ();

    fn run(&mut self, (): &(), voice: &mut Bands) {
        let [low, upper @ ..] = voice;
        self.0.analyze(low);
        self.0.process(low);
        let gain = self.0.upper_band_gain();
        for (n, band) in upper.iter_mut().enumerate() {
            self.0.process_upper_band(band, n, gain);
            NoiseSuppressor::clamp_frame(band);
        }
    }
}
