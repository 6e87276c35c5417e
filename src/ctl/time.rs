//! Times as people write them.

use std::time::Duration;

/// `90s`, `15m`, `24h`, `7d`; a number alone is seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let allowed = "allowed are numbers with a unit: 90s, 15m, 24h, 7d";
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let seconds: u64 = match unit {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(allowed.to_owned()),
    };
    let total = number.parse::<u64>().ok().and_then(|number| number.checked_mul(seconds));
    total
        .filter(|total| *total <= 10 * 366 * 86_400)
        .map(Duration::from_secs)
        .ok_or_else(|| allowed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_and_bounds() {
        for (text, seconds) in
            [("0", 0), ("45", 45), ("90s", 90), ("15m", 900), ("24h", 86_400), ("7d", 604_800)]
        {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in ["", "h", "-1s", "1w", "1.5h", "99999999999999999999d", "9999999d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
