//! What `roomd devices` tells of cameras and of encoders in hardware.

use serde::Serialize;

use super::format::{Wish, choose, is_usable};
use super::system::{Found, look};
use crate::base::units::Size;
use crate::media::control_name;
use crate::sys::v4l2::{Control, ControlKind, Device, FourCc, Offer, Rates};

/// Every V4L2 device that is of use to the box.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Devices {
    /// Cameras, the one that `auto` takes first.
    pub cameras: Vec<CameraFound>,
    /// Encoders of H.264 in hardware: their paths with their names.
    pub encoders: Vec<String>,
    /// Devices that could not be opened, and why.
    pub problems: Vec<String>,
}

/// One camera.
#[derive(Clone, Debug, Serialize)]
pub struct CameraFound {
    /// `/dev/video0`; what `camera.source` takes.
    pub path: String,
    /// `HD Pro Webcam C920`.
    pub name: String,
    /// `uvcvideo`.
    pub driver: String,
    /// Where it is plugged in.
    pub bus: String,
    /// `046d:082d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usb: Option<String>,
    /// Its serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// What would be asked of it, `1280x720@30 YUYV`; None when nothing that it offers is usable.
    pub chosen: Option<String>,
    /// All that it offers.
    pub formats: Vec<FormatFound>,
    /// What `camera.controls` may set.
    pub controls: Vec<ControlFound>,
}

/// A format and size.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FormatFound {
    /// `YUYV`.
    pub format: String,
    /// `1280x720`.
    pub size: String,
    /// Frames a second, the most first; empty when it does not say. Two for a range.
    pub fps: Vec<f64>,
    /// Whether the box can use it.
    pub usable: bool,
}

/// One control.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ControlFound {
    /// As `camera.controls` names it.
    pub name: String,
    /// Least and greatest value.
    pub range: (i64, i64),
    /// What it is without anyone's doing.
    pub default: i64,
    /// What it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<i64>,
    /// What its values mean, of a menu.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub menu: Vec<(i64, String)>,
    /// It has no effect now, because an automatic one is on.
    pub inactive: bool,
}

/// Looks at every device. `size` and `fps` are what is wanted of a camera.
pub fn list(size: Size, fps: u32) -> Devices {
    let (found, errors) = look();
    let problems = errors.iter().map(ToString::to_string).collect();
    let mut devices = Devices { problems, ..Devices::default() };
    for (found, device) in found {
        if device.capability().is_camera() {
            devices.cameras.push(camera(found, &device, size, fps));
        } else if device.capability().is_codec() && encodes(&device) {
            devices.encoders.push(found.name());
        }
    }
    devices
}

/// Whether the coded side of a codec is H.264. That is the capture side of an encoder.
fn encodes(device: &Device) -> bool {
    device.formats().is_ok_and(|formats| formats.contains(&FourCc::H264))
}

fn camera(found: Found, device: &Device, size: Size, fps: u32) -> CameraFound {
    let offers = device.offers(size).unwrap_or_default();
    let chosen = choose(&offers, Wish { size, fps, h264: device.makes_keyframes() })
        .map(|choice| format!("{}@{} {}", choice.size, rounded(choice.interval.fps()), choice.fourcc));
    CameraFound {
        path: found.path.display().to_string(),
        name: found.identity.card,
        driver: found.driver,
        bus: found.identity.bus,
        usb: found.identity.usb,
        serial: found.identity.serial,
        chosen,
        formats: offers.iter().map(format).collect(),
        controls: device.controls().iter().map(control).collect(),
    }
}

/// To hundredths: 29.97.
fn rounded(fps: f64) -> f64 {
    (fps * 100.0).round() / 100.0
}

fn format(offer: &Offer) -> FormatFound {
    let both = |rates: &Rates| [rounded(rates.fastest.fps()), rounded(rates.slowest.fps())];
    let mut fps: Vec<f64> = offer.rates.iter().flat_map(both).collect();
    fps.sort_by(|one, other| other.total_cmp(one));
    fps.dedup();
    FormatFound {
        format: offer.fourcc.to_string(),
        size: offer.size.to_string(),
        fps,
        usable: is_usable(offer.fourcc),
    }
}

fn control(control: &Control) -> ControlFound {
    let menu = match &control.kind {
        ControlKind::Menu(items) => items.clone(),
        ControlKind::Integer | ControlKind::Switch | ControlKind::Button | ControlKind::Bits => Vec::new(),
    };
    ControlFound {
        name: control_name(&control.label),
        range: (control.least, control.most),
        default: control.default,
        value: control.value,
        menu,
        inactive: control.inactive,
    }
}
