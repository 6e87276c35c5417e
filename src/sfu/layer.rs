//! The three simulcast layers, and which of them a subscriber should get.

use crate::base::units::Size;

/// One simulcast encoding. Ordered by size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// RID `q`: a quarter of the width and height.
    Quarter,
    /// RID `h`: half.
    Half,
    /// RID `f`: full; also the only layer of a track without simulcast.
    Full,
}

impl Layer {
    /// All, smallest first.
    pub const ALL: [Layer; 3] = [Layer::Quarter, Layer::Half, Layer::Full];

    /// 0, 1, 2, smallest first.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The layer of an RTP stream id: `q`, `h`, `f`, or the older `2`, `1`, `0` of some SDKs. None for others.
    pub fn from_rid(rid: &str) -> Option<Layer> {
        match rid {
            "q" | "2" => Some(Layer::Quarter),
            "h" | "1" => Some(Layer::Half),
            "f" | "0" => Some(Layer::Full),
            _ => None,
        }
    }

    /// From LiveKit's `VideoQuality` (LOW 0, MEDIUM 1, HIGH 2). None for OFF and unknown numbers.
    pub fn from_quality(quality: i32) -> Option<Layer> {
        usize::try_from(quality).ok().and_then(|index| Layer::ALL.get(index).copied())
    }
}

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
