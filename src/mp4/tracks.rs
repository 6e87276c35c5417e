//! What a file's two tracks hold: the sample entries `avc1` and `mp4a`.

use mp4_atom::{Audio, Avc1, Avcc, Codec, Mp4a, Visual, esds};

use super::Mp4Error;
use crate::base::units::Size;
use crate::media::AccessUnit;
use crate::media::h264::{NalType, Sps, nals};

/// H.264 as it is described in `avcC` (ISO/IEC 14496-15 §5.3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoConfig {
    /// The sequence parameter set, header byte first.
    pub sps: Vec<u8>,
    /// The picture parameter set, header byte first.
    pub pps: Vec<u8>,
    /// The picture's size after cropping.
    pub size: Size,
}

impl VideoConfig {
    /// Reads SPS and PPS out of a keyframe.
    ///
    /// # Errors
    /// [`Mp4Error::NoKeyframe`] when one is missing, [`Mp4Error::Sps`] when it is unreadable.
    pub fn of(keyframe: &AccessUnit) -> Result<VideoConfig, Mp4Error> {
        let (sps, pps) = parameter_sets(&keyframe.data).ok_or(Mp4Error::NoKeyframe { pts: keyframe.pts })?;
        Ok(VideoConfig { sps: sps.to_vec(), pps: pps.to_vec(), size: Sps::parse(sps)?.size })
    }

    /// Whether `keyframe` brings other parameter sets than these; one that brings none does not.
    pub(super) fn changed_by(&self, keyframe: &AccessUnit) -> bool {
        parameter_sets(&keyframe.data).is_some_and(|(sps, pps)| sps != self.sps || pps != self.pps)
    }

    pub(super) fn sample_entry(&self) -> Result<Codec, Mp4Error> {
        let visual = Visual {
            data_reference_index: 1,
            width: self.size.width as u16,
            height: self.size.height as u16,
            ..Visual::default()
        };
        let avcc = Avcc::new(&self.sps, &self.pps)?;
        Ok(Avc1 { visual, avcc, ..Avc1::default() }.into())
    }
}

/// The first SPS and the first PPS of an access unit. They stand in front, so this looks at few bytes.
fn parameter_sets(annexb: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut sps, mut pps) = (None, None);
    for nal in nals(annexb) {
        match NalType::of(nal) {
            Some(NalType::Sps) => sps = sps.or(Some(nal)),
            Some(NalType::Pps) => pps = pps.or(Some(nal)),
            Some(NalType::Idr | NalType::Slice) => break,
            _ => {}
        }
        if sps.is_some() && pps.is_some() {
            break;
        }
    }
    sps.zip(pps)
}

/// AAC as it is described in `esds` (ISO/IEC 14496-1 §7.2.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioConfig {
    /// AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1).
    pub asc: Vec<u8>,
}

impl AudioConfig {
    /// The box's own sound: AAC-LC (object type 2), 48 kHz (index 3), one channel.
    pub fn aac_lc_48k_mono() -> AudioConfig {
        AudioConfig { asc: vec![0x11, 0x88] }
    }

    pub(super) fn sample_entry(&self) -> Codec {
        let channels = self.asc.get(1).map_or(1, |byte| u16::from(byte >> 3 & 0x0f));
        let dec_config = esds::DecoderConfig {
            object_type_indication: 0x40,
            stream_type: 5,
            dec_specific: Some(esds::DecoderSpecific { raw: self.asc.clone(), ..Default::default() }),
            ..Default::default()
        };
        let es_desc = esds::EsDescriptor { es_id: 0, dec_config, ..Default::default() };
        let audio = Audio {
            data_reference_index: 1,
            channel_count: channels,
            sample_size: 16,
            sample_rate: (super::AUDIO_TIMESCALE as u16).into(),
        };
        Mp4a { audio, esds: esds::Esds { es_desc }, btrt: None, taic: None }.into()
    }
}

/// Both tracks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracks {
    /// Track 1.
    pub video: VideoConfig,
    /// Track 2.
    pub audio: AudioConfig,
}
