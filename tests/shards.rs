//! Rooms on several threads of one server: everything is as on one.
// Real processes take real time, and a test that cannot go on may panic.
#![allow(clippy::disallowed_methods)]

mod rooms;

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use livekit_protocol as proto;
use proto::signal_response::Message as Response;
use roomd::room::{Grant, Refusal, RoomOptions};
use roomd::rtc::sfu::Codecs;
use roomd::rtc::signal::client::SignalSocket;
use roomd::server::signal::Shards;
use rooms::client::{Client, Doing, Seen, signalling};
use rooms::gateway::{Gateway, Way};
use rooms::{RoomServer, grant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

const CAMERA: Doing = Doing { video: true, audio: Some(20), shown: None };
/// Every wait ends after this at the latest.
const LIMIT: Duration = Duration::from_secs(60);

/// A server on so many threads whose rooms are spread from the first on.
async fn server(count: usize) -> RoomServer {
    RoomServer::start_on(Shards { count, together: 0 }, Codecs::default()).await
}

fn moderator() -> Grant {
    Grant { room_admin: true, room_create: true, room_list: true, ..Grant::default() }
}

/// Makes a room; on which shard.
async fn make(server: &RoomServer, name: &str) -> usize {
    server.handle.create_room(name.to_owned(), RoomOptions::default()).await.expect("a room");
    shard_of(server, name).await
}

async fn shard_of(server: &RoomServer, name: &str) -> usize {
    let mut rooms = server.handle.watch_rooms();
    let there = rooms.wait_for(|all| all.rooms.iter().any(|room| room.room.name == name));
    let all = tokio::time::timeout(LIMIT, there).await.expect("the room is shown").expect("the server runs");
    all.rooms.iter().find(|room| room.room.name == name).expect("the room").shard
}

/// A server on two threads, and a room on the second; somebody is on the first.
async fn second() -> (RoomServer, SignalSocket) {
    let server = server(2).await;
    let (held, _) = join(&server, "first", "holder").await;
    assert_eq!(shard_of(&server, "first").await, 0);
    assert_eq!(make(&server, "hall").await, 1);
    (server, held)
}

async fn join(server: &RoomServer, room: &str, identity: &str) -> (SignalSocket, Box<proto::JoinResponse>) {
    let mut signal = signalling(&server.ws_url(), &server.token(room, identity), None).await;
    let join = |response| if let Response::Join(join) = response { Some(Box::new(join)) } else { None };
    let joined = heard(&mut signal, "a join response", join).await;
    (signal, joined)
}

/// The first message of which `pick` makes something.
async fn heard<T>(signal: &mut SignalSocket, what: &str, pick: impl Fn(Response) -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = pick(signal.recv().await.expect(what)) {
                return found;
            }
        }
    };
    tokio::time::timeout(LIMIT, waiting).await.expect(what)
}

