//! Which of the three simulcast layers a subscriber should get.

use crate::base::units::Size;
use crate::media::Layer;

/// The picture size of each layer as the publisher announced it; None where it did not.
pub type LayerSizes = [Option<Size>; 3];

/// What a subscriber asked for with `UpdateTrackSettings`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Not shown at all: send nothing.
    pub disabled: bool,
    /// The size that it is shown in; wins over `quality`.
    pub size: Option<Size>,
    /// The largest layer wanted.
    pub quality: Layer,
}

impl Default for Wish {
    fn default() -> Self {
        Wish { disabled: false, size: None, quality: Layer::Full }
    }
}

/// A layer that is at most this much smaller than the shown size is good enough.
const SIZE_TOLERANCE_PERCENT: u64 = 90;

impl Wish {
    /// The layer that fits best, whether it is being sent now or not. None: nothing is wanted.
    ///
    /// With a size: the smallest layer at least that large (by its longer side, within 10 %); layers of unknown
    /// size do not count; none large enough: the largest.
    pub fn layer(&self, sizes: &LayerSizes) -> Option<Layer> {
        if self.disabled {
            return None;
        }
        // Publishers with two layers call them q and h.
        let largest = Layer::ALL.into_iter().rev().find(|layer| sizes[layer.index()].is_some());
        let largest = largest.unwrap_or(Layer::Full);
        let Some(shown) = self.size else { return Some(self.quality.min(largest)) };
        let wanted = u64::from(shown.width.max(shown.height));
        let large_enough = |layer: &&Layer| {
            sizes[layer.index()].is_some_and(|size| {
                u64::from(size.width.max(size.height)) * 100 >= wanted * SIZE_TOLERANCE_PERCENT
            })
        };
        Some(Layer::ALL.iter().find(large_enough).copied().unwrap_or(largest))
    }
}

/// What to send instead of `wanted` given which layers arrive: itself, else the next smaller, else the next
/// larger; itself when none arrives (it will be asked for).
pub fn available(wanted: Layer, live: [bool; 3]) -> Layer {
    let smaller = Layer::ALL.iter().rev().filter(|layer| **layer <= wanted);
    let larger = Layer::ALL.iter().filter(|layer| **layer > wanted);
    smaller.chain(larger).find(|layer| live[layer.index()]).copied().unwrap_or(wanted)
}
