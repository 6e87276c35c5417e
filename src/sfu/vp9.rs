//! What forwarding needs of VP9's RTP payload descriptor (RFC 9628 §4.2).

/// A packet's place in its picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Predicted from an earlier picture.
    pub predicted: bool,
    /// The first packet of its layer's frame.
    pub begins: bool,
    /// The last packet of its layer's frame.
    pub ends: bool,
    /// Its spatial layer, 0 to 7; None: the stream has no layers.
    pub spatial: Option<u8>,
}

impl Descriptor {
    /// Reads any payload. None: too short.
    pub fn parse(payload: &[u8]) -> Option<Descriptor> {
        let (&first, mut rest) = payload.split_first()?;
        if first & 0x80 != 0 {
            let long = rest.first()? & 0x80 != 0;
            rest = rest.get(if long { 2 } else { 1 }..)?;
        }
        // TID, U, SID, D.
        let spatial = match first & 0x20 {
            0 => None,
            _ => Some((rest.first()? & 0x0e) >> 1),
        };
        Some(Descriptor {
            predicted: first & 0x40 != 0,
            begins: first & 0x08 != 0,
            ends: first & 0x04 != 0,
            spatial,
        })
    }

    /// The first packet of a picture.
    pub fn begins_picture(&self) -> bool {
        self.begins && self.spatial.unwrap_or_default() == 0
    }

    /// The first packet of a picture that needs no other one: a decoder can begin here.
    pub fn is_keyframe(&self) -> bool {
        self.begins_picture() && !self.predicted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_decoder_begins_with_the_first_packet_of_the_lowest_layer() {
        let keyframe = |payload: &[u8]| Descriptor::parse(payload).unwrap().is_keyframe();
        assert!(keyframe(&[0x08, 1]) && keyframe(&[0x88, 0x05, 1]));
        assert!(keyframe(&[0xa8, 0x80, 0x05, 0x00, 0x00]));
        assert!(!keyframe(&[0x48, 1]), "predicted");
        assert!(!keyframe(&[0x80, 0x05]), "not the first packet");
        assert!(!keyframe(&[0xa8, 0x80, 0x05, 0x02, 0x00]), "a higher layer");
    }

    #[test]
    fn the_spatial_layer_and_the_ends_of_its_frame_are_read() {
        let read = |payload: &[u8]| Descriptor::parse(payload).map(|d| (d.spatial, d.begins, d.ends));
        assert_eq!(read(&[0xac, 0x80, 0x05, 0x25]), Some((Some(2), true, true)));
        assert_eq!(read(&[0x24, 0x02]), Some((Some(1), false, true)));
        assert_eq!(read(&[0x00]), Some((None, false, false)));
        assert_eq!(read(&[0xa0, 0x80, 0x05]), None, "cut off");
        assert_eq!(read(&[]), None);
    }

    proptest! {
        #[test]
        fn any_payload_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..8)) {
            prop_assert!(Descriptor::parse(&bytes).and_then(|d| d.spatial).is_none_or(|layer| layer < 8));
        }
    }
}
