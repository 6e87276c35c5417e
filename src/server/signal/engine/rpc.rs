//! Calls of a participant's methods by the API (LiveKit's RPC, version 1): a request and its answer are data
//! messages.

use livekit_protocol as proto;
use proto::data_packet::Value;
use proto::rpc_response::Value as Outcome;
use tokio::sync::oneshot;

use super::Engine;
use super::orders::one;
use crate::base::ids;
use crate::room::{Grant, MemberKey, Refusal};

/// As whom the server calls. Answers are told by their id, so a participant of this identity does no harm.
const CALLER: &str = "roomd.api";
/// Calls that wait for an answer; one more is refused.
const MAX_CALLS: usize = 1000;
/// LiveKit's RPC version that is spoken: payloads within the message.
const VERSION: u32 = 1;

/// A call that waits for its answer.
pub(super) struct Call {
    member: MemberKey,
    reply: oneshot::Sender<Answer>,
}

/// What a method answered: its payload, or its error.
pub(in crate::server::signal) type Answer = Result<String, proto::RpcError>;

impl Engine {
    /// Calls a method of a participant. The answer comes by `reply`, which is dropped when the participant leaves.
    pub(in crate::server::signal) fn perform_rpc(
        &mut self,
        grant: &Grant,
        request: &proto::PerformRpcRequest,
        timeout_ms: u32,
        reply: oneshot::Sender<Answer>,
    ) -> Result<(), Refusal> {
        let room = self.moderated(grant, &request.room)?;
        let name = room.name.clone();
        let member = one(room, &request.destination_identity)?.key;
        // The askers of the others have given up.
        self.calls.retain(|_, call| !call.reply.is_closed());
        if self.calls.len() >= MAX_CALLS {
            return Err(Refusal::Full { what: "calls", limit: MAX_CALLS });
        }
        let id = ids::random(16);
        let value = Value::RpcRequest(proto::RpcRequest {
            id: id.clone(),
            method: request.method.clone(),
            payload: request.payload.clone(),
            response_timeout_ms: timeout_ms,
            version: VERSION,
            ..Default::default()
        });
        let packet = proto::DataPacket {
            participant_identity: CALLER.to_owned(),
            destination_identities: vec![request.destination_identity.clone()],
            value: Some(value),
            ..Default::default()
        };
        self.calls.insert(id, Call { member, reply });
        self.spread(&name, None, true, &packet);
        Ok(())
    }

    /// Whether `packet` answers a call of the API: then it is for nobody else.
    pub(super) fn take_answer(&mut self, from: MemberKey, packet: &proto::DataPacket) -> bool {
        let id = match &packet.value {
            Some(Value::RpcAck(ack)) => &ack.request_id,
            Some(Value::RpcResponse(response)) => &response.request_id,
            _ => return false,
        };
        if self.calls.get(id).is_none_or(|call| call.member != from) {
            return false;
        }
        let Some(Value::RpcResponse(response)) = &packet.value else { return true };
        let answer = match &response.value {
            Some(Outcome::Payload(payload)) => Ok(payload.clone()),
            Some(Outcome::Error(error)) => Err(error.clone()),
            // Compressed payloads are not spoken of in version 1.
            Some(Outcome::CompressedPayload(_)) | None => Ok(String::new()),
        };
        if let Some(call) = self.calls.remove(id) {
            // Nobody waits any more: it came too late.
            let _ = call.reply.send(answer);
        }
        true
    }

    /// `member` is gone: what was asked of it is not answered.
    pub(super) fn drop_calls(&mut self, member: MemberKey) {
        self.calls.retain(|_, call| call.member != member);
    }
}
