//! Refuses SDP that would make the library panic.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::sections::{Kind, Section, sections};

/// Most m-sections in one SDP.
pub const MAX_SECTIONS: usize = 128;
/// Longest MID, in bytes: the library keeps the first 16 only, and two could become one.
const MAX_MID_BYTES: usize = 16;

/// What is wrong with an SDP.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OfferError {
    /// More than can be meant.
    #[error("{found} m-sections; at most {MAX_SECTIONS}")]
    TooManySections {
        /// How many there are.
        found: usize,
    },
    /// No `a=mid`, an empty or overlong one.
    #[error("m-section {index} has no usable a=mid")]
    Mid {
        /// Which, from 0.
        index: usize,
    },
    /// The same MID twice.
    #[error("mid {mid:?} stands for two m-sections")]
    DuplicateMid {
        /// The MID.
        mid: String,
    },
    /// One payload type for two codecs (forbidden by RFC 8843 §9.1 within a bundle).
    #[error("payload type {pt} stands for {first:?} and for {second:?}")]
    PayloadType {
        /// The payload type.
        pt: u8,
        /// What it stood for first, in this or an earlier SDP of the connection.
        first: String,
        /// What it is to stand for now.
        second: String,
    },
    /// Not the SDP's fault: the connection has ended meanwhile.
    #[error("the connection is closed")]
    Closed,
    /// The library does not understand it.
    #[error("not accepted: {0}")]
    Refused(String),
}

/// What the payload types of one connection stand for, over all its offers and answers: the library locks them
/// at first use and panics when one is claimed twice (str0m 0.25, format/payload_params.rs).
#[derive(Clone, Debug, Default)]
pub struct OfferRules {
    claims: BTreeMap<u8, String>,
}

impl OfferRules {
    /// Checks an offer or answer of the peer, and remembers its payload types.
    ///
    /// # Errors
    /// [`OfferError`]; nothing is remembered then.
    pub fn check(&mut self, sdp: &str) -> Result<(), OfferError> {
        let sections = sections(sdp);
        if sections.len() > MAX_SECTIONS {
            return Err(OfferError::TooManySections { found: sections.len() });
        }
        let mut mids = BTreeSet::new();
        let mut claims = self.claims.clone();
        for (index, section) in sections.iter().enumerate() {
            let mid = section.mid.filter(|mid| (1..=MAX_MID_BYTES).contains(&mid.len()));
            let mid = mid.ok_or(OfferError::Mid { index })?;
            if !mids.insert(mid) {
                return Err(OfferError::DuplicateMid { mid: mid.to_owned() });
            }
            if matches!(section.kind, Kind::Audio | Kind::Video) {
                claim(section, &mut claims)?;
            }
        }
        self.claims = claims;
        Ok(())
    }
}

fn claim(section: &Section<'_>, claims: &mut BTreeMap<u8, String>) -> Result<(), OfferError> {
    for (pt, codec) in codecs(section) {
        match claims.get(&pt) {
            Some(first) if *first != codec => {
                return Err(OfferError::PayloadType { pt, first: first.clone(), second: codec });
            }
            Some(_) => {}
            None => {
                claims.insert(pt, codec);
            }
        }
    }
    Ok(())
}

/// Payload type → codec with what tells two uses of it apart: the profile, for H.264 the packetization mode too, for RTX
/// the stream it repairs. A payload type mapped twice within the section appears twice.
fn codecs(section: &Section<'_>) -> Vec<(u8, String)> {
    let mut formats: BTreeMap<u8, &str> = BTreeMap::new();
    for line in &section.lines {
        if let Some((pt, format)) = attribute(line, "a=fmtp:") {
            formats.insert(pt, format);
        }
    }
    let mut found = Vec::new();
    for line in &section.lines {
        let Some((pt, codec)) = attribute(line, "a=rtpmap:") else { continue };
        let mut codec = codec.trim().to_ascii_lowercase();
        let format = formats.get(&pt).copied().unwrap_or_default().to_ascii_lowercase();
        let telling: &[&str] = match codec.split('/').next() {
            Some("h264") => &["packetization-mode", "profile-level-id"],
            Some("vp9") => &["profile-id"],
            Some("av1") => &["profile"],
            Some("rtx") => &["apt"],
            _ => &[],
        };
        for name in telling {
            let value = format.split(';').filter_map(|pair| pair.trim().split_once('='));
            if let Some((_, value)) = value.clone().find(|(key, _)| key.trim() == *name) {
                // Of profile-level-id the first two bytes are the profile; the level may differ.
                let value = if *name == "profile-level-id" { value.get(..4).unwrap_or(value) } else { value };
                codec.push_str(&format!(" {name}={}", value.trim()));
            }
        }
        found.push((pt, codec));
    }
    found
}

/// `prefix` payload type, space, the rest.
fn attribute<'a>(line: &'a str, prefix: &str) -> Option<(u8, &'a str)> {
    let (pt, rest) = line.strip_prefix(prefix)?.split_once(' ')?;
    Some((pt.trim().parse().ok()?, rest))
}
