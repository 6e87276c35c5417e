//! What happens to the box and may matter to somebody later: `event/{type}` (contract, section 5).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{DeviceStatus, Live, LiveStatus, Recording, RecordingStatus, Room, RoomStatus, State};

/// The kinds of happenings; each is the last level of its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// roomd has started.
    BoxStarted,
    /// roomd ends, by order.
    BoxStopping,
    /// The box has joined a room.
    RoomJoined,
    /// The box has left the room, or was sent away.
    RoomLeft,
    /// The room cannot be reached any more; the box tries to come back.
    RoomLost,
    /// A file is being written.
    RecordingStarted,
    /// The recording has ended.
    RecordingStopped,
    /// The recording stands still: the disk is full, or it cannot be written to.
    RecordingFailed,
    /// The stream shall go live.
    LiveStarted,
    /// The stream shall not be live any more.
    LiveStopped,
    /// A destination that was live does not get the stream any more.
    LiveStalled,
    /// That destination gets the stream again.
    LiveRecovered,
    /// The camera gives no more pictures.
    CameraLost,
    /// The camera gives pictures again.
    CameraReturned,
    /// The microphone gives no more sound.
    MicrophoneLost,
    /// The microphone gives sound again.
    MicrophoneReturned,
    /// The speaker plays no more.
    SpeakerLost,
    /// The speaker plays again.
    SpeakerReturned,
    /// The fleet's desired configuration is in force.
    ConfigApplied,
    /// The fleet's desired configuration was refused.
    ConfigRejected,
    /// A job has come to its end.
    JobEnded,
}

impl EventKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [EventKind; 21] = [
        EventKind::BoxStarted,
        EventKind::BoxStopping,
        EventKind::RoomJoined,
        EventKind::RoomLeft,
        EventKind::RoomLost,
        EventKind::RecordingStarted,
        EventKind::RecordingStopped,
        EventKind::RecordingFailed,
        EventKind::LiveStarted,
        EventKind::LiveStopped,
        EventKind::LiveStalled,
        EventKind::LiveRecovered,
        EventKind::CameraLost,
        EventKind::CameraReturned,
        EventKind::MicrophoneLost,
        EventKind::MicrophoneReturned,
        EventKind::SpeakerLost,
        EventKind::SpeakerReturned,
        EventKind::ConfigApplied,
        EventKind::ConfigRejected,
        EventKind::JobEnded,
    ];

    /// Its name: the last level of its topic, and `type` in its payload.
    pub fn name(self) -> String {
        json!(self).as_str().unwrap_or_default().to_owned()
    }
}

/// The payload of `event/{type}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Names this happening; the same when it is published twice.
    pub id: String,
    /// When it happened, RFC 3339, UTC.
    pub ts: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// What it was about: members of the state document, by their names there.
    pub data: Value,
}

/// Something that happened, before it has a name and a time.
pub type Happening = (EventKind, Value);

/// Tells what has happened from one version of the state document to the next. Versions may be left out: what came
/// and went between two is not told.
#[derive(Clone, Debug, Default)]
pub struct Transitions {
    /// The room that the box was in last; whether it is lost.
    room: Option<(Room, bool)>,
    /// The recording whose start was told, as it was last; whether it has failed.
    recording: Option<(Recording, bool)>,
    /// The destinations that were live once, and whether they are now.
    live: Vec<(String, bool)>,
    /// Camera, microphone and speaker.
    devices: [Device; 3],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Device {
    #[default]
    Unknown,
    Works,
    Lost,
}

impl Transitions {
    /// What has happened since the state of the last call; at the first one since nothing was going on.
    pub fn next(&mut self, state: &State) -> Vec<Happening> {
        let mut told = Vec::new();
        self.devices(state, &mut told);
        self.room(state.room.as_ref(), &mut told);
        self.recording(&state.recording, &mut told);
        self.live(&state.live, &mut told);
        told
    }

    fn room(&mut self, now: Option<&Room>, told: &mut Vec<Happening>) {
        let about = |room: &Room| json!({"name": room.name, "url": room.url});
        let same = |room: &Room| now.is_some_and(|now| now.name == room.name && now.url == room.url);
        if let Some((left, _)) = self.room.take_if(|(room, _)| !same(room)) {
            told.push((EventKind::RoomLeft, about(&left)));
        }
        let Some(now) = now else { return };
        let was_in = self.room.as_ref().map(|(_, lost)| !lost);
        match (now.status, was_in) {
            (RoomStatus::Joined, None | Some(false)) => {
                told.push((EventKind::RoomJoined, about(now)));
                self.room = Some((now.clone(), false));
            }
            (RoomStatus::BackingOff, Some(true)) => {
                let mut data = about(now);
                data["reason"] = json!(now.reason);
                told.push((EventKind::RoomLost, data));
                self.room = Some((now.clone(), true));
            }
            _ => {}
        }
    }

