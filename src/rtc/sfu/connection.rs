//! One WebRTC connection and its clockwork.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use str0m::net::{Protocol, Receive};
use str0m::{Event, IceConnectionState, Input, Output, Rtc, RtcError};
use tracing::debug;

use super::guard::guard;
use super::sockets::{Datagram, Peer, Sockets};
use super::{ConnectionKey, stun};

/// Without anything to do the library is asked at least this often.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Turns of the library's clockwork after each STUN message of a connection that is being made. The library keeps
/// binding requests that come before the answer, takes one of them a turn, and in such a turn does not look at
/// nominations: DTLS would then wait for the next timer, up to a second. More are kept than this: each further STUN
/// message takes as many again.
const STUN_TURNS: usize = 8;

/// Packets, or turns of the library's clockwork while it says that it is due, at once. More: the others come first.
const DUE_TURNS: usize = 256;

/// With bandwidth estimation the library lets one packet out a turn and wants the next turn this much later, so that
/// time goes on. It need not: waiting for real would spread the packets of one picture over many milliseconds.
const NEXT_PACKET: Duration = Duration::from_micros(1);

/// One connection.
pub struct Connection {
    /// The library's side of it.
    pub rtc: Rtc,
    /// ICE and DTLS are done.
    pub connected: bool,
    /// Since when ICE has been lost.
    pub lost_since: Option<Instant>,
    /// It cannot be used any more.
    pub closed: bool,
    /// Its library lets out one packet a turn.
    paced: bool,
    pub(super) wake_at: Instant,
    /// When it will be looked at: see [`super::timers::Timers`].
    pub(super) timer: Instant,
    /// Given something to send since the last flush.
    pub(super) dirty: bool,
    /// Where the peer was seen, authenticated.
    pub(super) peers: Vec<Peer>,
    /// The peer was there a moment ago, for others to see.
    pub(super) living: Arc<AtomicBool>,
    /// Our ICE user fragments that the peer may still use, newest last.
    pub(super) ufrags: Vec<String>,
}

/// What was counted; never goes down.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Datagrams that belonged to nobody.
    pub stray: u64,
    /// Datagrams that another shard did not take.
    pub undelivered: u64,
    /// Datagrams that the kernel did not take.
    pub unsent: u64,
}

impl Connection {
    /// `paced`: with bandwidth estimation.
    pub(super) fn new(rtc: Rtc, paced: bool, now: Instant) -> Self {
        Connection {
            rtc,
            paced,
            connected: false,
            lost_since: None,
            closed: false,
            wake_at: now,
            timer: now,
            dirty: false,
            peers: Vec::new(),
            living: Arc::new(AtomicBool::new(true)),
            ufrags: Vec::new(),
        }
    }

    /// Says goodbye (RTCP BYE, DTLS close_notify) without waiting for an echo.
    pub(super) fn close(&mut self, now: Instant, sockets: &Sockets, traffic: &mut Traffic) {
        if self.closed {
            return;
        }
        self.closed = true;
        let _ = guard(|| {
            let _ = self.rtc.close();
            let _ = self.rtc.handle_input(Input::Timeout(now));
            while let Ok(output @ (Output::Transmit(_) | Output::Event(_))) = self.rtc.poll_output() {
                if let Output::Transmit(transmit) = output {
                    traffic.unsent += sockets.send(transmit);
                }
            }
        });
        traffic.unsent += sockets.flush();
    }

    /// Some(true): a STUN message that proved itself. None: not for this connection.
    pub(super) fn feed(&mut self, datagram: &Datagram<'_>, known: bool, now: Instant) -> Option<bool> {
        let Datagram { peer, destination, contents } = *datagram;
        let protocol = if peer.tcp { Protocol::Tcp } else { Protocol::Udp };
        let receive = Receive::new(protocol, peer.address, destination, contents).ok()?;
        let input = Input::Receive(now, receive);
        if !known && !self.rtc.accepts(&input) {
            return None;
        }
        let stun = stun::is_stun(contents);
        let mut fed = self.rtc.handle_input(input);
        if stun && !self.connected {
            for _ in 0..STUN_TURNS {
                fed = fed.and_then(|()| self.rtc.handle_input(Input::Timeout(now)));
            }
        }
        if let Err(error) = fed {
            debug!(%error, "a connection failed");
            self.closed = true;
        }
        Some(stun)
    }

    /// Lets time pass and sends what is due.
    pub(super) fn run(
        &mut self,
        key: ConnectionKey,
        now: Instant,
        sockets: &Sockets,
        events: &mut Vec<(ConnectionKey, Event)>,
        traffic: &mut Traffic,
    ) {
        if self.closed {
            self.wake_at = now + LONGEST_WAIT;
            return;
        }
        if !matches!(guard(|| self.rtc.handle_input(Input::Timeout(now))), Ok(Ok(()))) {
            self.closed = true;
        }
        self.drain(key, now, sockets, events, traffic);
    }

