//! The machine's real cameras.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::controls;
use super::driver::{Captured, Source, World};
use super::encoded::Encoding;
use super::error::CameraError;
use super::format::{Choice, Wish, choose, describe, is_usable};
use super::identity::Identity;
use super::show::{Camera, stall_after};
use crate::base::clock::{self, MediaTime};
use crate::capture::Config;
use crate::media::{ControlRange, ControlValues};
use crate::sys::v4l2::{Device, Format, FourCc, Stream, monotonic_nanos};

/// How often it is looked whether a camera came or went.
const LOOK: Duration = Duration::from_millis(250);

/// The cameras of this machine, of which one is wanted.
pub struct System {
    path: Option<String>,
    config: Config,
    /// Of the configured camera, once it was seen.
    identity: Option<Identity>,
    nodes: Vec<Node>,
    /// Its own H.264 proved unfit.
    no_h264: bool,
}

/// One `/dev/videoN`, with what changes when it is another device or gets other permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    name: String,
    inode: u64,
    changed: (i64, i64),
}

/// `/dev/video*` in the order of their numbers.
fn nodes() -> Vec<Node> {
    let Ok(entries) = fs::read_dir("/dev") else { return Vec::new() };
    let mut nodes: Vec<Node> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_prefix("video")?.parse::<u32>().ok()?;
            let about = entry.metadata().ok()?;
            Some(Node { name, inode: about.ino(), changed: (about.ctime(), about.ctime_nsec()) })
        })
        .collect();
    nodes.sort_by_key(|node| node.name.get("video".len()..).and_then(|text| text.parse::<u32>().ok()));
    nodes
}

/// A camera that was found, not opened.
#[derive(Debug)]
pub struct Found {
    /// `/dev/video0`.
    pub path: PathBuf,
    /// What it is recognised by.
    pub identity: Identity,
    /// `uvcvideo`.
    pub driver: String,
}

impl Found {
    /// `/dev/video0 (HD Webcam)`.
    pub fn name(&self) -> String {
        format!("{} ({})", self.path.display(), self.identity.card)
    }
}

/// Every node that could be opened, with whether it is a camera, and those that could not.
pub fn look() -> (Vec<(Found, Device)>, Vec<CameraError>) {
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for node in nodes() {
        let path = Path::new("/dev").join(&node.name);
        match Device::open(&path) {
            Ok(device) => {
                let identity = Identity::of(device.capability(), &node.name);
                let driver = device.capability().driver.clone();
                found.push((Found { path, identity, driver }, device));
            }
            Err(error) => errors.push(CameraError::of(&path.display().to_string(), "opening it", &error)),
        }
    }
    (found, errors)
}

impl System {
    /// The camera at `path` (None: the first that works), set as `config` says.
    pub fn new(path: Option<&str>, config: &Config) -> Self {
        let (path, config) = (path.map(str::to_owned), config.clone());
        System { path, config, identity: None, nodes: nodes(), no_h264: false }
    }

    /// The first camera that starts; if none does, why the first one does not.
    fn open_any(&self) -> Result<Running, CameraError> {
        let (found, denied) = look();
        let mut first = None;
        for (found, device) in found {
            if !device.capability().is_camera() {
                continue;
            }
            match start(device, &found.name(), &self.config, self.no_h264) {
                Ok(running) => return Ok(running),
                Err(error) => {
                    tracing::debug!(%error, "not this camera");
                    first.get_or_insert(error);
                }
            }
        }
        Err(first.or_else(|| denied.into_iter().next()).unwrap_or(CameraError::None))
    }

    /// The configured camera: the one that is at `path` when it is first seen, and that one wherever it is later.
    fn open_this(&mut self, path: &str) -> Result<Running, CameraError> {
        let missing = || CameraError::Missing { device: path.to_owned() };
        let Some(identity) = &self.identity else {
            let real = fs::canonicalize(path).map_err(|error| CameraError::of(path, "opening it", &error))?;
            let device = Device::open(&real).map_err(|error| CameraError::of(path, "opening it", &error))?;
            if !device.capability().is_camera() {
                return Err(CameraError::NotACamera { device: path.to_owned() });
            }
            let node = real.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let identity = Identity::of(device.capability(), &node);
            let driver = device.capability().driver.clone();
            let found = Found { path: real, identity, driver };
            let name = found.name();
            self.identity = Some(found.identity);
            return start(device, &name, &self.config, self.no_h264);
        };
        let (found, mut errors) = look();
        let mut cameras: Vec<(Found, Device)> =
            found.into_iter().filter(|(_, device)| device.capability().is_camera()).collect();
        let identities: Vec<Identity> = cameras.iter().map(|(found, _)| found.identity.clone()).collect();
        let Some(index) = identity.find(&identities) else {
            // Just plugged in, its permissions not yet set.
            return Err(if errors.is_empty() { missing() } else { errors.swap_remove(0) });
        };
        let (found, device) = cameras.swap_remove(index);
        drop(cameras);
        start(device, &found.name(), &self.config, self.no_h264)
    }
}

