//! The camera's path in real time: pictures as a camera gives them (YUYV, or Motion JPEG) through the very code that
//! a real one's take, encoded, read by a room and pushed to one RTMP server, with the voice processing at work; beside
//! it GStreamer doing the same with the same encoder, its own RTMP sink and its own WebRTC voice processing.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use roomd::audio::Voice;
use roomd::base::{Shutdown, clock};
use roomd::capture::v4l2::{Camera, CameraError, Captured, Show, Source, World, drive, stall_after};
use roomd::capture::{Config, PictureOut};
use roomd::media::{AudioFrame, AudioFrames, Stream};
use roomd::sys::v4l2::{Format, FourCc, PlaneFormat};
use turbojpeg::{Compressor, Subsamp, YuvImage};

use crate::cpu::spread;
use crate::film::{FPS, Film, SIZE};
use crate::live::Nginx;
use crate::{LEAD, MEASURED, cpu, gstreamer, ours};

/// Pictures kept in memory; they are shown to and fro, so that there is no cut.
const PICTURES: usize = 150;
/// As webcams compress.
const QUALITY: i32 = 85;

/// What the camera gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Yuyv,
    Mjpeg,
}

/// Measures both kinds and prints them.
pub fn run(film: &Film, source: &Path, rounds: usize) {
    let nginx = Nginx::start(&film.dir);
    for kind in [Kind::Yuyv, Kind::Mjpeg] {
        let clip = Clip::make(kind, film, source);
        let rounds: Vec<Round> = (0..rounds).map(|_| round(&clip, film, &nginx)).collect();
        let all = |of: &dyn Fn(&Round) -> f64| spread(rounds.iter().map(of).collect());
        println!("camera, {kind:?}, medians of {} rounds (lowest to highest), % of a core:", rounds.len());
        println!("  ours                            {}", all(&|round| round.ours.total()));
        println!("  GStreamer                       {}", all(&|round| round.gstreamer));
        println!("  ours / GStreamer                {}", all(&|round| round.ours.total() / round.gstreamer));
        for name in rounds[0].ours.threads.keys() {
            println!("    {name:<29} {}", all(&|round| round.ours.thread(name)));
        }
    }
}

struct Round {
    ours: ours::Shares,
    gstreamer: f64,
}

/// One after the other, so that what else the machine does meets both.
fn round(clip: &Arc<Clip>, film: &Film, nginx: &Nginx) -> Round {
    let ours = box_of(clip, film, nginx);
    let reading = gstreamer::measure(&clip.reading());
    let gstreamer = gstreamer::measure(&clip.pipeline(film, nginx)) - reading;
    Round { ours, gstreamer }
}

/// The box's own threads, from the camera on.
fn box_of(clip: &Arc<Clip>, film: &Film, nginx: &Nginx) -> ours::Shares {
    let (pictures, sound, stream) = (PictureOut::default(), AudioFrames::new(), Stream::new());
    let shutdown = Shutdown::new();
    let encoders = ours::encode(&pictures.frames, &sound, &stream, &shutdown);
    let room = ours::room(&stream);
    let push = nginx.push(&stream, 1);
    let camera = camera(clip, &pictures, &shutdown);
    let microphone = microphone(film, &sound);
    std::thread::sleep(LEAD);
    let (before, began) = (cpu::threads("self"), clock::now());
    std::thread::sleep(MEASURED);
    let threads = ours::counted(&before, began.elapsed().as_nanos());
    microphone.join().expect("the microphone");
    let left = push.stop();
    let due = u64::from(FPS) * (LEAD + MEASURED).as_secs();
    assert!(left.iter().all(|report| report.lost == 0 && report.sent.pictures + 60 > due), "{left:?}");
    shutdown.cancel();
    stream.close();
    camera.join().expect("the camera");
    room.join().expect("the reader");
    drop(encoders);
    let kbps = left.iter().map(|report| report.acked_bytes * 8 / film.length.as_millis() as u64).sum();
    ours::Shares { threads, kbps }
}