    /// Empties the library: sends, and collects events.
    pub(super) fn drain(
        &mut self,
        key: ConnectionKey,
        now: Instant,
        sockets: &Sockets,
        events: &mut Vec<(ConnectionKey, Event)>,
        traffic: &mut Traffic,
    ) {
        let mut turns = 0;
        let drained = guard(|| -> Result<Instant, RtcError> {
            loop {
                match self.rtc.poll_output()? {
                    Output::Event(event) => {
                        self.note(&event, now);
                        events.push((key, event));
                        continue;
                    }
                    Output::Transmit(transmit) => {
                        traffic.unsent += sockets.send(transmit);
                        // Asked for more it would first look at all its timers, which costs as much as a packet.
                        if !self.paced || turns == DUE_TURNS {
                            continue;
                        }
                    }
                    Output::Timeout(at) if at > now + NEXT_PACKET || turns == DUE_TURNS => return Ok(at),
                    Output::Timeout(_) => {}
                }
                turns += 1;
                self.rtc.handle_input(Input::Timeout(now))?;
            }
        });
        traffic.unsent += sockets.flush();
        if let Ok(Err(error)) = &drained {
            debug!(%error, "a connection failed");
        }
        let due = drained.ok().and_then(Result::ok);
        self.closed |= due.is_none() || !self.rtc.is_alive();
        self.wake_at = due.unwrap_or(now + LONGEST_WAIT).clamp(now, now + LONGEST_WAIT);
    }

    fn note(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Connected => self.connected = true,
            Event::Closed => self.closed = true,
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                // Before the first connection there is nothing to lose.
                self.lost_since = self.connected.then_some(now);
            }
            Event::IceConnectionStateChange(_) => self.lost_since = None,
            _ => return,
        }
        self.living.store(!self.closed && self.lost_since.is_none(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    use crate::base::clock;
    use crate::rtc::sfu::settings::{self, Codecs};
    use str0m::Candidate;

    /// The datagrams that `rtc` has to send, by source.
    fn output(rtc: &mut Rtc) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut sent = Vec::new();
        loop {
            match rtc.poll_output().unwrap() {
                Output::Timeout(_) => return sent,
                Output::Transmit(transmit) => sent.push((transmit.source, transmit.contents.to_vec())),
                Output::Event(_) => {}
            }
        }
    }

    fn host(address: &str) -> (SocketAddr, Candidate) {
        let address = address.parse().unwrap();
        (address, Candidate::host(address, "udp").unwrap())
    }

    #[test]
    fn a_nomination_that_comes_while_older_binding_requests_wait_starts_dtls_at_once() {
        let start = clock::now();
        let (server_at, candidate) = host("10.0.0.1:7882");
        let mut server = Connection::new(settings::subscriber(&Codecs::default(), true, start), true, start);
        server.rtc.add_local_candidate(candidate);
        let mut client = Rtc::new(start);
        for address in ["10.0.0.2:1000", "10.0.0.2:1001"] {
            client.add_local_candidate(host(address).1);
        }
        let mut api = server.rtc.sdp_api();
        api.add_channel("data".to_owned());
        let (offer, pending) = api.apply().unwrap();
        let answer = client.sdp_api().accept_offer(offer).unwrap();

        let feed = |server: &mut Connection, source, contents: &[u8], now| {
            let peer = Peer { tcp: false, address: source };
            server.feed(&Datagram { peer, destination: server_at, contents }, false, now);
            output(&mut server.rtc)
        };
        // Both of the client's addresses ask before its answer is here.
        let mut asked = Vec::new();
        let mut now = start;
        while asked.len() < 2 {
            client.handle_input(Input::Timeout(now)).unwrap();
            asked.extend(output(&mut client));
            now += Duration::from_millis(50);
        }
        for (source, contents) in &asked {
            assert!(feed(&mut server, *source, contents, now).is_empty(), "no credentials to answer with");
        }
        server.rtc.sdp_api().accept_answer(pending, answer).unwrap();
        server.rtc.handle_input(Input::Timeout(now)).unwrap();
        let answered = output(&mut server.rtc);
        assert_eq!(answered.len(), 1, "one a turn");

        // The one that is answered is nominated before the other one's turn has come.
        let receive = Receive::new(Protocol::Udp, server_at, asked[0].0, &answered[0].1).unwrap();
        client.handle_input(Input::Receive(now, receive)).unwrap();
        let mut sent = output(&mut client);
        for _ in 0..4 {
            now += Duration::from_millis(50);
            client.handle_input(Input::Timeout(now)).unwrap();
            sent.extend(output(&mut client));
        }
        let nominates = |message: &[u8]| message.windows(4).any(|four| four == [0, 0x25, 0, 0]);
        let (source, contents) = sent.iter().find(|(_, message)| nominates(message)).expect("a nomination");
        let out = feed(&mut server, *source, contents, now);
        assert!(out.iter().any(|(_, message)| message[0] == 22), "a DTLS handshake record");
    }
}
