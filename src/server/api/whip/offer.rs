//! What a WHIP or WHEP client may offer, looked at before anybody joins a room for it.

use livekit_protocol as proto;
use thiserror::Error;

use crate::media::Layer;
use crate::room::Grant;
use crate::rtc::sfu::sdp::{Kind, OfferError, OfferRules, Section, sections};
use crate::rtc::sfu::{Codecs, settings};

/// Which way the media goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The client publishes (WHIP, RFC 9725).
    Publish,
    /// The client watches (WHEP, draft-ietf-wish-whep).
    Watch,
}

/// What is wrong with an offer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// Anything but SDP.
    #[error("the body is no SDP: it begins with \"v=0\" (RFC 8866)")]
    NotSdp,
    /// SDP that breaks a rule.
    #[error("the offer: {0}")]
    Malformed(#[from] OfferError),
    /// Nothing to do.
    #[error("the offer has no audio or video that the client {}", if *.0 == Way::Publish { "sends (a=sendonly)" } else { "receives (a=recvonly)" })]
    Nothing(Way),
    /// One stream a kind is what WHIP is for (RFC 9725 §4.4.2).
    #[error("{0} {1} tracks; one is taken at most")]
    Many(usize, &'static str),
    /// No codec in common.
    #[error("{kind}: {taken} is taken here; the offer has {found}")]
    Codec {
        /// `audio` or `video`.
        kind: &'static str,
        /// What it could be.
        taken: String,
        /// What it is.
        found: String,
    },
    /// A simulcast layer whose place is not known.
    #[error("simulcast layer {rid:?}: from the smallest to the largest they are q, h, f or 2, 1, 0")]
    Layer {
        /// Cut to 32 characters.
        rid: String,
    },
    /// The token does not let it.
    #[error("the token does not allow publishing {0}")]
    NotAllowed(&'static str),
}

/// What an offer, found good, is for.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// To be announced; none where the client watches.
    pub tracks: Vec<proto::AddTrackRequest>,
    /// The sections that must not be refused.
    mids: Vec<String>,
}

/// Looks at an offer.
///
/// # Errors
/// [`Problem`].
pub fn check(text: &str, way: Way, codecs: &Codecs, grant: &Grant) -> Result<Checked, Problem> {
    if !text.starts_with("v=0") {
        return Err(Problem::NotSdp);
    }
    OfferRules::default().check(text)?;
    let sections = sections(text);
    let mut checked = Checked { tracks: Vec::new(), mids: Vec::new() };
    for kind in [Kind::Audio, Kind::Video] {
        let meant = |section: &&Section<'_>| {
            let flows = if way == Way::Publish { section.sends } else { section.receives };
            section.kind == kind && flows && !section.port_zero
        };
        let mut meant = sections.iter().filter(meant);
        let Some(section) = meant.next() else { continue };
        let more = meant.count();
        let name = if kind == Kind::Video { "video" } else { "audio" };
        if way == Way::Publish && more > 0 {
            return Err(Problem::Many(more + 1, name));
        }
        check_codec(section, name, codecs)?;
        checked.mids.extend(section.mid.map(str::to_owned));
        if way == Way::Publish {
            checked.tracks.push(track(section, grant)?);
        }
    }
    if checked.mids.is_empty() {
        return Err(Problem::Nothing(way));
    }
    Ok(checked)
}

impl Checked {
    /// Nothing is taken in part (RFC 9725 §4.4.3): the section that `answer` refuses after all, for its codec's details.
    pub fn refused_by(&self, answer: &str) -> Option<String> {
        let sections = sections(answer);
        let taken = |mid: &String| {
            let section = sections.iter().find(|section| section.mid == Some(mid.as_str()));
            section.is_some_and(|section| !section.port_zero && !names(section).is_empty())
        };
        let refused = self.mids.iter().find(|mid| !taken(mid))?;
        Some(format!("m-section {refused:?}: no codec in common (of H264 the baseline profiles are taken)"))
    }
}

fn check_codec(section: &Section<'_>, kind: &'static str, codecs: &Codecs) -> Result<(), Problem> {
    let taken: Vec<&str> = match section.kind {
        Kind::Video => codecs.video.iter().map(|codec| settings::encoding_name(codec.codec())).collect(),
        _ => vec!["OPUS"],
    };
    let found = names(section);
    if found.iter().any(|name| taken.contains(&name.as_str())) {
        return Ok(());
    }
    let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
    Err(Problem::Codec { kind, taken: taken.join(" or "), found: found.chars().take(128).collect() })
}