fn camera(clip: &Arc<Clip>, out: &PictureOut, shutdown: &Shutdown) -> JoinHandle<()> {
    let config = Config { size: SIZE, fps: FPS, ..Config::default() };
    let (show, shutdown) = (Show::new(&config, out, clock::media_now()), shutdown.clone());
    let mut machine = Machine(clip.clone());
    let work = move || drive(&mut machine, &show, &config, &shutdown);
    std::thread::Builder::new().name("camera".to_owned()).spawn(work).expect("a thread")
}

/// The film's sound through the voice's processing, which hears the same sound, later, from the speaker.
fn microphone(film: &Film, sound: &AudioFrames) -> JoinHandle<()> {
    let (source, sound, length) = (film.open(), sound.clone(), film.length);
    let voice = Voice::default();
    voice.configure(roomd::audio::VoiceConfig::default());
    let work = move || {
        let start = clock::now();
        for spoken in 0..(length.as_millis() / 20) as u32 {
            let at = start + Duration::from_millis(20) * spoken;
            clock::sleep_until(at);
            let captured = clock::media_at(at);
            voice.played(&source.sound(spoken + 50), captured + Duration::from_millis(60));
            let mut frame = AudioFrame { captured, samples: source.sound(spoken) };
            voice.process(&mut frame);
            sound.publish(Arc::new(frame));
        }
    };
    std::thread::Builder::new().name("voice".to_owned()).spawn(work).expect("a thread")
}

/// What the camera gives, in memory and in a file for GStreamer.
struct Clip {
    kind: Kind,
    pictures: Vec<Vec<u8>>,
    file: PathBuf,
}

impl Clip {
    fn make(kind: Kind, film: &Film, source: &Path) -> Arc<Clip> {
        let raw = film.dir.join("camera.raw");
        let pixels = if kind == Kind::Yuyv { "yuyv422" } else { "yuvj422p" };
        let count = PICTURES.to_string();
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-y", "-i"]).arg(source);
        ffmpeg.args([
            "-an",
            "-vf",
            "fps=30,scale=1280:720",
            "-frames:v",
            &count,
            "-pix_fmt",
            pixels,
            "-f",
            "rawvideo",
        ]);
        assert!(ffmpeg.arg(&raw).status().is_ok_and(|status| status.success()), "{ffmpeg:?}");
        let (file, bytes) = (File::open(&raw).expect("the clip"), (SIZE.width * SIZE.height * 2) as usize);
        let one = |n: usize| {
            let mut picture = vec![0; bytes];
            file.read_exact_at(&mut picture, (n * bytes) as u64).expect("a picture");
            if kind == Kind::Yuyv { picture } else { jpeg(&picture) }
        };
        let pictures: Vec<Vec<u8>> = (0..PICTURES).map(one).collect();
        let clip = Clip { kind, pictures, file: film.dir.join(format!("{kind:?}")) };
        let mut all = io::BufWriter::new(File::create(&raw).expect("a file"));
        for n in 0..film.length.as_secs() as usize * FPS as usize {
            all.write_all(clip.picture(n)).expect("a picture is written");
        }
        drop(all);
        match kind {
            Kind::Yuyv => std::fs::rename(&raw, &clip.file).expect("the file is named"),
            Kind::Mjpeg => {
                // JPEGs alone have no times.
                let mut ffmpeg = Command::new("ffmpeg");
                ffmpeg.args(["-v", "error", "-y", "-f", "mjpeg", "-framerate", "30", "-i"]).arg(&raw);
                ffmpeg.args(["-c", "copy", "-f", "matroska"]).arg(&clip.file);
                assert!(ffmpeg.status().is_ok_and(|status| status.success()), "{ffmpeg:?}");
            }
        }
        Arc::new(clip)
    }

    fn picture(&self, n: usize) -> &[u8] {
        &self.pictures[fold(n)]
    }

