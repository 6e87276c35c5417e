//! H.264 as cameras give it, checked and brought into the form that the stream carries.

use bytes::{BufMut, Bytes, BytesMut};

use crate::base::units::Size;
use crate::media::h264::{NalType, Sps, SpsError, nals};

const START_CODE: [u8; 4] = [0, 0, 0, 1];
/// `profile_idc` of the (constrained) baseline profile, the one that every peer of a room decodes (RFC 7742 §6.2).
const BASELINE: u8 = 66;
/// `constraint_set0_flag`: the stream keeps to the baseline profile whatever its own is (H.264 §A.2.1).
const CONSTRAINT_SET0: u8 = 0x80;

/// Why a camera's H.264 cannot be passed on as it is; its pictures have to be encoded here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Not every peer could decode it, or it could be out of order.
    #[error("its profile_idc is {0}, baseline (66) is needed")]
    Profile(u8),
    /// Its pictures have another size than configured.
    #[error("its pictures have {0}")]
    Size(Size),
    /// Its SPS is no SPS.
    #[error(transparent)]
    Sps(#[from] SpsError),
    /// Data partitioning, auxiliary pictures and the like.
    #[error("it has NAL units of type {0}")]
    NalType(u8),
}

/// One access unit in the stream's form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// An IDR picture with its SPS and PPS in front.
    pub keyframe: bool,
    /// Annex B, 4-byte start codes, without delimiters and SEI.
    pub data: Bytes,
}

/// Takes a camera's access units: remembers its parameter sets and puts them in front of each IDR picture, since
/// many cameras give them once only.
#[derive(Clone, Debug)]
pub struct CameraH264 {
    wanted: Size,
    sps: Vec<u8>,
    pps: Vec<u8>,
    /// Nothing can be decoded before the first IDR picture, or after a lost one.
    waits_for_idr: bool,
}

impl CameraH264 {
    /// For pictures of the size `wanted`.
    pub fn new(wanted: Size) -> Self {
        CameraH264 { wanted, sps: Vec::new(), pps: Vec::new(), waits_for_idr: true }
    }

    /// A buffer was lost: nothing more until the next IDR picture.
    pub fn lost(&mut self) {
        self.waits_for_idr = true;
    }

    /// `annexb` (one access unit, either start code) in the stream's form; None while there is nothing that could
    /// be decoded.
    ///
    /// # Errors
    /// [`Unfit`]: this camera's H.264 cannot be passed on.
    pub fn take(&mut self, annexb: &[u8]) -> Result<Option<Unit>, Unfit> {
        let mut slices = Vec::with_capacity(4);
        let mut keyframe = false;
        for nal in nals(annexb) {
            match NalType::of(nal) {
                Some(NalType::Sps) => self.set_sps(nal)?,
                Some(NalType::Pps) => self.pps = nal.to_vec(),
                Some(NalType::Slice) => slices.push(nal),
                Some(NalType::Idr) => {
                    keyframe = true;
                    slices.push(nal);
                }
                // 12 is filler data: nothing.
                None | Some(NalType::Sei | NalType::AccessUnitDelimiter | NalType::Other(12)) => {}
                Some(NalType::Other(other)) => return Err(Unfit::NalType(other)),
            }
        }
        self.waits_for_idr &= !(keyframe && !self.sps.is_empty() && !self.pps.is_empty());
        if slices.is_empty() || self.waits_for_idr {
            return Ok(None);
        }
        let parameters = [&self.sps[..], &self.pps];
        let mut data = BytesMut::with_capacity(annexb.len() + self.sps.len() + self.pps.len() + 8);
        for nal in parameters.into_iter().filter(|_| keyframe).chain(slices) {
            data.put_slice(&START_CODE);
            data.put_slice(nal);
        }
        Ok(Some(Unit { keyframe, data: data.freeze() }))
    }

