//! Subscribers behind bad networks: a seeded relay between a client and the room server.
// Real processes take real time, and a test that cannot go on may panic.
#![allow(clippy::disallowed_methods)]

mod relay;
mod rooms;

use std::sync::atomic::Ordering;
use std::time::Duration;

use livekit_protocol as proto;
use relay::{Link, Relay};
use roomd::room::{Grant, RoomOptions};
use rooms::client::{Client, Doing, FPS, Picture, Seen};
use rooms::gateway::{Gateway, Way};
use rooms::{RoomServer, grant};

const FULL: u8 = 2;
const CAMERA: Doing = Doing { video: true, audio: Some(20), shown: None };
/// Every wait ends after this at the latest.
const LIMIT: Duration = Duration::from_secs(120);

/// A publisher next to the server and a subscriber behind a relay.
struct Scene {
    publisher: Client,
    subscriber: Client,
    relay: Relay,
    _gateway: Gateway,
    _server: RoomServer,
}

impl Scene {
    async fn new(seed: u64) -> Scene {
        let server = RoomServer::start().await;
        let relay = Relay::to(server.media(), seed).await;
        let gateway = Gateway::to(server.address, Way::Udp(relay.address().port())).await;
        let publisher = Client::join(&server.ws_url(), &server.token("hall", "camera"), CAMERA).await;
        let doing = Doing::default();
        let subscriber = Client::join(&gateway.ws_url(), &server.token("hall", "viewer"), doing).await;
        Scene { publisher, subscriber, relay, _gateway: gateway, _server: server }
    }

