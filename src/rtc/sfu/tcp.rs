//! The TCP port of the room server, for clients whose network lets no UDP through (ICE over TCP, RFC 6544: we are
//! passive).
//!
//! One task accepts, one task a connection reads, writes and watches the time; packets go to and from the shards by
//! bounded queues, so that a client that sends or reads slowly holds up nobody.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use str0m::net::DatagramSend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tracing::debug;

use crate::base::clock;

use super::framing::Deframer;
use super::socket::canonical;
use super::stun;

/// Connections at once, and of them such as have not proved yet whose they are. One more is closed at once.
const MAX_LINKS: usize = 1024;
const MAX_STRANGERS: usize = 64;
/// How long a connection may take to prove whose it is (by a STUN request with the right password).
const PROOF_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one may be silent after that: clients ask every few seconds whether we are still there (RFC 7675).
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one packet may take to leave; who reads nothing for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Packets on their way to the reading shard, of all connections. Full: the connections are not read.
const ARRIVED_CAPACITY: usize = 512;
/// Packets on their way to one client: a keyframe of a large picture. Full: the newest is lost, as by UDP.
const LEAVING_CAPACITY: usize = 256;
/// What the kernel keeps for one client: what lies there cannot be taken back.
const KERNEL_BUFFER_BYTES: usize = 64 * 1024;
const LISTEN_BACKLOG: i32 = 128;
const READ_BYTES: usize = 16 * 1024;

/// One packet from a client.
pub struct Packet {
    /// Who sent it.
    pub source: SocketAddr,
    /// Which of our addresses the connection was made to.
    pub destination: SocketAddr,
    /// Its bytes.
    pub contents: Vec<u8>,
}

struct Link {
    out: mpsc::Sender<DatagramSend>,
    proved: Arc<AtomicBool>,
}

/// Every connection to the port, for the shards to send by.
#[derive(Clone)]
pub struct TcpLinks {
    port: u16,
    ipv6: bool,
    links: Arc<RwLock<HashMap<SocketAddr, Link>>>,
}

impl TcpLinks {
    /// The port that was connected to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it speaks IPv6 too.
    pub fn is_ipv6(&self) -> bool {
        self.ipv6
    }

    /// The connection from `source` has proved whose it is: it may stay.
    pub fn prove(&self, source: SocketAddr) {
        self.with(source, |link| link.proved.store(true, Ordering::Relaxed));
    }

    /// Sends a packet. False: there is no such connection, or its client reads too slowly; the packet is lost.
    pub fn send(&self, destination: SocketAddr, contents: DatagramSend) -> bool {
        self.with(destination, |link| link.out.try_send(contents).is_ok()).unwrap_or(false)
    }

    /// Ends the connection from `source`, after what was sent on it.
    pub fn close(&self, source: SocketAddr) {
        self.write().remove(&source);
    }

