//! How long the picture takes inside the box until it is encoded, and how long openh264 takes to decode it.

use std::thread::JoinHandle;
use std::time::Duration;

use roomd::base::{Shutdown, clock};
use roomd::capture;
use roomd::codec::h264::H264Decoder;
use roomd::codec::{self, VideoConfig};
use roomd::media::{AccessUnit, Stream, VideoFrames, Wants};

use crate::cpu::percentiles;
use crate::{MEASURED, ours};

const MILLIS: f64 = 1000.0;

/// Runs the test source and the full layer's encoder and prints the times.
pub fn run() {
    let (frames, stream, shutdown) = (VideoFrames::new(), Stream::new(), Shutdown::new());
    let runtime = ours::runtime("tasks");
    let reader = read(&stream);
    let (pictures, stop, out) = (frames.clone(), shutdown.clone(), stream.clone());
    runtime.spawn(async move { codec::full(VideoConfig::default(), &pictures, &out, &stop).await });
    let stop = shutdown.clone();
    runtime.spawn(async move {
        let out = capture::PictureOut { frames, ..Default::default() };
        capture::camera(&capture::Config::default(), &out, &stop).await
    });
    std::thread::sleep(MEASURED + Duration::from_secs(1));
    shutdown.cancel();
    stream.close();
    let (units, took) = reader.join().expect("the reader");
    println!("test source, {} pictures, wall clock:", units.len());
    println!("  shown to published      {}", percentiles(took));
    println!("  decoded by openh264     {}", percentiles(decode(&units)));
}

/// Every access unit, and milliseconds from its picture's time to its being here; without the first second.
fn read(stream: &Stream) -> JoinHandle<(Vec<AccessUnit>, Vec<f64>)> {
    let mut reader =
        stream.subscribe("bench", Wants { video: [false, false, true], opus: false, aac: false });
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let (mut units, mut took) = (Vec::new(), Vec::new());
            while let Some(unit) = reader.recv().await {
                took.push(clock::media_now().since(unit.pts).as_secs_f64() * MILLIS);
                units.push(unit);
            }
            (units, took.split_off(30))
        })
    };
    std::thread::spawn(work)
}

fn decode(units: &[AccessUnit]) -> Vec<f64> {
    let mut decoder = H264Decoder::new().expect("a decoder");
    let mut took = Vec::new();
    for unit in units {
        let began = clock::now();
        decoder.decode(&unit.data, unit.pts).expect("a whole access unit");
        took.push(began.elapsed().as_secs_f64() * MILLIS);
    }
    took
}
