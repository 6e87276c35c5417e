//! What moderators, and those who may admit, do to others.

use livekit_protocol as proto;

use super::membership::check_texts;
use super::participant::RESERVED;
use super::{Grant, MemberKey, Participant, Refusal, Room};

impl Room {
    /// Whether the bearer of `grant` may put `participant` out.
    pub fn may_remove(&self, grant: &Grant, participant: &Participant) -> bool {
        grant.may_moderate(&self.name) || participant.grant.waiting && grant.may_admit(&self.name)
    }

    /// Whether the bearer of `grant` may change `participant` so. Who may admit may give whoever waits what an ordinary
    /// participant has, and nothing else.
    fn may_update(
        &self,
        grant: &Grant,
        participant: &Participant,
        request: &proto::UpdateParticipantRequest,
    ) -> bool {
        let proto::UpdateParticipantRequest { name, metadata, attributes, permission, .. } = request;
        let only_permission = name.is_empty() && metadata.is_empty() && attributes.is_empty();
        let mut given = Grant::default();
        given.set_permission(&permission.clone().unwrap_or_default());
        let ordinary = only_permission && !given.recorder && !given.hidden;
        grant.may_moderate(&self.name) || participant.grant.waiting && grant.may_admit(&self.name) && ordinary
    }

    /// Changes a participant as the bearer of `grant` asks. Who sees it and whom it sees may be others then.
    ///
    /// # Errors
    /// [`Refusal`]; nothing has changed then.
    pub fn update(
        &mut self,
        grant: &Grant,
        request: &proto::UpdateParticipantRequest,
    ) -> Result<MemberKey, Refusal> {
        let found = self.identity(&request.identity);
        let participant = found.ok_or_else(|| Refusal::no("participant", &request.identity))?;
        if !self.may_update(grant, participant, request) {
            return Err(Refusal::NotModerator { room: self.name.clone() });
        }
        let (key, before) = (participant.key, participant.grant.clone());
        let mut after = participant.clone();
        if !request.name.is_empty() {
            after.grant.name.clone_from(&request.name);
        }
        if !request.metadata.is_empty() {
            after.grant.metadata.clone_from(&request.metadata);
        }
        if request.attributes.keys().any(|name| name.starts_with(RESERVED)) {
            return Err(Refusal::Attribute);
        }
        after.merge_attributes(request.attributes.clone());
        if let Some(permission) = &request.permission {
            after.grant.set_permission(permission);
        }
        check_texts(&after.grant, &after.attributes)?;
        if before.waiting && !after.grant.waiting {
            self.has_place(&after.grant, Some(key))?;
        }
        // Its next token says the same.
        after.grant.attributes = after.attributes.clone().into_iter().collect();
        after.touch();
        if let Some(participant) = self.participant_mut(key) {
            *participant = after;
        }
        Ok(key)
    }
}
