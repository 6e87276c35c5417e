//! A card's samples of any format and number of channels from and to one channel of floats.

use cpal::{Data, FromSample, I24, Sample, SampleFormat, SizedSample, U24};

/// Mixes what a card heard down to one channel, -1 to 1, at the end of `mono`. Nothing of a format that is unknown.
pub fn read(data: &Data, channels: u16, mono: &mut Vec<f32>) {
    match data.sample_format() {
        SampleFormat::I8 => read_as::<i8>(data, channels, mono),
        SampleFormat::I16 => read_as::<i16>(data, channels, mono),
        SampleFormat::I24 => read_as::<I24>(data, channels, mono),
        SampleFormat::I32 => read_as::<i32>(data, channels, mono),
        SampleFormat::U8 => read_as::<u8>(data, channels, mono),
        SampleFormat::U16 => read_as::<u16>(data, channels, mono),
        SampleFormat::U24 => read_as::<U24>(data, channels, mono),
        SampleFormat::U32 => read_as::<u32>(data, channels, mono),
        SampleFormat::F32 => read_as::<f32>(data, channels, mono),
        SampleFormat::F64 => read_as::<f64>(data, channels, mono),
        _ => {}
    }
}

fn read_as<T: SizedSample>(data: &Data, channels: u16, mono: &mut Vec<f32>)
where
    f32: FromSample<T>,
{
    mix_down(data.as_slice::<T>().unwrap_or_default(), channels, mono);
}

fn mix_down<T: SizedSample>(samples: &[T], channels: u16, mono: &mut Vec<f32>)
where
    f32: FromSample<T>,
{
    let scale = 1.0 / f32::from(channels.max(1));
    mono.extend(samples.chunks_exact(channels.max(1).into()).map(|frame| {
        let sum: f32 = frame.iter().map(|sample| f32::from_sample(*sample)).sum();
        // Cards that give floats may give anything.
        if sum.is_finite() { (sum * scale).clamp(-1.0, 1.0) } else { 0.0 }
    }));
}

/// Writes `mono` to the first two channels (or the only one) of what a card will play; what is missing stays the
/// silence that it is.
pub fn write(mono: impl Iterator<Item = f32>, data: &mut Data, channels: u16) {
    match data.sample_format() {
        SampleFormat::I8 => write_as::<i8>(mono, data, channels),
        SampleFormat::I16 => write_as::<i16>(mono, data, channels),
        SampleFormat::I24 => write_as::<I24>(mono, data, channels),
        SampleFormat::I32 => write_as::<i32>(mono, data, channels),
        SampleFormat::U8 => write_as::<u8>(mono, data, channels),
        SampleFormat::U16 => write_as::<u16>(mono, data, channels),
        SampleFormat::U24 => write_as::<U24>(mono, data, channels),
        SampleFormat::U32 => write_as::<u32>(mono, data, channels),
        SampleFormat::F32 => write_as::<f32>(mono, data, channels),
        SampleFormat::F64 => write_as::<f64>(mono, data, channels),
        _ => {}
    }
}

fn write_as<T>(mono: impl Iterator<Item = f32>, data: &mut Data, channels: u16)
where
    T: SizedSample + FromSample<f32>,
{
    spread(mono, data.as_slice_mut::<T>().unwrap_or_default(), channels);
}

fn spread<T>(mono: impl Iterator<Item = f32>, samples: &mut [T], channels: u16)
where
    T: SizedSample + FromSample<f32>,
{
    for (frame, sample) in samples.chunks_exact_mut(channels.max(1).into()).zip(mono) {
        let sample = T::from_sample(sample.clamp(-1.0, 1.0));
        frame.iter_mut().take(2).for_each(|to| *to = sample);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mono<T: SizedSample>(samples: &[T], channels: u16) -> Vec<f32>
    where
        f32: FromSample<T>,
    {
        let mut mono = Vec::new();
        mix_down(samples, channels, &mut mono);
        mono
    }

    #[test]
    fn every_format_gives_the_same_sound() {
        let all = [
            mono(&[i8::MIN, 0, 64], 1),
            mono(&[i16::MIN, 0, 16_384], 1),
            mono(&[i32::MIN, 0, 1 << 30], 1),
            mono(&[0u8, 128, 192], 1),
            mono(&[0u16, 32_768, 49_152], 1),
            mono(&[-1.0f32, 0.0, 0.5], 1),
            mono(&[-1.0f64, 0.0, 0.5], 1),
        ];
        for sound in all {
            assert_eq!(sound, [-1.0, 0.0, 0.5]);
        }
    }

    #[test]
    fn channels_are_mixed_down_and_what_is_no_number_is_silence() {
        assert_eq!(mono(&[8_192i16, 16_384, -8_192, 8_192], 2), [0.375, 0.0]);
        let eight = [0.8f32, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert!((mono(&eight, 8)[0] - 0.1).abs() < 1e-6);
        assert_eq!(mono(&[f32::NAN, f32::INFINITY, 7.0, -7.0], 1), [0.0, 0.0, 1.0, -1.0]);
    }

    #[test]
    fn the_mix_goes_to_the_two_front_channels_and_what_is_missing_stays_silent() {
        let mut four = [9i16; 12];
        spread([0.5f32, 2.0].into_iter(), &mut four, 4);
        assert_eq!(four, [16_384, 16_384, 9, 9, 32_767, 32_767, 9, 9, 9, 9, 9, 9]);
        let mut one = [128u8; 2];
        spread([-1.0f32].into_iter(), &mut one, 1);
        assert_eq!(one, [0, 128]);
    }
}
