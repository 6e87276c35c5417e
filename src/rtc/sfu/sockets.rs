//! Both ports of the room server as one: where packets go to.

use std::net::SocketAddr;

use str0m::Candidate;
use str0m::net::{Protocol, TcpType, Transmit};
use tracing::debug;

use super::socket::UdpSender;
use super::tcp::TcpLinks;
use super::{NodeIp, Ports, addresses};

/// Where a packet came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// By TCP, else by UDP.
    pub tcp: bool,
    /// Its address.
    pub address: SocketAddr,
}

/// One received packet.
#[derive(Clone, Copy)]
pub struct Datagram<'a> {
    /// Who sent it.
    pub peer: Peer,
    /// Which of our addresses it was sent to.
    pub destination: SocketAddr,
    /// Its bytes.
    pub contents: &'a [u8],
}

/// The two ports, to send by.
pub struct Sockets {
    /// For nearly everyone.
    pub udp: UdpSender,
    /// For those whose network lets no UDP through.
    pub tcp: TcpLinks,
}

impl Sockets {
    /// Sends what the library wants sent, at the latest with [`Sockets::flush`]. How many packets, earlier ones
    /// included, turned out to be lost, as any datagram may be.
    pub fn send(&self, transmit: Transmit) -> u64 {
        match transmit.proto {
            Protocol::Udp => self.udp.send(transmit.source, transmit.destination, &transmit.contents),
            Protocol::Tcp => u64::from(!self.tcp.send(transmit.destination, transmit.contents)),
            _ => 1,
        }
    }

    /// Sends what waits for more to the same peer. How many packets were lost.
    pub fn flush(&self) -> u64 {
        self.udp.flush()
    }

    /// Which they are.
    pub fn ports(&self) -> Ports {
        Ports { udp: self.udp.port(), tcp: self.tcp.port() }
    }

    /// Under which addresses they can be reached: UDP, and TCP to which the client connects (RFC 6544).
    pub fn candidates(&self, node_ip: NodeIp) -> Vec<Candidate> {
        let udp = addresses::candidates(node_ip, self.udp.port(), self.udp.is_ipv6());
        let tcp = addresses::candidates(node_ip, self.tcp.port(), self.tcp.is_ipv6());
        let udp = udp.into_iter().map(|address| Candidate::builder().udp().host(address).build());
        let passive = |address| Candidate::builder().tcp().host(address).tcptype(TcpType::Passive).build();
        let found = udp.chain(tcp.into_iter().map(passive));
        found.filter_map(|made| made.inspect_err(|error| debug!(%error, "not a candidate")).ok()).collect()
    }
}
