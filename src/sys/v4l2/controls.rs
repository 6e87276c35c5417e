//! A camera's controls: brightness, exposure, focus.

use std::io;

use v4l::v4l_sys::*;

use super::Device;
use super::raw::{self, ioctl, zeroed};

const TYPE_INTEGER: u32 = v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER;
const TYPE_BOOLEAN: u32 = v4l2_ctrl_type_V4L2_CTRL_TYPE_BOOLEAN;
const TYPE_MENU: u32 = v4l2_ctrl_type_V4L2_CTRL_TYPE_MENU;
const TYPE_BUTTON: u32 = v4l2_ctrl_type_V4L2_CTRL_TYPE_BUTTON;
const TYPE_INTEGER64: u32 = v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER64;
const TYPE_BITMASK: u32 = v4l2_ctrl_type_V4L2_CTRL_TYPE_BITMASK;
const TYPE_INTEGER_MENU: u32 = v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER_MENU;

/// Controls, and entries of a menu, that are asked for at most.
const MOST: usize = 512;

/// What kind of value a control takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlKind {
    /// A number.
    Integer,
    /// 0 or 1.
    Switch,
    /// One of these numbers, each with its meaning.
    Menu(Vec<(i64, String)>),
    /// Anything sets it off.
    Button,
    /// Bits.
    Bits,
}

/// One control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    id: u32,
    wide: bool,
    /// As the driver says it: `White Balance, Automatic`.
    pub label: String,
    /// What it takes.
    pub kind: ControlKind,
    /// Least value.
    pub least: i64,
    /// Greatest value.
    pub most: i64,
    /// From one value to the next; at least 1.
    pub step: u64,
    /// What it is without anyone's doing.
    pub default: i64,
    /// What it is now, where that can be told.
    pub value: Option<i64>,
    /// It has no effect now (an automatic one is on), or may not be set.
    pub inactive: bool,
}

#[cfg(test)]
impl Control {
    /// One that no device has, for tests.
    pub fn simulated(label: &str, kind: ControlKind, least: i64, most: i64) -> Self {
        let label = label.to_owned();
        let (id, wide, step, default) = (0, false, 1, least);
        Control { id, wide, label, kind, least, most, step, default, value: None, inactive: false }
    }
}

impl Device {
    /// All controls that take a number, in the driver's order. Empty when it has none.
    pub fn controls(&self) -> Vec<Control> {
        let mut controls: Vec<Control> = Vec::new();
        let mut last = 0u32;
        for _ in 0..MOST {
            let mut entry: v4l2_query_ext_ctrl = zeroed();
            entry.id = last | V4L2_CTRL_FLAG_NEXT_CTRL;
            // SAFETY: no pointers in it.
            let asked = unsafe { ioctl(&self.fd, &raw::QUERY_EXT_CTRL, &mut entry) };
            // A driver that does not go on would keep us here.
            if asked.is_err() || entry.id <= last {
                break;
            }
            last = entry.id;
            controls.extend(self.control(&entry));
        }
        controls
    }

    fn control(&self, entry: &v4l2_query_ext_ctrl) -> Option<Control> {
        if entry.flags & V4L2_CTRL_FLAG_DISABLED != 0 {
            return None;
        }
        let kind = match entry.type_ {
            TYPE_INTEGER | TYPE_INTEGER64 => ControlKind::Integer,
            TYPE_BOOLEAN => ControlKind::Switch,
            TYPE_MENU => ControlKind::Menu(self.menu(entry, false)),
            TYPE_INTEGER_MENU => ControlKind::Menu(self.menu(entry, true)),
            TYPE_BUTTON => ControlKind::Button,
            TYPE_BITMASK => ControlKind::Bits,
            _ => return None,
        };
        let wide = entry.type_ == TYPE_INTEGER64;
        let untellable = V4L2_CTRL_FLAG_WRITE_ONLY;
        let readable = !wide && kind != ControlKind::Button && entry.flags & untellable == 0;
        // `c_char` is signed here and unsigned there.
        let name = entry.name.map(|letter| letter as u8);
        Some(Control {
            id: entry.id,
            wide,
            label: super::text_of(&name),
            kind,
            least: entry.minimum,
            most: entry.maximum,
            step: entry.step.max(1),
            default: entry.default_value,
            value: readable.then(|| self.value(entry.id)).flatten(),
            inactive: entry.flags
                & (V4L2_CTRL_FLAG_INACTIVE | V4L2_CTRL_FLAG_READ_ONLY | V4L2_CTRL_FLAG_GRABBED)
                != 0,
        })
    }