    fn recording(&mut self, now: &Recording, told: &mut Vec<Happening>) {
        if let Some((ended, _)) = self.recording.take_if(|(was, _)| !now.on || was.id != now.id) {
            let data = json!({"id": ended.id, "file": ended.file, "bytes": ended.bytes});
            told.push((EventKind::RecordingStopped, data));
        }
        let failed = self.recording.as_ref().map(|(_, failed)| *failed);
        let fails = match now.status {
            Some(RecordingStatus::Recording | RecordingStatus::StorageSlow) => false,
            Some(RecordingStatus::DiskFull | RecordingStatus::Retrying) => true,
            None => return,
        };
        match (fails, failed) {
            _ if !now.on => return,
            // There is no file before the first picture.
            (false, None | Some(true)) if now.file.is_some() => {
                let data = json!({"id": now.id, "source": now.source, "file": now.file});
                told.push((EventKind::RecordingStarted, data));
            }
            (true, None | Some(false)) => {
                let data = json!({"id": now.id, "status": now.status, "reason": now.reason});
                told.push((EventKind::RecordingFailed, data));
            }
            (_, None) => return,
            _ => {}
        }
        // The last file and size that were known: they are gone from the document when it ends.
        let file = now.file.clone().or_else(|| self.recording.take().and_then(|(was, _)| was.file));
        self.recording = Some((Recording { file, ..now.clone() }, fails));
    }

    fn live(&mut self, now: &Live, told: &mut Vec<Happening>) {
        let stays = |url: &String| {
            let stopped = LiveStatus::Stopped;
            now.on && now.destinations.iter().any(|to| to.url == *url && to.status != stopped)
        };
        self.live.retain(|(url, _)| {
            let stays = stays(url);
            if !stays {
                told.push((EventKind::LiveStopped, json!({"url": url})));
            }
            stays
        });
        for to in now.destinations.iter().filter(|to| stays(&to.url)) {
            let live = to.status == LiveStatus::Live;
            // Of several keys at one server one that is live will do.
            let any = now.destinations.iter().any(|one| one.url == to.url && one.status == LiveStatus::Live);
            match self.live.iter_mut().find(|(url, _)| *url == to.url) {
                None if live => {
                    told.push((EventKind::LiveStarted, json!({"url": to.url})));
                    self.live.push((to.url.clone(), true));
                }
                Some((_, was)) if *was && !any => {
                    *was = false;
                    let data = json!({"url": to.url, "status": to.status, "reason": to.last_error});
                    told.push((EventKind::LiveStalled, data));
                }
                Some((_, was)) if !*was && any => {
                    *was = true;
                    told.push((EventKind::LiveRecovered, json!({"url": to.url})));
                }
                _ => {}
            }
        }
    }

