//! Offers of every kind, from a browser's to random bytes.

use std::sync::LazyLock;
use std::time::Instant;

use proptest::prelude::*;
use str0m::change::SdpOffer;

use super::super::guard::guard;
use super::super::settings::{self, Codecs};
use super::*;
use crate::base::clock;

/// An offer as a browser makes it: data channels, Opus, H.264 simulcast with an unwanted codec before it.
fn offer() -> String {
    let head = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1 2\r\na=msid-semantic: WMS s\r\n";
    let transport = "c=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n\
        a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n\
        a=setup:actpass\r\n";
    let data = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n".to_owned()
        + transport
        + "a=mid:0\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n";
    let audio = "m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\n".to_owned()
        + transport
        + "a=mid:1\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n\
        a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=sendonly\r\na=msid:s mic-cid\r\na=rtcp-mux\r\n\
        a=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n\
        a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=ssrc:11 cname:x\r\n";
    let video = "m=video 9 UDP/TLS/RTP/SAVPF 96 97 108 109\r\n".to_owned()
        + transport
        + "a=mid:2\r\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
        a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\na=sendonly\r\na=msid:s cam-cid\r\na=rtcp-mux\r\n\
        a=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n\
        a=rtpmap:108 H264/90000\r\na=rtcp-fb:108 nack\r\na=rtcp-fb:108 nack pli\r\n\
        a=fmtp:108 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n\
        a=rtpmap:109 rtx/90000\r\na=fmtp:109 apt=108\r\n\
        a=rid:q send\r\na=rid:h send\r\na=rid:f send\r\na=simulcast:send q;h;f\r\n\
        a=ssrc-group:FID 21 22\r\na=ssrc:21 cname:x\r\na=ssrc:22 cname:x\r\n";
    [head, &data, &audio, &video].concat()
}

fn start() -> Instant {
    static START: LazyLock<Instant> = LazyLock::new(clock::now);
    *START
}

/// What the server does with an offer, without the guard: panics show.
fn accept(text: &str) -> Result<String, OfferError> {
    OfferRules::default().check(text)?;
    let refused = |error: &dyn std::fmt::Display| OfferError::Refused(error.to_string());
    let offer = SdpOffer::from_sdp_string(text).map_err(|error| refused(&error))?;
    let mut rtc = settings::publisher(&Codecs::default(), start());
    let answer = rtc.sdp_api().accept_offer(offer).map_err(|error| refused(&error))?;
    Ok(answer.to_sdp_string())
}

#[test]
fn a_browsers_offer_is_read_and_answered_with_h264() {
    let text = offer();
    let found = sections(&text);
    assert_eq!(
        found.iter().map(|s| s.kind).collect::<Vec<_>>(),
        [Kind::Application, Kind::Audio, Kind::Video]
    );
    assert_eq!(found[2].track_id, Some("cam-cid"));
    assert_eq!(found[2].rids, ["q", "h", "f"]);
    assert_eq!(found[2].retransmissions, [(21, 22)]);
    assert!(found[1].sends && !found[1].port_zero);
    let answer = accept(&text).unwrap();
    assert!(answer.contains("H264/90000") && !answer.contains("VP8"), "{answer}");
    assert!(answer.contains("a=ice-lite") && answer.contains("a=setup:passive"), "{answer}");
    assert!(answer.contains("a=simulcast:recv q;h;f"), "{answer}");
}

#[test]
fn a_payload_type_for_two_codecs_is_refused_now_and_in_later_offers() {
    let double = offer().replace("111", "108");
    assert!(matches!(OfferRules::default().check(&double), Err(OfferError::PayloadType { pt: 108, .. })));
    let mut rules = OfferRules::default();
    rules.check(&offer()).unwrap();
    rules.check(&offer()).unwrap();
    rules.check(&offer().replace("useinbandfec=1", "useinbandfec=1;stereo=1")).unwrap();
    assert!(rules.check(&offer().replace("H264/90000", "H265/90000")).is_err());
    assert!(rules.check(&offer().replace("packetization-mode=1", "packetization-mode=0")).is_err());
    rules.check(&offer()).expect("refused offers are forgotten");
}

#[test]
fn mids_must_be_there_once() {
    let missing = offer().replace("a=mid:2\r\n", "");
    assert_eq!(OfferRules::default().check(&missing), Err(OfferError::Mid { index: 2 }));
    let twice = offer().replace("a=mid:2", "a=mid:1");
    assert_eq!(OfferRules::default().check(&twice), Err(OfferError::DuplicateMid { mid: "1".into() }));
}

