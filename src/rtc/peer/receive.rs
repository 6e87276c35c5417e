//! Received packets leave the connection here, by SSRC, before the library sorts them into tracks: its tracks are
//! made anew at every renegotiation.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use tokio::sync::mpsc;

use super::engine::OPUS_PAYLOAD_TYPE;

/// Received packets on their way to the decoder: one second of 20 speakers. When it is full packets are lost,
/// which the decoder conceals as if the network had lost them.
pub const RECEIVE_CAPACITY: usize = 1024;

/// One received RTP packet of Opus.
#[derive(Clone, Debug)]
pub struct ReceivedPacket {
    /// Which stream.
    pub ssrc: u32,
    /// RTP sequence number.
    pub sequence: u16,
    /// RTP timestamp, 48 kHz.
    pub timestamp_48k: u32,
    /// One Opus packet; may be empty (padding only).
    pub payload: Bytes,
    /// When it came.
    pub at: Instant,
}

/// The interceptor next to the application of a receiving connection: takes every packet of media.
pub(super) struct Tap {
    packets: mpsc::Sender<ReceivedPacket>,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

impl Tap {
    pub fn new(packets: mpsc::Sender<ReceivedPacket>) -> Self {
        Tap { packets, reads: VecDeque::new(), writes: VecDeque::new() }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Tap {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        match packet.message.packet {
            Packet::Rtp(rtp) if rtp.header.payload_type == OPUS_PAYLOAD_TYPE => {
                let received = ReceivedPacket {
                    ssrc: rtp.header.ssrc,
                    sequence: rtp.header.sequence_number,
                    timestamp_48k: rtp.header.timestamp,
                    payload: rtp.payload,
                    at: packet.now,
                };
                // Full: lost, see RECEIVE_CAPACITY. Closed: the session is ending.
                let _ = self.packets.try_send(received);
            }
            // No other media is asked for; the library would only complain that nobody reads it.
            Packet::Rtp(_) => {}
            _ => self.reads.push_back(packet),
        }
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reads.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.writes.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }
}

impl Interceptor for Tap {
    fn bind_local_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}
