//! How packets come to a shard: the first reads the ports and hands on to the others what is theirs.

use std::io;
use std::sync::Arc;

use super::Ports;
use super::mailbox::{Letters, Mailbox};
use super::socket::UdpPort;
use super::sockets::{Datagram, Peer, Sockets};
use super::tcp::TcpPort;
use super::whereabouts::{Addressee, Whereabouts};

/// Packets taken from the TCP connections at once.
const TCP_BATCH: usize = 64;

/// One shard's share of the two ports.
pub struct Share {
    /// Which shard, from 0.
    pub(super) shard: u8,
    /// Where its packets come from.
    pub(super) inlet: Inlet,
    /// Where they go to.
    pub(super) sockets: Sockets,
    /// Whose packets are whose, for all shards.
    pub(super) whereabouts: Arc<Whereabouts>,
}

impl Share {
    /// The ports.
    pub fn ports(&self) -> Ports {
        self.sockets.ports()
    }
}

/// Divides the ports between the shard that reads them and so many others.
pub fn share(udp: UdpPort, tcp: TcpPort, others: u8) -> (Share, Vec<Share>) {
    let whereabouts = Arc::new(Whereabouts::default());
    let sockets = || Sockets { udp: udp.sender(), tcp: tcp.links() };
    let mut posts = Vec::new();
    let others = (1..=others).map(|shard| {
        let mailbox = Arc::new(Mailbox::default());
        posts.push(Post { mailbox: Arc::clone(&mailbox), fresh: false });
        let inlet = Inlet::Mailbox(mailbox, Letters::default());
        Share { shard, inlet, sockets: sockets(), whereabouts: Arc::clone(&whereabouts) }
    });
    let others = others.collect();
    let sockets = sockets();
    let inlet = Inlet::Ports(Box::new(Reader { udp, tcp, others: posts }));
    (Share { shard: 0, inlet, sockets, whereabouts }, others)
}

/// Where a shard's packets come from.
pub(super) enum Inlet {
    /// It reads the ports itself.
    Ports(Box<Reader>),
    /// From the one that does; and those that were taken out last.
    Mailbox(Arc<Mailbox>, Letters),
}

/// What one [`Inlet::receive`] met.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Received {
    /// There was something.
    pub any: bool,
    /// Datagrams that belonged to nobody.
    pub stray: u64,
    /// Datagrams that another shard did not take.
    pub undelivered: u64,
}

impl Inlet {
    /// Waits until there is something to receive.
    ///
    /// # Errors
    /// When the UDP socket is broken.
    pub async fn readable(&mut self) -> io::Result<()> {
        match self {
            Inlet::Ports(reader) => tokio::select! {
                readable = reader.udp.readable() => readable,
                () = reader.tcp.readable() => Ok(()),
            },
            Inlet::Mailbox(mailbox, _) => {
                mailbox.rung().await;
                Ok(())
            }
        }
    }

    /// Takes one batch, and gives the shard's own to `deliver`.
    pub fn receive(
        &mut self,
        whereabouts: &Whereabouts,
        mut deliver: impl FnMut(Addressee, &Datagram<'_>),
    ) -> Received {
        match self {
            Inlet::Ports(reader) => reader.receive(whereabouts, deliver),
            Inlet::Mailbox(mailbox, letters) => {
                let any = mailbox.take(letters);
                letters.iter().for_each(|(to, datagram)| deliver(to, &datagram));
                Received { any, ..Received::default() }
            }
        }
    }
}

/// Reads both ports.
pub(super) struct Reader {
    udp: UdpPort,
    tcp: TcpPort,
    others: Vec<Post>,
}

/// The way to another shard.
struct Post {
    mailbox: Arc<Mailbox>,
    /// Something was put in since it was rung.
    fresh: bool,
}

impl Reader {
    fn receive(
        &mut self,
        whereabouts: &Whereabouts,
        mut deliver: impl FnMut(Addressee, &Datagram<'_>),
    ) -> Received {
        let Reader { udp, tcp, others } = self;
        let mut received = Received { any: udp.receive(), ..Received::default() };
        let mut sort = |datagram: &Datagram<'_>| {
            let Some(to) = whereabouts.addressee(datagram) else { return received.stray += 1 };
            let Some(other) = to.key.shard().checked_sub(1) else { return deliver(to, datagram) };
            match others.get_mut(usize::from(other)) {
                Some(post) if post.mailbox.post(to, datagram) => post.fresh = true,
                _ => received.undelivered += 1,
            }
        };
        if received.any {
            udp.datagrams().for_each(|datagram| sort(&datagram));
        }
        let mut any = received.any;
        for _ in 0..TCP_BATCH {
            let Some(packet) = tcp.take() else { break };
            any = true;
            let peer = Peer { tcp: true, address: packet.source };
            sort(&Datagram { peer, destination: packet.destination, contents: &packet.contents });
        }
        for post in others {
            if std::mem::take(&mut post.fresh) {
                post.mailbox.ring();
            }
        }
        Received { any, ..received }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    use super::super::{ConnectionKey, stun};
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    /// Reads until there were `count` datagrams for this shard; their keys and contents. Also how many strays came.
    async fn received(share: &mut Share, count: usize) -> (Vec<(ConnectionKey, Vec<u8>)>, u64) {
        let (mut all, mut stray) = (Vec::new(), 0);
        let Share { inlet, whereabouts, .. } = share;
        let reading = async {
            while all.len() < count {
                inlet.readable().await.unwrap();
                loop {
                    let mut take = |to: Addressee, d: &Datagram<'_>| all.push((to.key, d.contents.to_vec()));
                    let received = inlet.receive(whereabouts, &mut take);
                    stray += received.stray;
                    if !received.any {
                        break;
                    }
                }
            }
        };
        tokio::time::timeout(LIMIT, reading).await.expect("datagrams");
        (all, stray)
    }

    #[tokio::test]
    async fn the_reader_keeps_what_is_its_own_and_the_others_get_theirs_in_order() {
        let (mut first, mut others) = share(UdpPort::bind(0).unwrap(), TcpPort::bind(0).unwrap(), 2);
        let keys: [ConnectionKey; 3] = [0, 1, 2].map(|shard| ConnectionKey::new(shard, 5));
        let clients = [(); 4].map(|()| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let living = Arc::new(AtomicBool::new(true));
        for (client, key) in clients.iter().zip(keys) {
            let peer = Peer { tcp: false, address: client.local_addr().unwrap() };
            assert!(first.whereabouts.claim(peer, key, &living));
        }
        first.whereabouts.name("newcomer", keys[2]);
        let server: SocketAddr = (Ipv4Addr::LOCALHOST, first.ports().udp).into();
        for number in 0..40 {
            // The first shard's last: when it has them all, the others' have come.
            for client in [3, 2, 1, 0] {
                clients[client].send_to(&[0x80, client as u8, number], server).unwrap();
            }
        }
        clients[3].send_to(&stun::request("newcomer:x"), server).unwrap();
        clients[0].send_to(&[0x80, 0, 40], server).unwrap();

        let of = |shard: usize, count: u8| {
            let letter = |number| (keys[shard], vec![0x80, shard as u8, number]);
            (0..count).map(letter).collect::<Vec<_>>()
        };
        assert_eq!(received(&mut first, 41).await, (of(0, 41), 40), "the fourth client is nobody's");
        assert_eq!(received(&mut others[0], 40).await, (of(1, 40), 0));
        let with_newcomer = [of(2, 40), vec![(keys[2], stun::request("newcomer:x"))]].concat();
        assert_eq!(received(&mut others[1], 41).await, (with_newcomer, 0));
    }
}
