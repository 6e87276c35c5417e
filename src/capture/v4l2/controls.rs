//! `camera.controls`: names as people and `v4l2-ctl` write them, values checked before the driver sees them.

use std::collections::BTreeMap;

use crate::media::{ControlRange, control_name};
use crate::sys::v4l2::{Control, ControlKind, Device};

/// What `control` takes. A button or bits take anything.
pub fn range_of(control: &Control) -> ControlRange {
    let (range, menu) = match &control.kind {
        ControlKind::Button | ControlKind::Bits => ((i64::MIN, i64::MAX), Vec::new()),
        ControlKind::Menu(items) => ((control.least, control.most), items.clone()),
        ControlKind::Integer | ControlKind::Switch => ((control.least, control.most), Vec::new()),
    };
    ControlRange { name: control_name(&control.label), range, menu }
}

/// Sets what is `wanted`. What cannot be set is warned of with what there is, and returned; the camera goes on.
pub fn apply(device: &Device, camera: &str, wanted: &BTreeMap<String, i64>) -> Vec<String> {
    if wanted.is_empty() {
        return Vec::new();
    }
    let controls = device.controls();
    let (settings, mut problems) = plan(&controls, wanted);
    for (control, value) in settings {
        if let Err(error) = device.set_control(control, value) {
            let control = control_name(&control.label);
            problems.push(format!("{control} = {value}: the driver refuses it: {error}"));
        }
    }
    for problem in &problems {
        tracing::warn!(camera, problem, "the camera's controls");
    }
    problems
}

/// What to set, in order, and what is wrong with the rest. Switches and menus come first: `exposure_absolute` can be
/// set only after `exposure_auto` is manual.
fn plan<'a>(
    controls: &'a [Control],
    wanted: &BTreeMap<String, i64>,
) -> (Vec<(&'a Control, i64)>, Vec<String>) {
    let (mut settings, mut problems) = (Vec::new(), Vec::new());
    for (name, value) in wanted {
        let Some(control) =
            controls.iter().find(|control| control_name(&control.label) == control_name(name))
        else {
            let names: Vec<String> = controls.iter().map(|control| control_name(&control.label)).collect();
            let names = if names.is_empty() { "no controls".to_owned() } else { names.join(", ") };
            problems.push(format!("there is no {name}, the camera has {names}"));
            continue;
        };
        match range_of(control).check(*value) {
            Ok(()) => settings.push((control, *value)),
            Err(allowed) => problems.push(format!("{name} = {value} cannot be, it takes {allowed}")),
        }
    }
    settings.sort_by_key(|(control, _)| !matches!(control.kind, ControlKind::Switch | ControlKind::Menu(_)));
    (settings, problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(label: &str, kind: ControlKind, least: i64, most: i64) -> Control {
        Control::simulated(label, kind, least, most)
    }

    fn camera() -> Vec<Control> {
        let exposure = vec![(1, "Manual Mode".to_owned()), (3, "Aperture Priority Mode".to_owned())];
        vec![
            control("Brightness", ControlKind::Integer, 0, 255),
            control("Exposure (Absolute)", ControlKind::Integer, 3, 2047),
            control("Exposure, Auto", ControlKind::Menu(exposure), 0, 3),
            control("Focus, Auto", ControlKind::Switch, 0, 1),
        ]
    }

    fn planned(wanted: &[(&str, i64)]) -> (Vec<(String, i64)>, Vec<String>) {
        let wanted = wanted.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        let controls = camera();
        let (settings, problems) = plan(&controls, &wanted);
        (
            settings.into_iter().map(|(control, value)| (control_name(&control.label), value)).collect(),
            problems,
        )
    }

    #[test]
    fn names_are_those_of_v4l2_ctl_and_switches_are_set_first() {
        let names: Vec<String> = camera().iter().map(|control| control_name(&control.label)).collect();
        assert_eq!(names, ["brightness", "exposure_absolute", "exposure_auto", "focus_auto"]);
        let (set, problems) = planned(&[("exposure_absolute", 300), ("exposure_auto", 1), ("Brightness", 9)]);
        assert!(problems.is_empty());
        let set: Vec<&str> = set.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(set, ["exposure_auto", "brightness", "exposure_absolute"]);
    }

    #[test]
    fn what_cannot_be_set_is_told_with_what_can_and_the_rest_is_set() {
        let (set, problems) =
            planned(&[("zoom", 1), ("brightness", 256), ("exposure_auto", 2), ("focus_auto", 0)]);
        assert_eq!(set, [("focus_auto".to_owned(), 0)]);
        assert_eq!(
            problems,
            [
                "brightness = 256 cannot be, it takes 0 to 255",
                "exposure_auto = 2 cannot be, it takes 1 (Manual Mode), 3 (Aperture Priority Mode)",
                "there is no zoom, the camera has brightness, exposure_absolute, exposure_auto, focus_auto",
            ]
        );
    }
}
