//! How far a TCP connection's sending is, by the kernel's own account.

use std::io;
use std::mem::{offset_of, size_of};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// What became of the bytes given to a TCP socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendState {
    /// Bytes that the peer's kernel has acknowledged since the connection was made (and one for its opening).
    pub acked_bytes: u64,
    /// Whether any were sent or wait to be sent that are not acknowledged.
    pub outstanding: bool,
    /// Smoothed round trip.
    pub rtt: Duration,
}

/// Asks the kernel (`TCP_INFO`; Linux 4.6 and newer).
///
/// # Errors
/// The system's: `socket` is no TCP socket, or the kernel is older.
pub fn send_state(socket: &impl AsFd) -> io::Result<SendState> {
    // SAFETY: tcp_info is plain numbers, for which zero is a value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    let into = (&raw mut info).cast();
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: `into` is `length` bytes that are ours to write, and both live as long as the call.
    let done = unsafe { libc::getsockopt(socket, libc::IPPROTO_TCP, libc::TCP_INFO, into, &mut length) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    let needed = offset_of!(libc::tcp_info, tcpi_notsent_bytes) + size_of::<u32>();
    if (length as usize) < needed {
        return Err(io::Error::from(io::ErrorKind::Unsupported));
    }
    let outstanding = info.tcpi_unacked > 0 || info.tcpi_notsent_bytes > 0;
    let rtt = Duration::from_micros(info.tcpi_rtt.into());
    Ok(SendState { acked_bytes: info.tcpi_bytes_acked, outstanding, rtt })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn what_the_peer_took_is_acknowledged_and_what_it_has_no_room_for_is_outstanding() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut receiver, _) = listener.accept().unwrap();
        sender.write_all(&[7; 1000]).unwrap();
        receiver.read_exact(&mut [0; 1000]).unwrap();
        // Its answer carries the acknowledgement.
        receiver.write_all(b"x").unwrap();
        sender.read_exact(&mut [0]).unwrap();
        assert!((1000..=1001).contains(&send_state(&sender).unwrap().acked_bytes));
        sender.set_nonblocking(true).unwrap();
        while sender.write(&[7; 65_536]).is_ok() {}
        assert!(send_state(&sender).unwrap().outstanding);
        assert!(send_state(&std::net::UdpSocket::bind("127.0.0.1:0").unwrap()).is_err());
    }
}
