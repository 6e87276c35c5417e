//! The one UDP socket of the room server.

use std::cell::RefCell;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;

use super::sockets::{Datagram, Peer};
use super::train::Train;

/// Receive buffers per system call, and the size of each: the kernel may coalesce up to 64 KiB (GRO).
const BATCH: usize = 8;
const BUFFER_BYTES: usize = 64 * 1024;
/// Kernel buffers asked for: half a second of a busy room. The kernel may give less.
const KERNEL_BUFFER_BYTES: usize = 2 * 1024 * 1024;

struct Shared {
    socket: tokio::net::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
}

/// A UDP socket on every address of the box that knows to which of them each datagram came: a WebRTC
/// connection must answer from the address that it was reached at. This is its receiving side; [`UdpPort::sender`] makes
/// others.
pub struct UdpPort {
    shared: Arc<Shared>,
    buffers: Vec<u8>,
    meta: [RecvMeta; BATCH],
    filled: usize,
}

/// The sending side, for one thread.
pub struct UdpSender {
    shared: Arc<Shared>,
    train: RefCell<Train>,
}

impl UdpPort {
    /// Binds `port` (0: any) for IPv6 and IPv4, or for IPv4 only where there is no IPv6. Must be called within
    /// a tokio runtime.
    ///
    /// # Errors
    /// What the system says, for example that the port is taken.
    pub fn bind(port: u16) -> io::Result<UdpPort> {
        let socket = match open(Domain::IPV6, (Ipv6Addr::UNSPECIFIED, port).into()) {
            Ok(socket) => socket,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(_) => open(Domain::IPV4, (Ipv4Addr::UNSPECIFIED, port).into())?,
        };
        let _ = socket.set_recv_buffer_size(KERNEL_BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(KERNEL_BUFFER_BYTES);
        let socket: std::net::UdpSocket = socket.into();
        let local = socket.local_addr()?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let socket = tokio::net::UdpSocket::from_std(socket)?;
        let buffers = vec![0; BATCH * BUFFER_BYTES];
        let shared = Arc::new(Shared { socket, state, local });
        Ok(UdpPort { shared, buffers, meta: [RecvMeta::default(); BATCH], filled: 0 })
    }

    /// To send from the same port.
    pub fn sender(&self) -> UdpSender {
        UdpSender { shared: Arc::clone(&self.shared), train: RefCell::default() }
    }

    /// Waits until there is something to receive.
    ///
    /// # Errors
    /// When the socket is broken.
    pub async fn readable(&self) -> io::Result<()> {
        self.shared.socket.readable().await
    }

    /// Takes what has arrived, without waiting, for [`UdpPort::datagrams`]. False: nothing.
    pub fn receive(&mut self) -> bool {
        let UdpPort { shared, buffers, meta, filled } = self;
        let Shared { socket, state, .. } = &**shared;
        let mut chunks = buffers.chunks_exact_mut(BUFFER_BYTES);
        let mut slices: [IoSliceMut; BATCH] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let received =
            socket.try_io(Interest::READABLE, || state.recv(UdpSockRef::from(socket), &mut slices, meta));
        // Errors other than "nothing there" are ICMP echoes of earlier sends: of no use here.
        *filled = received.unwrap_or(0);
        *filled > 0
    }

    /// What the last [`UdpPort::receive`] took.
    pub fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        let port = self.shared.local.port();
        self.meta.iter().zip(self.buffers.chunks_exact(BUFFER_BYTES)).take(self.filled).flat_map(
            move |(meta, buffer)| {
                let source = canonical(meta.addr);
                let address = meta.dst_ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)).to_canonical();
                let destination = SocketAddr::new(address, port);
                let contents = buffer.get(..meta.len).unwrap_or_default();
                let peer = Peer { tcp: false, address: source };
                contents.chunks(meta.stride.max(1)).map(move |contents| Datagram {
                    peer,
                    destination,
                    contents,
                })
            },
        )
    }
}

impl UdpSender {
    /// The port it is bound to.
    pub fn port(&self) -> u16 {
        self.shared.local.port()
    }

    /// Whether it speaks IPv6 too.
    pub fn is_ipv6(&self) -> bool {
        self.shared.local.is_ipv6()
    }

    /// Sends a datagram from our address `source`, with others to the same peer or with [`UdpPort::flush`]. How many
    /// datagrams, earlier ones included, the kernel did not take: they are lost, as any may be.
    pub fn send(&self, source: SocketAddr, destination: SocketAddr, contents: &[u8]) -> u64 {
        let mut train = self.train.borrow_mut();
        let most = self.shared.state.max_gso_segments();
        if train.add(source, destination, contents, most) {
            return 0;
        }
        let lost = self.depart(&mut train);
        train.add(source, destination, contents, most);
        lost
    }

    /// Sends what waits. How many datagrams were lost.
    pub fn flush(&self) -> u64 {
        self.depart(&mut self.train.borrow_mut())
    }

    fn depart(&self, train: &mut Train) -> u64 {
        let Some(load) = train.take() else { return 0 };
        let Shared { socket, state, local } = &*self.shared;
        let destination = match (load.destination, local.is_ipv6()) {
            (SocketAddr::V4(v4), true) => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
            (other, _) => other,
        };
        let send = |contents, segment_size| {
            let src_ip = Some(load.source.ip());
            let transmit = Transmit { destination, ecn: None, contents, segment_size, src_ip };
            state.try_send(UdpSockRef::from(socket), &transmit).is_ok()
        };
        if send(load.bytes, load.segment) {
            return 0;
        }
        // Not every network card takes them together.
        let Some(segment) = load.segment else { return 1 };
        let alone = load.bytes.chunks(segment.max(1));
        alone.filter(|contents| !send(contents, None)).count() as u64
    }
}

fn open(domain: Domain, address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// An IPv4 address as such, also where a socket for both calls it IPv6.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
