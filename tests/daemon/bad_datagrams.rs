//! Noise on the port that all media goes through.

use std::net::UdpSocket;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::gate;
use crate::pair::Pair;

/// Datagrams of each kind: enough to hit every length, few enough to fit into the kernel's buffers.
const EACH: usize = 400;
const MAGIC: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

fn random(rng: &mut StdRng, longest: usize) -> Vec<u8> {
    let mut bytes = vec![0; rng.random_range(0..=longest)];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// A STUN binding request (RFC 8489) with a user name and a wrong integrity, cut and bent at random.
fn stun(rng: &mut StdRng) -> Vec<u8> {
    let name = format!("{:08x}:{:04x}", rng.random::<u32>(), rng.random::<u16>());
    let mut attributes = vec![0x00, 0x06, 0x00, name.len() as u8];
    attributes.extend(name.bytes());
    attributes.resize(attributes.len().next_multiple_of(4), 0);
    attributes.extend([0x00, 0x08, 0x00, 0x14]);
    attributes.extend((0..20).map(|_| rng.random::<u8>()));
    let mut request = vec![0x00, 0x01, 0x00, attributes.len() as u8];
    request.extend(MAGIC);
    request.extend((0..12).map(|_| rng.random::<u8>()));
    request.extend(attributes);
    bent(request, rng)
}

/// Something that begins like a DTLS record (RFC 6347), RTP or RTCP (RFC 7983 tells them apart by the first byte).
fn media(rng: &mut StdRng) -> Vec<u8> {
    let begin: &[u8] = match rng.random_range(0..6) {
        0 => &[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0x00, 0x40, 1, 0, 0, 0x34],
        1 => &[20, 0xfe, 0xff, 0, 0],
        2 => &[23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 0xff, 0xff],
        3 => &[0x80, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1],
        4 => &[0x9f, 0xe0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xbe, 0xde, 0xff, 0xff],
        _ => &[0x80, 200, 0xff, 0xff],
    };
    bent([begin, &random(rng, 1400)].concat(), rng)
}

/// Some are cut, some have a byte changed, the rest stays.
fn bent(mut bytes: Vec<u8>, rng: &mut StdRng) -> Vec<u8> {
    let at = rng.random_range(0..bytes.len());
    match rng.random_range(0..3) {
        0 => bytes.truncate(at),
        1 => bytes[at] = rng.random(),
        _ => {}
    }
    bytes
}

#[test]
fn garbage_truncated_and_looped_datagrams_stop_nobody() {
    let _gate = gate::undisturbed();
    let mut pair = Pair::start();
    let info = pair.server.ask(&["info"]);
    let port =
        info["addresses"]["rtc_udp"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(("127.0.0.1", port)).expect("the box's port");
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
    let mut rng = StdRng::seed_from_u64(4);
    let mut sent = 0;
    for round in 0..EACH {
        for datagram in [random(&mut rng, 1500), stun(&mut rng), media(&mut rng)] {
            // A refusal of an earlier one may be told here.
            sent += usize::from(socket.send(&datagram).is_ok());
        }
        // Whatever the box says is given back to it.
        let mut answer = [0; 2048];
        if round % 20 == 0
            && let Ok(read) = socket.recv(&mut answer)
        {
            let _ = socket.send(&answer[..read]);
        }
    }
    assert!(sent > EACH, "{sent} datagrams were sent");
    pair.assert_goes_on("after the noise");
    let stray = pair.metric("roomd_sfu_stray_datagrams_total");
    assert!(stray > EACH as f64, "{stray} of {sent} belonged to nobody");
    pair.stop();
}
