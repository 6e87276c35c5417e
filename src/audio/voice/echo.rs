//! WebRTC's AEC3 for one microphone and one speaker.
//!
//! `sonora` keeps AEC3's settings to itself, so its parts are put together here: three bands of 8 kHz, cut into blocks
//! of 4 ms.

use sonora::three_band_filter_bank::{NUM_BANDS, SPLIT_BAND_SIZE, ThreeBandFilterBank};
use sonora_aec3::block;
use sonora_aec3::block_processor::BlockProcessor;
use sonora_aec3::common::BLOCK_SIZE;
use sonora_aec3::config::{EchoCanceller3Config, MaskingThresholds};

use super::BLOCK;
use super::stage::Block;
use crate::media::AUDIO_RATE;

/// AEC3 counts in steps of 16 bits.
const SCALE: f32 = 32_768.0;
/// In those steps; louder, and the microphone may have clipped.
const CLIPS: f32 = 32_700.0;

/// Takes what the speaker plays out of what the microphone hears; the voice comes out 5.5 ms later.
pub struct Canceller {
    processor: BlockProcessor,
    played: Blocks,
    heard: Blocks,
    done: Blocks,
}

impl Canceller {
    /// Has learned nothing yet.
    pub fn new() -> Self {
        let mut done = Blocks::default();
        // The last sample of a frame is rarely the last of a block: one block waits.
        done.put(&block::Block::new(NUM_BANDS, 1));
        Canceller {
            processor: BlockProcessor::new(&settings(), AUDIO_RATE as usize, 1, 1),
            played: Blocks::default(),
            heard: Blocks::default(),
            done,
        }
    }

    /// Works on `voice`, beside what the speaker plays meanwhile.
    pub fn run(&mut self, played: &Block, voice: &mut Block) {
        let clipped = voice.iter().any(|sample| (sample * SCALE).abs() >= CLIPS);
        let mut block = block::Block::new(NUM_BANDS, 1);
        self.played.split(played);
        while self.played.take(&mut block) {
            self.processor.buffer_render(&block);
        }
        self.heard.split(voice);
        while self.heard.take(&mut block) {
            self.processor.process_capture(false, clipped, None, &mut block);
            self.done.put(&block);
        }
        self.done.merge(voice);
    }
}

/// Sound on its way between frames of 10 ms and blocks, by band.
#[derive(Default)]
struct Blocks {
    bank: ThreeBandFilterBank,
    bands: [Vec<f32>; NUM_BANDS],
}

impl Blocks {
    fn split(&mut self, frame: &Block) {
        let mut split = [[0.0; SPLIT_BAND_SIZE]; NUM_BANDS];
        self.bank.analysis(&frame.map(|sample| sample * SCALE), &mut split);
        for (band, split) in self.bands.iter_mut().zip(split) {
            band.extend(split);
        }
    }

    /// False when there is no whole block.
    fn take(&mut self, block: &mut block::Block) -> bool {
        if self.bands[0].len() < BLOCK_SIZE {
            return false;
        }
        for (n, band) in self.bands.iter_mut().enumerate() {
            block.view_mut(n, 0).iter_mut().zip(band.drain(..BLOCK_SIZE)).for_each(|(to, from)| *to = from);
        }
        true
    }

    fn put(&mut self, block: &block::Block) {
        for (n, band) in self.bands.iter_mut().enumerate() {
            band.extend(block.view(n, 0));
        }
    }

    /// There is always enough: what was split before, and the block that waited.
    fn merge(&mut self, frame: &mut Block) {
        let mut split = [[0.0; SPLIT_BAND_SIZE]; NUM_BANDS];
        for (split, band) in split.iter_mut().zip(&mut self.bands) {
            split.iter_mut().zip(band.drain(..SPLIT_BAND_SIZE)).for_each(|(to, from)| *to = from);
        }
        let mut merged = [0.0; BLOCK];
        self.bank.synthesis(&split, &mut merged);
        *frame = merged.map(|sample| sample / SCALE);
    }
}

/// AEC3's own, found wanting where a loudspeaker distorts (benches/README.md, "The voice"): it let the distortion
/// through when only the far end spoke, and took too much of the near end when both did. So what counts as echo is
/// taken out harder, and once the near end is known to speak it is let through sooner.
fn settings() -> EchoCanceller3Config {
    let mut settings = EchoCanceller3Config::default();
    let suppressor = &mut settings.suppressor;
    // Echo to voice, as powers: how much the estimate of what is left of the echo may be of what is heard. The estimate
    // misses most of what distortion adds.
    let normal = &mut suppressor.normal_tuning;
    scale(&mut normal.mask_lf, 0.1);
    scale(&mut normal.mask_hf, 0.1);
    // Echo to noise: below this the noise hides it.
    normal.mask_lf.emr_transparent = 0.1;
    normal.mask_hf.emr_transparent = 0.1;
    let nearend = &mut suppressor.nearend_tuning;
    scale(&mut nearend.mask_lf, 2.0);
    scale(&mut nearend.mask_hf, 2.0);
    // How fast each band opens again, in power each 4 ms.
    nearend.max_inc_factor = 4.0;
    // How the end of the echo that the filter is too short for dies away, each 4 ms: slowly while only the far end
    // speaks, fast while the near end does and hides it.
    settings.ep_strength.default_len = 0.9;
    settings.ep_strength.nearend_len = 0.5;
    // Blocks for which the filter stays calm after its faster shadow was set back to it (0.4 s): near speech sets the
    // shadow off all the time, and must not have the filter learn it.
    settings.filter.coarse_reset_hangover_blocks = 100;
    settings
}

fn scale(mask: &mut MaskingThresholds, factor: f32) {
    mask.enr_transparent *= factor;
    mask.enr_suppress *= factor;
}
