//! `roomd devices`: cameras, microphones, speakers and encoders, for people or as JSON.

use std::fmt::Write;

use serde::Serialize;

use crate::audio::card::{self, Card};
use crate::base::units::Size;
use crate::capture::v4l2::{self, CameraFound, ControlFound};

/// Everything that was found.
#[derive(Debug, Serialize)]
pub struct Devices {
    cameras: Vec<CameraFound>,
    /// Sound cards for both directions, by the names that the configuration takes after `alsa:`.
    cards: Vec<Card>,
    /// `openh264`, and encoders in hardware.
    encoders: Vec<String>,
    /// Devices that could not be opened, and why.
    problems: Vec<String>,
}

impl Devices {
    /// Looks at every device; `size` and `fps` are what is wanted of a camera.
    pub fn find(size: Size, fps: u32) -> Devices {
        let video = v4l2::list(size, fps);
        let hardware = video.encoders.into_iter().map(|encoder| format!("v4l2m2m:{encoder}"));
        let encoders = std::iter::once("openh264".to_owned()).chain(hardware).collect();
        let mut problems = video.problems;
        let cards = card::list().unwrap_or_else(|error| {
            problems.push(error.to_string());
            Vec::new()
        });
        Devices { cameras: video.cameras, cards, encoders, problems }
    }

    /// One JSON document.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        section(&mut text, "Cameras", &self.cameras, camera);
        let heard: Vec<&Card> = self.cards.iter().filter(|card| card.microphone).collect();
        section(&mut text, "Microphones", &heard, |card| sound_card(card));
        let played: Vec<&Card> = self.cards.iter().filter(|card| card.speaker).collect();
        section(&mut text, "Speakers", &played, |card| sound_card(card));
        section(&mut text, "Encoders", &self.encoders, |encoder| format!("  {encoder}\n"));
        if !self.problems.is_empty() {
            section(&mut text, "Could not be opened", &self.problems, |problem| format!("  {problem}\n"));
        }
        text
    }
}

fn section<T>(text: &mut String, title: &str, items: &[T], each: impl Fn(&T) -> String) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{title}");
    if items.is_empty() {
        text.push_str("  none\n");
    }
    text.extend(items.iter().map(each));
    text.push('\n');
}

fn camera(camera: &CameraFound) -> String {
    let mut text = format!("  {}  {}\n", camera.path, camera.name);
    let place = [Some(&camera.driver), Some(&camera.bus), camera.usb.as_ref(), camera.serial.as_ref()];
    let place: Vec<&str> =
        place.into_iter().flatten().map(String::as_str).filter(|text| !text.is_empty()).collect();
    let chosen = camera.chosen.as_deref().unwrap_or("nothing: no usable format");
    let _ = writeln!(text, "      {}\n    uses {chosen}\n    offers", place.join(", "));
    for format in &camera.formats {
        let rates = format.fps.iter().map(f64::to_string).collect::<Vec<_>>().join(" ");
        let rates = if rates.is_empty() { "?".to_owned() } else { rates };
        let usable = if format.usable { "" } else { "  (not usable)" };
        let _ = writeln!(text, "      {:<5}{:>10}  {rates} fps{usable}", format.format, format.size);
    }
    if !camera.controls.is_empty() {
        text.push_str("    controls\n");
        text.extend(camera.controls.iter().map(control));
    }
    text
}

fn sound_card(card: &Card) -> String {
    format!("  alsa:{}  {}\n", card.name, card.description)
}

fn control(control: &ControlFound) -> String {
    let (least, most) = control.range;
    let menu =
        control.menu.iter().map(|(value, text)| format!("{value} {text}")).collect::<Vec<_>>().join(", ");
    let range = if menu.is_empty() { format!("{least} to {most}") } else { menu };
    let value = control.value.map(|value| format!(", now {value}")).unwrap_or_default();
    let inactive = if control.inactive { ", without effect now" } else { "" };
    format!("      {:<30} {range} (default {}{value}{inactive})\n", control.name, control.default)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::v4l2::FormatFound;

    fn devices() -> Devices {
        let camera = CameraFound {
            path: "/dev/video0".to_owned(),
            name: "HD Webcam".to_owned(),
            driver: "uvcvideo".to_owned(),
            bus: "usb-1".to_owned(),
            usb: None,
            serial: None,
            chosen: Some("1280x720@30 MJPG".to_owned()),
            formats: vec![FormatFound {
                format: "MJPG".to_owned(),
                size: "1280x720".to_owned(),
                fps: vec![30.0, 7.5],
                usable: true,
            }],
            controls: vec![ControlFound {
                name: "exposure_auto".to_owned(),
                range: (0, 3),
                default: 3,
                value: Some(1),
                menu: vec![(1, "Manual".to_owned()), (3, "Aperture".to_owned())],
                inactive: false,
            }],
        };
        let problems = vec!["no permission to open /dev/video2".to_owned()];
        let card = Card {
            name: "plughw:CARD=PCH,DEV=0".to_owned(),
            description: "HDA Intel PCH".to_owned(),
            microphone: false,
            speaker: true,
        };
        let encoders = vec!["openh264".to_owned()];
        Devices { cameras: vec![camera], cards: vec![card], encoders, problems }
    }

    #[test]
    fn people_read_what_there_is_and_what_would_be_used() {
        let text = devices().text();
        for part in [
            "  /dev/video0  HD Webcam\n      uvcvideo, usb-1\n    uses 1280x720@30 MJPG\n",
            "      MJPG   1280x720  30 7.5 fps\n",
            "1 Manual, 3 Aperture (default 3, now 1)",
            "Microphones\n  none\n\nSpeakers\n  alsa:plughw:CARD=PCH,DEV=0  HDA Intel PCH\n",
            "Encoders\n  openh264\n",
            "Could not be opened\n  no permission",
        ] {
            assert!(text.contains(part), "{part:?} in\n{text}");
        }
        let nothing = Vec::new();
        let none =
            Devices { cameras: Vec::new(), cards: Vec::new(), encoders: nothing.clone(), problems: nothing };
        let sections = ["Cameras", "Microphones", "Speakers", "Encoders"];
        assert_eq!(none.text(), sections.map(|title| format!("{title}\n  none\n\n")).concat());
    }

    #[test]
    fn programs_read_the_same_as_json() {
        let value: serde_json::Value = serde_json::from_str(&devices().json()).unwrap();
        assert_eq!(value["cameras"][0]["path"], "/dev/video0");
        assert_eq!(value["cameras"][0]["formats"][0]["fps"][1], 7.5);
        assert_eq!(value["encoders"][0], "openh264");
        assert_eq!(value["cards"][0]["name"], "plughw:CARD=PCH,DEV=0");
    }
}
