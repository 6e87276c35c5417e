//! How loud sound is.

/// The level of `samples` as RFC 6464 §3 wants it: -dBov of the root mean square, 0 for the loudest possible (a
/// square wave of full scale) to 127 for silence (or no samples).
pub fn dbov(samples: &[i16]) -> u8 {
    let energy: u64 = samples.iter().map(|sample| u64::from(sample.unsigned_abs()).pow(2)).sum();
    if energy == 0 {
        return 127;
    }
    let mean_square = energy as f64 / samples.len() as f64;
    let db = 10.0 * (mean_square / (32_767.0f64 * 32_767.0)).log10();
    (-db).round().clamp(0.0, 127.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_decibels_below_overload() {
        assert_eq!(dbov(&[]), 127);
        assert_eq!(dbov(&[0; 960]), 127);
        assert_eq!(dbov(&[i16::MIN; 960]), 0);
        assert_eq!(dbov(&[32_767; 960]), 0);
        assert_eq!(dbov(&[3_277; 960]), 20);
        assert_eq!(dbov(&[1; 960]), 90);
    }
}
