//! What is going on, on one line for people. Pure.

use std::collections::BTreeSet;

use crate::control::{DeviceStatus, RoomStatus, State};

/// `in lobby, recording, 2 of 3 destinations live; camera: no such device; stuck: playback`.
pub fn line(state: &State, stuck: &BTreeSet<&'static str>) -> String {
    let room = match &state.room {
        None => "in no room".to_owned(),
        Some(room) => match room.status {
            RoomStatus::Joined => format!("in {}", room.name),
            RoomStatus::Joining => format!("joining {}", room.name),
            RoomStatus::Resuming => format!("resuming {}", room.name),
            RoomStatus::BackingOff => format!("trying to join {} again", room.name),
        },
    };
    let mut doing = vec![room];
    if state.recording.on {
        doing.push("recording".to_owned());
    }
    if state.live.on {
        let all = serde_json::json!(state.live.destinations);
        let all = all.as_array().map_or(&[][..], Vec::as_slice);
        let live = all.iter().filter(|one| one["status"] == "live").count();
        doing.push(format!("{live} of {} destinations live", all.len()));
    }
    let mut parts = vec![doing.join(", ")];
    let failed = |status: DeviceStatus| status == DeviceStatus::Failed;
    let reasons = [
        ("room", state.room.as_ref().and_then(|room| room.reason.as_deref())),
        ("recording", state.recording.reason.as_deref()),
        ("camera", state.camera.reason.as_deref().filter(|_| failed(state.camera.status))),
        ("microphone", state.microphone.reason.as_deref().filter(|_| failed(state.microphone.status))),
        ("speaker", state.speaker.reason.as_deref().filter(|_| failed(state.speaker.status))),
    ];
    parts.extend(reasons.iter().filter_map(|(name, reason)| Some(format!("{name}: {}", (*reason)?))));
    if !stuck.is_empty() {
        parts.push(format!("stuck: {}", stuck.iter().copied().collect::<Vec<_>>().join(", ")));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Room;

    #[test]
    fn the_line_says_what_is_going_on_and_what_is_wrong() {
        let mut state = State::default();
        assert_eq!(line(&state, &BTreeSet::new()), "in no room");
        state.room = Some(Room {
            name: "lobby".to_owned(),
            url: "ws://127.0.0.1:7880".to_owned(),
            status: RoomStatus::Joined,
            reason: None,
            participants: 2,
        });
        state.recording.on = true;
        let live = serde_json::json!({"on": true, "destinations": [
            {"url": "rtmp://a", "status": "live", "bytes_acked": 7},
            {"url": "rtmp://b", "status": "stalled", "bytes_acked": 7},
        ]});
        state.live = serde_json::from_value(live).unwrap();
        (state.camera.status, state.camera.reason) =
            (DeviceStatus::Failed, Some("no such device".to_owned()));
        state.microphone.reason = Some("old news".to_owned());
        assert_eq!(
            line(&state, &["playback", "sfu"].into()),
            "in lobby, recording, 1 of 2 destinations live; camera: no such device; stuck: playback, sfu"
        );
    }
}
