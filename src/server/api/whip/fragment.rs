//! What a client says about ICE after its offer: SDP fragments (RFC 8840 §9), and which of the two uses of them is
//! meant (RFC 9725 §4.3): more candidates, or another ICE session.

use thiserror::Error;

/// What an ICE agent proves itself by (RFC 8839 §5.4).
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    ufrag: String,
    pwd: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

const UFRAG: &str = "a=ice-ufrag:";
const PWD: &str = "a=ice-pwd:";
/// How long each may be, in characters.
const UFRAG_LENGTH: std::ops::RangeInclusive<usize> = 4..=256;
const PWD_LENGTH: std::ops::RangeInclusive<usize> = 22..=256;

/// Why a fragment cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FragmentError {
    /// Not even SDP.
    #[error("line {number} is no line of SDP: {line:?}")]
    Line {
        /// From 1.
        number: usize,
        /// Cut to 32 characters.
        line: String,
    },
    /// One of the two is missing or cannot be one.
    #[error("a=ice-ufrag of 4 to 256 letters, digits, + and / goes with a=ice-pwd of 22 to 256")]
    Credentials,
    /// All sections are one bundle: there is one ICE session.
    #[error("two different a=ice-ufrag or a=ice-pwd")]
    Two,
}

/// What a fragment says. Candidates are not kept: ours is the controlled side, which learns the client's addresses from
/// its checks (RFC 8445 §7.3.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Of the client; None: it does not say.
    pub credentials: Option<Credentials>,
}

/// Reads a fragment.
///
/// # Errors
/// [`FragmentError`].
pub fn parse(text: &str) -> Result<Fragment, FragmentError> {
    for (index, line) in text.lines().enumerate() {
        let mut bytes = line.bytes();
        let kind = bytes.next();
        if !kind.is_some_and(|kind| kind.is_ascii_lowercase()) || bytes.next() != Some(b'=') {
            let line = line.chars().take(32).collect();
            return Err(FragmentError::Line { number: index + 1, line });
        }
    }
    Ok(Fragment { credentials: credentials(text)? })
}

/// The one pair of credentials in an SDP or a fragment of one; None: there are none.
///
/// # Errors
/// [`FragmentError::Credentials`], [`FragmentError::Two`].
pub fn credentials(text: &str) -> Result<Option<Credentials>, FragmentError> {
    let only = |prefix: &str| {
        let mut values = text.lines().filter_map(|line| line.strip_prefix(prefix)).map(str::trim);
        let first = values.next();
        match values.all(|value| Some(value) == first) {
            true => Ok(first),
            false => Err(FragmentError::Two),
        }
    };
    let ice_chars =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/');
    match (only(UFRAG)?, only(PWD)?) {
        (None, None) => Ok(None),
        (Some(ufrag), Some(pwd))
            if UFRAG_LENGTH.contains(&ufrag.len())
                && PWD_LENGTH.contains(&pwd.len())
                && ice_chars(ufrag)
                && ice_chars(pwd) =>
        {
            Ok(Some(Credentials { ufrag: ufrag.to_owned(), pwd: pwd.to_owned() }))
        }
        _ => Err(FragmentError::Credentials),
    }
}

/// The same offer for another ICE session.
pub fn with_credentials(offer: &str, credentials: &Credentials) -> String {
    let mut out = String::with_capacity(offer.len());
    for line in offer.lines() {
        let (start, rest) = if line.starts_with(UFRAG) {
            (UFRAG, credentials.ufrag.as_str())
        } else if line.starts_with(PWD) {
            (PWD, credentials.pwd.as_str())
        } else {
            ("", line)
        };
        out.extend([start, rest, "\r\n"]);
    }
    out
}

/// What an answer says about ICE: as the answer to a fragment.
pub fn of_answer(answer: &str) -> String {
    let first = ["a=ice-lite", UFRAG, PWD].map(|start| answer.lines().find(|line| line.starts_with(start)));
    let mut out: String = first.into_iter().flatten().map(|line| format!("{line}\r\n")).collect();
    let section = answer.lines().skip_while(|line| !line.starts_with("m="));
    // Of the bundle's first section only: it is where the transport is.
    let section = section.enumerate().take_while(|(index, line)| *index == 0 || !line.starts_with("m="));
    let kept = ["m=", "a=mid:", "a=candidate:", "a=end-of-candidates"];
    for (_, line) in section.filter(|(_, line)| kept.iter().any(|start| line.starts_with(start))) {
        out.extend([line, "\r\n"]);
    }
    out
}

/// What a PATCH is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// More candidates of the ICE session.
    Trickle,
    /// A new ICE session under these credentials of the client.
    Restart(Credentials),
}

/// Why a PATCH is not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatchError {
    /// No `If-Match`.
    #[error("send If-Match: the ETag of the ICE session, or \"*\" to restart ICE")]
    Unconditional,
    /// Another ICE session is meant.
    #[error("If-Match names another ICE session; this one's ETag is {etag}")]
    Mismatch {
        /// Of the ICE session that there is.
        etag: String,
    },
}

