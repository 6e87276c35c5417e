//! The two claim shapes, read and turned into a [`Grant`], and the one that is written.

use serde::{Deserialize, Serialize};

use super::TokenError;
use crate::base::ids;
use crate::room::Grant;

/// The little that must be known before the signature can be checked: which key.
#[derive(Deserialize)]
pub(super) struct Key {
    iss: Option<String>,
    apikey: Option<String>,
}

impl Key {
    /// The key's name; the app-server shape's when both are there.
    pub(super) fn name(self) -> Option<String> {
        self.apikey.or(self.iss)
    }
}

/// Every claim of both shapes that means something here; others are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Claims {
    /// NumericDate; may have a fraction (RFC 7519 §2).
    pub(super) exp: Option<f64>,
    pub(super) nbf: Option<f64>,
    apikey: Option<String>,
    // LiveKit
    sub: Option<String>,
    jti: Option<String>,
    name: Option<String>,
    metadata: Option<String>,
    video: Option<Video>,
    // app server
    permissions: Option<Vec<String>>,
    version: Option<u64>,
    room_id: Option<String>,
    participant_id: Option<String>,
    roles: Option<Vec<String>>,
}

/// LiveKit's `video` claim.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Video {
    room: String,
    room_join: bool,
    room_admin: bool,
    room_create: bool,
    room_list: bool,
    room_record: bool,
    can_publish: Option<bool>,
    can_subscribe: Option<bool>,
    can_publish_data: Option<bool>,
    hidden: bool,
    recorder: bool,
}

impl Claims {
    /// What these claims allow.
    pub(super) fn grant(self) -> Result<Grant, TokenError> {
        if self.apikey.is_some() { self.app_server_grant() } else { self.livekit_grant() }
    }

    fn livekit_grant(self) -> Result<Grant, TokenError> {
        let video = self.video.unwrap_or_default();
        let identity = self.sub.filter(|sub| !sub.is_empty()).or(self.jti).unwrap_or_default();
        if video.room_join && identity.is_empty() {
            return Err(TokenError::Claim("sub: a token that may join needs an identity".to_owned()));
        }
        let can_publish = video.can_publish.unwrap_or(true);
        Ok(Grant {
            identity,
            name: self.name.unwrap_or_default(),
            metadata: self.metadata.unwrap_or_default(),
            room: video.room,
            room_join: video.room_join,
            room_admin: video.room_admin,
            room_create: video.room_create,
            room_list: video.room_list,
            room_record: video.room_record,
            can_publish,
            can_subscribe: video.can_subscribe.unwrap_or(true),
            can_publish_data: video.can_publish_data.unwrap_or(can_publish),
            hidden: video.hidden,
            recorder: video.recorder,
        })
    }

    fn app_server_grant(self) -> Result<Grant, TokenError> {
        if let Some(version) = self.version.filter(|version| *version != 2) {
            return Err(TokenError::Claim(format!("version {version}: only 2 is known")));
        }
        let permissions = self.permissions.unwrap_or_default();
        let has = |name: &str| permissions.iter().any(|permission| permission == name);
        // No roles: for joining and for REST.
        let serves =
            |name: &str| self.roles.as_ref().is_none_or(|roles| roles.iter().any(|role| role == name));
        let (joins, rests) = (serves("rtc"), serves("crawler"));
        let full = joins && has("allow_join");
        let asking = joins && has("ask_join") && !full;
        let moderates = rests && has("allow_mod");
        // Without `participantId` many may use one token (a guest link): each gets an identity of its own.
        let identity = match self.participant_id.filter(|id| !id.is_empty()) {
            Some(id) => id,
            None if full || asking => format!("guest-{}", ids::random(10)),
            None => String::new(),
        };
        Ok(Grant {
            identity,
            name: self.name.unwrap_or_default(),
            metadata: self.metadata.unwrap_or_default(),
            room: self.room_id.unwrap_or_default(),
            room_join: full || asking,
            room_admin: moderates,
            room_create: moderates,
            room_list: moderates,
            room_record: moderates,
            can_publish: full,
            can_subscribe: full,
            can_publish_data: full,
            hidden: asking,
            recorder: false,
        })
    }
}

/// What [`super::Keys::mint`] writes: LiveKit's shape, complete, so that nothing depends on defaults.
#[derive(Serialize)]
pub(super) struct Minted<'a> {
    iss: &'a str,
    sub: &'a str,
    nbf: u64,
    exp: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    metadata: &'a str,
    video: Video,
}

impl<'a> Minted<'a> {
    /// The claims of `grant` under `key`, valid from `nbf` to `exp` (seconds since 1970).
    pub(super) fn new(grant: &'a Grant, key: &'a str, nbf: u64, exp: u64) -> Self {
        let video = Video {
            room: grant.room.clone(),
            room_join: grant.room_join,
            room_admin: grant.room_admin,
            room_create: grant.room_create,
            room_list: grant.room_list,
            room_record: grant.room_record,
            can_publish: Some(grant.can_publish),
            can_subscribe: Some(grant.can_subscribe),
            can_publish_data: Some(grant.can_publish_data),
            hidden: grant.hidden,
            recorder: grant.recorder,
        };
        Minted {
            iss: key,
            sub: &grant.identity,
            nbf,
            exp,
            name: &grant.name,
            metadata: &grant.metadata,
            video,
        }
    }
}

/// What [`super::Keys::mint_guest`] writes: the app-server shape, without an identity.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MintedGuest<'a> {
    apikey: &'a str,
    permissions: [&'static str; 1],
    version: u8,
    room_id: &'a str,
    roles: [&'static str; 1],
    nbf: u64,
    exp: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
}

impl<'a> MintedGuest<'a> {
    /// May join `room` fully, from `nbf` to `exp` (seconds since 1970).
    pub(super) fn new(room: &'a str, name: &'a str, key: &'a str, nbf: u64, exp: u64) -> Self {
        let (permissions, roles) = (["allow_join"], ["rtc"]);
        MintedGuest { apikey: key, permissions, version: 2, room_id: room, roles, nbf, exp, name }
    }
}