    fn source(&self) -> String {
        let parse = match self.kind {
            Kind::Yuyv => "rawvideoparse format=yuy2 width=1280 height=720 framerate=30/1",
            Kind::Mjpeg => "matroskademux",
        };
        format!("filesrc location={} blocksize=1843200 ! {parse} ! identity sync=true", self.file.display())
    }

    fn reading(&self) -> String {
        format!("{} ! fakesink", self.source())
    }

    fn pipeline(&self, film: &Film, nginx: &Nginx) -> String {
        let decode = if self.kind == Kind::Mjpeg { "! jpegdec" } else { "" };
        let sound = format!(
            "filesrc location={} blocksize=1920 \
             ! rawaudioparse format=pcm pcm-format=s16le sample-rate=48000 num-channels=1 ! identity sync=true",
            film.sound.display()
        );
        format!(
            "{} {decode} ! videoconvert ! video/x-raw,format=I420 ! queue ! {} ! tee name=h \
             flvmux name=f streamable=true ! rtmp2sink location={}/gstreamer \
             h. ! queue ! f. h. ! queue ! rtph264pay ! fakesink \
             {sound} ! webrtcechoprobe name=p ! fakesink {sound} ! webrtcdsp probe=p ! tee name=a \
             a. ! queue ! {} ! queue ! f. a. ! queue ! {} ! rtpopuspay ! fakesink",
            self.source(),
            gstreamer::ENCODER,
            nginx.url(),
            gstreamer::AAC,
            gstreamer::OPUS,
        )
    }
}

/// To and fro.
fn fold(n: usize) -> usize {
    let n = n % (2 * PICTURES - 2);
    n.min(2 * PICTURES - 2 - n)
}

fn jpeg(planes: &[u8]) -> Vec<u8> {
    let (width, height) = (SIZE.width as usize, SIZE.height as usize);
    let image = YuvImage { pixels: planes, width, align: 1, height, subsamp: Subsamp::Sub2x1 };
    let mut compressor = Compressor::new().expect("a compressor");
    compressor.set_quality(QUALITY).expect("a quality");
    compressor.compress_yuv_to_vec(image).expect("a JPEG")
}

/// A machine with this one camera.
struct Machine(Arc<Clip>);

impl World for Machine {
    type Opened = Replay;

    fn now(&self) -> clock::MediaTime {
        clock::media_now()
    }

    fn open(&mut self) -> Result<Replay, CameraError> {
        let (fourcc, stride) = match self.0.kind {
            Kind::Yuyv => (FourCc::YUYV, SIZE.width * 2),
            Kind::Mjpeg => (FourCc::MJPG, 0),
        };
        let format = Format { fourcc, size: SIZE, planes: vec![PlaneFormat { stride, bytes: 0 }] };
        let name = "replayed".to_owned();
        let camera =
            Camera { name, format: format!("{SIZE}@{FPS} {fourcc}"), stall: stall_after(f64::from(FPS)) };
        Ok(Replay { clip: self.0.clone(), camera, format, start: clock::now(), next: 0 })
    }

    fn avoid_h264(&mut self) {}

    fn wait(&mut self, at_most: Duration) -> bool {
        clock::sleep_until(clock::now() + at_most);
        false
    }
}

struct Replay {
    clip: Arc<Clip>,
    camera: Camera,
    format: Format,
    start: Instant,
    next: u32,
}

impl Source for Replay {
    fn camera(&self) -> &Camera {
        &self.camera
    }

    fn format(&self) -> &Format {
        &self.format
    }

    fn force_keyframe(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn next(&mut self, _: Duration, take: &mut dyn FnMut(Captured)) -> io::Result<()> {
        let due = self.start + Duration::from_secs(1) * self.next / FPS;
        clock::sleep_until(due);
        let age = clock::now().saturating_duration_since(due).as_nanos() as i64;
        let picture = self.clip.picture(self.next as usize);
        take(Captured { planes: &[picture], age: Some(age), damaged: false });
        self.next += 1;
        Ok(())
    }
}
