//! What a test of the participant needs: a real livekit-server, guests by the Python SDK, and a box that publishes
//! the test source.
#![allow(dead_code)]

pub mod proxy;
pub mod through;

use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use roomd::audio::Mixer;
use roomd::base::units::{Bitrate, Size};
use roomd::base::{Shutdown, clock};
use roomd::participant::{self, Config, Event, TokenSource, VideoConfig};
use roomd::{capture, codec, media};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub const KEY: &str = "devkey";
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The path in `variable`. None when the test is to be left out (`ROOMD_TEST_ALLOW_SKIP=1`).
pub fn part(variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.exists());
    if path.is_none() {
        let allowed = std::env::var("ROOMD_TEST_ALLOW_SKIP").is_ok_and(|value| value == "1");
        assert!(
            allowed,
            "{variable} names no file: run the tests by `make test` (ROOMD_TEST_ALLOW_SKIP=1 skips)"
        );
        eprintln!("left out: {variable} names no file");
    }
    path
}

/// A join token for `room`, valid for an hour; or until `expires_in_s` from now, which may be past.
pub fn token(identity: &str, room: &str, expires_in_s: i64) -> String {
    let video = serde_json::json!({"room": room, "roomJoin": true, "roomAdmin": true, "roomCreate": true});
    signed(serde_json::json!({"sub": identity, "video": video}), expires_in_s)
}

/// `claims` as a token that is valid as above.
pub fn signed(mut claims: serde_json::Value, expires_in_s: i64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
    claims["iss"] = KEY.into();
    claims["nbf"] = (now - 7200).into();
    claims["exp"] = (now + expires_in_s).into();
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}

/// A livekit-server of its own, ended by its pid.
pub struct LiveKit {
    program: PathBuf,
    config: tempfile::NamedTempFile,
    pub port: u16,
    pub udp_port: u16,
    child: Option<Child>,
}

impl LiveKit {
    /// None when there is none to test with and that is allowed.
    pub async fn start() -> Option<LiveKit> {
        LiveKit::start_with("").await
    }

    /// With more sections of configuration.
    pub async fn start_with(sections: &str) -> Option<LiveKit> {
        LiveKit::start_as(sections, "").await
    }

