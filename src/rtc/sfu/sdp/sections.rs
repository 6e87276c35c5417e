//! A light reading of an SDP's m-sections (RFC 8866). Never fails: what is not understood is not there.

/// The kind of an m-section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `m=audio`.
    Audio,
    /// `m=video`.
    Video,
    /// `m=application`: data channels.
    Application,
    /// Anything else.
    Other,
}

/// One m-section of an SDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    /// Its kind.
    pub kind: Kind,
    /// Its `a=mid`.
    pub mid: Option<&'a str>,
    /// Port 0.
    pub port_zero: bool,
    /// The peer sends in it: `sendrecv` (the default) or `sendonly`.
    pub sends: bool,
    /// The peer receives in it: `sendrecv` (the default) or `recvonly`.
    pub receives: bool,
    /// Track id of `a=msid:<stream> <track>`.
    pub track_id: Option<&'a str>,
    /// RIDs that are sent, in order.
    pub rids: Vec<&'a str>,
    /// `a=ssrc-group:FID`: stream and its retransmission.
    pub retransmissions: Vec<(u32, u32)>,
    /// Every line, without its end.
    pub lines: Vec<&'a str>,
}

impl<'a> Section<'a> {
    fn new(line: &'a str) -> Self {
        let mut words = line.trim_start_matches("m=").split(' ');
        let kind = match words.next() {
            Some("audio") => Kind::Audio,
            Some("video") => Kind::Video,
            Some("application") => Kind::Application,
            _ => Kind::Other,
        };
        Section {
            kind,
            mid: None,
            port_zero: words.next() == Some("0"),
            sends: true,
            receives: true,
            track_id: None,
            rids: Vec::new(),
            retransmissions: Vec::new(),
            lines: vec![line],
        }
    }

    fn read(&mut self, line: &'a str) {
        self.lines.push(line);
        let Some(attribute) = line.strip_prefix("a=") else { return };
        match attribute.split_once(':').unwrap_or((attribute, "")) {
            ("mid", mid) => self.mid = Some(mid.trim()),
            ("sendrecv", _) => (self.sends, self.receives) = (true, true),
            ("sendonly", _) => (self.sends, self.receives) = (true, false),
            ("recvonly", _) => (self.sends, self.receives) = (false, true),
            ("inactive", _) => (self.sends, self.receives) = (false, false),
            ("msid", msid) => self.track_id = msid.split_whitespace().nth(1),
            ("rid", rid) => {
                let mut words = rid.split_whitespace();
                if let (Some(rid), Some("send")) = (words.next(), words.next()) {
                    self.rids.push(rid);
                }
            }
            ("ssrc-group", group) => {
                let mut words = group.split_whitespace();
                let fid = words.next() == Some("FID");
                let mut number = || words.next().and_then(|word| word.parse().ok());
                if let (true, Some(stream), Some(rtx)) = (fid, number(), number()) {
                    self.retransmissions.push((stream, rtx));
                }
            }
            _ => {}
        }
    }
}

/// The m-sections of `sdp`, in order.
pub fn sections(sdp: &str) -> Vec<Section<'_>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    for line in sdp.lines() {
        if line.starts_with("m=") {
            sections.push(Section::new(line));
        } else if let Some(section) = sections.last_mut() {
            section.read(line);
        }
    }
    sections
}
