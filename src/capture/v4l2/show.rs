//! What everyone sees of the camera: its pictures, or a slate that says why there are none. One size, one row of
//! PTS, whoever shows: no reader notices a change of camera but by what it sees.
//!
//! Two threads use it: that of the device shows pictures and tells what fails, and may hang in a driver; the other
//! keeps the time, and shows the slate.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::CameraError;
use super::stamp::APART;
use crate::base::clock::MediaTime;
use crate::capture::slate::Slate;
use crate::capture::{CAMERA_OFF, Config, PictureOut};
use crate::media::{AccessUnit, CameraControls, ControlRange, ControlValues, Layer, VideoFrame};

/// From one slate to the next. A new reader's keyframe is at most this late, and five pictures a second that do not
/// change cost next to nothing.
pub const SLATE_EVERY: Duration = Duration::from_millis(200);
/// The silence after which a running camera is taken to be stalled, at least; see [`stall_after`].
const STALL: Duration = Duration::from_secs(1);
/// Cameras take this long for their first picture: exposure, focus, a sensor that wakes up.
pub const FIRST_PICTURE: Duration = Duration::from_secs(3);
/// While a camera starts the picture before stays this long, then a slate says so.
const STARTING: Duration = Duration::from_millis(800);

/// How long a camera of `fps` frames a second may be silent: a second, or three frames.
pub fn stall_after(fps: f64) -> Duration {
    let three = Duration::try_from_secs_f64(3.0 / fps.max(0.001)).unwrap_or(STALL);
    three.clamp(STALL, Duration::from_millis(2_500))
}

/// See the module's text.
pub struct Show {
    out: PictureOut,
    inner: Mutex<Inner>,
}

struct Inner {
    slate: Slate,
    state: State,
    /// PTS of the last picture or slate.
    last: Option<MediaTime>,
    /// Nothing is shown any more.
    closed: bool,
}

enum State {
    /// A camera is looked for or opened, since.
    Starting(MediaTime),
    /// Pictures come; the last one came then, and it is silent after so long.
    Running { name: String, last: MediaTime, stall: Duration },
    /// None: why.
    Away(CameraError),
}

