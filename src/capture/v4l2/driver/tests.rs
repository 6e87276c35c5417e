use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::*;
use crate::base::units::Size;
use crate::capture::PictureOut;
use crate::capture::v4l2::show::{SLATE_EVERY, stall_after};
use crate::media::{
    AccessUnit, CameraControls, DeviceStatus, FrameReader, Layer, Received, TrackId, VideoFrame, Wants,
};
use crate::sys::v4l2::{FourCc, PlaneFormat};

const SIZE: Size = Size::new(160, 90);
/// Luma of the simulated camera's pictures; the slate has none of it at its corner.
const LUMA: u8 = 111;
/// The camera's frames, in ms.
const FRAME: u64 = 33;

/// What the camera does at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Is {
    Good,
    /// Not there: reading fails as unplugged.
    Gone,
    /// Opened by another program.
    Busy,
    /// Streams, and nothing comes.
    Silent,
    /// Reading fails.
    Broken,
    /// Gives fewer bytes than it says.
    Short,
    /// Calls its own pictures damaged.
    Damaged,
    /// Every call takes half a minute.
    Hung,
}

/// What was shown: when, and whether it is the camera's picture.
type Shown = Vec<(u64, bool)>;

/// A simulated clock that does on its way what the other thread would do, and notes what is seen.
struct Clock {
    now: Cell<u64>,
    end: u64,
    show: Arc<Show>,
    stop: Shutdown,
    reader: RefCell<FrameReader<Arc<VideoFrame>>>,
    shown: RefCell<Shown>,
    reasons: RefCell<Vec<String>>,
    out: PictureOut,
    /// What is ordered at a time.
    order: fn(u64, &PictureOut),
    /// When the camera was read.
    read: RefCell<Vec<u64>>,
    /// What its controls were set to, and when.
    set: RefCell<Vec<(u64, ControlValues)>>,
}

impl Clock {
    fn media(&self) -> MediaTime {
        MediaTime::from_millis(self.now.get())
    }

    fn advance(&self, by: u64) {
        for _ in 0..by {
            self.now.set(self.now.get() + 1);
            (self.order)(self.now.get(), &self.out);
            if self.now.get().is_multiple_of(SLATE_EVERY.as_millis() as u64) {
                self.note();
                self.show.tick(self.media());
                self.note();
            }
        }
        if self.now.get() >= self.end {
            self.stop.cancel();
        }
    }

    fn note(&self) {
        while let Received::Frame(frame) = self.reader.borrow_mut().recv(Duration::ZERO) {
            let at = frame.captured.as_nanos() / 1_000_000;
            self.shown.borrow_mut().push((at, frame.planes().0[0] == LUMA));
        }
        let reason = self.out.report.subscribe().borrow().reason.clone();
        let mut reasons = self.reasons.borrow_mut();
        if reason.is_some() && reason.as_ref() != reasons.last() {
            reasons.extend(reason);
        }
    }
}

struct Simulated {
    clock: Rc<Clock>,
    is: fn(u64) -> Is,
    /// Nanoseconds of age that the driver claims, at a time.
    age: fn(u64) -> Option<i64>,
    nodes: bool,
}

struct Running {
    clock: Rc<Clock>,
    is: fn(u64) -> Is,
    age: fn(u64) -> Option<i64>,
    camera: Camera,
    format: Format,
    stuck: bool,
}

