//! From frames in memory to encoded stream and MP4: CPU against GStreamer with the same encoder, and the time that
//! encoding takes.
//!
//! `ROOMD_TEST_FILM=film.mp4 cargo bench --bench spine` (what is measured and how: benches/README.md). Rounds
//! alternate between the two and their medians are printed; `ROOMD_BENCH_ROUNDS` changes their number. With the
//! argument `live` only the cost of going live is measured, with `camera` only the camera's path.
#![allow(clippy::disallowed_methods)]

mod camera;
mod cpu;
mod film;
mod gstreamer;
mod latency;
mod live;
mod ours;
mod voice;

use std::path::PathBuf;
use std::time::Duration;

use cpu::spread;
use film::Film;
use gstreamer::Branches;

/// What is measured of a round; before it everything warms up, after it nothing may run dry.
const MEASURED: Duration = Duration::from_secs(20);
const LEAD: Duration = Duration::from_secs(2);
const TAIL: Duration = Duration::from_secs(1);
const ROUNDS: usize = 5;

fn main() {
    if std::env::args().any(|argument| argument == "voice") {
        return voice::run();
    }
    let film = PathBuf::from(std::env::var_os("ROOMD_TEST_FILM").expect("ROOMD_TEST_FILM names a film"));
    let rounds =
        std::env::var("ROOMD_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    // On tmpfs: both sides read frames from memory.
    let dir = tempfile::tempdir_in("/dev/shm").expect("a folder on tmpfs");
    let source = film;
    let film = Film::decode(&source, dir.path(), LEAD + MEASURED + TAIL);

    if std::env::args().any(|argument| argument == "live") {
        return live::run(&film, rounds.max(1));
    }
    if std::env::args().any(|argument| argument == "camera") {
        return camera::run(&film, &source, rounds.max(1));
    }
    let rounds: Vec<Round> = (0..rounds.max(1)).map(|number| Round::run(number, &film)).collect();
    let all = |of: &dyn Fn(&Round) -> f64| rounds.iter().map(of).collect::<Vec<f64>>();
    println!("\nmedians of {} rounds (lowest to highest), % of a core:", rounds.len());
    println!("  ours                            {}", spread(all(&|round| round.ours.total())));
    println!("  GStreamer, MP4                  {}", spread(all(&|round| round.mp4)));
    println!("  GStreamer, MP4, FLV and RTP     {}", spread(all(&|round| round.everything)));
    println!("ratios:");
    println!("  ours / GStreamer MP4            {}", spread(all(&|round| round.ours.total() / round.mp4)));
    println!(
        "  ours / GStreamer MP4, FLV, RTP  {}",
        spread(all(&|round| round.ours.total() / round.everything))
    );
    println!("  recording / encode-full, %      {}", spread(all(&|round| round.ours.recording_percent())));
    println!("of each thread, % of a core:");
    for name in rounds[0].ours.threads.keys() {
        println!("  {name:<31} {}", spread(all(&|round| round.ours.thread(name))));
    }
    live::run(&film, rounds.len());
    camera::run(&film, &source, rounds.len());
    latency::run();
}

/// One after the other, so that what else the machine does meets all of them.
struct Round {
    ours: ours::Shares,
    /// GStreamer's, what reading costs taken off.
    mp4: f64,
    everything: f64,
}

impl Round {
    fn run(number: usize, film: &Film) -> Round {
        let ours = ours::run(film);
        let reading = gstreamer::run(film, Branches::Reading);
        let mp4 = gstreamer::run(film, Branches::Mp4) - reading;
        let everything = gstreamer::run(film, Branches::Everything) - reading;
        println!(
            "round {number}: ours {:.2} % of a core ({} kbit/s), GStreamer MP4 {mp4:.2} %, with FLV and RTP \
             {everything:.2} % (reading, {reading:.2} %, taken off)",
            ours.total(),
            ours.kbps,
        );
        Round { ours, mp4, everything }
    }
}
