//! Which voices of a room are passed on when many send at once: the loudest, each for a while.

use std::time::Duration;

use crate::base::clock::MediaTime;

/// So many voices are heard at once; more nobody could tell apart.
pub const AUDIBLE: usize = 5;
/// Who is heard stays so for this long after the last loud packet, and at least this long after being let in: words
/// have gaps.
const HOLD: Duration = Duration::from_secs(2);
/// A packet is loud when at least this loud, in -dBov: 0 is the loudest, 127 silence.
const LOUD_MINUS_DBOV: f32 = 50.0;
/// Somebody else is put out only by one who is louder by this, in dB.
const MARGIN_DB: f32 = 6.0;
/// How much of a loud packet's level goes into the mean: about ten packets, 0.2 s.
const SHARE: f32 = 0.1;

#[derive(Clone, Copy, Debug)]
struct Voice<K> {
    key: K,
    /// The mean level of its loud packets, in -dBov.
    level: f32,
    loud_at: Option<MediaTime>,
    /// Since when it is heard.
    heard_since: Option<MediaTime>,
}

/// The voices of one room.
#[derive(Clone, Debug)]
pub struct Loudest<K> {
    voices: Vec<Voice<K>>,
}

impl<K> Default for Loudest<K> {
    fn default() -> Self {
        Loudest { voices: Vec::new() }
    }
}

impl<K: Copy + PartialEq> Loudest<K> {
    /// One packet of `key` at `minus_dbov` (0 loudest, 127 silence): whether it is to be passed on. Who begins to speak
    /// is heard from the first loud packet on when there is a place, or one to take.
    pub fn hears(&mut self, key: K, minus_dbov: u8, now: MediaTime) -> bool {
        let index = self.voices.iter().position(|voice| voice.key == key).unwrap_or_else(|| {
            self.voices.push(Voice { key, level: LOUD_MINUS_DBOV, loud_at: None, heard_since: None });
            self.voices.len() - 1
        });
        let Some(voice) = self.voices.get_mut(index) else { return true };
        let level = f32::from(minus_dbov);
        let loud = level <= LOUD_MINUS_DBOV;
        if loud {
            voice.level += (level - voice.level) * SHARE;
            voice.loud_at = Some(now);
        }
        if voice.heard_since.is_some() {
            return true;
        }
        let own = voice.level;
        let heard = self.voices.iter().filter(|voice| voice.heard_since.is_some()).count();
        if heard >= AUDIBLE && !(loud && self.put_one_out(own, now)) {
            return false;
        }
        if let Some(voice) = self.voices.get_mut(index) {
            voice.heard_since = Some(now);
        }
        true
    }

    /// Makes room for a voice of `level`. False: nobody gives way.
    fn put_one_out(&mut self, level: f32, now: MediaTime) -> bool {
        let old = |at: Option<MediaTime>| at.is_none_or(|at| now.since(at) >= HOLD);
        let gives_way = |voice: &&mut Voice<K>| {
            let held = voice.heard_since.is_some() && old(voice.heard_since);
            held && (old(voice.loud_at) || voice.level >= level + MARGIN_DB)
        };
        let quietest = self.voices.iter_mut().filter(gives_way).max_by(|a, b| {
            (old(a.loud_at), a.level)
                .partial_cmp(&(old(b.loud_at), b.level))
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        match quietest {
            Some(voice) => {
                voice.heard_since = None;
                true
            }
            None => false,
        }
    }

    /// It is gone; true when nobody is left.
    pub fn remove(&mut self, key: K) -> bool {
        self.voices.retain(|voice| voice.key != key);
        self.voices.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of everyone every 20 ms from `from` to `to`, in ms; who was heard at the end.
    fn talk(loudest: &mut Loudest<u8>, levels: &[u8], from: u64, to: u64) -> Vec<u8> {
        let mut heard = Vec::new();
        for ms in (from..to).step_by(20) {
            heard.clear();
            for (key, level) in (0u8..).zip(levels) {
                if loudest.hears(key, *level, MediaTime::from_millis(ms)) {
                    heard.push(key);
                }
            }
        }
        heard
    }

    #[test]
    fn up_to_five_are_all_heard_however_quiet() {
        assert_eq!(talk(&mut Loudest::default(), &[127, 90, 70, 30, 127], 0, 5000), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn of_many_those_who_speak_are_heard_and_who_begins_is_heard_at_once() {
        let mut loudest = Loudest::default();
        let mut levels = [127, 127, 127, 127, 127, 25, 30, 127];
        assert_eq!(talk(&mut loudest, &levels, 0, 3000).len(), AUDIBLE);
        let heard = talk(&mut loudest, &levels, 3000, 3100);
        assert!(heard.contains(&5) && heard.contains(&6), "{heard:?}");
        levels[7] = 40;
        assert!(talk(&mut loudest, &levels, 3100, 3120).contains(&7), "in its first packet");
        assert_eq!(talk(&mut loudest, &levels, 3120, 3140).len(), AUDIBLE);
    }

    #[test]
    fn equally_loud_voices_do_not_take_turns_and_a_pause_between_words_costs_nothing() {
        let mut loudest = Loudest::default();
        let first = talk(&mut loudest, &[30; 8], 0, 10_000);
        assert_eq!(first.len(), AUDIBLE);
        assert_eq!(talk(&mut loudest, &[32; 8], 10_000, 20_000), first);
        let mut levels = [30; 8];
        levels[0] = 127;
        assert!(talk(&mut loudest, &levels, 20_000, 21_500).contains(&0), "a pause of 1.5 s");
        let later = talk(&mut loudest, &levels, 21_500, 24_000);
        assert!(!later.contains(&0) && later.len() == AUDIBLE, "{later:?}");
    }

    #[test]
    fn who_is_much_louder_takes_a_place_and_who_leaves_gives_one() {
        let mut loudest = Loudest::default();
        let mut levels = [45; 6];
        let before = talk(&mut loudest, &levels, 0, 4000);
        assert!(!before.contains(&5));
        levels[5] = 15;
        assert!(talk(&mut loudest, &levels, 4000, 5000).contains(&5));
        let out = (0..6).find(|key| !talk(&mut loudest, &levels, 5000, 5020).contains(key)).unwrap();
        assert!(!loudest.remove(5));
        assert!(loudest.hears(out, 45, MediaTime::from_millis(5040)));
    }
}
