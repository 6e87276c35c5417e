//! WebRTC's AEC3 for one microphone and one speaker.
//!
//! `sonora` keeps AEC3's settings to itself, so its parts are put together here, in blocks of 4 ms.

use sonora::three_band_filter_bank::NUM_BANDS;
use sonora_aec3::block::Block;
use sonora_aec3::block_processor::BlockProcessor;
use sonora_aec3::common::BLOCK_SIZE;
use sonora_aec3::config::{EchoCanceller3Config, MaskingThresholds};

use super::bands::{BAND, Bands};
use super::stage::Work;
use crate::media::AUDIO_RATE;

/// What a canceller must know beside the voice.
pub struct Beside {
    /// What the speaker plays meanwhile.
    pub played: Bands,
    /// The microphone may have clipped.
    pub clipped: bool,
}

/// Takes what the speaker plays out of what the microphone hears; the voice comes out 4 ms later.
pub struct Canceller {
    processor: BlockProcessor,
    played: Blocks,
    heard: Blocks,
    done: Blocks,
}

impl Default for Canceller {
    fn default() -> Self {
        let mut done = Blocks::default();
        // The last sample of a frame is rarely the last of a block: one block waits.
        done.put(&block());
        Canceller {
            processor: BlockProcessor::new(&settings(), AUDIO_RATE as usize, 1, 1),
            played: Blocks::default(),
            heard: Blocks::default(),
            done,
        }
    }
}

impl Work for Canceller {
    type Sound = Bands;
    type Beside = Beside;

    fn run(&mut self, beside: &Beside, voice: &mut Bands) {
        let mut block = block();
        self.played.extend(&beside.played);
        while self.played.take(&mut block) {
            self.processor.buffer_render(&block);
        }
        self.heard.extend(voice);
        while self.heard.take(&mut block) {
            self.processor.process_capture(false, beside.clipped, None, &mut block);
            self.done.put(&block);
        }
        self.done.drain(voice);
    }
}

fn block() -> Block {
    Block::new(NUM_BANDS, 1)
}

/// Sound on its way between frames of 10 ms and blocks, by band.
#[derive(Default)]
struct Blocks([Vec<f32>; NUM_BANDS]);

impl Blocks {
    fn extend(&mut self, bands: &Bands) {
        for (kept, band) in self.0.iter_mut().zip(bands) {
            kept.extend(band);
        }
    }

    /// False when there is no whole block.
    fn take(&mut self, block: &mut Block) -> bool {
        if self.0[0].len() < BLOCK_SIZE {
            return false;
        }
        for (n, kept) in self.0.iter_mut().enumerate() {
            block.view_mut(n, 0).iter_mut().zip(kept.drain(..BLOCK_SIZE)).for_each(|(to, from)| *to = from);
        }
        true
    }

    fn put(&mut self, block: &Block) {
        for (n, kept) in self.0.iter_mut().enumerate() {
            kept.extend(block.view(n, 0));
        }
    }

    /// There is always enough: what was put in before, and the block that waited.
    fn drain(&mut self, bands: &mut Bands) {
        for (band, kept) in bands.iter_mut().zip(&mut self.0) {
            band.iter_mut().zip(kept.drain(..BAND)).for_each(|(to, from)| *to = from);
        }
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