    /// Whether it encodes H.264 and makes an IDR picture when asked.
    pub fn makes_keyframes(&self) -> bool {
        let mut entry: v4l2_query_ext_ctrl = zeroed();
        entry.id = V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME;
        // SAFETY: no pointers in it.
        let asked = unsafe { ioctl(&self.fd, &raw::QUERY_EXT_CTRL, &mut entry) };
        asked.is_ok() && entry.flags & V4L2_CTRL_FLAG_DISABLED == 0
    }

    /// The next picture of its encoder shall be an IDR.
    ///
    /// # Errors
    /// The system's.
    pub fn force_keyframe(&self) -> io::Result<()> {
        self.set_codec_control(V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME, 1)
    }

    /// Sets its encoder: bits a second, pictures from one IDR to the next, SPS and PPS with each IDR, baseline.
    ///
    /// # Errors
    /// The system's, of one that it does not take; all are tried.
    pub fn set_encoder(&self, bitrate_bps: i32, gop: i32) -> io::Result<()> {
        let repeat = self.set_codec_control(V4L2_CID_MPEG_VIDEO_REPEAT_SEQ_HEADER, 1);
        let period = self.set_codec_control(V4L2_CID_MPEG_VIDEO_H264_I_PERIOD, gop);
        let baseline = v4l2_mpeg_video_h264_profile_V4L2_MPEG_VIDEO_H264_PROFILE_CONSTRAINED_BASELINE as i32;
        let profile = self.set_codec_control(V4L2_CID_MPEG_VIDEO_H264_PROFILE, baseline);
        self.set_codec_control(V4L2_CID_MPEG_VIDEO_BITRATE, bitrate_bps).and(profile).and(period).and(repeat)
    }

    fn set_codec_control(&self, id: u32, value: i32) -> io::Result<()> {
        let mut set = v4l2_control { id, value };
        // SAFETY: no pointers in it.
        unsafe { ioctl(&self.fd, &raw::S_CTRL, &mut set) }
    }

    fn value(&self, id: u32) -> Option<i64> {
        let mut control: v4l2_control = zeroed();
        control.id = id;
        // SAFETY: no pointers in it.
        unsafe { ioctl(&self.fd, &raw::G_CTRL, &mut control) }.ok()?;
        Some(i64::from(control.value))
    }

    fn menu(&self, entry: &v4l2_query_ext_ctrl, of_numbers: bool) -> Vec<(i64, String)> {
        let first = entry.minimum.max(0);
        let each = |index: i64| {
            let mut item: v4l2_querymenu = zeroed();
            (item.id, item.index) = (entry.id, u32::try_from(index).ok()?);
            // SAFETY: no pointers in it.
            unsafe { ioctl(&self.fd, &raw::QUERYMENU, &mut item) }.ok()?;
            let text = match of_numbers {
                // SAFETY: the union's members are plain numbers, and the control's kind says which it is.
                true => unsafe { item.__bindgen_anon_1.value }.to_string(),
                // SAFETY: as above.
                false => super::text_of(&unsafe { item.__bindgen_anon_1.name }),
            };
            Some((index, text))
        };
        (first..=entry.maximum).take(MOST).filter_map(each).collect()
    }

    /// Sets `control`, which must be this device's.
    ///
    /// # Errors
    /// The system's: `ERANGE` for a value that is none, `EACCES` for one that may not be set, `EBUSY` for one that
    /// may not be set now.
    pub fn set_control(&self, control: &Control, value: i64) -> io::Result<()> {
        if !control.wide {
            let value = i32::try_from(value).map_err(|_| io::Error::from_raw_os_error(libc::ERANGE))?;
            let mut set = v4l2_control { id: control.id, value };
            // SAFETY: no pointers in it.
            return unsafe { ioctl(&self.fd, &raw::S_CTRL, &mut set) };
        }
        let mut one: v4l2_ext_control = zeroed();
        (one.id, one.__bindgen_anon_1.value64) = (control.id, value);
        let mut set: v4l2_ext_controls = zeroed();
        (set.count, set.controls) = (1, &raw mut one);
        // SAFETY: it points to one control, as its count says.
        unsafe { ioctl(&self.fd, &raw::S_EXT_CTRLS, &mut set) }
    }
}
