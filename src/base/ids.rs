//! Identifiers that nobody can guess and everybody can type.

use rand::RngExt;

/// Digits and lower-case letters without 0, 1, l, o: safe to read aloud and to put in a file name.
const ALPHABET: &[u8; 32] = b"23456789abcdefghijkmnpqrstuvwxyz";

/// `length` random characters of a 32-letter alphabet: 5 bits each.
pub fn random(length: usize) -> String {
    let mut rng = rand::rng();
    (0..length).map(|_| ALPHABET[rng.random_range(0..ALPHABET.len())] as char).collect()
}

/// A LiveKit-style id: `prefix` (`PA`, `TR`, `RM`) and 12 random characters.
pub fn prefixed(prefix: &str) -> String {
    format!("{prefix}_{}", random(12))
}

/// A room's id that can be read aloud, like `abcd-efgh-ijkl`: 12 letters, 55 bits.
pub fn room() -> String {
    let letters = &ALPHABET[8..];
    let mut rng = rand::rng();
    let mut part = || (0..4).map(|_| letters[rng.random_range(0..letters.len())] as char).collect::<String>();
    format!("{}-{}-{}", part(), part(), part())
}

/// A secret of 256 random bits as 52 characters; for signing keys.
pub fn secret() -> String {
    random(52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_asked_length_and_differ() {
        assert_eq!(random(12).len(), 12);
        assert_ne!(secret(), secret());
        assert!(prefixed("PA").starts_with("PA_"));
        let room = room();
        assert!(room.len() == 14 && room.bytes().all(|b| b == b'-' || b.is_ascii_lowercase()), "{room}");
    }
}
