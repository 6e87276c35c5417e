//! Makes a piece of sound a pitch period shorter or longer, so that nobody hears it; pure.
//!
//! The sound is laid over itself, shifted by the lag at which it is most like itself, and faded from one to the other.

/// Lags that are tried: 2.5 to 10 ms, pitches of 100 to 400 Hz.
const LEAST_LAG: usize = 120;
const MOST_LAG: usize = 480;
/// How long the two are faded into each other: 10 ms.
const FADE: usize = 480;
/// Least likeness (correlation, -1 to 1) at which voiced sound is touched.
const ALIKE: f64 = 0.6;
/// Mean square below which sound is silence for this purpose: -50 dBov.
const QUIET: f64 = 1e4;

/// Takes a pitch period out of `sound`, or puts one in (`longer`). False: it has none, or is too short (20 ms are
/// needed), and stays as it is.
pub fn stretch(sound: &mut Vec<i16>, longer: bool) -> bool {
    if sound.len() < MOST_LAG + FADE {
        return false;
    }
    let Some(lag) = best_lag(sound) else { return false };
    let faded = |from: usize, to: usize| -> Vec<i16> {
        (0..FADE)
            .map(|n| {
                let part = n as f32 / FADE as f32;
                let (old, new) = (f32::from(sound[from + n]), f32::from(sound[to + n]));
                (old + (new - old) * part).round() as i16
            })
            .collect()
    };
    if longer {
        let mut middle = faded(lag, 0);
        let mut made = sound[..lag].to_vec();
        made.append(&mut middle);
        made.extend_from_slice(&sound[FADE..]);
        *sound = made;
    } else {
        let mut made = faded(0, lag);
        made.extend_from_slice(&sound[lag + FADE..]);
        *sound = made;
    }
    true
}

/// The lag at which `sound` is most like itself; None when at none of them it is enough so.
fn best_lag(sound: &[i16]) -> Option<usize> {
    let head = &sound[..FADE];
    let energy = |part: &[i16]| part.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
    let own = energy(head);
    if own / (FADE as f64) < QUIET {
        return Some(MOST_LAG / 2);
    }
    // Every second lag and sample: the pitch is far below what that cannot see.
    let alike = |lag: usize| {
        let other = &sound[lag..lag + FADE];
        let dot: f64 = head.iter().zip(other).step_by(2).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        2.0 * dot / (own * energy(other)).sqrt().max(1.0)
    };
    let lags = (LEAST_LAG..=MOST_LAG).step_by(2).map(|lag| (lag, alike(lag)));
    let (lag, likeness) = lags.max_by(|(_, one), (_, other)| one.total_cmp(other))?;
    (likeness > ALIKE).then_some(lag)
}