fn error(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

impl World for Simulated {
    type Opened = Running;

    fn now(&self) -> MediaTime {
        self.clock.media()
    }

    fn open(&mut self) -> Result<Running, CameraError> {
        // Asking for formats and starting takes a real camera this long.
        self.clock.advance(300);
        let failed = |code| Err(CameraError::of("/dev/video0", "opening it", &error(code)));
        match (self.is)(self.clock.now.get()) {
            Is::Gone => return failed(libc::ENOENT),
            Is::Busy => return failed(libc::EBUSY),
            Is::Hung => {
                self.clock.advance(30_000);
                return failed(libc::EIO);
            }
            _ => {}
        }
        let planes = vec![PlaneFormat { stride: 320, bytes: 0 }];
        Ok(Running {
            clock: self.clock.clone(),
            is: self.is,
            age: self.age,
            camera: Camera {
                name: "/dev/video0 (Simulated)".to_owned(),
                format: "160x90@30 YUYV".to_owned(),
                stall: stall_after(30.0),
            },
            format: Format { fourcc: FourCc::YUYV, size: SIZE, planes },
            stuck: false,
        })
    }

    fn wait(&mut self, at_most: Duration) -> bool {
        self.clock.advance((at_most.as_millis() as u64).max(1));
        let before = std::mem::replace(&mut self.nodes, (self.is)(self.clock.now.get()) != Is::Gone);
        before != self.nodes
    }
}

impl Source for Running {
    fn camera(&self) -> &Camera {
        &self.camera
    }

    fn format(&self) -> &Format {
        &self.format
    }

    fn controls(&self) -> Vec<ControlRange> {
        vec![ControlRange { name: "brightness".to_owned(), range: (0, 255), menu: Vec::new() }]
    }

    fn set_controls(&mut self, values: &ControlValues) -> Vec<String> {
        self.clock.set.borrow_mut().push((self.clock.now.get(), values.clone()));
        Vec::new()
    }

    fn next(&mut self, wait: Duration, take: &mut dyn FnMut(Captured)) -> io::Result<()> {
        self.clock.read.borrow_mut().push(self.clock.now.get());
        let wait = wait.as_millis() as u64;
        self.clock.advance(FRAME.min(wait));
        let data = [LUMA, 128, LUMA, 128].repeat(80 * 90);
        let (mut planes, mut damaged) = ([&data[..]], false);
        match (self.is)(self.clock.now.get()) {
            Is::Good if !self.stuck => {}
            Is::Gone => return Err(error(libc::ENODEV)),
            Is::Broken | Is::Busy => return Err(error(libc::EIO)),
            Is::Short => planes = [&data[..100]],
            Is::Damaged => damaged = true,
            Is::Hung => {
                self.clock.advance(30_000);
                return Ok(());
            }
            // A stream that fell silent stays so until it is opened again.
            Is::Good | Is::Silent => {
                self.stuck = true;
                self.clock.advance(wait.saturating_sub(FRAME));
                return Ok(());
            }
        }
        take(Captured { planes: &planes, age: (self.age)(self.clock.now.get()), damaged });
        self.clock.note();
        Ok(())
    }
}

struct Seen {
    shown: Shown,
    reasons: Vec<String>,
    damaged: u64,
    status: DeviceStatus,
    read: Vec<u64>,
    set: Vec<(u64, ControlValues)>,
}

/// Runs a camera for `seconds` of simulated time.
fn run_ordered(
    seconds: u64,
    is: fn(u64) -> Is,
    age: fn(u64) -> Option<i64>,
    order: fn(u64, &PictureOut),
) -> Seen {
    let config = Config { size: SIZE, ..Config::default() };
    let (out, stop) = (PictureOut::default(), Shutdown::new());
    let show = Arc::new(Show::new(&config, &out, MediaTime::ZERO));
    let clock = Rc::new(Clock {
        now: Cell::new(0),
        end: seconds * 1000,
        show: show.clone(),
        stop: stop.clone(),
        reader: RefCell::new(out.frames.subscribe(64)),
        shown: RefCell::default(),
        reasons: RefCell::default(),
        out: out.clone(),
        order,
        read: RefCell::default(),
        set: RefCell::default(),
    });
    let mut world = Simulated { clock: clock.clone(), is, age, nodes: is(0) != Is::Gone };
    drive(&mut world, &show, &config, &stop);
    clock.note();
    let (shown, reasons) = (clock.shown.borrow().clone(), clock.reasons.borrow().clone());
    assert!(shown.windows(2).all(|pair| pair[0].0 < pair[1].0), "PTS grow: {shown:?}");
    let status = out.report.subscribe().borrow().status;
    let (read, set) = (clock.read.borrow().clone(), clock.set.borrow().clone());
    Seen { shown, reasons, damaged: out.damaged.load(Ordering::Relaxed), status, read, set }
}

fn run_aged(seconds: u64, is: fn(u64) -> Is, age: fn(u64) -> Option<i64>) -> Seen {
    run_ordered(seconds, is, age, |_, _| {})
}

fn run(seconds: u64, is: fn(u64) -> Is) -> Seen {
    run_aged(seconds, is, |_| Some(2_000_000))
}

impl Seen {
    /// When the first picture (or slate) after `from` was shown.
    fn first(&self, picture: bool, from: u64) -> u64 {
        let after = self.shown.iter().find(|(at, is)| *at >= from && *is == picture);
        after.map_or(u64::MAX, |(at, _)| *at)
    }

    /// The longest time without anything new between `from` and `to`.
    fn gap(&self, from: u64, to: u64) -> u64 {
        let times: Vec<u64> =
            self.shown.iter().map(|(at, _)| *at).filter(|at| (from..=to).contains(at)).collect();
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(u64::MAX)
    }
}

#[test]
fn an_unplugged_camera_is_a_slate_within_a_second_and_back_within_three() {
    let seen = run(40, |at| if (10_000..25_000).contains(&at) { Is::Gone } else { Is::Good });
    assert!(seen.first(true, 0) <= 1_000 && seen.first(false, 0) >= 10_000, "{:?}", seen.shown);
    assert!(seen.first(false, 10_000) <= 11_000);
    assert!(seen.gap(10_000, 25_000) <= 200, "the slate goes on for whoever comes in");
    assert!(seen.first(true, 25_000) <= 28_000);
    assert_eq!(seen.first(false, seen.first(true, 25_000)), u64::MAX, "and stays");
    assert_eq!(seen.reasons, ["/dev/video0 (Simulated) was unplugged", "/dev/video0 is not connected"]);
    assert_eq!(seen.status, DeviceStatus::Running);
}

#[test]
fn a_silent_camera_is_a_slate_within_three_seconds_and_back_within_three() {
    let seen = run(40, |at| if (10_000..25_000).contains(&at) { Is::Silent } else { Is::Good });
    assert!(seen.first(false, 10_000) <= 13_000);
    assert!(seen.first(true, 25_000) <= 28_000, "{}", seen.first(true, 25_000));
    assert_eq!(seen.reasons, ["/dev/video0 (Simulated) gives no pictures"]);
}

#[test]
fn a_camera_that_fails_is_opened_again() {
    let seen = run(20, |at| if (10_000..10_100).contains(&at) { Is::Broken } else { Is::Good });
    assert!(seen.first(false, 10_000) <= 11_000 && seen.first(true, 10_100) <= 13_000);
    assert!(seen.reasons[0].contains("reading a picture") && seen.reasons[0].contains("Input/output"));
}

#[test]
fn a_camera_that_hangs_in_its_driver_is_a_slate_all_the_same() {
    let seen = run(60, |at| if (10_000..12_000).contains(&at) { Is::Hung } else { Is::Good });
    assert!(seen.first(false, 10_000) <= 13_000 && seen.gap(13_000, 40_000) <= 200);
    assert!(seen.first(true, 42_100) <= 45_100);
    let seen = run(60, |at| if at < 10_000 { Is::Hung } else { Is::Good });
    assert!(
        seen.first(false, 0) <= 1_000 && seen.gap(1_000, 30_000) <= 200 && seen.first(true, 30_000) <= 33_300
    );
}

#[test]
fn a_camera_in_use_says_so_and_is_taken_when_it_is_free() {
    let seen = run(30, |at| if at < 12_000 { Is::Busy } else { Is::Good });
    assert!(seen.first(false, 0) <= 1_000);
    assert_eq!(seen.reasons, ["/dev/video0 is in use by another program"]);
    assert!(seen.first(true, 12_000) <= 15_000);
}

#[test]
fn no_camera_at_the_start_is_a_slate_until_there_is_one() {
    let seen = run(20, |at| if at < 10_000 { Is::Gone } else { Is::Good });
    assert!(seen.first(false, 0) <= 1_000 && seen.gap(1_000, 10_000) <= 200);
    assert!(seen.first(true, 10_000) <= 13_000);
}

#[test]
fn damaged_pictures_are_counted_and_left_out_and_a_camera_with_no_others_is_opened_again() {
    // One in ten: nothing is seen of it.
    let seen = run(20, |at| if at % 330 < 33 { Is::Damaged } else { Is::Good });
    assert!(seen.damaged > 40 && seen.reasons.is_empty(), "{} {:?}", seen.damaged, seen.reasons);
    assert_eq!(seen.first(false, 0), u64::MAX);
    let seen = run(20, |at| if at < 10_000 { Is::Short } else { Is::Good });
    assert_eq!(seen.reasons.last().unwrap(), "/dev/video0 (Simulated) gives only damaged pictures");
    assert!(seen.first(false, 0) <= 1_000 && seen.first(true, 10_000) <= 13_000);
}

#[test]
fn timestamps_that_are_zero_or_jump_do_not_disturb_the_pts() {
    for age in [
        // Zero: as old as the machine.
        |at: u64| Some(at as i64 * 1_000_000 + 86_400_000_000_000),
        |at: u64| Some(if at % 700 < 350 { 5_000_000 } else { -3_600_000_000_000 }),
        |at: u64| Some((at as i64 % 5 - 2) * 400_000_000),
        |_| None,
    ] {
        let seen = run_aged(20, |_| Is::Good, age);
        let first = seen.first(true, 0);
        assert!(first < 2_000 && seen.gap(first, 20_000) <= 1_100, "{:?}", seen.shown);
        assert!(seen.shown.len() > 500 && seen.reasons.is_empty());
    }
}

#[test]
fn a_camera_that_is_off_by_order_is_closed_and_nothing_of_it_is_seen_until_it_is_on() {
    let order = |at: u64, out: &PictureOut| match at {
        5_000 => out.cover(),
        10_000 => out.shutter.set(false),
        // Off and on again before anybody could look.
        15_000 => {
            out.cover();
            out.shutter.set(false);
        }
        _ => {}
    };
    let good = |at: u64| if (7_000..8_000).contains(&at) { Is::Hung } else { Is::Good };
    let seen = run_ordered(20, good, |_| Some(2_000_000), order);
    let off = |at: &u64| (5_001..10_000).contains(at);
    assert!(seen.shown.iter().filter(|(at, _)| off(at)).all(|(_, picture)| !picture), "{:?}", seen.shown);
    assert!(seen.first(false, 5_000) <= 5_200 && seen.gap(5_000, 10_000) <= 200);
    assert!(!seen.read.iter().any(|at| off(at) && *at > 5_250), "read while it is off");
    assert!(seen.first(true, 10_000) <= 11_000 && seen.status == DeviceStatus::Running);
    let opened_again = seen.read.windows(2).any(|pair| pair[0] >= 14_900 && pair[1] - pair[0] >= 300);
    assert!(opened_again && seen.first(true, 15_100) < 16_000);
    assert!(seen.reasons.is_empty(), "{:?}", seen.reasons);
}

#[test]
fn controls_that_are_wished_for_are_set_at_once_and_again_whenever_the_camera_is_opened() {
    let order = |at: u64, out: &PictureOut| {
        if at == 5_000 {
            assert!(matches!(out.controls.there(), CameraControls::Of(_)));
            out.controls.wish(&ControlValues::from([("brightness".to_owned(), 9)]));
        }
        if at == 8_500 {
            assert_eq!(out.controls.there(), CameraControls::Missing);
        }
    };
    let away = |at: u64| if (7_000..9_000).contains(&at) { Is::Gone } else { Is::Good };
    let seen = run_ordered(15, away, |_| Some(2_000_000), order);
    let [(first, values), (second, again)] = &seen.set[..] else { panic!("{:?}", seen.set) };
    assert!((5_000..5_100).contains(first) && (9_000..12_000).contains(second), "{:?}", seen.set);
    assert_eq!((values, values["brightness"]), (again, 9));
}

#[test]
fn a_unit_that_the_camera_encoded_does_not_leave_the_box_while_it_is_off() {
    let (config, out) = (Config { size: SIZE, ..Config::default() }, PictureOut::default());
    let show = Show::new(&config, &out, MediaTime::ZERO);
    let camera = Camera { name: "own".to_owned(), format: String::new(), stall: Duration::from_secs(1) };
    let mut frames = out.frames.subscribe(8);
    let mut reader = out.stream.subscribe("test", Wants { video: [false, false, true], ..Wants::NOTHING });
    let unit = |ms| AccessUnit {
        track: TrackId::Video(Layer::Full),
        pts: MediaTime::from_millis(ms),
        duration: Duration::from_millis(33),
        keyframe: true,
        data: vec![1, 2, 3].into(),
        audio_level: 127,
    };
    let raw = |ms| Some(VideoFrame::black(SIZE, MediaTime::from_millis(ms)));
    let now = MediaTime::from_millis(1);
    assert!(show.unit(unit(1), raw(1), &camera, now));
    assert!(reader.try_recv().is_some() && matches!(frames.recv(Duration::ZERO), Received::Frame(_)));
    out.cover();
    assert!(out.latest.get().is_none(), "the page's still picture is gone with it");
    assert!(show.unit(unit(40), raw(40), &camera, now));
    assert!(reader.try_recv().is_none() && matches!(frames.recv(Duration::ZERO), Received::Nothing));
    show.tick(MediaTime::from_millis(200));
    let Received::Frame(slate) = frames.recv(Duration::ZERO) else { panic!("no slate") };
    assert!(!slate.encoded, "encoded here");
}

#[test]
fn nothing_is_shown_by_a_thread_that_nobody_waits_for_any_more() {
    let (config, out) = (Config { size: SIZE, ..Config::default() }, PictureOut::default());
    let show = Show::new(&config, &out, MediaTime::ZERO);
    let camera = Camera { name: "old".to_owned(), format: String::new(), stall: Duration::from_secs(1) };
    show.close();
    assert!(!show.picture(VideoFrame::black(SIZE, MediaTime::ZERO), &camera, MediaTime::ZERO));
    show.away(CameraError::None, MediaTime::ZERO);
    show.tick(MediaTime::from_millis(9_000));
    assert!(out.latest.get().is_none());
    assert_eq!(out.report.subscribe().borrow().status, DeviceStatus::Starting);
}
