//! VP8's own numbering of pictures (RFC 7741 §4.2) for one subscriber: without a jump where a layer was switched.

/// The numbers in a VP8 payload descriptor; 0 for those that it does not carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PictureIds {
    /// PictureID, 15 bits.
    pub picture: u16,
    /// TL0PICIDX.
    pub base_layer: u8,
    /// KEYIDX, 5 bits.
    pub key: u8,
}

const PICTURE_MASK: u16 = 0x7fff;
const KEY_MASK: u8 = 0x1f;

impl PictureIds {
    fn plus(self, offset: PictureIds) -> PictureIds {
        PictureIds {
            picture: self.picture.wrapping_add(offset.picture) & PICTURE_MASK,
            base_layer: self.base_layer.wrapping_add(offset.base_layer),
            key: self.key.wrapping_add(offset.key) & KEY_MASK,
        }
    }

    fn minus(self, other: PictureIds) -> PictureIds {
        PictureIds {
            picture: self.picture.wrapping_sub(other.picture) & PICTURE_MASK,
            base_layer: self.base_layer.wrapping_sub(other.base_layer),
            key: self.key.wrapping_sub(other.key) & KEY_MASK,
        }
    }
}

/// Maps the numbers of whatever source is forwarded to one continuous series. By offset, as sequence numbers are.
#[derive(Clone, Copy, Debug, Default)]
pub struct PictureMap {
    offset: PictureIds,
    last: Option<PictureIds>,
}

impl PictureMap {
    /// From now on another source is forwarded, beginning with a picture of these numbers.
    pub fn switch(&mut self, first: PictureIds) {
        let Some(last) = self.last else { return };
        let next = last.plus(PictureIds { picture: 1, base_layer: 1, key: 1 });
        self.offset = next.minus(first);
    }

    /// The subscriber's numbers. `newest`: nothing later in sequence was mapped before.
    pub fn map(&mut self, ids: PictureIds, newest: bool) -> PictureIds {
        let mapped = ids.plus(self.offset);
        if newest {
            self.last = Some(mapped);
        }
        mapped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_goes_on_with_the_next_number_over_every_wrap() {
        let mut map = PictureMap::default();
        let first = PictureIds { picture: 0x7ffe, base_layer: 254, key: 30 };
        map.switch(first);
        assert_eq!(map.map(first, true), first, "the first source as it is");
        let second = PictureIds { picture: 0x7fff, base_layer: 255, key: 30 };
        assert_eq!(map.map(second, true), second);
        let other = PictureIds { picture: 77, base_layer: 3, key: 9 };
        map.switch(other);
        assert_eq!(map.map(other, true), PictureIds { picture: 0, base_layer: 0, key: 31 });
        let next = PictureIds { picture: 78, base_layer: 3, key: 9 };
        assert_eq!(map.map(next, true), PictureIds { picture: 1, base_layer: 0, key: 31 });
        assert_eq!(map.map(other, false), PictureIds { picture: 0, base_layer: 0, key: 31 }, "late");
    }
}
