//! Data messages: from a publisher's channel, with the sender stamped on, to everyone they are for.

use livekit_protocol as proto;
use prost::Message as _;
use proto::data_packet::Value;
use str0m::channel::{ChannelData, ChannelId};
use tracing::{debug, warn};

use super::super::Counters;
use super::Engine;
use super::member::Member;
use crate::room::{Grant, MemberKey, Refusal};
use crate::rtc::sfu::{Endpoints, Role};

/// Reliable messages kept for a subscriber whose channel is full. One more: the newest is lost and counted.
const MAX_WAITING: usize = 256;
/// A channel that has less than this in its buffer takes more.
const LOW_BYTES: usize = 64 * 1024;

impl Engine {
    /// A channel of a publisher brings its data; one of a subscriber takes what is for it; one of a single connection
    /// does both.
    pub(super) fn channel_open(&mut self, key: MemberKey, role: Role, channel: ChannelId, label: &str) {
        let Some(member) = self.members.get_mut(&key) else { return };
        let reliable = match label {
            "_reliable" => Some(true),
            "_lossy" => Some(false),
            _ => None,
        };
        if let Some(reliable) = reliable.filter(|_| role != Role::Subscriber) {
            member.data_in.insert(channel, reliable);
            if role == Role::Both {
                member.subscriber.adopt(channel, reliable);
            }
        }
        if role != Role::Publisher {
            member.data_open.insert(channel);
            let connection = self.endpoints.get_mut(member.subscriber.key);
            if let Some(mut channel) = connection.and_then(|c| c.rtc.channel(channel)) {
                channel.set_buffered_amount_low_threshold(LOW_BYTES);
            }
            self.flush_data(key);
        }
    }

    pub(super) fn channel_data(&mut self, key: MemberKey, role: Role, data: &ChannelData) {
        let Some(member) = self.members.get(&key).filter(|_| role != Role::Subscriber) else { return };
        let Some(reliable) = member.data_in.get(&data.id).copied() else { return };
        let room = member.room.clone();
        let participant = self.participant(&room, key).filter(|p| p.grant.can_publish_data);
        let Some(participant) = participant else {
            debug!("data of a participant that may not send any");
            return;
        };
        let Ok(mut packet) = proto::DataPacket::decode(data.data.as_slice()) else {
            warn!(identity = participant.grant.identity, "a data message that is no DataPacket is dropped");
            return;
        };
        let hidden = participant.grant.hidden;
        stamp(&mut packet, &participant.sid, &participant.grant.identity, hidden);
        if !self.take_answer(key, &packet) {
            self.spread(&room, Some(key), reliable, &packet);
        }
    }

    /// Sends a data message to whom it is for in `room`, all but `from`. Whoever waits to be let in gets none.
    pub(super) fn spread(
        &mut self,
        room: &str,
        from: Option<MemberKey>,
        reliable: bool,
        packet: &proto::DataPacket,
    ) {
        let (sids, identities) = destinations(packet);
        let bytes = packet.encode_to_vec();
        let Some(room) = self.rooms.get(room) else { return };
        for participant in room.participants.iter().filter(|p| Some(p.key) != from && !p.grant.waiting) {
            let Some(member) = self.members.get_mut(&participant.key) else { continue };
            let everyone = sids.is_empty() && identities.is_empty();
            if everyone || sids.contains(&member.sid) || identities.contains(&member.identity) {
                send(member, &mut self.endpoints, &self.outlets.counters, reliable, &bytes);
            }
        }
    }

    /// A data message of the API.
    pub(in crate::server::signal) fn send_data(
        &mut self,
        grant: &Grant,
        request: proto::SendDataRequest,
    ) -> Result<(), Refusal> {
        let room = self.moderated(grant, &request.room)?.name.clone();
        let reliable = request.kind == proto::data_packet::Kind::Reliable as i32;
        #[allow(deprecated)] // As above: both places where clients look.
        let packet = proto::DataPacket {
            kind: request.kind,
            destination_identities: request.destination_identities.clone(),
            value: Some(Value::User(proto::UserPacket {
                payload: request.data,
                topic: request.topic,
                destination_sids: request.destination_sids,
                destination_identities: request.destination_identities,
                nonce: request.nonce,
                ..Default::default()
            })),
            ..Default::default()
        };
        self.spread(&room, None, reliable, &packet);
        Ok(())
    }

    /// Sends what had to wait.
    pub(super) fn flush_data(&mut self, key: MemberKey) {
        let Some(member) = self.members.get_mut(&key) else { return };
        while let Some(bytes) = member.data_waiting.pop_front() {
            if !write(member, &mut self.endpoints, true, &bytes) {
                member.data_waiting.push_front(bytes);
                break;
            }
            Counters::one(&self.outlets.counters.data_messages);
        }
    }
}

fn send(member: &mut Member, endpoints: &mut Endpoints, counters: &Counters, reliable: bool, bytes: &[u8]) {
    let in_order = !reliable || member.data_waiting.is_empty();
    if in_order && write(member, endpoints, reliable, bytes) {
        Counters::one(&counters.data_messages);
    } else if reliable && member.data_waiting.len() < MAX_WAITING {
        member.data_waiting.push_back(bytes.to_vec());
    } else {
        Counters::one(&counters.data_lost);
    }
}

fn write(member: &Member, endpoints: &mut Endpoints, reliable: bool, bytes: &[u8]) -> bool {
    let channels = member.subscriber.channels;
    let channel = if reliable { channels.reliable } else { channels.lossy };
    let Some(channel) = channel.filter(|channel| member.data_open.contains(channel)) else { return false };
    endpoints.touch(member.subscriber.key);
    let connection = endpoints.get_mut(member.subscriber.key).filter(|connection| !connection.closed);
    let channel = connection.and_then(|connection| connection.rtc.channel(channel));
    channel.is_some_and(|mut channel| channel.write(true, bytes).unwrap_or(false))
}

/// Who sent it is the server's to say. A hidden participant's data has no sender.
#[allow(deprecated)] // Clients of protocol 16 read the sender in UserPacket.
fn stamp(packet: &mut proto::DataPacket, sid: &str, identity: &str, hidden: bool) {
    let (sid, identity) = if hidden { ("", "") } else { (sid, identity) };
    packet.participant_sid = sid.to_owned();
    packet.participant_identity = identity.to_owned();
    if let Some(Value::User(user)) = &mut packet.value {
        user.participant_sid = sid.to_owned();
        user.participant_identity = identity.to_owned();
    }
}

/// Sids and identities that a message is for; both empty: everyone.
#[allow(deprecated)] // As above.
fn destinations(packet: &proto::DataPacket) -> (Vec<String>, Vec<String>) {
    let mut identities = packet.destination_identities.clone();
    let mut sids = Vec::new();
    if let Some(Value::User(user)) = &packet.value {
        identities.extend(user.destination_identities.iter().cloned());
        sids.extend(user.destination_sids.iter().cloned());
    }
    (sids, identities)
}
