//! Mixes what the other participants say into one sound.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::jitter::{JitterBuffer, Packet, Step, Tempo, stretch};
use crate::base::clock::MediaTime;
use crate::media::FRAME_SAMPLES;

/// Packets (of 20 ms) between two changes of one source's tempo: a twelfth faster or slower at most.
const BETWEEN_STRETCHES: u32 = 6;
/// Below this the mix is exact; above it is bent towards full scale, which it never reaches.
const KNEE: i32 = 24_576;

/// Decodes one source's packets; used by the thread that mixes.
pub trait Decode: Send {
    /// Appends the sound of `packet` (48 kHz, one channel) to `sound`; nothing of one that cannot be decoded.
    fn decode(&mut self, packet: &[u8], sound: &mut Vec<i16>);
    /// Appends 20 ms in place of a lost packet, from what `next` (the packet after it) carries about it if it is
    /// given, else made up from what was heard before.
    fn conceal(&mut self, next: Option<&[u8]>, sound: &mut Vec<i16>);
}

/// Sums sources into frames of 20 ms. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Mixer {
    sources: Arc<Mutex<Vec<Arc<Source>>>>,
    concealed: Arc<AtomicU64>,
}

struct Source {
    /// Never locked for longer than a push or a look.
    packets: Mutex<JitterBuffer>,
    /// The mixing thread's own.
    playing: Mutex<Playing>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("packets", &self.packets).finish_non_exhaustive()
    }
}

struct Playing {
    decoder: Box<dyn Decode>,
    ready: VecDeque<i16>,
    sound: Vec<i16>,
    since_stretch: u32,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Mixer {
    /// Without sources: silence.
    pub fn new() -> Self {
        Self::default()
    }

    /// A new source whose packets `decoder` decodes; gone when dropped.
    pub fn source(&self, decoder: Box<dyn Decode>) -> MixerSource {
        let (ready, sound) = (VecDeque::new(), Vec::new());
        let playing = Mutex::new(Playing { decoder, ready, sound, since_stretch: 0 });
        let source = Arc::new(Source { packets: Mutex::default(), playing });
        lock(&self.sources).push(source.clone());
        MixerSource { source, mixer: self.clone() }
    }

    /// Fills `mix` with the next 20 ms of every source that speaks; to be called every 20 ms, `now`.
    pub fn mix(&self, now: MediaTime, mix: &mut [i16; FRAME_SAMPLES]) {
        let mut sum = [0i32; FRAME_SAMPLES];
        let sources = lock(&self.sources).clone();
        for source in &sources {
            self.concealed.fetch_add(source.add_to(now, &mut sum), Ordering::Relaxed);
        }
        for (out, value) in mix.iter_mut().zip(sum) {
            *out = limited(value);
        }
    }

    /// Packets in whose place sound was made up, of all sources that there were.
    pub fn concealed(&self) -> u64 {
        self.concealed.load(Ordering::Relaxed)
    }

    /// The longest time, ms, for which a source's packets are held to smooth its jitter; 0 without sources.
    pub fn longest_delay_ms(&self) -> f64 {
        lock(&self.sources).iter().map(|source| lock(&source.packets).target_ms()).fold(0.0, f64::max)
    }
}

/// Keeps `value` within 16 bits: exact up to the knee, bent above it.
fn limited(value: i32) -> i16 {
    let over = value.abs() - KNEE;
    if over <= 0 {
        return value as i16;
    }
    let room = f64::from(i32::from(i16::MAX) - KNEE);
    let bent = f64::from(KNEE) + room * (1.0 - (-f64::from(over) / room).exp());
    (bent as i32 * value.signum()) as i16
}

impl Source {
    /// Adds 20 ms; returns how many packets were made up for.
    fn add_to(&self, now: MediaTime, sum: &mut [i32; FRAME_SAMPLES]) -> u64 {
        let mut playing = lock(&self.playing);
        let mut concealed = 0;
        while playing.ready.len() < FRAME_SAMPLES {
            let step = lock(&self.packets).step(now);
            concealed += u64::from(matches!(step, Step::Lost { .. } | Step::MakeUp));
            if !playing.prepare(&step, now, &self.packets) {
                break;
            }
        }
        let here = playing.ready.len().min(FRAME_SAMPLES);
        for (sum, sample) in sum.iter_mut().zip(playing.ready.drain(..here)) {
            *sum += i32::from(sample);
        }
        concealed
    }
}

impl Playing {
    /// Makes the sound of `step`; false for silence.
    fn prepare(&mut self, step: &Step, now: MediaTime, packets: &Mutex<JitterBuffer>) -> bool {
        self.sound.clear();
        match step {
            Step::Silence => return false,
            Step::MakeUp => self.decoder.conceal(None, &mut self.sound),
            Step::Lost { next, samples } => {
                // The copy in the next packet is of the last 20 ms.
                for left in (0..samples.div_ceil(FRAME_SAMPLES)).rev() {
                    let next = next.as_deref().filter(|_| left == 0);
                    self.decoder.conceal(next, &mut self.sound);
                }
            }
            Step::Play(packet) => {
                self.decoder.decode(packet, &mut self.sound);
                self.since_stretch += 1;
                let mut packets = lock(packets);
                packets.decoded(self.sound.len());
                let tempo = packets.tempo(now, self.ready.len() + self.sound.len());
                drop(packets);
                if tempo != Tempo::Even
                    && self.since_stretch >= BETWEEN_STRETCHES
                    && stretch::stretch(&mut self.sound, tempo == Tempo::Longer)
                {
                    self.since_stretch = 0;
                }
            }
        }
        self.ready.extend(&self.sound);
        true
    }
}

/// Where the packets of one participant go in.
#[derive(Debug)]
pub struct MixerSource {
    source: Arc<Source>,
    mixer: Mixer,
}

impl MixerSource {
    /// Takes a packet, in any order. Never blocks.
    pub fn push(&self, packet: Packet) {
        lock(&self.source.packets).push(packet);
    }
}

impl Drop for MixerSource {
    fn drop(&mut self) {
        lock(&self.mixer.sources).retain(|other| !Arc::ptr_eq(other, &self.source));
    }
}

/// Packets and a decoder for tests.
#[cfg(test)]
pub mod testing {
    use super::*;

