//! The post-processor of the SDP that we send.

/// Whose track an m-section carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Msid {
    /// `PA_…|TR_…`: LiveKit clients read the participant from it.
    pub stream_id: String,
    /// `TR_…`.
    pub track_id: String,
}

/// What an m-section shall say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding<'m> {
    /// The track that it carries; None: it carries none.
    pub msid: Option<&'m Msid>,
    /// Its direction as SDP says it (`sendonly`, …); None: as the library says.
    pub direction: Option<&'static str>,
}

const DIRECTIONS: [&str; 4] = ["a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"];

/// Rewrites what every m-section of `sdp` says about its track. `bound` tells for a MID what it shall say; None:
/// leave it as it is.
///
/// The library never forgets the first track that an m-section had, and says so in every later offer; a client
/// would give the stream back to the old participant. In an answer it accepts every section that the client would
/// receive in, whether there is a track for it or not.
pub fn rewrite<'m>(sdp: &str, bound: impl Fn(&str) -> Option<Binding<'m>>) -> String {
    let mut out = String::with_capacity(sdp.len() + 256);
    let mut lines = sdp.lines().peekable();
    while let Some(line) = lines.next_if(|line| !line.starts_with("m=")) {
        push(&mut out, line);
    }
    while let Some(first) = lines.next() {
        let mut section = vec![first];
        while let Some(line) = lines.next_if(|line| !line.starts_with("m=")) {
            section.push(line);
        }
        let mid = section.iter().find_map(|line| line.strip_prefix("a=mid:"));
        match mid.and_then(|mid| bound(mid.trim())) {
            None => section.iter().for_each(|line| push(&mut out, line)),
            Some(binding) => section.iter().for_each(|line| push_bound(&mut out, line, binding)),
        }
    }
    out
}

fn push(out: &mut String, line: &str) {
    out.push_str(line);
    out.push_str("\r\n");
}

fn push_bound(out: &mut String, line: &str, binding: Binding<'_>) {
    if let Some(direction) = binding.direction.filter(|_| DIRECTIONS.contains(&line)) {
        push(out, &format!("a={direction}"));
        return;
    }
    let Some(msid) = binding.msid else {
        let of_a_track =
            ["a=msid:", "a=ssrc:", "a=ssrc-group:"].iter().any(|prefix| line.starts_with(prefix));
        if !of_a_track {
            push(out, line);
        }
        return;
    };
    let Msid { stream_id, track_id } = msid;
    if line.starts_with("a=msid:") {
        push(out, &format!("a=msid:{stream_id} {track_id}"));
        return;
    }
    match line.strip_prefix("a=ssrc:").and_then(|rest| rest.split_once(' ')) {
        Some((ssrc, attribute)) if attribute.starts_with("msid:") => {
            push(out, &format!("a=ssrc:{ssrc} msid:{stream_id} {track_id}"));
        }
        Some((ssrc, attribute)) if attribute.starts_with("cname:") => {
            // One CNAME for all tracks of a participant: what a receiver synchronises by (RFC 3550 §6.5.1).
            let participant = stream_id.split('|').next().unwrap_or(stream_id);
            push(out, &format!("a=ssrc:{ssrc} cname:{participant}"));
        }
        _ => push(out, line),
    }
}
