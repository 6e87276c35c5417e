//! One 720p publisher (three layers, Opus) and N subscribers, none of which decodes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::client::{Client, Doing, Picture, Seen};
use crate::janus;
use crate::server::{Kind, Server, token};

/// Until layers, estimates and dynacast have settled and the packets kept for retransmission are all there.
const SETTLE: Duration = Duration::from_secs(10);
const MEASURE: Duration = Duration::from_secs(10);

/// The columns of [`measure`].
pub const HEAD: &str =
    "server            N   us/packet  packets/s  % of a core  kB/subscriber  lost  packets by layer, audio";

/// What one subscriber got.
#[derive(Default)]
struct Got {
    /// Packets by layer, then of audio.
    packets: [u64; 4],
    /// Packets that other packets tell of, pictures that others' numbers tell of.
    lost: (u64, u64),
}

/// One row.
pub async fn measure(kind: Kind, subscribers: usize) -> String {
    let server = Server::start(kind).await;
    let mut people = People::default();
    people.publish(kind, &server).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before_kb = server.memory_kb();
    people.watch(&server, subscribers).await;
    tokio::time::sleep(SETTLE).await;
    people.viewers.iter().for_each(|viewer| {
        take(viewer);
    });
    let (cpu, begun) = (server.cpu(), tokio::time::Instant::now());
    tokio::time::sleep(MEASURE).await;
    let (cpu, elapsed) = ((server.cpu() - cpu).as_secs_f64(), begun.elapsed().as_secs_f64());
    let memory_kb = server.memory_kb().saturating_sub(before_kb) / subscribers as u64;
    let mut sum = Got::default();
    for got in people.viewers.iter().map(|viewer| take(viewer)) {
        sum.packets.iter_mut().zip(got.packets).for_each(|(sum, count)| *sum += count);
        sum.lost = (sum.lost.0 + got.lost.0, sum.lost.1 + got.lost.1);
    }
    drop(people);
    let all: u64 = sum.packets.iter().sum();
    let (of_packet, a_second, of_core) =
        (cpu * 1e6 / all.max(1) as f64, all as f64 / elapsed, cpu / elapsed * 100.0);
    let (packets, pictures) = sum.lost;
    let lost = if pictures == 0 { packets.to_string() } else { format!("{packets} and {pictures} pictures") };
    format!(
        "{:14} {subscribers:4}  {of_packet:10.2} {a_second:10.0} {of_core:12.1} {memory_kb:14}  {lost:>4}  {:?}",
        kind.name(),
        sum.packets
    )
}

/// Everyone but the server.
#[derive(Default)]
struct People {
    clients: Vec<Client>,
    /// Of Janus, with the publisher's id.
    session: Option<(janus::Session, u64)>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    /// What each subscriber has seen.
    viewers: Vec<Arc<Mutex<Seen>>>,
}

impl People {
    async fn publish(&mut self, kind: Kind, server: &Server) {
        if kind == Kind::Janus {
            let mut session = janus::Session::open(&server.url).await;
            let (id, task) = session.publish().await;
            self.tasks.push(task);
            return self.session = Some((session, id));
        }
        let camera = Doing { video: true, audio: Some(20), shown: None };
        self.clients.push(Client::join(&server.url, &token("bench", "camera"), camera).await);
    }

    async fn watch(&mut self, server: &Server, subscribers: usize) {
        for index in 0..subscribers {
            if let Some((session, publisher)) = &mut self.session {
                let (seen, task) = session.watch(*publisher).await;
                self.tasks.push(task);
                self.viewers.push(seen);
                continue;
            }
            let token = token("bench", &format!("viewer-{index}"));
            let client = Client::join(&server.url, &token, Doing::default()).await;
            self.viewers.push(Arc::clone(&client.seen));
            self.clients.push(client);
        }
    }
}

impl Drop for People {
    fn drop(&mut self) {
        self.tasks.iter().for_each(|task| task.abort());
    }
}

/// What a subscriber got since it was asked last.
fn take(viewer: &Mutex<Seen>) -> Got {
    let mut seen = viewer.lock().expect("seen");
    let [quarter, half, full] = std::mem::take(&mut seen.video);
    let packets = [quarter, half, full, std::mem::take(&mut seen.audio)];
    Got { packets, lost: lost(&std::mem::take(&mut seen.pictures)) }
}

/// Packets missing of the pictures between the first and the last, and pictures missing whole.
fn lost(pictures: &[Picture]) -> (u64, u64) {
    let numbers = || pictures.iter().map(|picture| picture.number);
    let (Some(first), Some(last)) = (numbers().min(), numbers().max()) else { return (0, 0) };
    let inner = || pictures.iter().filter(|picture| picture.number > first && picture.number < last);
    let packets = inner().map(|picture| u64::from(picture.packets.1.saturating_sub(picture.packets.0))).sum();
    let seen: std::collections::BTreeSet<u32> = inner().map(|picture| picture.number).collect();
    let expected = u64::from((last - first).saturating_sub(1));
    (packets, expected.saturating_sub(seen.len() as u64))
}
