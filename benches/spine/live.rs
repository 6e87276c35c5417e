//! What each further RTMP destination costs: the real pusher to a real nginx, beside the encode that it reads.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use roomd::base::{Shutdown, clock};
use roomd::codec::AUDIO_SPECIFIC_CONFIG;
use roomd::control::live::{LiveUrl, StreamKey};
use roomd::media::{AudioFrames, Stream, VideoFrames};
use roomd::push::{Config, Destination, Key, Pusher, Report};
use roomd::rtmp::Sound;

use crate::cpu::spread;
use crate::film::Film;
use crate::{LEAD, MEASURED, cpu, ours};

/// Destinations of the second half of a round; the first has one.
const MANY: usize = 5;
const PUSHING: &str = "push-task";

/// Alternates between one destination and [`MANY`] and prints what one costs.
pub fn run(film: &Film, rounds: usize) {
    let nginx = Nginx::start(&film.dir);
    let rounds: Vec<[f64; 3]> = (0..rounds).map(|_| round(film, &nginx)).collect();
    let all = |of: &dyn Fn(&[f64; 3]) -> f64| rounds.iter().map(of).collect::<Vec<f64>>();
    println!("going live to nginx, medians of {} rounds (lowest to highest), % of a core:", rounds.len());
    println!("  encode-full                     {}", spread(all(&|round| round[0])));
    println!("  the first destination           {}", spread(all(&|round| round[1])));
    println!("  each further destination        {}", spread(all(&|round| round[2])));
    println!("  further / encode-full, %        {}", spread(all(&|round| round[2] / round[0] * 100.0)));
}

/// Encode, first destination, each further one.
fn round(film: &Film, nginx: &Nginx) -> [f64; 3] {
    let (encode_one, one) = pushed(film, nginx, 1);
    let (encode_many, many) = pushed(film, nginx, MANY);
    [(encode_one + encode_many) / 2.0, one, (many - one) / (MANY - 1) as f64]
}

/// Shares of encode-full and of pushing to so many destinations.
fn pushed(film: &Film, nginx: &Nginx, destinations: usize) -> (f64, f64) {
    let (frames, sound, stream) = (VideoFrames::new(), AudioFrames::new(), Stream::new());
    let shutdown = Shutdown::new();
    let encoders = ours::encode(&frames, &sound, &stream, &shutdown);
    let pushing = nginx.push(&stream, destinations);
    let feeder = ours::feed(film, &frames, &sound);
    std::thread::sleep(LEAD);
    let (before, began) = (cpu::threads("self"), clock::now());
    std::thread::sleep(MEASURED);
    let shares = cpu::shares(&before, cpu::threads("self"), began.elapsed().as_nanos());
    feeder.join().expect("the feeder");
    let left = pushing.stop();
    for report in &left {
        let pictures = report.sent.pictures + report.lost;
        assert!(report.lost == 0 && pictures + 60 > film.length.as_secs() * 30, "{report:?}");
    }
    assert_eq!(left.len(), destinations);
    shutdown.cancel();
    stream.close();
    drop(encoders);
    let share = |name: &str| shares.get(name).copied().unwrap_or(0.0);
    (share("encode-full"), share(PUSHING))
}

/// Pushes that run.
pub struct Pushing {
    pusher: Pusher,
    runtime: tokio::runtime::Runtime,
}

impl Pushing {
    /// Ends them; what each has sent.
    pub fn stop(mut self) -> Vec<Report> {
        let inside = self.runtime.enter();
        self.pusher.set(Vec::new());
        drop(inside);
        self.runtime.block_on(self.pusher.left())
    }
}

/// An nginx with its RTMP module that drops what it gets; ended by its pid.
pub struct Nginx {
    port: u16,
    child: Child,
}

impl Nginx {
    /// Pushes `stream` to it, so many times.
    pub fn push(&self, stream: &Stream, destinations: usize) -> Pushing {
        // The tasks have a thread of their own here, so that they are counted; in the box they share `net`.
        let runtime = ours::runtime(PUSHING);
        let config = Config {
            ca_file: None,
            sound: Sound { config: AUDIO_SPECIFIC_CONFIG.to_vec(), rate: 48_000, channels: 1 },
        };
        let mut pusher = Pusher::new(config, stream.clone());
        let inside = runtime.enter();
        let to = |number: usize| {
            let url = LiveUrl::parse(&self.url()).expect("a URL");
            Destination { url, key: Key::Given(StreamKey::parse(&format!("k{number}")).expect("a key")) }
        };
        pusher.set((0..destinations).map(to).collect());
        drop(inside);
        Pushing { pusher, runtime }
    }

    /// Where it takes streams.
    pub fn url(&self) -> String {
        format!("rtmp://127.0.0.1:{}/live", self.port)
    }

    pub fn start(dir: &Path) -> Nginx {
        let probe = std::net::TcpListener::bind("127.0.0.1:0").and_then(|probe| probe.local_addr());
        let (port, dir) = (probe.expect("a port").port(), dir.display());
        let config = format!(
            "load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;\ndaemon off;\nmaster_process off;\npid {dir}/pid;\n\
             events {{ worker_connections 64; }}\n\
             rtmp {{ server {{ listen 127.0.0.1:{port}; application live {{ live on; }} }} }}\n"
        );
        std::fs::write(format!("{dir}/nginx.conf"), config).expect("nginx.conf is written");
        let child = Command::new("/usr/sbin/nginx")
            .args([
                "-p",
                &dir.to_string(),
                "-c",
                &format!("{dir}/nginx.conf"),
                "-e",
                &format!("{dir}/error.log"),
            ])
            .stderr(Stdio::null())
            .spawn();
        let child = child.expect("nginx starts (scripts/install.sh bench)");
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Nginx { port, child }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
