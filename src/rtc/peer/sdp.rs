//! Which SSRC carries which track, from a server's offer.

/// One source that an offer announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaSource {
    /// Its SSRC.
    pub ssrc: u32,
    /// The first word of its msid: `PA_…|TR_…`, or `PA_…|name`.
    pub stream: String,
    /// The second word of its msid: the track's sid.
    pub track: String,
}

/// Most sources that are read from one offer; a server that announces more is not believed.
const MAX_SOURCES: usize = 4096;

/// The sources of all sections that are sent to us, by `a=ssrc:N msid:stream track` (RFC 5576, RFC 8830).
/// Lines that cannot be read are left out.
pub fn media_sources(sdp: &str) -> Vec<MediaSource> {
    let mut sources = Vec::new();
    let mut section = Section::default();
    for line in sdp.lines().map(str::trim_end).chain(std::iter::once("m=")) {
        if line.starts_with("m=") {
            std::mem::take(&mut section).finish(&mut sources);
            continue;
        }
        section.line(line);
        if sources.len() + section.sources.len() >= MAX_SOURCES {
            break;
        }
    }
    sources
}

#[derive(Default)]
struct Section {
    /// `inactive` or `recvonly`: what stands in it is not sent.
    silent: bool,
    msid: Option<(String, String)>,
    sources: Vec<(u32, Option<(String, String)>)>,
}

impl Section {
    fn line(&mut self, line: &str) {
        match line {
            "a=inactive" | "a=recvonly" => self.silent = true,
            _ => {}
        }
        if let Some(msid) = line.strip_prefix("a=msid:") {
            self.msid = msid_of(msid);
        }
        let Some((ssrc, attribute)) = line.strip_prefix("a=ssrc:").and_then(|rest| rest.split_once(' '))
        else {
            return;
        };
        let Ok(ssrc) = ssrc.parse() else { return };
        let msid = attribute.strip_prefix("msid:").and_then(msid_of);
        match self.sources.iter_mut().find(|(known, _)| *known == ssrc) {
            Some((_, known)) => *known = msid.or(known.take()),
            None => self.sources.push((ssrc, msid)),
        }
    }

    fn finish(self, out: &mut Vec<MediaSource>) {
        if self.silent {
            return;
        }
        for (ssrc, msid) in self.sources {
            if let Some((stream, track)) = msid.or_else(|| self.msid.clone()) {
                out.push(MediaSource { ssrc, stream, track });
            }
        }
    }
}

fn msid_of(text: &str) -> Option<(String, String)> {
    let (stream, track) = text.split_once(' ')?;
    Some((stream.to_owned(), track.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_found_by_either_form_of_msid_and_silent_sections_are_not() {
        let sdp = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=msid:PA_a|TR_1 TR_1\r\na=sendonly\r\n\
                   a=ssrc:11 cname:x\r\na=ssrc:11 msid:PA_a|TR_1 TR_1\r\n\
                   m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=msid:PA_b|TR_2 TR_2\r\na=ssrc:22 cname:y\r\n\
                   m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=inactive\r\na=ssrc:33 msid:PA_c|TR_3 TR_3\r\n\
                   m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=ssrc:x msid:PA_d TR_4\r\na=ssrc:44\r\n";
        let found: Vec<_> = media_sources(sdp).into_iter().map(|s| (s.ssrc, s.stream, s.track)).collect();
        let expected = [(11, "PA_a|TR_1", "TR_1"), (22, "PA_b|TR_2", "TR_2")];
        assert_eq!(found, expected.map(|(ssrc, stream, track)| (ssrc, stream.to_owned(), track.to_owned())));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "(?s)(m=|a=ssrc:[0-9]{0,12}|a=msid:| |msid:|\r\n|.){0,40}") {
            let _ = media_sources(&text);
        }
    }
}
