//! Which of a camera's formats is taken.

use std::cmp::Ordering;

use crate::base::units::Size;
use crate::sys::v4l2::{FourCc, Interval, Offer};

/// Formats that can be used, the better first: raw ones, H.264 that is passed on, then those that must be decoded.
const USABLE: [FourCc; 9] = [
    FourCc::NV12,
    FourCc::NM12,
    FourCc::YU12,
    FourCc::YM12,
    FourCc::YUYV,
    FourCc::UYVY,
    FourCc::H264,
    FourCc::MJPG,
    FourCc::JPEG,
];
/// How many of them are raw.
const RAW: usize = 6;

/// A rate this close below the wanted one (29.97 for 30) is that rate.
const SAME_RATE: f64 = 0.95;

/// What is asked of a camera.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// Of the pixels.
    pub fourcc: FourCc,
    /// Of the picture; even in both directions.
    pub size: Size,
    /// One frame in this time.
    pub interval: Interval,
}

/// Whether pictures of this format can be used.
pub fn is_usable(fourcc: FourCc) -> bool {
    USABLE.contains(&fourcc)
}

/// What is wanted of a camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Of the pictures.
    pub size: Size,
    /// Pictures a second.
    pub fps: u32,
    /// Whether H.264 of just this size may be passed on.
    pub h264: bool,
}

/// The best of `offers` for the `wish`. Best is, in this order: what loses least of size and
/// rate; raw before H.264 before JPEG; the fewest pixels above the wanted ones; the nearest rate. None when no offer is usable.
pub fn choose(offers: &[Offer], wish: Wish) -> Option<Choice> {
    offers
        .iter()
        .filter_map(|offer| Candidate::of(offer, wish))
        .min_by(Candidate::compare)
        .map(|best| best.choice)
}

#[derive(Debug)]
struct Candidate {
    choice: Choice,
    /// Share of the wanted size (in one direction) times share of the wanted rate, in percent: 100 loses nothing.
    kept: u32,
    rank: usize,
    pixels: u64,
    /// By how much the rate misses, in thousandths of a frame a second.
    off: u64,
}

impl Candidate {
    fn of(offer: &Offer, Wish { size, fps, h264 }: Wish) -> Option<Candidate> {
        let rank = USABLE.iter().position(|usable| *usable == offer.fourcc)?;
        // The odd last row or column of pixels has no colour of its own in 4:2:0.
        let odd = !offer.size.width.is_multiple_of(2) || !offer.size.height.is_multiple_of(2);
        if odd || offer.size.width < 16 || offer.size.height < 16 {
            return None;
        }
        if offer.fourcc == FourCc::H264 && !(h264 && offer.size == size) {
            return None;
        }
        let wanted = f64::from(fps.max(1));
        let interval = interval(offer, fps);
        let share = |has: u32, wants: u32| (f64::from(has) / f64::from(wants.max(1))).min(1.0);
        let of_size = share(offer.size.width, size.width).min(share(offer.size.height, size.height));
        let of_rate = (interval.fps() / wanted).min(1.0);
        let of_rate = if of_rate >= SAME_RATE { 1.0 } else { of_rate };
        Some(Candidate {
            choice: Choice { fourcc: offer.fourcc, size: offer.size, interval },
            kept: (of_size * of_rate * 100.0).round() as u32,
            rank,
            pixels: u64::from(offer.size.width) * u64::from(offer.size.height),
            off: ((interval.fps() - wanted).abs() * 1000.0) as u64,
        })
    }

    fn compare(&self, other: &Candidate) -> Ordering {
        let key = |candidate: &Candidate| {
            // Raw, H.264, and what must be decoded.
            let class = u8::from(candidate.rank >= RAW) + u8::from(candidate.rank > RAW);
            (u32::MAX - candidate.kept, class, candidate.pixels, candidate.off, candidate.rank)
        };
        key(self).cmp(&key(other))
    }
}

/// The offer's interval that is nearest to `fps`, a faster one rather than a slower. What the driver does not tell is
/// hoped for.
fn interval(offer: &Offer, fps: u32) -> Interval {
    let wanted = Interval::of_fps(fps);
    let nearest = offer.rates.iter().map(|rates| {
        if rates.fastest.fps() < wanted.fps() {
            rates.fastest
        } else if rates.slowest.fps() > wanted.fps() {
            rates.slowest
        } else {
            wanted
        }
    });
    let key = |interval: &Interval| {
        let off = ((interval.fps() - wanted.fps()) * 1000.0) as i64;
        // Frames too many are left out; frames too few are missing.
        (interval.fps() / wanted.fps() < SAME_RATE, off.unsigned_abs())
    };
    nearest.min_by_key(key).unwrap_or(wanted)
}

/// What a camera offers, for a message: `H264 1920x1080 640x480, GREY 640x480`. Not more than a few of each.
pub fn describe(offers: &[Offer]) -> String {
    const MOST: usize = 4;
    let mut formats: Vec<(FourCc, Vec<Size>)> = Vec::new();
    for offer in offers {
        match formats.iter_mut().find(|(fourcc, _)| *fourcc == offer.fourcc) {
            Some((_, sizes)) => sizes.push(offer.size),
            None => formats.push((offer.fourcc, vec![offer.size])),
        }
    }
    let each = formats.iter().map(|(fourcc, sizes)| {
        let shown: Vec<String> = sizes.iter().take(MOST).map(Size::to_string).collect();
        let more = if sizes.len() > MOST { " …" } else { "" };
        format!("{fourcc} {}{more}", shown.join(" "))
    });
    let text = each.collect::<Vec<_>>().join(", ");
    if text.is_empty() { "nothing".to_owned() } else { text }
}

#[cfg(test)]
mod tests;