    fn set_sps(&mut self, nal: &[u8]) -> Result<(), Unfit> {
        if nal == self.sps {
            return Ok(());
        }
        let sps = Sps::parse(nal)?;
        if sps.profile != BASELINE && sps.constraints & CONSTRAINT_SET0 == 0 {
            return Err(Unfit::Profile(sps.profile));
        }
        if sps.size != self.wanted {
            return Err(Unfit::Size(sps.size));
        }
        self.sps = nal.to_vec();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::MediaTime;
    use crate::base::units::Bitrate;
    use crate::codec::h264::{H264Decoder, H264Encoder, H264Settings};
    use crate::media::{Layer, VideoFrame};

    const SIZE: Size = Size::new(320, 180);

    /// Pictures as the encoder gives them: the first and the sixth are IDR.
    fn film() -> Vec<Bytes> {
        let bitrate = Bitrate::kbps(300);
        let settings = H264Settings { layer: Layer::Full, size: SIZE, fps: 30, bitrate, intra_period: 0 };
        let mut encoder = H264Encoder::new(settings).unwrap();
        let mut picture = |n: u64| {
            let mut frame = VideoFrame::black(SIZE, MediaTime::from_millis(n * 33));
            frame
                .planes_mut()
                .0
                .iter_mut()
                .enumerate()
                .for_each(|(at, y)| *y = (at as u64 * 7 + n * 5) as u8);
            encoder.encode(&frame, n == 5).unwrap().unwrap().data
        };
        (0..10).map(&mut picture).collect()
    }

    /// As some cameras do: a delimiter, 3-byte start codes, parameter sets only where `with_sets`.
    fn as_camera(unit: &[u8], with_sets: bool) -> Vec<u8> {
        let mut out = vec![0, 0, 0, 1, 9, 0x10];
        for nal in nals(unit) {
            if with_sets || !matches!(NalType::of(nal), Some(NalType::Sps | NalType::Pps)) {
                out.extend([0, 0, 1]);
                out.extend_from_slice(nal);
            }
        }
        out
    }

    #[test]
    fn parameter_sets_given_once_stand_in_front_of_every_keyframe_and_all_of_it_decodes() {
        let (mut camera, mut decoder) = (CameraH264::new(SIZE), H264Decoder::new().unwrap());
        for (n, unit) in film().iter().enumerate() {
            let taken = camera.take(&as_camera(unit, n == 0)).unwrap().unwrap();
            assert_eq!(taken.keyframe, n == 0 || n == 5);
            assert_eq!(taken.data, *unit, "picture {n}: as our own encoder would have given it");
            assert!(decoder.decode(&taken.data, MediaTime::from_millis(n as u64 * 33)).unwrap().is_some());
        }
    }

    #[test]
    fn nothing_comes_before_a_keyframe_nor_after_a_loss() {
        let (mut camera, film) = (CameraH264::new(SIZE), film());
        assert_eq!(camera.take(&film[1]), Ok(None));
        assert_eq!(camera.take(&as_camera(&film[5], false)), Ok(None), "no parameter sets yet");
        assert!(camera.take(&film[0]).unwrap().is_some());
        camera.lost();
        assert_eq!(camera.take(&film[2]), Ok(None));
        assert!(camera.take(&film[5]).unwrap().is_some_and(|unit| unit.keyframe));
    }

    #[test]
    fn another_size_or_profile_is_unfit() {
        let film = film();
        assert_eq!(CameraH264::new(Size::new(640, 360)).take(&film[0]), Err(Unfit::Size(SIZE)));
        let mut high = film[0].to_vec();
        let at = high.windows(2).position(|two| two == [1, 0x67]).unwrap() + 2;
        (high[at], high[at + 1]) = (77, 0);
        assert_eq!(CameraH264::new(SIZE).take(&high), Err(Unfit::Profile(77)));
        assert_eq!(CameraH264::new(SIZE).take(&[0, 0, 1, 2, 9]), Err(Unfit::NalType(2)));
    }

    proptest::proptest! {
        #[test]
        fn noise_never_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let mut camera = CameraH264::new(SIZE);
            let _ = camera.take(&bytes);
            let _ = camera.take(&[&[0, 0, 1, 0x67], &bytes[..]].concat());
        }
    }
}