#[test]
fn the_offers_that_panic_the_library_never_reach_it() {
    let double = offer().replace("111", "108").replace("a=sendonly", "a=sendrecv");
    assert!(accept(&double).is_err());
    let unguarded = guard(|| {
        let offer = SdpOffer::from_sdp_string(&double).unwrap();
        settings::publisher(&Codecs::default(), start()).sdp_api().accept_offer(offer).is_ok()
    });
    assert!(unguarded.is_err(), "when this fails the library was mended: the rule may be relaxed");
}

#[test]
fn labels_are_rewritten_in_bound_sections_and_taken_from_unbound_ones() {
    let text = "v=0\r\nm=audio 9 X 111\r\na=mid:a\r\na=msid:old old\r\na=ssrc:1 cname:old\r\na=ssrc:1 msid:old old\r\n\
        m=video 9 X 96\r\na=mid:b\r\na=inactive\r\na=msid:old old\r\na=ssrc-group:FID 2 3\r\na=ssrc:2 msid:old old\r\n\
        m=video 9 X 96\r\na=mid:c\r\na=msid:kept kept\r\n";
    let msid = Msid { stream_id: "PA_1|TR_2".into(), track_id: "TR_2".into() };
    let binding = |msid, direction| Some(Binding { msid, direction });
    let out = rewrite(text, |mid| match mid {
        "a" => binding(Some(&msid), None),
        "b" => binding(None, None),
        _ => None,
    });
    assert!(
        out.contains("a=msid:PA_1|TR_2 TR_2\r\na=ssrc:1 cname:PA_1\r\na=ssrc:1 msid:PA_1|TR_2 TR_2\r\n"),
        "{out}"
    );
    assert!(out.contains("a=mid:b\r\na=inactive\r\nm=video"), "{out}");
    assert!(out.contains("a=msid:kept kept"), "{out}");
}

#[test]
fn directions_are_rewritten_where_the_binding_says_so() {
    let text = "v=0\r\nm=audio 9 X 111\r\na=mid:a\r\na=sendonly\r\na=msid:x y\r\nm=video 9 X 96\r\na=mid:b\r\na=sendonly\r\n\
        m=video 9 X 96\r\na=mid:c\r\na=recvonly\r\n";
    let out = rewrite(text, |mid| {
        let direction = Some(if mid == "a" { "inactive" } else { "sendrecv" });
        (mid != "c").then_some(Binding { msid: None, direction })
    });
    assert!(out.contains("a=mid:a\r\na=inactive\r\nm=video"), "{out}");
    assert!(out.contains("a=mid:b\r\na=sendrecv\r\n") && out.ends_with("a=mid:c\r\na=recvonly\r\n"), "{out}");
    let found = sections(&out);
    let directions: Vec<_> = found.iter().map(|s| (s.sends, s.receives)).collect();
    assert_eq!(directions, [(false, false), (true, true), (false, true)]);
}

/// An offer with lines taken out, doubled, exchanged or edited.
fn mutated() -> impl Strategy<Value = String> {
    let edit = (0usize..200, 0usize..5, 0usize..200, "[ -~]{0,12}");
    proptest::collection::vec(edit, 1..6).prop_map(|edits| {
        let text = offer();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for (index, kind, other, insert) in edits {
            let (index, other) = (index % lines.len(), other % lines.len());
            match kind {
                0 if lines.len() > 2 => drop(lines.remove(index)),
                1 => lines.insert(index, lines[other].clone()),
                2 => lines.swap(index, other),
                3 => lines[index].push_str(&insert),
                _ => {
                    // Another payload type, mid or number in the line.
                    let digit = char::from(b'0' + (other % 10) as u8);
                    let at = lines[index].find(|c: char| c.is_ascii_digit());
                    if let Some(at) = at {
                        lines[index].replace_range(at..=at, &digit.to_string());
                    }
                }
            }
        }
        lines.join("\r\n") + "\r\n"
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_mutated_offer_that_passes_the_rules_panics_the_library(text in mutated()) {
        let outcome = std::panic::catch_unwind(|| accept(&text).is_ok());
        prop_assert!(outcome.is_ok(), "{}", text);
    }

    #[test]
    fn any_text_is_survived(text in "(m=|a=|[ -~]|\r\n){0,200}") {
        let _ = OfferRules::default().check(&text);
        let _ = rewrite(&text, |_| Some(Binding { msid: None, direction: Some("inactive") }));
        let _ = sections(&text);
    }

    #[test]
    fn rewriting_keeps_sections_and_their_order(text in mutated()) {
        let msid = Msid { stream_id: "PA|TR".into(), track_id: "TR".into() };
        let binding = Some(Binding { msid: Some(&msid), direction: Some("sendonly") });
        let out = rewrite(&text, |_| binding);
        let mids = |text: &str| sections(text).iter().map(|s| (s.kind, s.mid.map(str::to_owned))).collect::<Vec<_>>();
        prop_assert_eq!(mids(&text), mids(&out));
        prop_assert_eq!(rewrite(&out, |_| binding), out);
    }
}