    fn devices(&mut self, state: &State, told: &mut Vec<Happening>) {
        use EventKind::*;
        let State { camera, microphone, speaker, .. } = state;
        let now = [
            (CameraLost, CameraReturned, camera.status, &camera.device, &camera.reason),
            (MicrophoneLost, MicrophoneReturned, microphone.status, &microphone.device, &microphone.reason),
            (SpeakerLost, SpeakerReturned, speaker.status, &speaker.device, &speaker.reason),
        ];
        for (device, (lost, returned, status, name, reason)) in self.devices.iter_mut().zip(now) {
            match (status, *device) {
                (DeviceStatus::Running, Device::Lost) => told.push((returned, json!({"device": name}))),
                (DeviceStatus::Failed, Device::Works) => {
                    told.push((lost, json!({"device": name, "reason": reason})));
                }
                _ => {}
            }
            *device = match (status, *device) {
                (DeviceStatus::Running, _) => Device::Works,
                (DeviceStatus::Failed, Device::Works) => Device::Lost,
                // Being opened again is no news; switched off is nobody's loss.
                (DeviceStatus::Off, _) => Device::Unknown,
                (_, before) => before,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::LiveDestination;

    fn names(told: &[Happening]) -> Vec<String> {
        told.iter().map(|(kind, _)| kind.name()).collect()
    }

    fn room(name: &str, status: RoomStatus) -> Option<Room> {
        let reason = (status == RoomStatus::BackingOff).then(|| "no answer".to_owned());
        Some(Room { name: name.into(), url: "ws://h".into(), status, reason, participants: 1 })
    }

    #[test]
    fn a_room_is_joined_lost_and_left_and_a_short_break_is_no_loss() {
        use RoomStatus::{BackingOff, Joined, Joining, Resuming};
        let (mut transitions, mut state) = (Transitions::default(), State::default());
        for (now, expected) in [
            (None, vec![]),
            (room("a", Joining), vec![]),
            (room("a", BackingOff), vec![]),
            (room("a", Joined), vec!["room_joined"]),
            (room("a", Resuming), vec![]),
            (room("a", Joined), vec![]),
            (room("a", BackingOff), vec!["room_lost"]),
            (room("a", Joining), vec![]),
            (room("a", BackingOff), vec![]),
            (room("a", Joined), vec!["room_joined"]),
            (room("b", Joining), vec!["room_left"]),
            (room("b", Joined), vec!["room_joined"]),
            (room("c", Joined), vec!["room_left", "room_joined"]),
            (None, vec!["room_left"]),
        ] {
            state.room = now;
            assert_eq!(names(&transitions.next(&state)), expected, "{:?}", state.room);
        }
    }

    fn recording(id: &str, status: RecordingStatus, file: Option<&str>) -> Recording {
        let (id, file) = (Some(id.to_owned()), file.map(str::to_owned));
        Recording { on: true, id, file, status: Some(status), bytes: Some(7), ..Recording::default() }
    }

    #[test]
    fn a_recording_starts_with_its_file_fails_goes_on_and_stops_with_what_was_written() {
        use RecordingStatus::{DiskFull, Recording as Records, Retrying, StorageSlow};
        let (mut transitions, mut state) = (Transitions::default(), State::default());
        for (now, expected) in [
            (Recording::default(), vec![]),
            (recording("r", Records, None), vec![]),
            (recording("r", Records, Some("1.mp4")), vec!["recording_started"]),
            (recording("r", StorageSlow, Some("1.mp4")), vec![]),
            (recording("r", Retrying, Some("1.mp4")), vec!["recording_failed"]),
            (recording("r", Retrying, None), vec![]),
            (recording("r", Records, Some("2.mp4")), vec!["recording_started"]),
            (recording("s", Records, None), vec!["recording_stopped"]),
            (recording("s", DiskFull, None), vec!["recording_failed"]),
            (Recording::default(), vec!["recording_stopped"]),
            (Recording { status: Some(DiskFull), ..Recording::default() }, vec![]),
        ] {
            state.recording = now;
            let told = transitions.next(&state);
            assert_eq!(names(&told), expected, "{:?}", state.recording);
            if let [(EventKind::RecordingStopped, data)] = &told[..]
                && data["id"] == "r"
            {
                assert_eq!((&data["file"], &data["bytes"]), (&json!("2.mp4"), &json!(7)));
            }
        }
    }

    #[test]
    fn each_destination_is_told_of_once_it_was_live() {
        use LiveStatus::{Connecting, Live as Flows, Retrying, Stalled, Stopped};
        let (mut transitions, mut state) = (Transitions::default(), State::default());
        let to = |(url, status): (&str, LiveStatus)| LiveDestination {
            url: url.to_owned(),
            status,
            bytes_acked: 0,
            last_error: None,
            next_try: None,
        };
        for (on, now, expected) in [
            (true, vec![], vec![]),
            (true, vec![("a", Connecting), ("b", Retrying)], vec![]),
            (true, vec![("a", Flows), ("b", Connecting)], vec!["live_started"]),
            (true, vec![("a", Stalled), ("b", Flows)], vec!["live_stalled", "live_started"]),
            (true, vec![("a", Retrying), ("b", Flows)], vec![]),
            (true, vec![("a", Flows), ("b", Flows)], vec!["live_recovered"]),
            (true, vec![("a", Flows), ("a", Retrying), ("b", Flows)], vec![]),
            (true, vec![("b", Flows)], vec!["live_stopped"]),
            (false, vec![("b", Stopped)], vec!["live_stopped"]),
            (false, vec![], vec![]),
        ] {
            state.live = Live { on, destinations: now.into_iter().map(to).collect() };
            assert_eq!(names(&transitions.next(&state)), expected, "{:?}", state.live);
        }
    }

    #[test]
    fn a_device_is_lost_once_and_only_if_it_worked() {
        use DeviceStatus::{Failed, Off, Running, Starting};
        let (mut transitions, mut state) = (Transitions::default(), State::default());
        for (now, expected) in [
            (Starting, vec![]),
            (Failed, vec![]),
            (Running, vec![]),
            (Failed, vec!["camera_lost"]),
            (Starting, vec![]),
            (Failed, vec![]),
            (Running, vec!["camera_returned"]),
            (Off, vec![]),
            (Running, vec![]),
        ] {
            state.camera.status = now;
            assert_eq!(names(&transitions.next(&state)), expected, "{now:?}");
        }
        state.microphone.status = Running;
        state.speaker.status = Running;
        assert_eq!(names(&transitions.next(&state)), Vec::<String>::new());
        state.microphone.status = Failed;
        state.speaker.status = Failed;
        assert_eq!(names(&transitions.next(&state)), ["microphone_lost", "speaker_lost"]);
    }

    #[test]
    fn every_kind_has_a_name_that_can_stand_in_a_topic() {
        for kind in EventKind::ALL {
            assert!(super::super::topics::check_name("type", &kind.name()).is_ok(), "{kind:?}");
            let event = Event { id: "1".into(), ts: String::new(), kind, data: Value::Null };
            assert_eq!(json!(event)["type"], kind.name());
        }
        let names: std::collections::BTreeSet<_> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), EventKind::ALL.len());
    }
}
