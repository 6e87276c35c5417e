//! The packets of one picture go through the connection together. The library takes one packet at a time from a
//! channel and does a whole turn of its loop for each; so all but the last of a picture wait here, and the last
//! one takes them along: one wake-up, and one system call when they are many (UDP GSO).

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rtc::interceptor::{AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

/// Packets that may wait, over all layers; a keyframe of 720p has about 60. When it is full packets go one by
/// one, which holds the sender back until the connection has caught up.
const CAPACITY: usize = 1024;

/// Where packets wait for the last one of their picture. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub(super) struct Burst(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    /// By SSRC and sequence number of the packet that takes them along.
    before: HashMap<(u32, u16), Vec<rtp::Packet>>,
    packets: usize,
}

impl Burst {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves `packets` to be sent right before the one that is returned, their last. Returns all of them when
    /// there is no room.
    pub fn leave(&self, mut packets: Vec<rtp::Packet>) -> Vec<rtp::Packet> {
        let mut waiting = self.lock();
        if packets.len() < 2 || waiting.packets + packets.len() - 1 > CAPACITY {
            return packets;
        }
        let Some(last) = packets.pop() else { return packets };
        waiting.packets += packets.len();
        waiting.before.insert((last.header.ssrc, last.header.sequence_number), packets);
        vec![last]
    }

    fn take(&self, last: &rtp::Packet) -> Vec<rtp::Packet> {
        let mut waiting = self.lock();
        let taken =
            waiting.before.remove(&(last.header.ssrc, last.header.sequence_number)).unwrap_or_default();
        waiting.packets -= taken.len();
        taken
    }

    /// The interceptor next to the application, which lets them go.
    pub fn release(&self) -> Release {
        Release { burst: self.clone(), reads: VecDeque::new(), writes: VecDeque::new() }
    }
}

/// See [`Burst::release`].
pub(super) struct Release {
    burst: Burst,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Release {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.reads.push_back(packet);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reads.pop_front()
    }

    fn handle_write(&mut self, last: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(rtp) = &last.message.packet {
            let before = self.burst.take(rtp).into_iter().map(|packet| TaggedPacket {
                now: last.now,
                transport: last.transport,
                message: AttributedPacket::new(Packet::Rtp(packet)),
            });
            self.writes.extend(before);
        }
        self.writes.push_back(last);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }
}

impl Interceptor for Release {
    fn bind_local_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(ssrc: u32, sequence_number: u16) -> rtp::Packet {
        let header = rtp::header::Header { version: 2, ssrc, sequence_number, ..Default::default() };
        rtp::Packet { header, payload: Default::default() }
    }

    fn picture(ssrc: u32, from: u16, count: u16) -> Vec<rtp::Packet> {
        (0..count).map(|n| packet(ssrc, from.wrapping_add(n))).collect()
    }

    fn out(release: &mut Release) -> Vec<(u32, u16)> {
        std::iter::from_fn(|| release.poll_write())
            .filter_map(|tagged| match tagged.message.packet {
                Packet::Rtp(rtp) => Some((rtp.header.ssrc, rtp.header.sequence_number)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn the_last_packet_takes_its_picture_along_and_no_other() {
        let burst = Burst::default();
        let mut release = burst.release();
        let first = burst.leave(picture(1, 65534, 4));
        let other = burst.leave(picture(2, 10, 2));
        let single = burst.leave(picture(1, 2, 1));
        let now = crate::base::clock::now();
        let tagged = |rtp: &rtp::Packet| TaggedPacket {
            now,
            transport: Default::default(),
            message: AttributedPacket::new(Packet::Rtp(rtp.clone())),
        };
        assert_eq!((first.len(), other.len(), single.len()), (1, 1, 1));
        release.handle_write(tagged(&first[0])).unwrap();
        assert_eq!(out(&mut release), [(1, 65534), (1, 65535), (1, 0), (1, 1)]);
        release.handle_write(tagged(&single[0])).unwrap();
        assert_eq!(out(&mut release), [(1, 2)]);
        release.handle_write(tagged(&other[0])).unwrap();
        assert_eq!(out(&mut release), [(2, 10), (2, 11)]);
        assert_eq!(burst.lock().packets, 0);
    }

    #[test]
    fn without_room_packets_go_one_by_one() {
        let burst = Burst::default();
        for n in 0..CAPACITY as u16 / 8 {
            assert_eq!(burst.leave(picture(1, n * 9, 9)).len(), 1);
        }
        assert_eq!(burst.leave(picture(1, 60_000, 9)).len(), 9);
    }
}
