//! FLV tag bodies (Adobe's FLV specification, annex E): what RTMP's audio and video messages hold.

use crate::base::units::Size;
use crate::media::h264::{NalType, Sps, nals};

use super::Sound;
use super::amf::Writer;

/// Codec ids of H.264 and AAC (E.4.3.1, E.4.2.1).
const AVC: u8 = 7;
const AAC: u8 = 10;

/// The first SPS and PPS of a keyframe, and the picture's size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parameters {
    pub(super) sps: Vec<u8>,
    pub(super) pps: Vec<u8>,
    pub(super) size: Size,
}

impl Parameters {
    /// None: they are missing, unreadable, or longer than their 16-bit lengths can say.
    pub(super) fn of(annexb: &[u8]) -> Option<Parameters> {
        // They stand in front of the picture, which need not be looked at.
        let picture = |nal: &&[u8]| matches!(NalType::of(nal), Some(NalType::Idr | NalType::Slice));
        let (mut sps, mut pps) = (None, None);
        for nal in nals(annexb).take_while(|nal| !picture(nal)) {
            match NalType::of(nal) {
                Some(NalType::Sps) => sps = sps.or(Some(nal)),
                Some(NalType::Pps) => pps = pps.or(Some(nal)),
                _ => {}
            }
        }
        let fits = |nal: &&[u8]| (4..=usize::from(u16::MAX)).contains(&nal.len());
        let (sps, pps) = (sps.filter(fits)?, pps.filter(|pps| pps.len() <= usize::from(u16::MAX))?);
        let size = Sps::parse(sps).ok()?.size;
        Some(Parameters { sps: sps.to_vec(), pps: pps.to_vec(), size })
    }

    /// The AVC sequence header: an AVCDecoderConfigurationRecord (ISO/IEC 14496-15 §5.3.3) with 4-byte lengths.
    pub(super) fn sequence_header(&self) -> Vec<u8> {
        let mut body = avc(true, 0).to_vec();
        // Profile, compatibility and level stand behind the SPS's header byte.
        body.push(1);
        body.extend_from_slice(self.sps.get(1..4).unwrap_or_default());
        body.extend_from_slice(&[0xff, 0xe1]);
        body.extend_from_slice(&(self.sps.len() as u16).to_be_bytes());
        body.extend_from_slice(&self.sps);
        body.push(1);
        body.extend_from_slice(&(self.pps.len() as u16).to_be_bytes());
        body.extend_from_slice(&self.pps);
        // High profiles say their chroma format and bit depths once more: 4:2:0, 8 bits is all that the box makes.
        if matches!(self.sps.get(1), Some(100 | 110 | 122 | 144)) {
            body.extend_from_slice(&[0xfd, 0xf8, 0xf8, 0]);
        }
        body
    }
}

/// In front of a picture's length-prefixed NAL units; composition time 0, since there are no B-frames.
pub(super) fn picture(keyframe: bool) -> [u8; 5] {
    avc(keyframe, 1)
}

fn avc(keyframe: bool, packet: u8) -> [u8; 5] {
    let frame = if keyframe { 1 } else { 2 };
    [frame << 4 | AVC, packet, 0, 0, 0]
}

/// In front of an AudioSpecificConfig (`header`) or of a raw AAC access unit. Rate, size and channels are fixed for
/// AAC (E.4.2.1); the config tells the true ones.
pub(super) fn sound(header: bool) -> [u8; 2] {
    [AAC << 4 | 0x0f, u8::from(!header)]
}

/// The data message `@setDataFrame onMetaData`.
pub(super) fn metadata(size: Size, fps: f64, sound: &Sound) -> Vec<u8> {
    Writer::default()
        .text("@setDataFrame")
        .text("onMetaData")
        .array(9)
        .member("width")
        .number(f64::from(size.width))
        .member("height")
        .number(f64::from(size.height))
        .member("framerate")
        .number(fps)
        .member("videocodecid")
        .number(f64::from(AVC))
        .member("audiocodecid")
        .number(f64::from(AAC))
        .member("audiosamplerate")
        .number(f64::from(sound.rate))
        .member("audiosamplesize")
        .number(16.0)
        .member("stereo")
        .boolean(sound.channels == 2)
        .member("encoder")
        .text(concat!("roomd ", env!("CARGO_PKG_VERSION")))
        .end()
        .bytes
}