impl World for System {
    type Opened = Running;

    fn now(&self) -> MediaTime {
        clock::media_now()
    }

    fn open(&mut self) -> Result<Running, CameraError> {
        match self.path.clone() {
            Some(path) => self.open_this(&path),
            None => self.open_any(),
        }
    }

    fn avoid_h264(&mut self) {
        self.no_h264 = true;
    }

    fn wait(&mut self, at_most: Duration) -> bool {
        clock::sleep_until(clock::now() + at_most.min(LOOK));
        let nodes = nodes();
        let changed = nodes != self.nodes;
        self.nodes = nodes;
        changed
    }
}

/// A camera that streams.
pub struct Running {
    stream: Stream,
    camera: Camera,
    format: Format,
}

/// Sets format, rate and controls and starts to stream.
fn start(device: Device, name: &str, config: &Config, no_h264: bool) -> Result<Running, CameraError> {
    let failed = |doing| move |error: io::Error| CameraError::of(name, doing, &error);
    let offers = device.offers(config.size).map_err(failed("asking for its formats"))?;
    let unusable = || CameraError::Unusable { device: name.to_owned(), offers: describe(&offers) };
    let encoding = config.encoding.filter(|_| !no_h264 && device.makes_keyframes());
    let wish = Wish { size: config.size, fps: config.fps, h264: encoding.is_some() };
    let Choice { fourcc, size, interval } = choose(&offers, wish).ok_or_else(unusable)?;
    let format = device.set_format(fourcc, size).map_err(failed("setting the format"))?;
    // The driver has the last word, and may say something else than it offered.
    let odd = !format.size.width.is_multiple_of(2) || !format.size.height.is_multiple_of(2);
    if !is_usable(format.fourcc) || odd {
        let offers = format!("{} {}", format.fourcc, format.size);
        return Err(CameraError::Unusable { device: name.to_owned(), offers });
    }
    let rate = match device.set_interval(interval) {
        Ok(answer) => answer.unwrap_or(interval),
        // Some have one rate only, and no way to say so.
        Err(error) => {
            tracing::debug!(camera = name, %error, "the rate cannot be set");
            interval
        }
    };
    if let (FourCc::H264, Some(encoding)) = (format.fourcc, encoding) {
        set_encoder(&device, name, encoding, config.fps);
    }
    controls::apply(&device, name, &config.controls);
    let stream = Stream::start(device).map_err(failed("starting it"))?;
    let fps = (rate.fps() * 100.0).round() / 100.0;
    let camera = Camera {
        name: name.to_owned(),
        format: format!("{}@{fps} {}", format.size, format.fourcc),
        stall: stall_after(rate.fps()),
    };
    Ok(Running { stream, camera, format })
}

/// What the camera does not take of it, it may do by itself: its units are looked at.
fn set_encoder(device: &Device, camera: &str, encoding: Encoding, fps: u32) {
    let bitrate_bps = i32::try_from(encoding.bitrate.as_bps()).unwrap_or(i32::MAX);
    let gop = (encoding.keyframe_interval.as_secs() as i32).saturating_mul(fps as i32);
    if let Err(error) = device.set_encoder(bitrate_bps, gop) {
        tracing::debug!(camera, %error, "its encoder does not take every setting");
    }
}

impl Source for Running {
    fn camera(&self) -> &Camera {
        &self.camera
    }

    fn format(&self) -> &Format {
        &self.format
    }

    fn force_keyframe(&mut self) -> io::Result<()> {
        self.stream.device().force_keyframe()
    }

    fn controls(&self) -> Vec<ControlRange> {
        self.stream.device().controls().iter().map(controls::range_of).collect()
    }

    fn set_controls(&mut self, values: &ControlValues) -> Vec<String> {
        controls::apply(self.stream.device(), &self.camera.name, values)
    }

    fn next(&mut self, wait: Duration, take: &mut dyn FnMut(Captured)) -> io::Result<()> {
        if let Some(buffer) = self.stream.next(wait)? {
            let age = buffer.stamp.map(|stamp| monotonic_nanos().saturating_sub(stamp));
            take(Captured { planes: &buffer.planes(), age, damaged: buffer.damaged });
        }
        Ok(())
    }
}
