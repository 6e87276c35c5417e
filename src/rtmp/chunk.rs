//! The chunk stream (RTMP 1.0 §5.3): messages cut into chunks and put together again.

use std::collections::BTreeMap;

use super::RtmpError;

/// Chunk size until told otherwise (§5.4.1).
const DEFAULT_SIZE: usize = 128;
/// The chunk size that we write with; what encoders commonly use.
pub(super) const OUR_SIZE: usize = 4096;
/// Longest message that is read. What a server says to a publisher is a few hundred bytes.
const MAX_MESSAGE: usize = 64 * 1024;
/// Chunk streams that a server may use.
const MAX_STREAMS: usize = 64;
/// A timestamp field of this value is followed by an extended timestamp (§5.3.1.3).
const EXTENDED: u32 = 0x00ff_ffff;

/// Message types (§5.4, §7.1).
pub(super) mod kind {
    pub(in super::super) const SET_CHUNK_SIZE: u8 = 1;
    pub(in super::super) const ABORT: u8 = 2;
    pub(in super::super) const ACKNOWLEDGEMENT: u8 = 3;
    pub(in super::super) const USER_CONTROL: u8 = 4;
    pub(in super::super) const WINDOW: u8 = 5;
    pub(in super::super) const PEER_BANDWIDTH: u8 = 6;
    pub(in super::super) const AUDIO: u8 = 8;
    pub(in super::super) const VIDEO: u8 = 9;
    pub(in super::super) const COMMAND_AMF3: u8 = 17;
    pub(in super::super) const DATA: u8 = 18;
    pub(in super::super) const COMMAND: u8 = 20;
}

/// Chunk streams that we write on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    Control = 2,
    Command = 3,
    Audio = 4,
    Data = 5,
    Video = 6,
}

/// Where a message belongs, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) lane: Lane,
    pub(super) kind: u8,
    /// Message stream id.
    pub(super) stream: u32,
    /// Milliseconds, modulo 2^32.
    pub(super) at: u32,
}

/// Cuts messages into chunks.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
    size: usize,
    /// By lane: the last message's time and stream.
    last: BTreeMap<u8, (u32, u32)>,
}

impl Writer {
    pub(super) fn new() -> Self {
        Writer { bytes: Vec::new(), size: DEFAULT_SIZE, last: BTreeMap::new() }
    }

    /// Appends a message whose body is `parts` one after the other. A lane's first message has a full header
    /// (type 0); later ones tell the time that has passed (type 1), so that clocks beyond 2^24 ms (4.6 hours) need no
    /// extended timestamp, which servers get wrong.
    pub(super) fn message(&mut self, header: Header, parts: &[&[u8]]) {
        let lane = header.lane as u8;
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let last = self.last.insert(lane, (header.at, header.stream));
        let passed = match last {
            Some((at, stream)) if stream == header.stream => header.at.wrapping_sub(at),
            _ => EXTENDED,
        };
        // A step that large is a step back, or a new stream.
        let whole = passed >= EXTENDED;
        let time = if whole { header.at } else { passed };
        self.bytes.push(if whole { lane } else { 0x40 | lane });
        self.bytes.extend_from_slice(&time.min(EXTENDED).to_be_bytes()[1..]);
        self.bytes.extend_from_slice(&(length as u32).to_be_bytes()[1..]);
        self.bytes.push(header.kind);
        if whole {
            self.bytes.extend_from_slice(&header.stream.to_le_bytes());
        }
        let extended = (time >= EXTENDED).then(|| time.to_be_bytes());
        self.bytes.extend(extended.iter().flatten());
        self.body(lane, extended, parts);
        if let (kind::SET_CHUNK_SIZE, Some(size)) = (header.kind, parts.first()) {
            self.size = size.iter().fold(0, |value, byte| value << 8 | usize::from(*byte)).max(1);
        }
    }

    fn body(&mut self, lane: u8, extended: Option<[u8; 4]>, parts: &[&[u8]]) {
        let mut room = self.size;
        for part in parts {
            let mut rest = *part;
            while !rest.is_empty() {
                if room == 0 {
                    self.bytes.push(0xc0 | lane);
                    self.bytes.extend(extended.iter().flatten());
                    room = self.size;
                }
                let (now, later) = rest.split_at(room.min(rest.len()));
                self.bytes.extend_from_slice(now);
                room -= now.len();
                rest = later;
            }
        }
    }
}

/// A message as it came.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: u8,
    pub(super) body: Vec<u8>,
}

/// Puts chunks together.
#[derive(Debug)]
pub(super) struct Reader {
    /// Bytes that are no whole chunk yet: at most a header and a chunk.
    pending: Vec<u8>,
    size: usize,
    streams: BTreeMap<u32, Incoming>,
}

#[derive(Debug, Default)]
struct Incoming {
    length: usize,
    kind: u8,
    extended: bool,
    body: Vec<u8>,
}

/// One chunk's header, read but not acted upon.
struct Parsed {
    id: u32,
    length: usize,
    kind: u8,
    extended: bool,
    /// Bytes of the header.
    taken: usize,
}

impl Reader {
    pub(super) fn new() -> Self {
        Reader { pending: Vec::new(), size: DEFAULT_SIZE, streams: BTreeMap::new() }
    }