/// The codecs of a section, each once, without those that only repair or wrap others.
fn names(section: &Section<'_>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for line in &section.lines {
        let codec = line.strip_prefix("a=rtpmap:").and_then(|rest| rest.split_once(' '));
        let Some(name) = codec.and_then(|(_, codec)| codec.split('/').next()) else { continue };
        let name = name.trim().to_ascii_uppercase();
        let helps = ["RTX", "RED", "ULPFEC", "FLEXFEC-03", "CN", "TELEPHONE-EVENT"].contains(&name.as_str());
        if !helps && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn track(section: &Section<'_>, grant: &Grant) -> Result<proto::AddTrackRequest, Problem> {
    let video = section.kind == Kind::Video;
    let (r#type, source, name) = match video {
        true => (proto::TrackType::Video, proto::TrackSource::Camera, "a camera"),
        false => (proto::TrackType::Audio, proto::TrackSource::Microphone, "a microphone"),
    };
    if !grant.may_publish(source as i32) {
        return Err(Problem::NotAllowed(name));
    }
    let layer = |rid: &&str| match Layer::from_rid(rid) {
        Some(layer) => Ok(proto::VideoLayer { quality: layer.index() as i32, ..Default::default() }),
        None => Err(Problem::Layer { rid: rid.chars().take(32).collect() }),
    };
    Ok(proto::AddTrackRequest {
        cid: section.mid.unwrap_or_default().to_owned(),
        r#type: r#type as i32,
        source: source as i32,
        layers: section.rids.iter().map(layer).collect::<Result<_, _>>()?,
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn section(kind: &str, mid: u8, direction: &str, codecs: &str, more: &str) -> String {
        let codecs: String = codecs
            .split(' ')
            .enumerate()
            .map(|(pt, codec)| format!("a=rtpmap:{} {codec}\r\n", mid * 10 + 96 + pt as u8))
            .collect();
        format!("m={kind} 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:{mid}\r\na={direction}\r\n{codecs}{more}")
    }

    fn offer(sections: &[String]) -> String {
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n".to_owned() + &sections.concat()
    }

    fn grant() -> Grant {
        Grant { can_publish: true, can_subscribe: true, ..Grant::default() }
    }

    const VIDEO: &str = "VP8/90000 H264/90000 rtx/90000";

    #[test]
    fn what_is_sent_becomes_a_camera_and_a_microphone() {
        let rids = "a=rid:q send\r\na=rid:f send\r\na=simulcast:send q;f\r\n";
        let text = offer(&[
            section("audio", 0, "sendonly", "opus/48000/2", ""),
            section("video", 1, "sendrecv", VIDEO, rids),
        ]);
        let checked = check(&text, Way::Publish, &Codecs::default(), &grant()).unwrap();
        let sources: Vec<i32> = checked.tracks.iter().map(|track| track.source).collect();
        assert_eq!(sources, [proto::TrackSource::Microphone as i32, proto::TrackSource::Camera as i32]);
        let layers: Vec<i32> = checked.tracks[1].layers.iter().map(|layer| layer.quality).collect();
        assert_eq!(layers, [0, 2]);
        assert_eq!(checked.refused_by(&text), None);
        assert!(
            checked
                .refused_by(&text.replace("m=video 9", "m=video 0"))
                .is_some_and(|why| why.contains("\"1\""))
        );
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "v=0\r\n(m=audio 9 X 96\r\n|m=video 0 X|a=mid:|a=rtpmap:|a=rid:|a=sendonly|[ -~]|\r\n){0,80}") {
            for way in [Way::Publish, Way::Watch] {
                if let Ok(checked) = check(&text, way, &Codecs::default(), &grant()) {
                    prop_assert_eq!(checked.refused_by(&text), None);
                }
            }
        }
    }

    #[test]
    fn who_watches_announces_nothing_and_may_offer_more_than_it_gets() {
        let video = |mid| section("video", mid, "recvonly", VIDEO, "");
        let text = offer(&[video(0), video(1)]);
        let checked = check(&text, Way::Watch, &Codecs::default(), &grant()).unwrap();
        assert_eq!((checked.tracks.len(), checked.mids), (0, vec!["0".to_owned()]));
        let nothing = check(&text, Way::Publish, &Codecs::default(), &grant());
        assert_eq!(nothing, Err(Problem::Nothing(Way::Publish)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let video = |codecs: &str, more: &str| section("video", 1, "sendonly", codecs, more);
        let no_camera = Grant { can_publish_sources: vec![proto::TrackSource::Microphone], ..grant() };
        for (text, grant, word) in [
            ("{}".to_owned(), grant(), "v=0"),
            (offer(&[]), grant(), "a=sendonly"),
            (offer(&[video(VIDEO, "")]).replace("a=mid:1\r\n", ""), grant(), "a=mid"),
            (
                offer(&[video("VP8/90000 AV1/90000 rtx/90000", "")]),
                grant(),
                "H264 is taken here; the offer has VP8, AV1",
            ),
            (offer(&[section("audio", 0, "sendonly", "PCMU/8000", "")]), grant(), "OPUS"),
            (offer(&[video(VIDEO, ""), section("video", 2, "sendonly", VIDEO, "")]), grant(), "2 video"),
            (offer(&[video(VIDEO, "a=rid:low send\r\n")]), grant(), "\"low\""),
            (offer(&[video(VIDEO, "")]), no_camera, "camera"),
        ] {
            let problem = check(&text, Way::Publish, &Codecs::default(), &grant).unwrap_err().to_string();
            assert!(problem.contains(word), "{problem}");
        }
    }
}