    fn with<T>(&self, peer: SocketAddr, what: impl FnOnce(&Link) -> T) -> Option<T> {
        self.links.read().unwrap_or_else(PoisonError::into_inner).get(&peer).map(what)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<SocketAddr, Link>> {
        self.links.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection from `source` whose mark is `proved` has ended; another may have come from there.
    fn ended(&self, source: SocketAddr, proved: &Arc<AtomicBool>) {
        let mut links = self.write();
        if links.get(&source).is_some_and(|link| Arc::ptr_eq(&link.proved, proved)) {
            links.remove(&source);
        }
    }
}

/// The listening port, and what comes by the connections made to it.
pub struct TcpPort {
    links: TcpLinks,
    arrived: mpsc::Receiver<Packet>,
    /// Received while waiting.
    next: Option<Packet>,
    accepting: tokio::task::AbortHandle,
}

impl TcpPort {
    /// Listens on `port` (0: any) for IPv6 and IPv4, or for IPv4 only where there is no IPv6. Must be called within a
    /// tokio runtime.
    ///
    /// # Errors
    /// What the system says, for example that the port is taken.
    pub fn bind(port: u16) -> io::Result<TcpPort> {
        let socket = match open(Domain::IPV6, (Ipv6Addr::UNSPECIFIED, port).into()) {
            Ok(socket) => socket,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(_) => open(Domain::IPV4, (Ipv4Addr::UNSPECIFIED, port).into())?,
        };
        let listener = TcpListener::from_std(socket.into())?;
        let local = listener.local_addr()?;
        let (sender, arrived) = mpsc::channel(ARRIVED_CAPACITY);
        let links = TcpLinks { port: local.port(), ipv6: local.is_ipv6(), links: Arc::default() };
        let accepting = tokio::spawn(accept(listener, links.clone(), sender)).abort_handle();
        Ok(TcpPort { links, arrived, next: None, accepting })
    }

    /// Its connections, to send by.
    pub fn links(&self) -> TcpLinks {
        self.links.clone()
    }

    /// Waits until there is something to [`TcpPort::take`].
    pub async fn readable(&mut self) {
        if self.next.is_none() {
            self.next = self.arrived.recv().await;
        }
        if self.next.is_none() {
            // The listener is gone: only UDP from now on.
            std::future::pending().await
        }
    }

    /// The next packet; None: there is none now.
    pub fn take(&mut self) -> Option<Packet> {
        self.next.take().or_else(|| self.arrived.try_recv().ok())
    }
}

impl Drop for TcpPort {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn open(domain: Domain, address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(false)?;
    }
    // A server that is started again must not wait for the old connections' ends.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket)
}

async fn accept(listener: TcpListener, links: TcpLinks, arrived: mpsc::Sender<Packet>) {
    let (all, strangers) = (Arc::new(Semaphore::new(MAX_LINKS)), Arc::new(Semaphore::new(MAX_STRANGERS)));
    loop {
        let Ok((stream, source)) = listener.accept().await else {
            // Out of file descriptors, most likely: it passes.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let permits = (Arc::clone(&all).try_acquire_owned(), Arc::clone(&strangers).try_acquire_owned());
        let (Ok(place), Ok(stranger)) = permits else {
            debug!(%source, "too many TCP connections: closed");
            continue;
        };
        let (out, leaving) = mpsc::channel(LEAVING_CAPACITY);
        let proved = Arc::new(AtomicBool::new(false));
        let (source, link) = (canonical(source), Link { out, proved: Arc::clone(&proved) });
        links.write().insert(source, link);
        let (arrived, links) = (arrived.clone(), links.clone());
        tokio::spawn(async move {
            let ended = serve(stream, source, leaving, &arrived, &proved, stranger).await;
            debug!(%source, ?ended, "a TCP connection ends");
            drop(place);
            links.ended(source, &proved);
        });
    }
}

/// Both directions, until one ends.
async fn serve(
    stream: TcpStream,
    source: SocketAddr,
    leaving: mpsc::Receiver<DatagramSend>,
    arrived: &mpsc::Sender<Packet>,
    proved: &AtomicBool,
    stranger: OwnedSemaphorePermit,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_send_buffer_size(KERNEL_BUFFER_BYTES)?;
    let destination = canonical(stream.local_addr()?);
    let (reading, writing) = stream.into_split();
    tokio::select! {
        ended = read(reading, source, destination, arrived, proved, stranger) => ended,
        ended = write(writing, leaving) => ended,
    }
}

async fn read(
    mut reading: OwnedReadHalf,
    source: SocketAddr,
    destination: SocketAddr,
    arrived: &mpsc::Sender<Packet>,
    proved: &AtomicBool,
    stranger: OwnedSemaphorePermit,
) -> io::Result<()> {
    let proof_until = clock::now() + PROOF_TIMEOUT;
    let (mut deframer, mut buffer, mut stranger) = (Deframer::default(), vec![0; READ_BYTES], Some(stranger));
    loop {
        if stranger.is_some() && proved.load(Ordering::Relaxed) {
            stranger = None;
        }
        let longest = match stranger {
            Some(_) => proof_until.saturating_duration_since(clock::now()),
            None => SILENCE_TIMEOUT,
        };
        let length = match timeout(longest, reading.read(&mut buffer)).await {
            Ok(length) => length?,
            // It may have been proved while it was waited for.
            Err(_) if stranger.is_some() && proved.load(Ordering::Relaxed) => continue,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        };
        if length == 0 {
            return Ok(());
        }
        deframer.add(buffer.get(..length).unwrap_or_default());
        while let Some(contents) = deframer.take().map_err(io::Error::other)? {
            if stranger.is_some() && !stun::is_stun(contents) && !proved.load(Ordering::Relaxed) {
                return Err(io::Error::other("no STUN"));
            }
            let packet = Packet { source, destination, contents: contents.to_vec() };
            if arrived.send(packet).await.is_err() {
                return Ok(());
            }
        }
    }
}

async fn write(mut writing: OwnedWriteHalf, mut leaving: mpsc::Receiver<DatagramSend>) -> io::Result<()> {
    let mut frames = Vec::new();
    while let Some(packet) = leaving.recv().await {
        frames.clear();
        push(&mut frames, &packet);
        while frames.len() < READ_BYTES {
            let Ok(packet) = leaving.try_recv() else { break };
            push(&mut frames, &packet);
        }
        timeout(WRITE_TIMEOUT, writing.write_all(&frames)).await??;
    }
    Ok(())
}

fn push(frames: &mut Vec<u8>, packet: &[u8]) {
    let Ok(length) = u16::try_from(packet.len()) else { return };
    frames.extend_from_slice(&length.to_be_bytes());
    frames.extend_from_slice(packet);
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn connect(port: &TcpPort) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port.links.port())).await.unwrap()
    }

