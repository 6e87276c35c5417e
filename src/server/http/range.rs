//! The `Range` header (RFC 9110 §14): one range of bytes.

/// What to send of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it: no range, several, or something that is no range of bytes.
    Whole,
    /// From the first byte to the last, both included.
    Part(u64, u64),
    /// Nothing that was asked for exists.
    Unsatisfiable,
}

/// Reads the header for a file of `length` bytes.
pub(super) fn wanted(header: Option<&str>, length: u64) -> Wanted {
    let Some(range) = header.and_then(|value| value.trim().strip_prefix("bytes=")) else {
        return Wanted::Whole;
    };
    let Some((first, last)) = range.split_once('-') else { return Wanted::Whole };
    let number = |text: &str| {
        let text = text.trim();
        (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
            .then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (number(first), number(last), first.trim().is_empty(), last.trim().is_empty()) {
        (Some(first), Some(last), ..) if first > last => Wanted::Whole,
        (Some(first), Some(last), ..) => part(first, last, length),
        (Some(first), None, _, true) => part(first, u64::MAX, length),
        // The last so many bytes.
        (None, Some(0), true, _) => Wanted::Unsatisfiable,
        (None, Some(count), true, _) => part(length.saturating_sub(count), u64::MAX, length),
        _ => Wanted::Whole,
    }
}

fn part(first: u64, last: u64, length: u64) -> Wanted {
    if first >= length { Wanted::Unsatisfiable } else { Wanted::Part(first, last.min(length - 1)) }
}

/// Reads `header`, and sees that the part lies within the file.
#[cfg(any(test, fuzzing))]
pub(crate) fn check(header: &str, length: u64) {
    if let Wanted::Part(first, last) = wanted(Some(header), length) {
        assert!(first <= last && last < length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_range_is_understood_and_everything_else_gives_the_whole_file() {
        for (header, expected) in [
            ("bytes=0-0", Wanted::Part(0, 0)),
            ("bytes=10-19", Wanted::Part(10, 19)),
            ("bytes=90-", Wanted::Part(90, 99)),
            ("bytes=90-1000", Wanted::Part(90, 99)),
            ("bytes=-10", Wanted::Part(90, 99)),
            ("bytes=-1000", Wanted::Part(0, 99)),
            ("bytes=100-", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=99999999999999999999999-", Wanted::Unsatisfiable),
            ("bytes=5-4", Wanted::Whole),
            ("bytes=0-1,5-6", Wanted::Whole),
            ("bytes=", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("lines=0-1", Wanted::Whole),
        ] {
            assert_eq!(wanted(Some(header), 100), expected, "{header}");
        }
        assert_eq!(wanted(None, 100), Wanted::Whole);
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Unsatisfiable);
    }

    proptest! {
        #[test]
        fn a_part_is_always_within_the_file(header in "bytes=[0-9,-]{0,24}", length in any::<u64>()) {
            if let Wanted::Part(first, last) = wanted(Some(&header), length) {
                prop_assert!(first <= last && last < length);
            }
        }
    }
}
