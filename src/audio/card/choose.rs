//! Which of the configurations that a card offers is used; pure.

use cpal::{BufferSize, SampleFormat, StreamConfig, SupportedBufferSize, SupportedStreamConfigRange};

use super::open::Side;
use crate::media::AUDIO_RATE;

/// What is looked at of a card that has no end of channels.
const MAX_CHANNELS: u16 = 8;
/// Rates that are tried, best first: none to resample, or by a whole number; then less than is wanted.
const RATES: [u32; 10] =
    [AUDIO_RATE, 96_000, 192_000, 44_100, 88_200, 176_400, 32_000, 24_000, 16_000, 8_000];
/// How long one period shall be, in parts of a second: 20 ms.
const PERIODS_PER_SECOND: u32 = 50;

/// How well a format holds the box's 16 bits without cost; None: it cannot be read or written.
fn format_rank(format: SampleFormat) -> Option<u32> {
    match format {
        SampleFormat::I16 => Some(0),
        SampleFormat::I32 => Some(1),
        SampleFormat::I24 => Some(2),
        SampleFormat::F32 => Some(3),
        SampleFormat::F64 => Some(4),
        SampleFormat::U16 | SampleFormat::U24 | SampleFormat::U32 => Some(5),
        SampleFormat::I8 | SampleFormat::U8 => Some(9),
        _ => None,
    }
}

/// Microphones: as few channels as there are. Speakers: two, so that both ears hear.
fn channels_rank(channels: u16, side: Side) -> u32 {
    match (side, channels) {
        (Side::Microphone, channels) => u32::from(channels),
        (Side::Speaker, 2) => 0,
        (Side::Speaker, 1) => 1,
        (Side::Speaker, channels) => u32::from(channels),
    }
}

/// The best rate in the range and its rank.
fn rate_of(offer: &SupportedStreamConfigRange) -> (u32, u32) {
    let within = offer.min_sample_rate()..=offer.max_sample_rate();
    match RATES.iter().position(|rate| within.contains(rate)) {
        Some(rank) => (RATES[rank], rank as u32),
        None => (offer.max_sample_rate().min(192_000).max(offer.min_sample_rate()), 99),
    }
}

/// The best of `offers`; None when there is none that can be used.
pub fn choose(offers: &[SupportedStreamConfigRange], side: Side) -> Option<(StreamConfig, SampleFormat)> {
    let usable = offers.iter().filter(|offer| {
        (1..=MAX_CHANNELS).contains(&offer.channels()) && (8_000..=192_000).contains(&rate_of(offer).0)
    });
    let ranked = usable.filter_map(|offer| {
        let format = format_rank(offer.sample_format())?;
        Some(((rate_of(offer).1, channels_rank(offer.channels(), side), format), offer))
    });
    let (_, best) = ranked.min_by_key(|(rank, _)| *rank)?;
    let (rate, _) = rate_of(best);
    let config = StreamConfig {
        channels: best.channels(),
        sample_rate: rate,
        buffer_size: period(rate, best.buffer_size()),
    };
    Some((config, best.sample_format()))
}

/// 20 ms, or what comes nearest to it; cpal makes the buffer two of them.
fn period(rate: u32, offered: &SupportedBufferSize) -> BufferSize {
    match *offered {
        SupportedBufferSize::Range { min, max } if min <= max => {
            BufferSize::Fixed((rate / PERIODS_PER_SECOND).clamp(min, max))
        }
        _ => BufferSize::Default,
    }
}

/// `offers` for people: `i16 8000 to 48000 Hz 2 channels`, at most four of them.
pub fn told(offers: &[SupportedStreamConfigRange]) -> String {
    if offers.is_empty() {
        return "nothing that can be read".to_owned();
    }
    let one = |offer: &SupportedStreamConfigRange| {
        let (least, most) = (offer.min_sample_rate(), offer.max_sample_rate());
        let rate = if least == most { format!("{least} Hz") } else { format!("{least} to {most} Hz") };
        format!("{} {rate} {} channels", offer.sample_format(), offer.channels())
    };
    let mut told: Vec<String> = offers.iter().take(4).map(one).collect();
    if offers.len() > told.len() {
        told.push("…".to_owned());
    }
    told.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(channels: u16, rates: (u32, u32), format: SampleFormat) -> SupportedStreamConfigRange {
        let buffer = SupportedBufferSize::Range { min: 64, max: 8192 };
        SupportedStreamConfigRange::new(channels, rates.0, rates.1, buffer, format)
    }

    #[test]
    fn forty_eight_kilohertz_is_preferred_then_few_channels_then_sixteen_bits() {
        let offers = [
            offer(2, (44_100, 44_100), SampleFormat::I16),
            offer(2, (48_000, 96_000), SampleFormat::I32),
            offer(2, (48_000, 96_000), SampleFormat::I16),
            offer(4, (48_000, 96_000), SampleFormat::I16),
        ];
        let (config, format) = choose(&offers, Side::Microphone).unwrap();
        assert_eq!((config.channels, config.sample_rate, format), (2, 48_000, SampleFormat::I16));
        assert_eq!(config.buffer_size, BufferSize::Fixed(960));
    }

    #[test]
    fn a_speaker_gets_two_channels_and_a_microphone_one_where_there_is_a_choice() {
        let offers: Vec<_> = (1..=64).map(|n| offer(n, (1, u32::MAX), SampleFormat::I16)).collect();
        assert_eq!(choose(&offers, Side::Speaker).unwrap().0.channels, 2);
        assert_eq!(choose(&offers, Side::Microphone).unwrap().0.channels, 1);
    }

    #[test]
    fn odd_cards_are_taken_as_they_are() {
        for (channels, rate, format) in [
            (1, 8_000, SampleFormat::U8),
            (8, 192_000, SampleFormat::I32),
            (2, 44_100, SampleFormat::F32),
            (1, 16_000, SampleFormat::I16),
            (1, 22_050, SampleFormat::I24),
        ] {
            let (config, chosen) = choose(&[offer(channels, (rate, rate), format)], Side::Speaker).unwrap();
            assert_eq!((config.channels, config.sample_rate, chosen), (channels, rate, format));
        }
    }

    #[test]
    fn what_cannot_be_used_is_told() {
        let offers = [
            offer(2, (2_822_400, 2_822_400), SampleFormat::DsdU8),
            offer(32, (48_000, 48_000), SampleFormat::I16),
            offer(1, (4_000, 4_000), SampleFormat::I16),
        ];
        assert_eq!(choose(&offers, Side::Microphone), None);
        assert!(told(&offers).contains("i16 48000 Hz 32 channels"), "{}", told(&offers));
        assert_eq!(told(&[]), "nothing that can be read");
    }
}
