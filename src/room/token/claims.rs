//! The two claim shapes, read and turned into a [`Grant`], and the one that is written.

use std::collections::BTreeMap;

use livekit_protocol::TrackSource;
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
    attributes: Option<BTreeMap<String, String>>,
    video: Option<Video>,
    roomd: Option<Own>,
    // app server
    permissions: Option<Vec<String>>,
    version: Option<u64>,
    room_id: Option<String>,
    participant_id: Option<String>,
    roles: Option<Vec<String>>,
    role: Option<String>,
}

/// What LiveKit's shape has no word for; written when a token is renewed.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Own {
    waiting: bool,
    may_admit: bool,
}

impl Own {
    fn is_none(&self) -> bool {
        !self.waiting && !self.may_admit
    }
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
    can_publish_sources: Vec<String>,
    can_update_own_metadata: bool,
    hidden: bool,
    recorder: bool,
}

/// `screen_share`, as LiveKit's claim has it.
fn source_name(source: TrackSource) -> String {
    source.as_str_name().to_ascii_lowercase()
}

fn source(name: &str) -> Result<TrackSource, TokenError> {
    TrackSource::from_str_name(&name.to_ascii_uppercase()).ok_or_else(|| {
        let name: String = name.chars().take(32).collect();
        TokenError::Claim(format!(
            "video.canPublishSources: {name:?}; camera, microphone, screen_share and screen_share_audio are known"
        ))
    })
}

impl Claims {
    /// What these claims allow.
    pub(super) fn grant(self) -> Result<Grant, TokenError> {
        if self.apikey.is_some() { self.app_server_grant() } else { self.livekit_grant() }
    }

    fn livekit_grant(self) -> Result<Grant, TokenError> {
        let (video, own) = (self.video.unwrap_or_default(), self.roomd.unwrap_or_default());
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
            can_publish_sources: video
                .can_publish_sources
                .iter()
                .map(|name| source(name))
                .collect::<Result<_, _>>()?,
            can_update_own_metadata: video.can_update_own_metadata,
            hidden: video.hidden,
            recorder: video.recorder,
            attributes: self.attributes.unwrap_or_default(),
            waiting: own.waiting,
            may_admit: own.may_admit,
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
        // One room's moderator makes and lists no others.
        let everywhere = moderates && self.room_id.as_ref().is_none_or(String::is_empty);
        // An audience watches until somebody calls it on to the stage.
        let on_stage = match self.role.as_deref() {
            None | Some("host") => full,
            Some("viewer") => false,
            Some(other) => {
                let other: String = other.chars().take(32).collect();
                return Err(TokenError::Claim(format!("role {other:?}: host and viewer are known")));
            }
        };
        // Without `participantId` many may use one token (a guest link): each gets an identity of its own.
        let identity = match self.participant_id.filter(|id| !id.is_empty()) {
            Some(id) => id,
            None if full || asking => format!("guest-{}", ids::random(10)),
            None => String::new(),
        };
        let nameless = self.name.as_ref().is_none_or(String::is_empty);
        Ok(Grant {
            identity,
            name: self.name.unwrap_or_default(),
            metadata: self.metadata.unwrap_or_default(),
            room: self.room_id.unwrap_or_default(),
            room_join: full || asking,
            room_admin: moderates,
            room_create: everywhere,
            room_list: everywhere,
            room_record: moderates,
            can_publish: on_stage,
            can_subscribe: full,
            can_publish_data: full,
            // Many may wait by one link too: those who may admit are to read who asks.
            can_update_own_metadata: full || asking && nameless,
            hidden: asking,
            attributes: self.attributes.unwrap_or_default(),
            waiting: asking,
            may_admit: has("allow_join"),
            ..Grant::default()
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
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: &'a BTreeMap<String, String>,
    video: Video,
    #[serde(skip_serializing_if = "Own::is_none")]
    roomd: Own,
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
            can_publish_sources: grant.can_publish_sources.iter().copied().map(source_name).collect(),
            can_update_own_metadata: grant.can_update_own_metadata,
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
            attributes: &grant.attributes,
            video,
            roomd: Own { waiting: grant.waiting, may_admit: grant.may_admit },
        }
    }
}

/// What a guest link lets its bearers do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuestRight {
    /// Join at once.
    #[default]
    Join,
    /// Ask to be let in (the waiting room).
    Ask,
    /// Join at once and moderate the room.
    Moderate,
}

impl GuestRight {
    /// The permissions and roles that say so in the app-server shape.
    pub(super) fn claims(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            GuestRight::Join => (&["allow_join"], &["rtc"]),
            GuestRight::Ask => (&["ask_join"], &["rtc"]),
            GuestRight::Moderate => (&["allow_join", "allow_mod"], &["rtc", "crawler"]),
        }
    }
}

/// What [`super::Keys::sign_body`] writes.
#[derive(Serialize)]
pub(super) struct MintedDigest<'a> {
    pub(super) iss: &'a str,
    pub(super) nbf: u64,
    pub(super) exp: u64,
    pub(super) sha256: &'a str,
}

/// What an app-server token shall say.
#[derive(Clone, Copy, Debug, Default)]
pub struct AppToken<'a> {
    /// The room that it is for.
    pub room: &'a str,
    /// Who; None: any number of guests, each under a random identity.
    pub participant: Option<&'a str>,
    /// What the others see; may be empty.
    pub name: &'a str,
    /// `allow_join`, `allow_mod`, `ask_join`.
    pub permissions: &'a [&'static str],
    /// `host` or `viewer`, in an interactive room.
    pub role: Option<&'static str>,
    /// `rtc`: for joining only, `crawler`: for REST only; empty: for both.
    pub roles: &'a [&'static str],
}

/// What [`super::Keys::mint_app`] writes: the app-server shape.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MintedApp<'a> {
    apikey: &'a str,
    permissions: &'a [&'static str],
    version: u8,
    room_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    participant_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    roles: &'a [&'static str],
    nbf: u64,
    exp: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
}

impl<'a> MintedApp<'a> {
    /// Under `key`, valid from `nbf` to `exp` (seconds since 1970).
    pub(super) fn new(token: &AppToken<'a>, key: &'a str, nbf: u64, exp: u64) -> Self {
        let AppToken { room, participant, name, permissions, role, roles } = *token;
        let (room_id, participant_id) = (room, participant);
        MintedApp {
            apikey: key,
            permissions,
            version: 2,
            room_id,
            participant_id,
            role,
            roles,
            nbf,
            exp,
            name,
        }
    }
}
