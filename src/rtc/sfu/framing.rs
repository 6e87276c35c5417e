//! Packets on a TCP connection (RFC 4571): each after its length in two bytes.

use thiserror::Error;

/// Longest packet taken. What WebRTC sends fits a network's MTU; RFC 4571 would allow 64 KiB.
pub const MAX_FRAME_BYTES: usize = 4096;

/// A packet longer than [`MAX_FRAME_BYTES`] is announced: this is no WebRTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a packet of {0} bytes; at most {MAX_FRAME_BYTES}")]
pub struct TooLong(pub usize);

/// Takes packets out of a byte stream.
#[derive(Debug, Default)]
pub struct Deframer {
    buffer: Vec<u8>,
    begin: usize,
}

impl Deframer {
    /// Bytes that arrived; any may come in. Take the whole packets out before more is added, so that no more than one
    /// unfinished packet is kept.
    pub fn add(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.begin);
        self.begin = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole packet; Ok(None): more bytes are needed.
    ///
    /// # Errors
    /// [`TooLong`]; the stream is of no more use then.
    pub fn take(&mut self) -> Result<Option<&[u8]>, TooLong> {
        let rest = self.buffer.get(self.begin..).unwrap_or_default();
        let [high, low, rest @ ..] = rest else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length > MAX_FRAME_BYTES {
            return Err(TooLong(length));
        }
        if rest.len() < length {
            return Ok(None);
        }
        let from = self.begin + 2;
        self.begin = from + length;
        Ok(self.buffer.get(from..from + length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packets_come_out_as_they_went_in_however_the_stream_is_cut(
            packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..20),
            cuts in proptest::collection::vec(1usize..30, 1..200),
        ) {
            let mut stream = Vec::new();
            for packet in &packets {
                stream.extend((packet.len() as u16).to_be_bytes());
                stream.extend(packet);
            }
            let (mut deframer, mut out, mut rest) = (Deframer::default(), Vec::new(), &stream[..]);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                rest = after;
                deframer.add(piece);
                while let Some(packet) = deframer.take().unwrap() {
                    out.push(packet.to_vec());
                }
            }
            prop_assert_eq!(out, packets);
        }

        #[test]
        fn any_bytes_are_survived_and_little_is_kept(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..600), 0..30),
        ) {
            let mut deframer = Deframer::default();
            for piece in pieces {
                deframer.add(&piece);
                loop {
                    match deframer.take() {
                        Ok(Some(packet)) => prop_assert!(packet.len() <= MAX_FRAME_BYTES),
                        Ok(None) => break,
                        Err(TooLong(length)) => {
                            prop_assert!(length > MAX_FRAME_BYTES);
                            return Ok(());
                        }
                    }
                }
                prop_assert!(deframer.buffer.len() - deframer.begin <= MAX_FRAME_BYTES + 600);
            }
        }
    }
}
