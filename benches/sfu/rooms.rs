//! 25 rooms of 4, everyone publishing camera (three layers) and voice and watching the others at 640x360.

use std::time::Duration;

use crate::client::{Client, Doing};
use crate::server::{Kind, Server, token};

const ROOMS: usize = 25;
const EACH: usize = 4;
/// Until everyone has joined and layers have settled.
const SETTLE: Duration = Duration::from_secs(30);
const SAMPLE: Duration = Duration::from_secs(30);

/// Prints a row each half minute.
pub async fn measure(minutes: usize) {
    let server = Server::start(Kind::Ours).await;
    let doing = Doing { video: true, audio: Some(20), shown: Some((640, 360)) };
    let mut people = Vec::new();
    for room in 0..ROOMS {
        for person in 0..EACH {
            let token = token(&format!("room-{room}"), &format!("person-{person}"));
            people.push(Client::join(&server.url, &token, doing).await);
        }
    }
    tokio::time::sleep(SETTLE).await;
    take(&people);
    println!("minute  MiB resident  % of a core  us/packet  packets/s  streams  lost");
    let (mut cpu, mut first_kb, mut all, mut all_lost) = (server.cpu(), None, 0, 0);
    for sample in 1..=minutes * 2 {
        tokio::time::sleep(SAMPLE).await;
        let used = server.cpu() - cpu;
        cpu += used;
        let (streams, packets, lost) = take(&people);
        let kb = server.memory_kb();
        first_kb.get_or_insert(kb);
        (all, all_lost) = (all + packets, all_lost + lost);
        println!(
            "{:6.1} {:13.1} {:12.1} {:10.2} {:10.0} {streams:8} {lost:5}",
            sample as f64 / 2.0,
            kb as f64 / 1024.0,
            used.as_secs_f64() / SAMPLE.as_secs_f64() * 100.0,
            used.as_secs_f64() * 1e6 / packets.max(1) as f64,
            packets as f64 / SAMPLE.as_secs_f64(),
        );
    }
    let grown = server.memory_kb() as i64 - first_kb.unwrap_or_default() as i64;
    println!("{all} packets, {all_lost} lost; {grown} kB more than at the first row");
}

/// Streams, packets and packets lost since the last time.
fn take(people: &[Client]) -> (usize, u64, u64) {
    people.iter().fold((0, 0, 0), |(streams, packets, lost), person| {
        let mut seen = person.seen.lock().expect("seen");
        seen.pictures.clear();
        let taken = std::mem::take(&mut seen.arrived);
        let sum =
            taken.values().fold((packets, lost), |(p, l), stream| (p + stream.packets, l + stream.lost()));
        (streams + taken.len(), sum.0, sum.1)
    })
}