    /// The same, and more lines of the section `rtc`.
    pub async fn start_as(sections: &str, rtc: &str) -> Option<LiveKit> {
        let program = part("ROOMD_TEST_LIVEKIT_SERVER")?;
        let (http, tcp) =
            (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let udp_port = udp.local_addr().unwrap().port();
        let port = http.local_addr().unwrap().port();
        let mut config = tempfile::NamedTempFile::new().unwrap();
        write!(
            config,
            "port: {port}\nbind_addresses: [\"127.0.0.1\"]\nkeys: {{{KEY}: \"{SECRET}\"}}\n\
             room:\n  auto_create: true\n  enabled_codecs: [{{mime: audio/opus}}, {{mime: video/h264}}]\n\
             logging: {{level: info}}\n{sections}\n\
             rtc:\n  node_ip: 127.0.0.1\n  use_external_ip: false\n  enable_loopback_candidate: true\n  \
             interfaces: {{includes: [lo]}}\n  udp_port: {}\n  tcp_port: {}\n  stun_servers: [\"127.0.0.1:3478\"]\n{rtc}",
            udp_port,
            tcp.local_addr().unwrap().port(),
        )
        .unwrap();
        let mut server = LiveKit { program, config, port, udp_port, child: None };
        drop((http, tcp, udp));
        server.spawn().await;
        Some(server)
    }

    pub async fn spawn(&mut self) {
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(self.config.path()).stdin(Stdio::null()).stdout(Stdio::null());
        if std::env::var_os("ROOMD_TEST_VERBOSE").is_none() {
            command.stderr(Stdio::null());
        }
        self.child = Some(command.spawn().unwrap());
        let port = self.port;
        until("livekit-server answers", Duration::from_secs(20), || async move {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
    }

    /// As `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }
}

impl Drop for LiveKit {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until `condition` holds, at most `bound`.
pub async fn until<F: Future<Output = bool>>(what: &str, bound: Duration, condition: impl Fn() -> F) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(bound, waiting).await.unwrap_or_else(|_| panic!("not within {bound:?}: {what}"));
}

/// What a guest of the Python SDK met; see guest.py.
pub async fn guest(url: &str, room: &str, seconds: u32, how: &[&str]) -> Option<serde_json::Value> {
    let python = part("ROOMD_TEST_PYTHON")?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/guest.py");
    let output = tokio::process::Command::new(python)
        .arg(script)
        .args([url, &token("guest", room, 3600), &seconds.to_string()])
        .args(how)
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    let met = said.lines().find_map(|line| serde_json::from_str(line).ok());
    Some(met.unwrap_or_else(|| panic!("the guest told nothing: {said}\n{complaint}")))
}

/// A box with the test source, on its way into a room.
pub struct Box_ {
    pub events: Arc<Mutex<Vec<Event>>>,
    pub mute: media::MuteSwitch,
    pub stream: media::Stream,
    pub heard: Arc<Mutex<Vec<i16>>>,
    pub shutdown: Shutdown,
    pub run: Option<JoinHandle<Result<(), participant::Error>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Box_ {
    pub fn join(url: String, token: TokenSource) -> Box_ {
        let (shutdown, stream, mute) = (Shutdown::new(), media::Stream::new(), media::MuteSwitch::default());
        let events = Arc::new(Mutex::new(Vec::new()));
        let mixer = Mixer::new();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = produce(&stream, &mute, &shutdown);
        tasks.push(tokio::spawn(record(mixer.clone(), heard.clone(), shutdown.clone())));
        let config = Config {
            url,
            room: "test".into(),
            token,
            extra_ca: None,
            video: Some(VideoConfig {
                size: Size::new(1280, 720),
                fps: 30,
                bitrate: Bitrate::kbps(2000),
                simulcast: true,
            }),
            audio: true,
            meter: Default::default(),
            attributes: tokio::sync::watch::channel(Default::default()).1,
        };
        let seen = events.clone();
        let tell = move |event: Event| {
            eprintln!("box: {event:?}");
            seen.lock().unwrap().push(event);
        };
        let muted: watch::Receiver<bool> = mute.subscribe();
        let run = participant::run(config, stream.clone(), muted, Arc::new(mixer), tell, shutdown.clone());
        let run = Some(tokio::spawn(run));
        Box_ { events, mute, stream, heard, shutdown, run, tasks }
    }

    pub async fn until_event(&self, what: &str, bound: Duration, wanted: impl Fn(&Event) -> bool) {
        until(what, bound, || async { self.events.lock().unwrap().iter().any(&wanted) }).await;
    }

    pub async fn until_joined(&self) {
        let joined = |event: &Event| matches!(event, Event::Joined { .. });
        self.until_event("the box is in the room", Duration::from_secs(20), joined).await;
    }

    /// Forgets the events so far.
    pub fn forget(&self) {
        self.events.lock().unwrap().clear();
    }

    pub async fn leave(mut self) -> Result<(), participant::Error> {
        self.shutdown.cancel();
        let run = self.run.take().unwrap();
        let ended =
            tokio::time::timeout(Duration::from_secs(10), run).await.expect("the box leaves").unwrap();
        for task in self.tasks.drain(..) {
            task.await.unwrap();
        }
        ended
    }
}

impl Drop for Box_ {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn produce(stream: &media::Stream, mute: &media::MuteSwitch, shutdown: &Shutdown) -> Vec<JoinHandle<()>> {
    let (pictures, sound) = (media::VideoFrames::new(), media::AudioFrames::new());
    let config = capture::Config::default();
    let (video, audio) = (codec::VideoConfig::default(), codec::AudioConfig::default());
    let mut tasks = Vec::new();
    let (p, s, d) = (pictures.clone(), stream.clone(), shutdown.clone());
    tasks.push(tokio::spawn(async move { codec::full(video, &p, &s, &d).await.expect("full") }));
    let (p, s, d) = (pictures.clone(), stream.clone(), shutdown.clone());
    tasks.push(tokio::spawn(async move { codec::lower(video, &p, &s, &d).await.expect("lower") }));
    let (p, s, d) = (sound.clone(), stream.clone(), shutdown.clone());
    tasks.push(tokio::spawn(async move { codec::opus(audio, &p, &s, &d).await.expect("opus") }));
    let picture_out = capture::PictureOut { frames: pictures, ..Default::default() };
    let (c, d) = (config.clone(), shutdown.clone());
    tasks.push(tokio::spawn(async move { capture::camera(&c, &picture_out, &d).await.expect("camera") }));
    let d = shutdown.clone();
    let sound_out = capture::SoundOut { frames: sound, mute: mute.clone(), ..Default::default() };
    tasks.push(tokio::spawn(async move { capture::microphone(&config, &sound_out, &d).await.expect("mic") }));
    tasks
}

async fn record(mixer: Mixer, heard: Arc<Mutex<Vec<i16>>>, shutdown: Shutdown) {
    let mut beat = tokio::time::interval(Duration::from_millis(20));
    let mut frame = [0i16; media::FRAME_SAMPLES];
    while !shutdown.is_cancelled() {
        beat.tick().await;
        mixer.mix(clock::media_now(), &mut frame);
        heard.lock().unwrap().extend_from_slice(&frame);
    }
}

/// How much of `samples` (48 kHz) is a tone of `hz`: 1.0 all of it, 0.0 nothing.
pub fn purity(samples: &[i16], hz: f64) -> f64 {
    let (mut re, mut im, mut energy) = (0.0, 0.0, 0.0);
    for (n, &sample) in samples.iter().enumerate() {
        let (angle, value) = (std::f64::consts::TAU * hz * n as f64 / 48_000.0, f64::from(sample));
        re += value * angle.cos();
        im += value * angle.sin();
        energy += value * value;
    }
    if energy == 0.0 { 0.0 } else { 2.0 * (re * re + im * im) / (energy * samples.len() as f64) }
}