/// What is meant by a fragment whose client proves itself by `known` in the ICE session `etag`.
///
/// # Errors
/// [`PatchError`].
pub fn purpose(
    if_match: Option<&str>,
    etag: &str,
    known: Option<&Credentials>,
    fragment: Fragment,
) -> Result<Purpose, PatchError> {
    let given = if_match.ok_or(PatchError::Unconditional)?;
    let mut tags = given.split(',').map(str::trim);
    if !tags.any(|tag| tag == etag || tag == "*" || tag == "\"*\"") {
        return Err(PatchError::Mismatch { etag: etag.to_owned() });
    }
    Ok(match fragment.credentials {
        Some(new) if Some(&new) != known => Purpose::Restart(new),
        _ => Purpose::Trickle,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PASSWORD: &str = "abcdefghijklmnopqrstuvwx";

    fn pair(ufrag: &str) -> Credentials {
        Credentials { ufrag: ufrag.to_owned(), pwd: PASSWORD.to_owned() }
    }

    fn fragment(ufrag: &str) -> String {
        format!(
            "a=ice-ufrag:{ufrag}\r\na=ice-pwd:{PASSWORD}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
             a=candidate:1 1 udp 2130706431 192.0.2.1 9999 typ host\r\na=end-of-candidates\r\n"
        )
    }

    #[test]
    fn a_fragment_is_read_and_what_is_none_is_told_by_its_line() {
        assert_eq!(parse(&fragment("EsAw")), Ok(Fragment { credentials: Some(pair("EsAw")) }));
        assert_eq!(parse("a=end-of-candidates\r\n"), Ok(Fragment { credentials: None }));
        let line = FragmentError::Line { number: 2, line: "{\"candidate\"}".into() };
        assert_eq!(parse("a=mid:0\r\n{\"candidate\"}"), Err(line));
        for (text, error) in [
            ("a=ice-ufrag:EsAw\r\n".to_owned(), FragmentError::Credentials),
            (fragment("abc"), FragmentError::Credentials),
            (fragment("ab cd"), FragmentError::Credentials),
            (fragment("EsAw") + "a=ice-ufrag:other\r\n", FragmentError::Two),
        ] {
            assert_eq!(parse(&text), Err(error), "{text}");
        }
        assert!(!format!("{:?}", pair("EsAw")).contains(PASSWORD));
    }

    #[test]
    fn other_credentials_restart_ice_and_the_same_or_none_bring_candidates() {
        let (etag, known) = ("\"e1\"", pair("EsAw"));
        let judge = |given: Option<&str>, text: &str| {
            purpose(given, etag, Some(&known), parse(text).expect("a fragment"))
        };
        assert_eq!(judge(Some(etag), &fragment("EsAw")), Ok(Purpose::Trickle));
        assert_eq!(judge(Some("\"e0\", \"e1\""), "a=end-of-candidates\r\n"), Ok(Purpose::Trickle));
        for any in ["*", "\"*\"", etag] {
            assert_eq!(judge(Some(any), &fragment("other")), Ok(Purpose::Restart(pair("other"))));
        }
        assert_eq!(judge(None, &fragment("EsAw")), Err(PatchError::Unconditional));
        let mismatch = Err(PatchError::Mismatch { etag: etag.into() });
        assert_eq!(judge(Some("\"e0\""), &fragment("EsAw")), mismatch);
        assert_eq!(
            judge(Some("W/\"e1\""), &fragment("EsAw")),
            mismatch,
            "weak tags never match (RFC 9110 §13.1.1)"
        );
    }

    #[test]
    fn an_answers_ice_is_taken_from_its_first_section() {
        let answer = "v=0\r\na=ice-lite\r\nm=audio 9 X 111\r\na=mid:0\r\na=ice-ufrag:EsAw\r\n\
            a=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=rtpmap:111 opus/48000/2\r\n\
            m=video 9 X 96\r\na=mid:1\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n";
        let said = of_answer(answer);
        assert_eq!(said.matches("a=candidate").count(), 1, "{said}");
        assert!(said.starts_with("a=ice-lite\r\na=ice-ufrag:EsAw\r\n") && !said.contains("rtpmap"), "{said}");
        assert_eq!(parse(&said), Ok(Fragment { credentials: Some(pair("EsAw")) }));
    }

    proptest! {
        #[test]
        fn any_text_is_survived_and_credentials_are_exchanged_whole(text in "(a=ice-ufrag:|a=ice-pwd:|m=|[ -~]|\r\n){0,60}") {
            let _ = parse(&text);
            let _ = of_answer(&text);
            let other = with_credentials(&text, &pair("other"));
            prop_assert_eq!(other.lines().count(), text.lines().count());
            prop_assert!(other.lines().filter_map(|line| line.strip_prefix(UFRAG)).all(|ufrag| ufrag == "other"));
        }
    }
}
