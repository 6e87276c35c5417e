use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use super::*;
use crate::base::Shutdown;
use crate::capture::v4l2::show::{Camera, stall_after};
use crate::capture::v4l2::{CameraError, Captured, Source, World, drive};
use crate::capture::{Config, PictureOut};
use crate::codec::h264::{H264Encoder, H264Settings};
use crate::media::{Reader, Received, Wants};
use crate::sys::v4l2::{Format, FourCc, PlaneFormat};

const SIZE: Size = Size::new(320, 180);
const FRAME_MS: u64 = 33;

/// Thirty pictures a second on a simulated clock, encoded by the camera.
struct Machine {
    now_ms: Cell<u64>,
    end_ms: u64,
    stop: Shutdown,
    stream: RefCell<Reader>,
    units: RefCell<Vec<AccessUnit>>,
    asks: Cell<u32>,
    /// What the camera is wanted for besides the full layer, from a time on.
    lower_from_ms: u64,
    lower: RefCell<Option<Reader>>,
    out: PictureOut,
    /// Of the camera's pictures.
    size: Size,
}

impl Machine {
    fn advance(&self, by_ms: u64) {
        self.now_ms.set(self.now_ms.get() + by_ms);
        while let Some(unit) = self.stream.borrow_mut().try_recv() {
            self.units.borrow_mut().push(unit);
        }
        if self.now_ms.get() >= self.lower_from_ms && self.lower.borrow().is_none() {
            let wants = Wants { video: [true, false, false], ..Wants::NOTHING };
            *self.lower.borrow_mut() = Some(self.out.stream.subscribe("lower", wants));
        }
        if self.now_ms.get() >= self.end_ms {
            self.stop.cancel();
        }
    }
}

struct Simulated(Rc<Machine>, bool);

struct Opened {
    machine: Rc<Machine>,
    encoder: Option<H264Encoder>,
    format: Format,
    camera: Camera,
    forced: bool,
}

impl World for Simulated {
    type Opened = Opened;

    fn now(&self) -> MediaTime {
        MediaTime::from_millis(self.0.now_ms.get())
    }

    fn open(&mut self) -> Result<Opened, CameraError> {
        let Simulated(machine, raw) = self;
        machine.advance(200);
        let (size, bitrate) = (machine.size, Bitrate::kbps(300));
        // A group of pictures without end: IDR pictures come only when asked for.
        let settings = H264Settings { layer: Layer::Full, size, fps: 30, bitrate, intra_period: 100_000 };
        let fourcc = if *raw { FourCc::YUYV } else { FourCc::H264 };
        Ok(Opened {
            machine: machine.clone(),
            encoder: (!*raw).then(|| H264Encoder::new(settings).unwrap()),
            format: Format { fourcc, size: SIZE, planes: vec![PlaneFormat { stride: 640, bytes: 0 }] },
            camera: Camera {
                name: "/dev/video0".to_owned(),
                format: format!("{SIZE}@30 {fourcc}"),
                stall: stall_after(30.0),
            },
            forced: false,
        })
    }

    fn avoid_h264(&mut self) {
        self.1 = true;
    }

    fn wait(&mut self, at_most: Duration) -> bool {
        self.0.advance(at_most.as_millis() as u64);
        false
    }
}

impl Source for Opened {
    fn camera(&self) -> &Camera {
        &self.camera
    }

    fn format(&self) -> &Format {
        &self.format
    }

    fn force_keyframe(&mut self) -> io::Result<()> {
        self.machine.asks.set(self.machine.asks.get() + 1);
        self.forced = true;
        Ok(())
    }

    fn next(&mut self, _wait: Duration, take: &mut dyn FnMut(Captured)) -> io::Result<()> {
        self.machine.advance(FRAME_MS);
        let now = MediaTime::from_millis(self.machine.now_ms.get());
        let mut frame = VideoFrame::black(self.machine.size, now);
        frame.planes_mut().0.iter_mut().for_each(|luma| *luma = (self.machine.now_ms.get() / 5 % 200) as u8);
        let data = match &mut self.encoder {
            Some(encoder) => {
                encoder.encode(&frame, std::mem::take(&mut self.forced)).unwrap().unwrap().data.to_vec()
            }
            None => vec![100; 640 * 180],
        };
        take(Captured { planes: &[&data], age: Some(0), damaged: false });
        Ok(())
    }
}

/// Six seconds of a camera whose own pictures have `size`; the lowest layer is wanted from `lower_from_ms` on.
fn run(size: Size, lower_from_ms: u64) -> (Rc<Machine>, Vec<(MediaTime, bool)>) {
    let (bitrate, keyframe_interval) = (Bitrate::kbps(300), Duration::from_secs(2));
    let encoding = Some(Encoding { bitrate, keyframe_interval });
    let config = Config { size: SIZE, encoding, ..Config::default() };
    let (out, stop) = (PictureOut::default(), Shutdown::new());
    let mut frames = out.frames.subscribe(1000);
    let machine = Rc::new(Machine {
        now_ms: Cell::new(0),
        end_ms: 6_000,
        stop: stop.clone(),
        stream: RefCell::new(out.stream.subscribe("recorder", Wants::RECORDING)),
        units: RefCell::default(),
        asks: Cell::new(0),
        lower_from_ms,
        lower: RefCell::default(),
        out: out.clone(),
        size,
    });
    let show = Show::new(&config, &out, MediaTime::ZERO);
    drive(&mut Simulated(machine.clone(), false), &show, &config, &stop);
    machine.advance(0);
    let mut raw = Vec::new();
    while let Received::Frame(frame) = frames.recv(Duration::ZERO) {
        raw.push((frame.captured, frame.encoded));
    }
    (machine, raw)
}

#[test]
fn the_cameras_own_units_are_the_stream_and_keyframes_come_when_they_are_due() {
    let (machine, raw) = run(SIZE, u64::MAX);
    let units = machine.units.borrow();
    assert!(units.len() > 150, "every picture is passed on: {}", units.len());
    assert!(units[0].keyframe && units.windows(2).all(|pair| pair[0].pts < pair[1].pts));
    let keyframes: Vec<_> = units.iter().filter(|unit| unit.keyframe).collect();
    assert!((3..=5).contains(&keyframes.len()), "one in two seconds: {}", keyframes.len());
    assert!(machine.asks.get() <= 5, "asked for {} times", machine.asks.get());
    let mut decoder = H264Decoder::new().unwrap();
    assert!(units.iter().all(|unit| decoder.decode(&unit.data, unit.pts).unwrap().is_some()));
    // The still picture of the page: from keyframes only, marked so that nobody encodes it again.
    assert_eq!(raw, keyframes.iter().map(|unit| (unit.pts, true)).collect::<Vec<_>>());
}

#[test]
fn every_picture_is_decoded_while_a_lower_layer_is_wanted() {
    let (machine, raw) = run(SIZE, 3_000);
    let late = |at: &MediaTime| *at >= MediaTime::from_millis(5_200);
    let passed = machine.units.borrow().iter().filter(|unit| late(&unit.pts)).count();
    assert!(passed > 20);
    assert_eq!(raw.iter().filter(|(at, _)| late(at)).count(), passed);
}

#[test]
fn a_camera_whose_h264_is_unfit_is_opened_again_with_another_format() {
    let (machine, raw) = run(Size::new(640, 360), u64::MAX);
    assert!(machine.units.borrow().is_empty());
    assert!(raw.len() > 100 && raw.iter().all(|(_, encoded)| !encoded));
}
