//! The real encoders' threads and the real recorder, fed in real time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use roomd::base::{Shutdown, clock};
use roomd::codec::{self, AudioConfig, VideoConfig};
use roomd::media::{AudioFrame, AudioFrames, FramePool, Stream, VideoFrames, Wants};
use roomd::store::Store;
use roomd::{mp4, record};
use tokio::runtime::Runtime;

use crate::film::{FPS, Film, SIZE};
use crate::{LEAD, MEASURED, cpu};

/// Threads that are not ours to count: the frames' source and this program's own.
const NOT_COUNTED: [&str; 2] = ["feeder", "spine"];

/// What one round cost.
pub struct Shares {
    /// Percent of a core.
    pub threads: BTreeMap<String, f64>,
    /// Of the file.
    pub kbps: u64,
}

impl Shares {
    pub fn total(&self) -> f64 {
        self.threads.values().sum()
    }

    pub fn thread(&self, name: &str) -> f64 {
        self.threads.get(name).copied().unwrap_or(0.0)
    }

    /// The recorder's threads, of what encoding the picture takes.
    pub fn recording_percent(&self) -> f64 {
        let recording: f64 =
            ["record-task", "record-write", "record-sync"].map(|name| self.thread(name)).iter().sum();
        recording / self.thread("encode-full") * 100.0
    }
}

/// One round of the film.
pub fn run(film: &Film) -> Shares {
    let (frames, sound, stream) = (VideoFrames::new(), AudioFrames::new(), Stream::new());
    let shutdown = Shutdown::new();
    let encoders = encode(&frames, &sound, &stream, &shutdown);
    let room = room(&stream);
    // The recorder's task has a thread of its own here, so that it is counted; in the box it shares one.
    let recorder = runtime("record-task");
    let dir = tempfile::tempdir().expect("a folder");
    let recording = {
        let _inside = recorder.enter();
        let config = record::Config { dir: dir.path().join("recordings"), min_free_bytes: 0 };
        let store = Store::open(&dir.path().join("roomd.db")).expect("a database");
        let audio = mp4::AudioConfig::aac_lc_48k_mono();
        let request = record::Request { id: "bench".to_owned(), room: None, audio };
        record::start(config, store, &stream, request).expect("a recording")
    };
    let feeder = feed(film, &frames, &sound);
    std::thread::sleep(LEAD);
    let (before, began) = (cpu::threads("self"), clock::now());
    std::thread::sleep(MEASURED);
    let threads = counted(&before, began.elapsed().as_nanos());
    feeder.join().expect("the feeder");
    let finished = recorder.block_on(recording.stop());
    shutdown.cancel();
    stream.close();
    room.join().expect("the reader");
    drop(encoders);
    let recorded = finished.duration();
    assert!(
        recorded + Duration::from_millis(500) > film.length,
        "{recorded:?} recorded: the machine is too slow"
    );
    let kbps = finished.bytes() * 8 / recorded.as_millis() as u64;
    Shares { threads, kbps }
}

/// Shares of the threads that are the box's, since `before`, `nanos` ago.
pub fn counted(before: &BTreeMap<String, u64>, nanos: u128) -> BTreeMap<String, f64> {
    let mut shares = cpu::shares(before, cpu::threads("self"), nanos);
    shares.retain(|name, _| !NOT_COUNTED.iter().any(|not| name.starts_with(not)));
    shares
}

pub fn runtime(name: &str) -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).thread_name(name).enable_all().build().expect("a runtime")
}

/// The encoders, as the box runs them.
pub fn encode(frames: &VideoFrames, sound: &AudioFrames, stream: &Stream, shutdown: &Shutdown) -> Runtime {
    let runtime = runtime("encode-tasks");
    let (frames, sound, stream, shutdown) = (frames.clone(), sound.clone(), stream.clone(), shutdown.clone());
    runtime.spawn(async move {
        let (full, opus, aac) = tokio::join!(
            codec::full(VideoConfig::default(), &frames, &stream, &shutdown),
            codec::opus(AudioConfig::default(), &sound, &stream, &shutdown),
            codec::aac(&sound, &stream, &shutdown),
        );
        full.and(opus).and(aac).expect("the encoders");
    });
    runtime
}

/// Reads what a room would be sent.
pub fn room(stream: &Stream) -> JoinHandle<()> {
    let mut reader = stream.subscribe("room", Wants { video: [false, false, true], opus: true, aac: false });
    let read = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async { while reader.recv().await.is_some() {} });
    };
    std::thread::Builder::new().name("room-reader".to_owned()).spawn(read).expect("a thread")
}

/// Hands pictures and sound over at their times until the film is over.
pub fn feed(film: &Film, frames: &VideoFrames, sound: &AudioFrames) -> JoinHandle<()> {
    let (source, frames, sound, length) = (film.open(), frames.clone(), sound.clone(), film.length);
    let pool = FramePool::new(SIZE);
    let work = move || {
        let start = clock::now();
        let (mut picture, mut spoken) = (0, 0);
        loop {
            let next_picture = Duration::from_secs(1) * picture / FPS;
            let next_sound = Duration::from_millis(20) * spoken;
            if next_picture.min(next_sound) >= length {
                break;
            } else if next_sound <= next_picture {
                clock::sleep_until(start + next_sound);
                let captured = clock::media_at(start + next_sound);
                sound.publish(Arc::new(AudioFrame { captured, samples: source.sound(spoken) }));
                spoken += 1;
            } else {
                clock::sleep_until(start + next_picture);
                let mut frame = pool.take(clock::media_at(start + next_picture));
                source.picture(picture, &mut frame);
                frames.publish(Arc::new(frame));
                picture += 1;
            }
        }
    };
    std::thread::Builder::new().name("feeder".to_owned()).spawn(work).expect("a thread")
}
