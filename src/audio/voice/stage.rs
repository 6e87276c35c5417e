//! One step of the processing, switched on and off without a click.

use super::{BLOCK, bands};

/// Blocks that a step works before it is heard: it then holds nothing of what was before it.
const WARM: u32 = 2;

/// 10 ms of sound, full scale ±1.
pub type Block = [f32; BLOCK];

/// 10 ms of sound in one or more rows of samples.
pub trait Sound: Copy {
    /// The rows, each as long as the others.
    fn rows(&mut self) -> impl Iterator<Item = &mut [f32]>;
}

impl Sound for Block {
    fn rows(&mut self) -> impl Iterator<Item = &mut [f32]> {
        std::iter::once(self.as_mut_slice())
    }
}

impl Sound for bands::Bands {
    fn rows(&mut self) -> impl Iterator<Item = &mut [f32]> {
        self.iter_mut().map(<[f32; bands::BAND]>::as_mut_slice)
    }
}

/// What a step does. Made anew it has learned nothing.
pub trait Work: Default {
    /// What it works on.
    type Sound: Sound;
    /// What it must know of the same 10 ms.
    type Beside;

    /// Works on `voice`.
    fn run(&mut self, beside: &Self::Beside, voice: &mut Self::Sound);
}

/// One step of the processing.
pub struct Stage<W> {
    work: Option<Box<W>>,
    /// Blocks for which it has been wanted.
    age: u32,
    /// How much of it was heard at the end of the last block, 0 or 1.
    share: f32,
}

/// Off.
impl<W> Default for Stage<W> {
    fn default() -> Self {
        Stage { work: None, age: 0, share: 0.0 }
    }
}

impl<W: Work> Stage<W> {
    /// Throws away what it has learned, unless it is still heard.
    pub fn forget(&mut self) {
        if self.share == 0.0 {
            self.work = None;
        }
    }

    /// Works on `voice`; fades from one to the other when `wanted` changes. False when it is off, and the voice as it
    /// was.
    pub fn run(&mut self, wanted: bool, beside: &W::Beside, voice: &mut W::Sound) -> bool {
        if !wanted && self.share == 0.0 {
            self.age = 0;
            return false;
        }
        let mut done = *voice;
        self.work.get_or_insert_default().run(beside, &mut done);
        self.age = if wanted { self.age.saturating_add(1) } else { 0 };
        let target = if wanted && (self.age > WARM || self.share > 0.0) { 1.0 } else { 0.0 };
        for (voice, done) in voice.rows().zip(done.rows()) {
            let step = (target - self.share) / voice.len() as f32;
            for (index, (voice, done)) in voice.iter_mut().zip(done).enumerate() {
                let share = self.share + step * (index + 1) as f32;
                *voice += (*done - *voice) * share;
            }
        }
        self.share = target;
        true
    }
}
