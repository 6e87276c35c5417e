//! AV1's dependency descriptor (RTP payload format for AV1, appendix A), passed on as it came.

use str0m::rtp::{Extension, ExtensionSerializer, ExtensionValues};

const URI: &str = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";
/// The one-byte form of header extensions (RFC 8285 §4.2) holds no more.
const SHORT_BYTES: usize = 16;

/// One packet's descriptor.
#[derive(Debug, PartialEq, Eq)]
pub struct DependencyDescriptor(Box<[u8]>);

#[derive(Debug)]
struct Serializer;

/// For an extension map.
pub fn extension() -> Extension {
    Extension::with_serializer(URI, Serializer)
}

/// Copies the descriptor, if there is one.
pub fn pass_on(from: &ExtensionValues, to: &mut ExtensionValues) {
    if let Some(descriptor) = from.user_values.get_arc::<DependencyDescriptor>() {
        to.user_values.set_arc(descriptor);
    }
}

impl ExtensionSerializer for Serializer {
    fn write_to(&self, buf: &mut [u8], values: &ExtensionValues) -> usize {
        let Some(DependencyDescriptor(bytes)) = values.user_values.get() else { return 0 };
        match buf.get_mut(..bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                bytes.len()
            }
            None => 0,
        }
    }

    fn parse_value(&self, buf: &[u8], values: &mut ExtensionValues) -> bool {
        values.user_values.set(DependencyDescriptor(buf.into()));
        true
    }

    fn is_video(&self) -> bool {
        true
    }

    fn is_audio(&self) -> bool {
        false
    }

    fn requires_two_byte_form(&self, values: &ExtensionValues) -> bool {
        let descriptor = values.user_values.get::<DependencyDescriptor>();
        descriptor.is_some_and(|DependencyDescriptor(bytes)| bytes.len() > SHORT_BYTES || bytes.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_comes_out_as_it_went_in_and_only_where_there_is_room() {
        for length in [3, 16, 17, 200] {
            let bytes: Vec<u8> = (0..length).collect();
            let (mut from, mut to) = (ExtensionValues::default(), ExtensionValues::default());
            assert!(Serializer.parse_value(&bytes, &mut from));
            pass_on(&from, &mut to);
            let mut out = [0; 255];
            assert_eq!(Serializer.write_to(&mut out, &to), bytes.len());
            assert_eq!(out[..bytes.len()], bytes);
            assert_eq!(Serializer.requires_two_byte_form(&to), length > 16);
            assert_eq!(Serializer.write_to(&mut out[..2], &to), 0);
        }
        assert_eq!(Serializer.write_to(&mut [0; 9], &ExtensionValues::default()), 0);
    }
}
