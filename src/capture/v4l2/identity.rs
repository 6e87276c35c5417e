//! Which camera is which, whatever its `/dev/videoN` is after it was plugged in again.

use std::fs;
use std::path::Path;

use crate::sys::v4l2::Capability;

/// What a camera can be recognised by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its name by the driver.
    pub card: String,
    /// Where it is plugged in.
    pub bus: String,
    /// Vendor and product, `046d:082d`, of USB cameras.
    pub usb: Option<String>,
    /// Of USB cameras that have one.
    pub serial: Option<String>,
    /// Which of the device's nodes it is.
    pub index: u32,
}

impl Identity {
    /// Of the device at `/dev/<node>`, with what sysfs knows of it.
    pub fn of(capability: &Capability, node: &str) -> Self {
        let class = Path::new("/sys/class/video4linux").join(node);
        let read = |path: &Path| {
            let text = fs::read_to_string(path).ok()?.trim().to_owned();
            (!text.is_empty()).then_some(text)
        };
        // `device` is the USB interface; the device itself is above it.
        let usb = fs::canonicalize(class.join("device")).ok();
        let usb = usb.as_deref().and_then(Path::parent);
        let of_usb = |file: &str| usb.and_then(|usb| read(&usb.join(file)));
        Identity {
            card: capability.card.clone(),
            bus: capability.bus.clone(),
            usb: of_usb("idVendor")
                .zip(of_usb("idProduct"))
                .map(|(vendor, product)| format!("{vendor}:{product}")),
            serial: of_usb("serial"),
            index: read(&class.join("index")).and_then(|text| text.parse().ok()).unwrap_or(0),
        }
    }

    /// Whether `other` is the same model and the same node of it.
    fn is_like(&self, other: &Identity) -> bool {
        self.card == other.card && self.usb == other.usb && self.index == other.index
    }

    /// Which of `found` is this camera: the same model with the same serial on the same bus; else the same serial
    /// (plugged in elsewhere), if only one has it; else, without serial, the same place; else the only one of
    /// its model. Another model, or another serial, is another camera.
    pub fn find(&self, found: &[Identity]) -> Option<usize> {
        let only = |fits: &dyn Fn(&Identity) -> bool| {
            let mut fitting =
                found.iter().enumerate().filter(|(_, other)| self.is_like(other) && fits(other));
            let first = fitting.next().map(|(n, _)| n);
            first.filter(|_| fitting.next().is_none())
        };
        let same_serial = |other: &Identity| other.serial == self.serial;
        only(&|other| same_serial(other) && other.bus == self.bus).or_else(|| only(&same_serial))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn camera(card: &str, bus: &str, serial: Option<&str>) -> Identity {
        Identity {
            card: card.to_owned(),
            bus: bus.to_owned(),
            usb: Some("046d:082d".to_owned()),
            serial: serial.map(str::to_owned),
            index: 0,
        }
    }

    #[test]
    fn a_camera_is_found_by_serial_in_any_place_and_without_one_by_its_place() {
        let mine = camera("C920", "usb-1", Some("A1"));
        let found = [camera("C920", "usb-1", Some("B2")), camera("C920", "usb-3", Some("A1"))];
        assert_eq!(mine.find(&found), Some(1));
        let mine = camera("C920", "usb-1", None);
        let found = [camera("C920", "usb-2", None), camera("C920", "usb-1", None)];
        assert_eq!(mine.find(&found), Some(1));
    }

    #[test]
    fn the_only_one_of_its_model_is_it_and_one_of_two_is_not_guessed() {
        let mine = camera("C920", "usb-1", None);
        assert_eq!(mine.find(&[camera("BRIO", "usb-1", None), camera("C920", "usb-7", None)]), Some(1));
        assert_eq!(mine.find(&[camera("C920", "usb-6", None), camera("C920", "usb-7", None)]), None);
    }

    #[test]
    fn cameras_that_all_have_the_same_serial_are_told_apart_by_their_place() {
        let mine = camera("C920", "usb-1", Some("SN0001"));
        let found = [camera("C920", "usb-2", Some("SN0001")), camera("C920", "usb-1", Some("SN0001"))];
        assert_eq!(mine.find(&found), Some(1));
    }

    #[test]
    fn another_model_serial_or_node_is_another_camera() {
        let mine = camera("C920", "usb-1", Some("A1"));
        let infrared = Identity { index: 2, ..mine.clone() };
        let others = [camera("BRIO", "usb-1", Some("A1")), camera("C920", "usb-1", Some("B2")), infrared];
        assert_eq!(mine.find(&others), None);
        assert_eq!(mine.find(&[]), None);
    }
}