    fn frame(packet: &[u8]) -> Vec<u8> {
        let mut frames = Vec::new();
        push(&mut frames, packet);
        frames
    }

    fn stun_like() -> Vec<u8> {
        let mut message = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        message.extend([7; 12]);
        message
    }

    #[tokio::test]
    async fn packets_go_both_ways_and_the_client_is_known_by_its_address() {
        let mut port = TcpPort::bind(0).unwrap();
        let mut client = connect(&port).await;
        client.write_all(&frame(&stun_like())).await.unwrap();
        port.readable().await;
        let packet = port.take().unwrap();
        assert_eq!(packet.contents, stun_like());
        assert_eq!(packet.source, client.local_addr().unwrap());
        assert_eq!(packet.destination, client.peer_addr().unwrap());
        port.links.prove(packet.source);
        assert!(port.links.send(packet.source, vec![1, 2, 3].into()));
        let mut got = [0; 5];
        client.read_exact(&mut got).await.unwrap();
        assert_eq!(got, [0, 3, 1, 2, 3]);
        port.links.close(packet.source);
        assert_eq!(client.read(&mut got).await.unwrap(), 0, "closed");
        assert!(!port.links.send(packet.source, vec![1].into()));
    }

    #[tokio::test]
    async fn who_begins_with_something_else_than_stun_or_with_too_much_is_put_out() {
        let mut port = TcpPort::bind(0).unwrap();
        for first in [frame(b"\x16\x03\x01hello"), b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0xff; 4000]] {
            let mut client = connect(&port).await;
            client.write_all(&first).await.unwrap();
            let mut rest = Vec::new();
            let _ = client.read_to_end(&mut rest).await;
            assert!(rest.is_empty());
            assert!(port.take().is_none());
        }
    }

    #[tokio::test]
    async fn silent_strangers_are_put_out_and_no_more_than_64_are_kept_waiting() {
        let port = TcpPort::bind(0).unwrap();
        let mut clients = Vec::new();
        for _ in 0..MAX_STRANGERS {
            clients.push(connect(&port).await);
        }
        let mut byte = [0];
        assert_eq!(connect(&port).await.read(&mut byte).await.unwrap_or(0), 0, "one too many");
        let last = clients[MAX_STRANGERS - 1].try_read(&mut byte);
        assert_eq!(last.unwrap_err().kind(), io::ErrorKind::WouldBlock, "the others wait");
        for client in &mut clients {
            assert_eq!(client.read(&mut byte).await.unwrap_or(0), 0);
        }
    }

    #[tokio::test]
    async fn who_reads_nothing_loses_packets_and_holds_up_nobody() {
        let mut port = TcpPort::bind(0).unwrap();
        let mut client = connect(&port).await;
        client.write_all(&frame(&stun_like())).await.unwrap();
        port.readable().await;
        let source = port.take().unwrap().source;
        let mut refused = 0;
        for _ in 0..20_000 {
            refused += u32::from(!port.links.send(source, vec![0; 1200].into()));
            tokio::task::yield_now().await;
        }
        assert!(refused > 1000, "{refused}");
    }
}
