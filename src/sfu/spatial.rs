//! Spatial layers of one stream (SVC): which of them one subscriber gets.
//!
//! A layer needs all below it, so a subscriber gets those up to one of them. Less can begin with any picture, more only
//! where nothing earlier is needed, with a keyframe.

use crate::media::Layer;

/// A packet's place in a picture of several spatial layers; the layer is in [`super::Incoming`], the lowest as
/// [`Layer::Quarter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spatial {
    /// The first packet of a picture, of all its layers.
    pub begins_picture: bool,
    /// The last packet of its layer's frame.
    pub ends_layer: bool,
}

/// The largest layer that is sent, and since which packet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cut {
    now: Option<(u64, Layer)>,
    /// What it was until then: packets come late.
    before: Option<Layer>,
    newest: u64,
}

impl Cut {
    /// The largest layer that is being sent.
    pub fn layer(&self) -> Option<Layer> {
        self.now.map(|(_, layer)| layer)
    }

    /// Of the picture that packet `sequence` belongs to, the largest layer that is sent. None: nothing, it is from before
    /// the first one. `begins_picture` as in [`Spatial`]; `keyframe`: a decoder can begin here.
    pub fn layer_at(
        &mut self,
        sequence: u64,
        begins_picture: bool,
        keyframe: bool,
        target: Layer,
    ) -> Option<Layer> {
        let in_order = self.now.is_none() || sequence > self.newest;
        self.newest = self.newest.max(sequence);
        if begins_picture && in_order {
            let next = self.layer().filter(|_| !keyframe).map_or(target, |layer| layer.min(target));
            if self.layer() != Some(next) {
                self.before = self.layer();
                self.now = Some((sequence, next));
            }
        }
        let (since, layer) = self.now?;
        if sequence < since { self.before } else { Some(layer) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Forwarder, Incoming, Outgoing};
    use super::*;
    use crate::base::clock::MediaTime;
    use crate::base::units::ClockRate;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    const FIRST: u64 = 70_000;
    /// Three layers of two packets each.
    const PER_PICTURE: u64 = 6;

    fn packet(number: u64, keyframes: &[u64]) -> Incoming {
        let (picture, part) = (number / PER_PICTURE, number % PER_PICTURE);
        Incoming {
            layer: Layer::ALL[part as usize / 2],
            spatial: Some(Spatial { begins_picture: part == 0, ends_layer: part % 2 == 1 }),
            ssrc: 1,
            sequence: FIRST + number,
            timestamp: picture as u32 * 3000,
            bytes: 1000,
            keyframe: part == 0 && keyframes.contains(&picture),
            picture: None,
            report: None,
            arrival: MediaTime::from_millis(picture * 33),
        }
    }

    /// What of pictures 0 to 50 comes through in each, in packets, and what is sent; targets by picture.
    fn forward(numbers: &[u64], target: impl Fn(u64) -> Layer) -> (Vec<u64>, Vec<(u64, Outgoing)>) {
        let mut forwarder = Forwarder::new(ClockRate::VIDEO);
        let (mut counts, mut sent) = (vec![0; 50], Vec::new());
        for number in numbers {
            let picture = number / PER_PICTURE;
            forwarder.set_target(Some(target(picture)));
            if let Some(out) = forwarder.forward(&packet(*number, &[0, 40])) {
                counts[picture as usize] += 1;
                sent.push((*number, out));
            }
        }
        (counts, sent)
    }

    fn shrinks_and_grows(picture: u64) -> Layer {
        match picture {
            0..10 => Layer::Full,
            10..20 => Layer::Half,
            20..30 => Layer::Quarter,
            _ => Layer::Full,
        }
    }

    #[test]
    fn less_begins_with_any_picture_more_with_a_keyframe_and_no_gap_shows() {
        let numbers: Vec<u64> = (0..50 * PER_PICTURE).collect();
        let (counts, sent) = forward(&numbers, shrinks_and_grows);
        let expected = |picture: usize| match picture {
            0..10 | 40.. => 6,
            10..20 => 4,
            _ => 2,
        };
        assert_eq!(counts, (0..50).map(expected).collect::<Vec<_>>());
        assert!(sent.windows(2).all(|pair| pair[1].1.sequence == pair[0].1.sequence + 1));
        let ends = sent.iter().filter(|(_, out)| out.ends_picture).count();
        assert_eq!(ends, 50, "each picture has one end");
    }

    #[test]
    fn a_target_that_changes_within_a_picture_waits_for_the_next_one() {
        let mut forwarder = Forwarder::new(ClockRate::VIDEO);
        forwarder.set_target(Some(Layer::Full));
        let mut sent = 0;
        for number in 0..2 * PER_PICTURE {
            if number == 3 {
                forwarder.set_target(Some(Layer::Quarter));
            }
            sent += u64::from(forwarder.forward(&packet(number, &[0])).is_some());
        }
        assert_eq!(sent, 6 + 2);
        assert_eq!((forwarder.layer(), forwarder.waits_for()), (Some(Layer::Quarter), None));
        forwarder.set_target(Some(Layer::Half));
        assert_eq!(forwarder.waits_for(), Some(Layer::Half));
    }

    #[test]
    fn packets_that_come_late_get_the_numbers_that_were_kept_for_them() {
        let mut rng = StdRng::seed_from_u64(5);
        let mut numbers: Vec<u64> = (1..50 * PER_PICTURE).collect();
        for index in 0..numbers.len() - 4 {
            // A picture's first packet is what decides: it keeps its place here.
            let other = index + rng.random_range(0..4);
            if [index, other].iter().all(|at| !numbers[*at].is_multiple_of(PER_PICTURE)) {
                numbers.swap(index, other);
            }
        }
        numbers.insert(0, 0);
        let (_, sent) = forward(&numbers, |_| Layer::Half);
        let mut by_sequence: Vec<(u64, u64)> =
            sent.iter().map(|(number, out)| (out.sequence, *number)).collect();
        by_sequence.sort_unstable();
        assert!(by_sequence.windows(2).all(|pair| pair[0].0 < pair[1].0), "no number twice");
        assert!(by_sequence.windows(2).all(|pair| pair[0].1 < pair[1].1), "in the publisher's order");
        assert_eq!(sent.len(), 50 * 4);
    }
}