    /// Takes what was received and gives every message that is whole now.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Message>, RtmpError> {
        self.pending.extend_from_slice(bytes);
        let pending = std::mem::take(&mut self.pending);
        let (mut at, mut messages) = (0, Vec::new());
        while let Some(rest) = pending.get(at..).filter(|rest| !rest.is_empty()) {
            let Some(header) = self.header(rest)? else { break };
            let Some((taken, message)) = self.chunk(&header, rest)? else { break };
            at += taken;
            if let Some(message) = message {
                self.obey(&message)?;
                messages.push(message);
            }
        }
        self.pending = pending.get(at..).unwrap_or_default().to_vec();
        Ok(messages)
    }

    /// What changes how chunks are read.
    fn obey(&mut self, message: &Message) -> Result<(), RtmpError> {
        let number = || {
            let bytes = message.body.get(..4)?;
            Some(bytes.iter().fold(0u32, |value, byte| value << 8 | u32::from(*byte)))
        };
        match message.kind {
            kind::SET_CHUNK_SIZE => {
                let size = number().filter(|size| (1..=0x7fff_ffff).contains(size));
                self.size = size.ok_or(RtmpError::Malformed("a chunk size that cannot be"))? as usize;
            }
            kind::ABORT => {
                if let Some(incoming) = number().and_then(|id| self.streams.get_mut(&id)) {
                    incoming.body.clear();
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The header at the start of `bytes`; None: more is needed.
    fn header(&self, bytes: &[u8]) -> Result<Option<Parsed>, RtmpError> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let (id, basic) = match (first & 0x3f, bytes.get(1), bytes.get(2)) {
            (0, Some(low), _) => (64 + u32::from(*low), 2),
            (1, Some(low), Some(high)) => (64 + u32::from(*low) + 256 * u32::from(*high), 3),
            (0 | 1, ..) => return Ok(None),
            (id, ..) => (u32::from(id), 1),
        };
        let known = self.streams.get(&id);
        let format = first >> 6;
        if format > 0 && known.is_none() {
            return Err(RtmpError::Malformed("a chunk that continues nothing"));
        }
        let fields = [11, 7, 3, 0].get(usize::from(format)).copied().unwrap_or_default();
        let Some(rest) = bytes.get(basic..basic + fields) else { return Ok(None) };
        let number = |from: usize| {
            let three = rest.get(from..from + 3)?;
            Some(three.iter().fold(0, |value, byte| value << 8 | usize::from(*byte)))
        };
        let extended = match number(0) {
            Some(time) => time == EXTENDED as usize,
            None => known.is_some_and(|incoming| incoming.extended),
        };
        let taken = basic + fields + if extended { 4 } else { 0 };
        if bytes.len() < taken {
            return Ok(None);
        }
        let length = number(3).or(known.map(|incoming| incoming.length)).unwrap_or_default();
        let kind = rest.get(6).copied().or(known.map(|incoming| incoming.kind)).unwrap_or_default();
        Ok(Some(Parsed { id, length, kind, extended, taken }))
    }

    /// The chunk behind `header`: how many bytes, and the message if it is whole now; None: more is needed.
    fn chunk(
        &mut self,
        header: &Parsed,
        bytes: &[u8],
    ) -> Result<Option<(usize, Option<Message>)>, RtmpError> {
        if header.length > MAX_MESSAGE {
            return Err(RtmpError::Malformed("a message longer than 64 KiB"));
        }
        if self.streams.len() >= MAX_STREAMS && !self.streams.contains_key(&header.id) {
            return Err(RtmpError::Malformed("more than 64 chunk streams"));
        }
        let have = self.streams.get(&header.id).map_or(0, |incoming| incoming.body.len());
        let missing = header.length.checked_sub(have);
        let missing = missing.ok_or(RtmpError::Malformed("a message that becomes shorter"))?;
        let now = missing.min(self.size);
        let Some(payload) = bytes.get(header.taken..header.taken + now) else { return Ok(None) };
        let incoming = self.streams.entry(header.id).or_default();
        (incoming.length, incoming.kind, incoming.extended) = (header.length, header.kind, header.extended);
        incoming.body.extend_from_slice(payload);
        let whole = incoming.body.len() == incoming.length;
        let message =
            whole.then(|| Message { kind: incoming.kind, body: std::mem::take(&mut incoming.body) });
        Ok(Some((header.taken + now, message)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(writer: &mut Writer, at: u32, body: &[u8]) {
        writer.message(Header { lane: Lane::Video, kind: kind::VIDEO, stream: 1, at }, &[body]);
    }

    #[test]
    fn messages_of_any_length_come_back_whole_however_they_are_cut() {
        let bodies: Vec<Vec<u8>> = [0, 1, 127, 128, 129, 4096, 9000].map(|length| vec![7; length]).to_vec();
        let mut writer = Writer::new();
        for (number, body) in bodies.iter().enumerate() {
            written(&mut writer, number as u32 * 0x00ff_ffff, body);
        }
        for step in [1, 5, 1000, usize::MAX] {
            let mut reader = Reader::new();
            let cut = writer.bytes.chunks(step.min(writer.bytes.len()));
            let found: Vec<_> = cut.flat_map(|bytes| reader.feed(bytes).unwrap()).collect();
            let found: Vec<_> = found.into_iter().map(|message| message.body).collect();
            assert_eq!(found, bodies, "in steps of {step}");
        }
    }

    #[test]
    fn a_server_cannot_make_us_keep_much() {
        let mut long = vec![3, 0, 0, 0, 0xff, 0xff, 0xff, 20, 0, 0, 0, 0];
        assert!(Reader::new().feed(&long).is_err());
        long = (0..200u8)
            .flat_map(|id| [0, id, 0, 0, 0, 0, 1, 0, 20, 0, 0, 0, 0].into_iter().chain([0; 128]))
            .collect();
        assert!(Reader::new().feed(&long).is_err());
    }
}