/// Waits until `done`; panics with what was seen.
async fn until(client: &Client, what: &str, done: impl Fn(&Seen) -> bool) {
    let waiting = async {
        while !done(&client.seen.lock().expect("seen")) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(LIMIT, waiting).await.is_err() {
        panic!("never: {what}; {:?}", client.seen.lock().expect("seen").arrived);
    }
}

fn hears_and_sees(seen: &Seen) -> bool {
    seen.audio > 50 && seen.video.iter().sum::<u64>() > 50
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_are_spread_and_each_gets_its_own_media_and_no_others() {
    let server = server(3).await;
    let names = ["a", "b", "c", "d", "e", "f"];
    let (mut publishers, mut viewers) = (Vec::new(), Vec::new());
    for name in names {
        let token = |identity: &str| server.token(name, identity);
        publishers.push(Client::join(&server.ws_url(), &token("camera"), CAMERA).await);
        for viewer in ["one", "two"] {
            viewers.push(Client::join(&server.ws_url(), &token(viewer), Doing::default()).await);
        }
    }
    for (publisher, viewer) in publishers.iter().flat_map(|publisher| [publisher; 2]).zip(&viewers) {
        until(viewer, "sound and pictures", hears_and_sees).await;
        let seen = viewer.seen.lock().expect("seen");
        let heard: BTreeSet<&str> = seen.streams.iter().filter_map(|id| id.split('|').next()).collect();
        let publisher = publisher.seen.lock().expect("seen").sid.clone();
        assert_eq!(heard, BTreeSet::from([publisher.as_str()]));
        assert_eq!(seen.audio_by_ssrc.len(), 1);
    }
    let mut on = [0; 3];
    for name in names {
        on[shard_of(&server, name).await] += 1;
        let people = server.handle.list_participants(moderator(), name.to_owned()).await.expect("its people");
        assert_eq!(people.len(), 3);
    }
    assert_eq!(on, [2, 2, 2]);
    let listed = server.handle.list_rooms(Vec::new()).await.expect("rooms");
    assert_eq!(listed.iter().map(|room| room.name.as_str()).collect::<Vec<_>>(), names);
    let some = server.handle.list_rooms(vec!["b".into(), "f".into(), "x".into()]).await.expect("rooms");
    assert_eq!(some.iter().map(|room| room.name.as_str()).collect::<Vec<_>>(), ["b", "f"]);
    let counters = server.handle.counters();
    let gauges = [&counters.rooms, &counters.participants].map(|gauge| gauge.load(Ordering::Relaxed));
    assert_eq!(gauges, [6, 18]);
    assert_eq!(counters.undelivered_datagrams.load(Ordering::Relaxed), 0);

    for name in ["a", "b", "c"] {
        server.handle.delete_room(moderator(), name.to_owned()).await.expect("it ends");
    }
    let mut rooms = server.handle.watch_rooms();
    let left = rooms.wait_for(|all| all.rooms.len() == 3);
    tokio::time::timeout(LIMIT, left).await.expect("three rooms are left").expect("the server runs");
    let gauges = [&counters.rooms, &counters.participants].map(|gauge| gauge.load(Ordering::Relaxed));
    assert_eq!(gauges, [3, 9]);
    let viewer = viewers.last().expect("a viewer");
    let before = viewer.seen.lock().expect("seen").audio;
    until(viewer, "more sound in the rooms that are left", |seen| seen.audio > before + 50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_on_the_second_shard_is_ordered_about_by_name_and_by_sid() {
    let (server, _held) = second().await;
    let (mut anna, joined) = join(&server, "hall", "anna").await;
    let sid = joined.room.expect("a room").sid;
    for room in ["hall", sid.as_str()] {
        let people = server.handle.list_participants(moderator(), room.to_owned()).await.expect("its people");
        assert_eq!(people.iter().map(|person| person.identity.as_str()).collect::<Vec<_>>(), ["anna"]);
        let metadata = format!("for {room}");
        let request = proto::UpdateRoomMetadataRequest { room: room.to_owned(), metadata: metadata.clone() };
        server.handle.update_room_metadata(moderator(), request).await.expect("changed");
        let told = |r| if let Response::RoomUpdate(update) = r { update.room } else { None };
        let told = heard(&mut anna, "the room's text", |r| told(r).filter(|r| r.metadata == metadata)).await;
        assert_eq!(told.sid, sid);
    }
    let refused = server.handle.delete_room(grant("first", "x"), sid.clone()).await;
    assert!(matches!(refused, Err(Refusal::NotModerator { .. })), "{refused:?}");
    server.handle.delete_room(moderator(), sid.clone()).await.expect("it ends");
    let leave = |r| if let Response::Leave(leave) = r { Some(leave.reason) } else { None };
    assert_eq!(heard(&mut anna, "a goodbye", leave).await, proto::DisconnectReason::RoomDeleted as i32);
    let gone = server.handle.delete_room(moderator(), sid).await;
    assert!(matches!(gone, Err(Refusal::NoSuch { .. })), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stay_on_the_second_shard_is_resumed_there() {
    let (server, _held) = second().await;
    let (anna, joined) = join(&server, "hall", "anna").await;
    let sid = joined.participant.expect("herself").sid;
    drop(anna);
    let (_bert, _) = join(&server, "hall", "bert").await;
    let token = server.token("hall", "anna");
    let mut anna = signalling(&server.ws_url(), &token, Some(&sid)).await;
    let reconnect = |r| matches!(r, Response::Reconnect(_)).then_some(());
    heard(&mut anna, "the stay goes on", reconnect).await;
    let others = |r| if let Response::Update(update) = r { Some(update.participants) } else { None };
    let told = heard(&mut anna, "who is there", others).await;
    let mut identities: Vec<&str> = told.iter().map(|person| person.identity.as_str()).collect();
    identities.sort_unstable();
    assert_eq!(identities, ["anna", "bert"]);
    assert_eq!(told.iter().find(|person| person.identity == "anna").expect("herself").sid, sid);

    // What is no stay anywhere makes no room.
    let token = server.token("nowhere", "anna");
    let mut nowhere = signalling(&server.ws_url(), &token, Some(&sid)).await;
    let leave = |r| if let Response::Leave(leave) = r { Some(leave.reason) } else { None };
    let reason = heard(&mut nowhere, "a goodbye", leave).await;
    assert_eq!(reason, proto::DisconnectReason::StateMismatch as i32);
    let rooms = server.handle.list_rooms(vec!["nowhere".into()]).await.expect("rooms");
    assert!(rooms.is_empty(), "{rooms:?}");
}

/// Takes datagrams and passes them on by TCP, a connection for each sender, as ICE over TCP frames them (RFC 4571).
struct Bridge {
    port: u16,
    /// Datagrams that came back.
    returned: Arc<AtomicU64>,
    _task: AbortOnDropHandle<()>,
}

impl Bridge {
    async fn to(server: SocketAddr) -> Bridge {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("socket"));
        let port = socket.local_addr().expect("address").port();
        let returned = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&returned);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            let mut ways: HashMap<SocketAddr, mpsc::Sender<Vec<u8>>> = HashMap::new();
            let mut buffer = vec![0; 2048];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let way = ways.entry(from).or_insert_with(|| {
                    let (way, leaving) = mpsc::channel(1024);
                    connections.spawn(carry(
                        server,
                        leaving,
                        Arc::clone(&socket),
                        from,
                        Arc::clone(&counted),
                    ));
                    way
                });
                let _ = way.try_send(buffer[..length].to_vec());
            }
        });
        Bridge { port, returned, _task: AbortOnDropHandle::new(task) }
    }
}

async fn carry(
    server: SocketAddr,
    mut leaving: mpsc::Receiver<Vec<u8>>,
    socket: Arc<UdpSocket>,
    client: SocketAddr,
    returned: Arc<AtomicU64>,
) {
    let (mut reading, mut writing) =
        TcpStream::connect(server).await.expect("the server's TCP port").into_split();
    let up = async {
        while let Some(datagram) = leaving.recv().await {
            let frame = [&(datagram.len() as u16).to_be_bytes()[..], &datagram].concat();
            if writing.write_all(&frame).await.is_err() {
                return;
            }
        }
    };
    let down = async {
        while let Ok(length) = reading.read_u16().await {
            let mut datagram = vec![0; usize::from(length)];
            if reading.read_exact(&mut datagram).await.is_err() {
                return;
            }
            returned.fetch_add(1, Ordering::Relaxed);
            let _ = socket.send_to(&datagram, client).await;
        }
    };
    tokio::select! { () = up => {} () = down => {} }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_by_tcp_calls_in_a_room_on_the_second_shard() {
    let (server, _held) = second().await;
    let bridge = Bridge::to(server.media_by_tcp()).await;
    let gateway = Gateway::to(server.address, Way::Udp(bridge.port)).await;
    let _publisher = Client::join(&gateway.ws_url(), &server.token("hall", "camera"), CAMERA).await;
    let by_udp = Client::join(&server.ws_url(), &server.token("hall", "one"), Doing::default()).await;
    let by_tcp = Client::join(&gateway.ws_url(), &server.token("hall", "two"), Doing::default()).await;
    until(&by_udp, "what comes by TCP", hears_and_sees).await;
    until(&by_tcp, "what goes by TCP", hears_and_sees).await;
    assert!(bridge.returned.load(Ordering::Relaxed) > 100);
    assert_eq!(shard_of(&server, "hall").await, 1);
}
