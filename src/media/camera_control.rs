//! A camera's controls (brightness, exposure, focus), between those who order and the one who has the camera open.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

/// A control of the camera, and what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlRange {
    /// As `camera.controls` names it: `exposure_auto`.
    pub name: String,
    /// Least and greatest value.
    pub range: (i64, i64),
    /// The values that there are with their meaning, of a menu.
    pub menu: Vec<(i64, String)>,
}

impl ControlRange {
    /// Whether it takes `value`.
    ///
    /// # Errors
    /// What it takes: `0 to 255`, `1 (Manual Mode), 3 (Aperture Priority Mode)`.
    pub fn check(&self, value: i64) -> Result<(), String> {
        let (least, most) = self.range;
        if self.menu.is_empty() {
            return (least..=most).contains(&value).then_some(()).ok_or_else(|| format!("{least} to {most}"));
        }
        let all = || self.menu.iter().map(|(item, text)| format!("{item} ({text})")).collect::<Vec<_>>();
        let fits = self.menu.iter().any(|(item, _)| *item == value);
        fits.then_some(()).ok_or_else(|| all().join(", "))
    }
}

/// The name to write for a control: `White Balance, Automatic` is `white_balance_automatic`.
pub fn control_name(label: &str) -> String {
    let mut name = String::new();
    for letter in label.chars() {
        if letter.is_ascii_alphanumeric() {
            name.push(letter.to_ascii_lowercase());
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    name.trim_end_matches('_').to_owned()
}

/// What there is to set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CameraControls {
    /// No camera is open, or none was yet.
    #[default]
    Missing,
    /// The source is no camera.
    Unsupported,
    /// Those of the camera.
    Of(Arc<[ControlRange]>),
}

/// Values for controls by their names, as they stand in `camera.controls`.
pub type ControlValues = BTreeMap<String, i64>;

/// Numbered values, and what became of those with a number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Numbered<T> {
    number: u64,
    what: T,
}

/// Where controls are wished for, and told of. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct ControlDesk {
    there: watch::Sender<CameraControls>,
    wished: watch::Sender<Numbered<ControlValues>>,
    /// What could not be set.
    done: watch::Sender<Numbered<Vec<String>>>,
}

impl ControlDesk {
    /// What there is to set.
    pub fn there(&self) -> CameraControls {
        self.there.borrow().clone()
    }

    /// For the source: what there is.
    pub fn tell(&self, there: CameraControls) {
        self.there.send_replace(there);
    }

    /// The camera that is open, and each later one, shall have these values beyond the configured ones. The number of
    /// the wish, which is the one before if it was the same and nothing was wrong with it; 0 while there was none.
    pub fn wish(&self, values: &ControlValues) -> u64 {
        let failed = !self.done.borrow().what.is_empty();
        self.wished.send_if_modified(|wished| {
            let new = wished.what != *values || failed;
            if new {
                (wished.number, wished.what) = (wished.number + 1, values.clone());
            }
            new
        });
        self.wished.borrow().number
    }

    /// For the source: the wish that holds, if it is another than that with the number `known`.
    pub fn news(&self, known: u64) -> Option<(u64, ControlValues)> {
        let wished = self.wished.borrow();
        (wished.number != known).then(|| (wished.number, wished.what.clone()))
    }

    /// For the source: the wish `number` was set, but for `problems`.
    pub fn done(&self, number: u64, problems: Vec<String>) {
        self.done.send_replace(Numbered { number, what: problems });
    }

    /// Waits until the wish `number`, or a later one, was set; what of it could not be.
    pub async fn settled(&self, number: u64) -> Vec<String> {
        let mut done = self.done.subscribe();
        let settled = done.wait_for(|done| done.number >= number).await;
        settled.map(|done| done.what.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_v4l2_ctl() {
        let name = |label: &str| control_name(label);
        assert_eq!(name("White Balance, Automatic"), "white_balance_automatic");
        assert_eq!((name("Exposure (Absolute)"), name("")), ("exposure_absolute".into(), String::new()));
    }

    #[tokio::test]
    async fn a_wish_is_news_once_and_settled_by_its_number() {
        let desk = ControlDesk::default();
        let values = ControlValues::from([("brightness".to_owned(), 7)]);
        assert_eq!((desk.wish(&ControlValues::new()), desk.news(0)), (0, None));
        assert_eq!((desk.wish(&values), desk.wish(&values)), (1, 1));
        assert_eq!((desk.news(0), desk.news(1)), (Some((1, values.clone())), None));
        desk.done(1, vec!["no".to_owned()]);
        assert_eq!(desk.settled(1).await, ["no"]);
        assert_eq!(desk.wish(&values), 2, "what went wrong is tried again");
    }
}
