//! Which codec the reader of an answer is to send in: the first of its m-line.

use super::sections::{Section, sections};

/// Puts the payload types of a codec first in the m-lines of `sdp`. `preferred` tells for a MID the codec's name as in
/// `a=rtpmap`, in any case; None: the order stays, as it does where there is no such codec.
pub fn prefer<'c>(sdp: &str, preferred: impl Fn(&str) -> Option<&'c str>) -> String {
    let found = sections(sdp);
    let mut m_lines = found.iter().map(|section| {
        let codec = section.mid.and_then(&preferred)?;
        reordered(section, codec)
    });
    let mut out = String::with_capacity(sdp.len());
    for line in sdp.lines() {
        let other = if line.starts_with("m=") { m_lines.next().flatten() } else { None };
        out.push_str(other.as_deref().unwrap_or(line));
        out.push_str("\r\n");
    }
    out
}

/// `m=<kind> <port> <proto> <payload types>` with those of `codec` first.
fn reordered(section: &Section<'_>, codec: &str) -> Option<String> {
    let words: Vec<&str> = section.lines.first()?.split(' ').collect();
    let (head, types) = words.split_at_checked(3)?;
    let is_wanted = |pt: &&str| {
        section.lines.iter().any(|line| {
            let mapped = line.strip_prefix("a=rtpmap:").and_then(|line| line.split_once(' '));
            mapped.is_some_and(|(of, name)| {
                of == *pt && name.split('/').next().is_some_and(|name| name.eq_ignore_ascii_case(codec))
            })
        })
    };
    let (first, rest): (Vec<&str>, Vec<&str>) = types.iter().copied().partition(is_wanted);
    Some([head, &first, &rest].concat().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_codec_comes_first_and_nothing_else_changes() {
        let sdp = "v=0\r\nm=audio 9 UDP 111\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\n\
            m=video 9 UDP 108 109 98 99\r\na=mid:1\r\na=rtpmap:108 H264/90000\r\na=rtpmap:109 rtx/90000\r\n\
            a=rtpmap:98 VP9/90000\r\na=rtpmap:99 rtx/90000\r\n";
        let preferred = |codec| prefer(sdp, |mid| (mid == "1").then_some(codec));
        assert_eq!(preferred("vp9"), sdp.replace("108 109 98 99", "98 108 109 99"));
        assert_eq!(preferred("h264"), sdp);
        assert_eq!(preferred("av1"), sdp, "not there");
        assert_eq!(prefer(sdp, |_| None), sdp);
    }
}
