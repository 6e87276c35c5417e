//! Rooms with a loudspeaker and a microphone: speech by espeak-ng or recorded, echo by a made room.

use std::f32::consts::LN_10;
use std::io::Write;
use std::process::{Command, Stdio};

/// Samples a second.
pub const RATE: usize = 48_000;
/// What the far end says; it says it again every [`EVERY`] samples, whole or not.
const FAR: &str = "Good morning everybody, I hope that you can hear me well. We have four points for today, and I would \
    like to begin with the budget, because it took so long the last time. Please look at the second page of the \
    paper that I sent you yesterday, there you will find the numbers of this spring.";
const NEAR: &str = "Sorry to interrupt you, but the second page is missing here. Could you send the paper once more? \
    We would also need the old figures beside the new ones, otherwise nobody can compare them.";
const EVERY: usize = RATE * 31 / 2;
const SECONDS: usize = 60;
/// When somebody speaks at the near end, in seconds: while the far end speaks, and alone.
pub const DOUBLE_TALK: usize = 34;
pub const ALONE: usize = 49;
/// The smallest sound of 16 bits: heard by nobody, but it keeps the canceller from resting, which would change the
/// delay of the voice amid what is compared.
const STEP: f32 = 1.5 / 32_768.0;

/// A loudspeaker in a room.
#[derive(Clone, Copy)]
pub struct Room {
    /// From the speaker to the microphone, milliseconds.
    pub delay_ms: usize,
    /// Seconds until the echo has fallen by 60 dB.
    pub rt60: f32,
    /// By how much the echo is quieter than what is played, dB.
    pub echo_return_loss: f32,
    /// Whether the loudspeaker distorts.
    pub distorts: bool,
    /// Largest noise of the microphone itself.
    pub noise: f32,
    /// Makes other reflections.
    pub seed: u64,
}

/// Who speaks.
#[derive(Clone, Copy)]
pub enum Speaker {
    /// A voice of espeak-ng.
    Made(&'static str),
    /// A woman whom the sound cards' tests of alsa-utils have recorded: the files in this order.
    Recorded(&'static [&'static str]),
}

/// Who speaks at both ends, and how loud the near end is (RMS; the far end is at 0.1).
#[derive(Clone, Copy)]
pub struct Speakers {
    pub far: Speaker,
    pub near: Speaker,
    pub near_level: f32,
}

/// A man and a woman of espeak-ng.
pub const MADE: Speakers =
    Speakers { far: Speaker::Made("en"), near: Speaker::Made("en+f3"), near_level: 0.06 };

/// 60 s: what is played, its echo, and what is said at the near end.
pub struct Scene {
    pub played: Vec<f32>,
    pub echo: Vec<f32>,
    pub near: Vec<f32>,
}

impl Scene {
    /// In `room`.
    pub fn new(room: Room, speakers: Speakers) -> Scene {
        let (far, near) = (speakers.far.says(FAR, 0.1), speakers.near.says(NEAR, speakers.near_level));
        let mut played = vec![0.0; SECONDS * RATE];
        for start in (0..played.len()).step_by(EVERY) {
            put(&mut played, start, &far);
        }
        // The near end speaks alone then.
        played[(ALONE - 2) * RATE..].fill(STEP);
        let mut said = vec![0.0; SECONDS * RATE];
        put(&mut said, DOUBLE_TALK * RATE, &near);
        put(&mut said, ALONE * RATE, &near);
        Scene { echo: room.echo(&played), played, near: said }
    }
}

fn put(into: &mut [f32], at: usize, what: &[f32]) {
    into[at..].iter_mut().zip(what).for_each(|(into, what)| *into = *what);
}

impl Room {
    /// What the microphone hears of `played`, sensor noise apart.
    pub fn echo(&self, played: &[f32]) -> Vec<f32> {
        let taps = self.taps();
        let mut echo = vec![0.0; played.len()];
        let heard: Vec<f32> = played.iter().map(|x| if self.distorts { distorted(*x) } else { *x }).collect();
        for (after, gain) in taps {
            for (echo, heard) in echo.iter_mut().skip(after).zip(&heard) {
                *echo += gain * heard;
            }
        }
        echo
    }

    /// The 500 strongest of an exponentially decaying noise.
    fn taps(&self) -> Vec<(usize, f32)> {
        let mut noise = Noise(self.seed);
        let decay = |n: usize| (-3.0 * LN_10 * n as f32 / (self.rt60 * RATE as f32)).exp();
        let length = (self.rt60 * RATE as f32) as usize;
        let mut taps: Vec<(usize, f32)> = (0..length).map(|n| (n, noise.sample() * decay(n))).collect();
        taps[..RATE / 500].iter_mut().for_each(|(_, gain)| *gain *= 2.0);
        taps[0].1 = 3.0;
        taps.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
        taps.truncate(500);
        let power: f32 = taps.iter().map(|(_, gain)| gain * gain).sum();
        let scale = 10f32.powf(-self.echo_return_loss / 20.0) / power.sqrt();
        let bulk = self.delay_ms * RATE / 1000;
        taps.into_iter().map(|(n, gain)| (bulk + n, gain * scale)).collect()
    }
}

fn distorted(x: f32) -> f32 {
    (2.5 * x).tanh() / 2.5 + 0.2 * x * x.abs()
}

/// Seeded xorshift.
pub struct Noise(pub u64);

impl Noise {
    /// -1 to 1.
    pub fn sample(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

impl Speaker {
    /// `text`, or what was recorded, at `level` (RMS).
    fn says(self, text: &str, level: f32) -> Vec<f32> {
        let mut samples: Vec<f32> = match self {
            Speaker::Made(voice) => {
                let wav = run("espeak-ng", &["-v", voice, "--stdin", "--stdout"], text.as_bytes());
                samples("-", &wav)
            }
            Speaker::Recorded(names) => {
                let path = |name| format!("/usr/share/sounds/alsa/{name}.wav");
                names.iter().flat_map(|name| samples(&path(name), &[])).collect()
            }
        };
        assert!(samples.len() > 5 * RATE, "{} samples of speech", samples.len());
        samples.truncate(EVERY);
        let scale = level / power(&samples).sqrt();
        samples.into_iter().map(|sample| sample * scale).collect()
    }
}

fn samples(file: &str, input: &[u8]) -> Vec<f32> {
    let raw =
        run("ffmpeg", &["-v", "error", "-i", file, "-ar", "48000", "-ac", "1", "-f", "s16le", "-"], input);
    raw.as_chunks::<2>().0.iter().map(|bytes| f32::from(i16::from_le_bytes(*bytes)) / 32_768.0).collect()
}

fn run(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("{program} does not start ({error}): scripts/install.sh test installs it")
        });
    let (mut pipe, input) = (child.stdin.take().expect("piped"), input.to_vec());
    let feed = std::thread::spawn(move || pipe.write_all(&input));
    let output = child.wait_with_output().expect("its output is read");
    feed.join().expect("no panic").expect("it reads its input");
    assert!(
        output.status.success(),
        "{program} {arguments:?} failed: scripts/install.sh test installs what it needs"
    );
    output.stdout
}

/// Mean square.
pub fn power(samples: &[f32]) -> f32 {
    (samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / samples.len() as f64) as f32
}

pub fn decibels(ratio: f32) -> f32 {
    10.0 * ratio.log10()
}
