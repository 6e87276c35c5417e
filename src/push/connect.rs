//! From a destination to an open connection: key, address, TCP, TLS.

use std::io;
use std::path::Path;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::wire::Wire;
use super::{Config, Destination, Key, Reason};
use crate::control::live::{LiveUrl, StreamKey};
use crate::https::tls;
use crate::rtmp::Address;

/// Longest time for name, TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time for one of a name's addresses.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(4);
/// Bytes that the kernel takes before the network does: what is late then is dropped at the reader, by whole pictures,
/// instead of growing old in the socket.
const UNSENT_BYTES: u32 = 256 * 1024;
/// Longest file that is read.
const MAX_FILE: u64 = 1 << 20;

/// The address with its key, as it is now.
pub(super) async fn address(destination: &Destination) -> Result<Address, Reason> {
    let key = match &destination.key {
        Key::Given(key) => key.clone(),
        Key::File(path) => {
            let bytes = read("stream_key_file", path).await?;
            let text = String::from_utf8_lossy(&bytes);
            StreamKey::parse(&text).map_err(|source| Reason::Key { path: path.clone(), source })?
        }
    };
    let url = &destination.url;
    Ok(Address { tc_url: url.to_string(), app: url.app().to_owned(), key: key.reveal().to_owned() })
}

async fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, Reason> {
    use tokio::io::AsyncReadExt;
    let mut bytes = Vec::new();
    let reading = async {
        let file = tokio::fs::File::open(path).await?;
        file.take(MAX_FILE).read_to_end(&mut bytes).await
    };
    reading.await.map_err(|source| Reason::File { what, path: path.to_owned(), source })?;
    Ok(bytes)
}

/// An open connection.
pub(super) async fn connect(config: &Config, url: &LiveUrl) -> Result<Wire, Reason> {
    let connecting = async {
        let tcp = tcp(url).await?;
        if url.tls() { encrypted(config, url, tcp).await } else { Ok(Wire::Plain(tcp)) }
    };
    let late = Reason::Timeout { what: "connecting", after: CONNECT_TIMEOUT };
    tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.unwrap_or(Err(late))
}

async fn tcp(url: &LiveUrl) -> Result<TcpStream, Reason> {
    let addresses = tokio::net::lookup_host((url.host(), url.port())).await.map_err(Reason::Resolve)?;
    let mut last = Reason::Resolve(io::Error::other("it has no address"));
    for address in addresses {
        match tokio::time::timeout(ADDRESS_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return prepared(tcp).map_err(Reason::Connect),
            Ok(Err(error)) => last = Reason::Connect(error),
            Err(_) => last = Reason::Timeout { what: "connecting", after: ADDRESS_TIMEOUT },
        }
    }
    Err(last)
}

fn prepared(tcp: TcpStream) -> io::Result<TcpStream> {
    let socket = SockRef::from(&tcp);
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(15));
    socket.set_tcp_keepalive(&keepalive.with_interval(Duration::from_secs(5)).with_retries(4))?;
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    Ok(tcp)
}

async fn encrypted(config: &Config, url: &LiveUrl, tcp: TcpStream) -> Result<Wire, Reason> {
    let authority = match &config.ca_file {
        Some(path) => Some(read("live.ca_file", path).await?),
        None => None,
    };
    let client = tls::client_config(authority.as_deref())?;
    let failed = |source| Reason::Tls { host: url.host().to_owned(), source };
    let name =
        ServerName::try_from(url.host().to_owned()).map_err(|error| failed(io::Error::other(error)))?;
    let tls = TlsConnector::from(client).connect(name, tcp).await.map_err(failed)?;
    Ok(Wire::Tls(Box::new(tls)))
}