    /// Decodes a packet of two bytes into 20 ms of that value; what is lost sounds as the last did.
    #[derive(Default)]
    pub struct Raw(i16);

    impl Decode for Raw {
        fn decode(&mut self, packet: &[u8], sound: &mut Vec<i16>) {
            self.0 = i16::from_le_bytes([packet[0], packet[1]]);
            sound.extend([self.0; FRAME_SAMPLES]);
        }

        fn conceal(&mut self, _next: Option<&[u8]>, sound: &mut Vec<i16>) {
            sound.extend([self.0; FRAME_SAMPLES]);
        }
    }

    /// Packet `number` of a stream, all of whose samples are `value`, that came in time.
    pub fn packet(number: u16, value: i16) -> Packet {
        Packet {
            sequence: number,
            timestamp_48k: u32::from(number) * FRAME_SAMPLES as u32,
            payload: value.to_le_bytes().to_vec().into(),
            at: MediaTime::from_millis(1000 + u64::from(number) * 20),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{Raw, packet};
    use super::*;

    fn mixed(mixer: &Mixer, at_ms: u64) -> [i16; FRAME_SAMPLES] {
        let mut mix = [1; FRAME_SAMPLES];
        mixer.mix(MediaTime::from_millis(at_ms), &mut mix);
        mix
    }

    #[test]
    fn two_sources_are_summed_and_a_dropped_one_is_gone() {
        let mixer = Mixer::new();
        assert_eq!(mixed(&mixer, 900), [0; FRAME_SAMPLES]);
        let (one, two) = (mixer.source(Box::<Raw>::default()), mixer.source(Box::<Raw>::default()));
        for number in 0..3 {
            one.push(packet(number, 100));
            two.push(packet(number, -30));
        }
        assert_eq!(mixed(&mixer, 1000), [0; FRAME_SAMPLES], "packets are held for a while");
        assert_eq!(mixed(&mixer, 1060), [70; FRAME_SAMPLES]);
        drop(one);
        assert_eq!(mixed(&mixer, 1080), [-30; FRAME_SAMPLES]);
    }

    #[test]
    fn loud_sources_are_limited_without_wrapping_and_quiet_ones_are_exact() {
        let mixer = Mixer::new();
        let sources: Vec<_> = (0..5).map(|_| mixer.source(Box::<Raw>::default())).collect();
        sources.iter().for_each(|source| source.push(packet(0, 30_000)));
        assert!(mixed(&mixer, 1100).iter().all(|sample| *sample > 32_000));
        for value in [-24_576, -1, 0, 24_576] {
            assert_eq!(i32::from(limited(value)), value);
        }
        let bent: Vec<_> = (0..200_000).step_by(100).map(limited).collect();
        assert!(bent.is_sorted() && limited(-200_000) == -limited(200_000));
    }

    #[test]
    fn what_does_not_come_is_made_up_and_counted_until_it_is_silence() {
        let mixer = Mixer::new();
        let source = mixer.source(Box::<Raw>::default());
        source.push(packet(0, 5));
        source.push(packet(2, 7));
        let heard: Vec<i16> = (0..12).map(|n| mixed(&mixer, 1060 + n * 20)[0]).collect();
        assert_eq!(heard, [5, 5, 7, 7, 7, 7, 7, 7, 0, 0, 0, 0]);
        assert_eq!(mixer.concealed(), 6);
        assert!(mixer.longest_delay_ms() >= 20.0);
    }
}