    /// Waits until `done`; panics with what was seen.
    async fn until(&self, what: &str, done: impl Fn(&Seen) -> bool) {
        let waiting = async {
            while !done(&self.subscriber.seen.lock().expect("seen")) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(LIMIT, waiting).await.is_err() {
            let seen = self.subscriber.seen.lock().expect("seen");
            panic!("never: {what}; {:?}, {:?}, {:?}", seen.video, seen.states, self.relay.down());
        }
    }

    /// The publisher's newest picture.
    fn now(&self) -> u64 {
        self.publisher.pictures.load(Ordering::Relaxed)
    }

    fn pictures(&self) -> Vec<Picture> {
        self.subscriber.seen.lock().expect("seen").pictures.clone()
    }
}

fn shows(layer: u8) -> impl Fn(&Seen) -> bool {
    move |seen| seen.pictures.iter().rev().take(10).filter(|picture| picture.layer == layer).count() == 10
}

fn bottleneck(kbps: u64) -> Link {
    Link { queue: Duration::from_millis(300), ..Link::bottleneck(kbps * 1000) }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_bottleneck_the_layer_falls_and_comes_back_when_it_ends() {
    let scene = Scene::new(1).await;
    scene.until("the full layer", shows(FULL)).await;
    let begins = scene.now();
    scene.relay.set_down(bottleneck(600));
    scene.until("a smaller layer", |seen| shows(1)(seen) || shows(0)(seen)).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    let ends = scene.now();
    scene.relay.set_down(Link::default());
    scene.until("the full layer again", shows(FULL)).await;
    let pictures = scene.pictures();
    let within = |p: &&Picture| (begins..ends).contains(&u64::from(p.number));
    let last_full =
        pictures.iter().filter(within).filter(|p| p.layer == FULL).map(|p| u64::from(p.number)).max();
    let back = pictures.iter().find(|p| p.layer == FULL && u64::from(p.number) >= ends).expect("came back");
    let fell_after = (last_full.unwrap_or(begins) - begins) as f64 / FPS as f64;
    let came_after = (u64::from(back.number) - ends) as f64 / FPS as f64;
    eprintln!("fell {fell_after:.1} s after the beginning, came back {came_after:.1} s after the end");
    let steady: Vec<&Picture> =
        pictures.iter().filter(within).filter(|p| u64::from(p.number) >= begins + 5 * FPS).collect();
    assert!(steady.iter().all(|p| p.layer < FULL), "it does not flap");
    let whole = steady.iter().filter(|p| p.packets.0 == p.packets.1).count();
    assert!(whole * 100 >= steady.len() * 95, "{whole} of {} pictures are whole", steady.len());
    assert!(scene.subscriber.seen.lock().expect("seen").states.is_empty(), "never paused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_that_a_network_does_not_carry_at_all_is_paused_and_goes_on_when_it_does() {
    let scene = Scene::new(11).await;
    scene.until("the full layer", shows(FULL)).await;
    let begins = scene.now();
    scene.relay.set_down(bottleneck(60));
    scene.until("paused", |seen| seen.states.last().is_some_and(|(_, paused)| *paused)).await;
    let paused_after = (scene.now() - begins) as f64 / FPS as f64;
    // What is under way still comes.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let counts = |seen: &Seen| (seen.video.iter().sum::<u64>(), seen.audio);
    let before = counts(&scene.subscriber.seen.lock().expect("seen"));
    tokio::time::sleep(Duration::from_secs(4)).await;
    let after = counts(&scene.subscriber.seen.lock().expect("seen"));
    let ends = scene.now();
    scene.relay.set_down(Link::default());
    scene.until("active", |seen| seen.states.last().is_some_and(|(_, paused)| !*paused)).await;
    scene.until("the full layer again", shows(FULL)).await;
    let back = scene.pictures().into_iter().find(|p| u64::from(p.number) >= ends).expect("came back");
    let back_after = (u64::from(back.number) - ends) as f64 / FPS as f64;
    let states = scene.subscriber.seen.lock().expect("seen").states.clone();
    eprintln!(
        "paused after {paused_after:.1} s, back {back_after:.1} s after the end: {before:?} {after:?} {states:?}"
    );
    assert_eq!(after.0, before.0, "no pictures while it is paused");
    assert!(after.1 - before.1 >= 150, "of the 200 packets of sound {}", after.1 - before.1);
    assert!(states.windows(2).all(|pair| pair[0].1 != pair[1].1), "each told once: {states:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn five_percent_loss_and_jitter_are_repaired() {
    let scene = Scene::new(3).await;
    scene.until("the full layer", shows(FULL)).await;
    scene.relay.set_down(Link::lossy(true));
    let waiting = async {
        while scene.relay.down().lost < 100 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, waiting).await.expect("a hundred lost datagrams");
    let pictures = scene.pictures();
    // The newest may still be on their way.
    let settled: Vec<&Picture> = pictures.iter().rev().skip(15).take(250).collect();
    let whole = settled.iter().filter(|p| p.packets.0 >= p.packets.1).count();
    let down = scene.relay.down();
    let full = settled.iter().filter(|p| p.layer == FULL).count();
    eprintln!("{whole} of {} pictures whole, {full} of the full layer, {down:?}", settled.len());
    assert!(whole * 100 >= settled.len() * 97, "{whole} of {} pictures are whole", settled.len());
    let sid = scene.subscriber.seen.lock().expect("seen").sid.clone();
    let excellent = proto::ConnectionQuality::Excellent as i32;
    let told = |seen: &Seen| seen.qualities.iter().any(|(of, quality)| *of == sid && *quality != excellent);
    scene.until("told of its connection", told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_voices_the_loudest_five_are_sent() {
    let server = RoomServer::start().await;
    let mut talkers = Vec::new();
    for (index, level) in [90, 90, 30, 90, 25, 28, 90, 20].into_iter().enumerate() {
        let token = server.token("hall", &format!("talker-{index}"));
        talkers.push(
            Client::join(&server.ws_url(), &token, Doing { audio: Some(level), ..Doing::default() }).await,
        );
    }
    let listener = Client::join(&server.ws_url(), &server.token("hall", "listener"), Doing::default()).await;
    let heard = || listener.seen.lock().expect("seen").audio_by_ssrc.clone();
    let waiting = async {
        while heard().len() < 5 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, waiting).await.expect("five voices");
    tokio::time::sleep(Duration::from_secs(4)).await;
    let before = heard();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = heard();
    let going_on = after.iter().filter(|(ssrc, count)| before.get(ssrc).is_none_or(|before| before < count));
    assert_eq!(going_on.count(), 5, "{before:?} {after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_moderator_muted_reaches_nobody_although_its_client_goes_on_sending() {
    let server = RoomServer::start().await;
    let publisher = Client::join(&server.ws_url(), &server.token("hall", "deaf"), CAMERA).await;
    let viewer = Client::join(&server.ws_url(), &server.token("hall", "viewer"), Doing::default()).await;
    let counts = || {
        let seen = viewer.seen.lock().expect("seen");
        (seen.video.iter().sum::<u64>(), seen.audio)
    };
    let wait = async |what: &str, done: &dyn Fn() -> bool| {
        let waiting = async {
            while !done() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LIMIT, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
    };
    wait("picture and sound", &|| counts().0 > 50 && counts().1 > 50).await;
    let moderator = Grant { room_admin: true, ..grant("hall", "host") };
    let tracks = publisher.seen.lock().expect("seen").published.clone();
    assert_eq!(tracks.len(), 2);
    for track_sid in tracks {
        let (room, identity) = ("hall".to_owned(), "deaf".to_owned());
        let request = proto::MuteRoomTrackRequest { room, identity, track_sid, muted: true };
        assert!(server.handle.mute_track(moderator.clone(), request).await.expect("muted").muted);
    }
    // What is under way still comes.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (before, received) = (counts(), server.handle.counters().packets_received.load(Ordering::Relaxed));
    let pictures = publisher.pictures.load(Ordering::Relaxed);
    wait("two more seconds", &|| publisher.pictures.load(Ordering::Relaxed) > pictures + 2 * FPS).await;
    assert_eq!(counts(), before);
    let more = server.handle.counters().packets_received.load(Ordering::Relaxed) - received;
    assert!(more > 100, "the client goes on: {more} packets came");
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_are_told_how_the_room_shall_be_played() {
    let server = RoomServer::start().await;
    let delay = (Duration::from_millis(200), Duration::from_millis(400));
    let options =
        RoomOptions { playout_delay: Some(delay), sync_streams: Some(true), ..RoomOptions::default() };
    server.handle.create_room("hall".to_owned(), options).await.expect("a room");
    let publisher = Client::join(&server.ws_url(), &server.token("hall", "camera"), CAMERA).await;
    let viewer = Client::join(&server.ws_url(), &server.token("hall", "viewer"), Doing::default()).await;
    let plain = Client::join(&server.ws_url(), &server.token("attic", "camera"), CAMERA).await;
    let other = Client::join(&server.ws_url(), &server.token("attic", "viewer"), Doing::default()).await;
    let told = |client: &Client| {
        let seen = client.seen.lock().expect("seen");
        let plays = seen.video.iter().sum::<u64>() > 10 && seen.audio > 10;
        plays.then(|| (seen.playout_delay_ms, seen.streams.clone()))
    };
    let waiting = async {
        while told(&viewer).is_none() || told(&other).is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, waiting).await.expect("pictures");
    let sid = publisher.seen.lock().expect("seen").sid.clone();
    let in_step = [format!("{sid}|camera")].into();
    assert_eq!(told(&viewer), Some((Some((200, 400)), in_step)), "one stream for camera and microphone");
    let tracks = plain.seen.lock().expect("seen").published.len();
    assert!(told(&other).is_some_and(|(delay, streams)| delay.is_none() && streams.len() == tracks));
}