impl Show {
    /// Shows into `out`, from `now` on.
    pub fn new(config: &Config, out: &PictureOut, now: MediaTime) -> Self {
        let slate = Slate::new(config.size, &config.name);
        let inner = Inner { slate, state: State::Starting(now), last: None, closed: false };
        Show { out: out.clone(), inner: Mutex::new(inner) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A picture of the camera `name` came at `now`; it is silent after `stall`. False when nobody looks any more:
    /// the device's thread ends.
    pub fn picture(&self, mut frame: VideoFrame, camera: &Camera, now: MediaTime) -> bool {
        let mut inner = self.lock();
        if inner.closed {
            return false;
        }
        self.runs(&mut inner, camera, now);
        frame.captured = after(inner.last, frame.captured);
        let captured = frame.captured;
        if self.out.show(frame.into()) {
            inner.last = Some(captured);
        }
        true
    }

    /// The camera gave something at `now`.
    fn runs(&self, inner: &mut Inner, camera: &Camera, now: MediaTime) {
        let running = State::Running { name: camera.name.clone(), last: now, stall: camera.stall };
        let before = std::mem::replace(&mut inner.state, running);
        if !matches!(before, State::Running { .. }) {
            tracing::info!(camera = camera.name, format = camera.format, "the camera gives pictures");
            self.out.report.running(camera.name.clone(), Some(camera.format.clone()));
        }
    }

    /// As [`Show::picture`], for a camera that encodes itself: its unit goes into the stream, its picture (where it
    /// was decoded) to those who need it raw.
    pub fn unit(
        &self,
        mut unit: AccessUnit,
        frame: Option<VideoFrame>,
        camera: &Camera,
        now: MediaTime,
    ) -> bool {
        let mut inner = self.lock();
        if inner.closed {
            return false;
        }
        self.runs(&mut inner, camera, now);
        unit.pts = after(inner.last, unit.pts);
        let out = &self.out;
        let shown = out.shutter.while_open(|| {
            out.stream.publish(&unit);
            match frame {
                Some(mut frame) => {
                    frame.captured = unit.pts;
                    out.put(frame.into());
                }
                None => out.pulse.beat(),
            }
        });
        if shown {
            inner.last = Some(unit.pts);
        }
        true
    }

    /// Whether the camera is off by order.
    pub fn is_covered(&self) -> bool {
        self.out.shutter.is_closed()
    }

    /// How often it was put off; see [`crate::media::Shutter::closings`].
    pub fn coverings(&self) -> u64 {
        self.out.shutter.closings()
    }

    /// The camera is closed while it is off by order, at `now`; it starts anew afterwards.
    pub fn rests(&self, now: MediaTime) {
        let mut inner = self.lock();
        if !inner.closed && !matches!(inner.state, State::Starting(_)) {
            inner.state = State::Starting(now);
            self.out.report.starting();
        }
    }

    /// What there is to set; None: there is no camera.
    pub fn has_controls(&self, controls: Option<Vec<ControlRange>>) {
        if !self.lock().closed {
            let there = controls.map(|controls| CameraControls::Of(controls.into()));
            self.out.controls.tell(there.unwrap_or_default());
        }
    }

    /// What its controls shall be, if that is another wish than the one `known`.
    pub fn wished_controls(&self, known: u64) -> Option<(u64, ControlValues)> {
        self.out.controls.news(known)
    }

    /// The wish `number` was set, but for `problems`.
    pub fn controls_set(&self, number: u64, problems: Vec<String>) {
        self.out.controls.done(number, problems);
    }

    /// Whether a reader of the stream asks for an IDR of the full picture.
    pub fn takes_keyframe_request(&self, now: MediaTime) -> bool {
        self.out.stream.take_keyframe_request(Layer::Full, now)
    }

    /// Whether a lower layer is wanted, which is made of raw pictures.
    pub fn wants_raw(&self) -> bool {
        let [quarter, half, _] = self.out.stream.demand().video;
        quarter || half
    }

    /// There is no camera, because of `reason`.
    pub fn away(&self, reason: CameraError, now: MediaTime) {
        let mut inner = self.lock();
        if inner.closed {
            return;
        }
        if matches!(&inner.state, State::Away(before) if *before == reason) {
            return;
        }
        tracing::warn!(%reason, "no camera");
        self.out.report.failed(reason.to_string());
        inner.state = State::Away(reason);
        self.tick_locked(&mut inner, now);
    }

    /// It is `now`: the slate is shown if there is no camera. To be called every [`SLATE_EVERY`].
    pub fn tick(&self, now: MediaTime) {
        let mut inner = self.lock();
        if inner.closed {
            return;
        }
        if self.is_covered() {
            return self.tick_locked(&mut inner, now);
        }
        let silent = match &inner.state {
            State::Running { name, last, stall } => (now.since(*last) > *stall).then(|| name.clone()),
            _ => None,
        };
        if let Some(device) = silent {
            drop(inner);
            return self.away(CameraError::Silent { device }, now);
        }
        self.tick_locked(&mut inner, now);
    }

    fn tick_locked(&self, inner: &mut Inner, now: MediaTime) {
        let text = match &inner.state {
            _ if self.is_covered() => CAMERA_OFF.to_owned(),
            State::Running { .. } => return,
            State::Starting(since) if now.since(*since) < STARTING => return,
            State::Starting(_) => "the camera starts".to_owned(),
            State::Away(reason) => format!("no camera: {reason}"),
        };
        let frame = inner.slate.picture(&text, now);
        self.show(inner, frame);
    }

    fn show(&self, inner: &mut Inner, mut frame: VideoFrame) {
        frame.captured = after(inner.last, frame.captured);
        inner.last = Some(frame.captured);
        self.out.put(frame.into());
    }

    /// A picture could not be shown; the one before stays.
    pub fn damaged(&self) {
        self.out.damaged.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether nobody looks any more.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Nothing is shown any more, whoever may still hang in a driver.
    pub fn close(&self) {
        self.lock().closed = true;
    }
}

/// `at`, or the first instant after `last`.
fn after(last: Option<MediaTime>, at: MediaTime) -> MediaTime {
    last.map_or(at, |last| at.max(last + APART))
}

/// A camera that was opened, for those who look on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Camera {
    /// `/dev/video0 (HD Webcam)`.
    pub name: String,
    /// `1280x720@30 YUYV`.
    pub format: String,
    /// How long it may be silent.
    pub stall: Duration,
}
