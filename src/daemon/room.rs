//! The room: one participant session at a time, told in the state.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::media::MediaHub;
use super::supervise::{Board, Health, Subsystem, supervise};
use crate::base::Shutdown;
use crate::base::clock;
use crate::config::RoomToken;
use crate::control::{
    Code, Command, ControlHandle, LiveStatus, MicrophoneSet, Origin, Reply, Room, RoomJoin, RoomStatus,
    State, StatePublisher,
};
use crate::participant::{self, Attributes, Event, Listener, TokenSource, VideoConfig};
use crate::room::token::Keys;
use crate::room::{Grant, Refusal};
use crate::server::signal;

/// How long a token of the box's own making is good: longer than any join takes.
const TOKEN_LIFETIME: Duration = Duration::from_secs(600);
/// How long leaving may take: telling the server and closing the connections.
const LEAVE: Duration = Duration::from_secs(3);

/// What the box's own room server offers the box.
#[derive(Clone, Debug)]
pub struct Embedded {
    /// `ws://127.0.0.1:7880`.
    pub url: String,
    /// Its keys.
    pub keys: Arc<Keys>,
    /// Its rooms.
    pub rooms: signal::Handle,
}

/// Who the box is in a room, and how it gets in.
#[derive(Clone, Debug)]
pub struct RoomConfig {
    /// Its identity there.
    pub identity: String,
    /// What the others see.
    pub name: String,
    /// The configured server; None: the embedded one.
    pub url: Option<String>,
    /// Tokens for the configured server.
    pub token: Option<RoomToken>,
    /// The embedded server, if it runs.
    pub embedded: Option<Embedded>,
    /// The picture; None without a camera.
    pub video: Option<VideoConfig>,
    /// Whether there is a microphone.
    pub audio: bool,
}

/// What the room's lane holds.
#[derive(Debug)]
pub struct Rooms {
    configured: watch::Receiver<RoomConfig>,
    /// As it was at the last join.
    config: RoomConfig,
    hub: MediaHub,
    board: Board,
    state: StatePublisher,
    control: ControlHandle,
    session: Option<Subsystem>,
    left_sender: mpsc::Sender<()>,
    left: mpsc::Receiver<()>,
    /// What everybody in the room shall know: that they are recorded, or live.
    sign: watch::Sender<Attributes>,
    _signing: AbortOnDropHandle<()>,
}

impl Rooms {
    /// In no room. Each join goes by what is `configured` then.
    pub fn new(
        configured: watch::Receiver<RoomConfig>,
        hub: MediaHub,
        board: Board,
        state: StatePublisher,
        control: ControlHandle,
    ) -> Self {
        // One is enough: the lane looks at the whole state when it is woken.
        let (left_sender, left) = mpsc::channel(1);
        let config = configured.borrow().clone();
        let sign = watch::Sender::new(Attributes::new());
        let _signing = AbortOnDropHandle::new(tokio::spawn(keep_signed(state.subscribe(), sign.clone())));
        Rooms {
            configured,
            config,
            hub,
            board,
            state,
            control,
            session: None,
            left_sender,
            left,
            sign,
            _signing,
        }
    }

    /// Begins to join; how it goes shows in the state.
    ///
    /// # Errors
    /// The reply that says why it cannot even begin: no server, or no token for it.
    pub fn join(&mut self, join: RoomJoin) -> Result<(), Reply> {
        self.config = self.configured.borrow().clone();
        let (url, token) = self.way_in(&join)?;
        info!(room = join.room, url, "joining");
        let room = Room {
            name: join.room.clone(),
            url: url.clone(),
            status: RoomStatus::Joining,
            reason: None,
            participants: 0,
        };
        self.state.update(|state| state.room = Some(room));
        let config = participant::Config {
            url,
            room: join.room,
            token,
            extra_ca: None,
            video: self.config.video,
            audio: self.config.audio,
            meter: self.hub.uplink.clone(),
            attributes: self.sign.subscribe(),
        };
        self.session = Some(self.start(config));
        Ok(())
    }

    /// Leaves the room if the box is in one.
    pub async fn leave(&mut self) {
        if let Some(session) = self.session.take() {
            session.stop(LEAVE).await;
            self.state.update(|state| state.room = None);
        }
    }

    /// Leaves the room, and has the box's own server end it.
    pub async fn end(&mut self) -> Reply {
        let room = self.state.subscribe().borrow().room.clone();
        self.leave().await;
        let Some(room) = room else { return Reply::ok("the box is in no room", Value::Null) };
        let embedded = self.config.embedded.as_ref().filter(|embedded| embedded.url == room.url);
        let Some(embedded) = embedded else {
            let message = format!("the box has left {}, which is another server's to end", room.name);
            return Reply::refused(Code::Unsupported, message);
        };
        let name = embedded.rooms.directory().name(&room.name).to_owned();
        let grant = Grant { room_admin: true, room: name.clone(), ..Grant::default() };
        match embedded.rooms.delete_room(grant, name).await {
            // Nobody else was there: it is over already.
            Ok(()) | Err(Refusal::NoSuch { .. }) => {
                Reply::ok(format!("{} has ended", room.name), json!({"room": room.name}))
            }
            Err(refusal) => Reply::refused(Code::NotReady, refusal.to_string()),
        }
    }

    /// Returns when the room did not want the box any more.
    pub async fn left(&mut self) {
        // The sender in self keeps the channel open.
        let _ = self.left.recv().await;
        self.leave().await;
    }

    fn start(&self, config: participant::Config) -> Subsystem {
        let (stream, muted, left) =
            (self.hub.stream.clone(), self.hub.sound.mute.clone(), self.left_sender.clone());
        let listener: Arc<dyn Listener> = Arc::new(self.hub.mixer.clone());
        let (state, control) = (self.state.clone(), self.control.clone());
        let run = move |shutdown: Shutdown| {
            let (state, control, left) = (state.clone(), control.clone(), left.clone());
            let events = move |event| tell(&state, &control, event);
            let session = participant::run(
                config.clone(),
                stream.clone(),
                muted.subscribe(),
                listener.clone(),
                events,
                shutdown,
            );
            async move {
                match session.await {
                    // Final: to come back on its own would be to ignore who removed it.
                    Err(error @ participant::Error::Left { .. }) => {
                        warn!(%error, "the box is out of the room");
                        let _ = left.try_send(());
                        Ok(())
                    }
                    other => other,
                }
            }
        };
        let state = self.state.clone();
        supervise(&self.board, "participant", run, move |health| {
            if let Health::BackingOff { reason } = health {
                tell_room(&state, RoomStatus::BackingOff, Some(reason.clone()), Some(0));
            }
        })
    }

    /// Which server, and the tokens for it.
    fn way_in(&self, join: &RoomJoin) -> Result<(String, TokenSource), Reply> {
        let url = join.url.clone().or_else(|| self.config.url.clone());
        let given = join.token.clone().map(TokenSource::fixed);
        match (url, &self.config.embedded) {
            (Some(url), _) => {
                let configured = Some(&url) == self.config.url.as_ref();
                let token = given.or_else(|| configured.then(|| self.configured_token(&join.room)).flatten());
                let missing = "no token for this server: give token, or set room.token_file or room.api_key";
                token.map(|token| (url, token)).ok_or_else(|| Reply::refused(Code::BadRequest, missing))
            }
            (None, Some(embedded)) => {
                let (keys, grant) = (embedded.keys.clone(), self.grant(&join.room));
                let mint = move || std::future::ready(Ok(keys.mint(&grant, TOKEN_LIFETIME, clock::wall())));
                Ok((embedded.url.clone(), given.unwrap_or_else(|| TokenSource::new(mint))))
            }
            (None, None) => {
                let message =
                    "no room server: server.enabled is false (or server.listen off) and room.url is empty";
                Err(Reply::refused(Code::Unsupported, message))
            }
        }
    }

    fn configured_token(&self, room: &str) -> Option<TokenSource> {
        let grant = self.grant(room);
        Some(match self.config.token.clone()? {
            RoomToken::File(path) => TokenSource::new(move || token_of_file(path.clone())),
            RoomToken::Key { api_key, secret_file } => {
                TokenSource::new(move || token_of_key(api_key.clone(), secret_file.clone(), grant.clone()))
            }
        })
    }

    /// What the box wants to do in a room.
    fn grant(&self, room: &str) -> Grant {
        Grant {
            identity: self.config.identity.clone(),
            name: self.config.name.clone(),
            room: room.to_owned(),
            room_join: true,
            can_publish: true,
            can_subscribe: true,
            can_publish_data: true,
            can_update_own_metadata: true,
            ..Grant::default()
        }
    }
}

/// Whether the box records, and whether what it sends goes live somewhere, for everybody in its room.
fn sign(state: &State) -> Attributes {
    let live = state.live.on && state.live.destinations.iter().any(|to| to.status == LiveStatus::Live);
    let flag = |name: &str, on: bool| (name.to_owned(), if on { "true".to_owned() } else { String::new() });
    [flag("box.recorded", state.recording.on), flag("box.live", live)].into()
}

async fn keep_signed(mut state: watch::Receiver<Arc<State>>, signed: watch::Sender<Attributes>) {
    loop {
        let now = sign(&state.borrow_and_update());
        signed.send_if_modified(|before| std::mem::replace(before, now.clone()) != now);
        if state.changed().await.is_err() {
            return;
        }
    }
}

async fn token_of_file(path: PathBuf) -> Result<String, participant::TokenError> {
    let text = tokio::fs::read_to_string(&path).await;
    let text = text.map_err(|error| format!("room.token_file {}: {error}", path.display()))?;
    Ok(text.trim().to_owned())
}

async fn token_of_key(
    api_key: String,
    secret_file: PathBuf,
    grant: Grant,
) -> Result<String, participant::TokenError> {
    let secret = tokio::fs::read_to_string(&secret_file).await;
    let secret =
        secret.map_err(|error| format!("room.api_secret_file {}: {error}", secret_file.display()))?;
    let keys = Keys::new([(api_key, secret.trim().to_owned())].into())?;
    Ok(keys.mint(&grant, TOKEN_LIFETIME, clock::wall()))
}

/// What happens to the participant, in the state.
fn tell(state: &StatePublisher, control: &ControlHandle, event: Event) {
    match event {
        Event::Joining => tell_room(state, RoomStatus::Joining, None, None),
        Event::Joined { participants, uplink } => {
            tell_room(state, RoomStatus::Joined, uplink, Some(participants));
        }
        Event::Uplink { reason } => state.update(|state| {
            // While it is resumed the loss of the connection is the better reason.
            if let Some(room) = state.room.as_mut().filter(|room| room.status == RoomStatus::Joined) {
                room.reason = reason;
            }
        }),
        Event::Resuming { reason } => tell_room(state, RoomStatus::Resuming, Some(reason), None),
        Event::BackingOff { reason, .. } => tell_room(state, RoomStatus::BackingOff, Some(reason), Some(0)),
        Event::ParticipantsChanged(participants) => state.update(|state| {
            if let Some(room) = &mut state.room {
                room.participants = participants;
            }
        }),
        Event::ActiveSpeakers(_) | Event::Left { .. } => {}
        Event::MutedByRoom => {
            let control = control.clone();
            tokio::spawn(async move {
                let origin = Origin { issuer: "room".to_owned(), local: false };
                let mute = Command::MicrophoneSet(MicrophoneSet { muted: true });
                let reply = control.submit(mute, origin).await;
                info!(ok = reply.ok, "a moderator muted the microphone");
            });
        }
    }
}

fn tell_room(state: &StatePublisher, status: RoomStatus, reason: Option<String>, participants: Option<u32>) {
    state.update(|state| {
        if let Some(room) = &mut state.room {
            room.status = status;
            room.reason = reason;
            room.participants = participants.unwrap_or(room.participants);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_in_the_room_is_told_of_recording_and_of_a_stream_that_arrives() {
        let state = StatePublisher::new(clock::wall);
        let signed = watch::Sender::new(Attributes::new());
        let mut seen = signed.subscribe();
        tokio::spawn(keep_signed(state.subscribe(), signed));
        let live = |status: &str| {
            let to = json!({"url": "rtmp://a/live", "status": status, "bytes_acked": 0});
            serde_json::from_value(json!({"on": true, "destinations": [to]})).unwrap()
        };
        for (recording, status, recorded, arrives) in
            [(false, "retrying", "", ""), (true, "retrying", "true", ""), (true, "live", "true", "true")]
        {
            state.update(|state| (state.recording.on, state.live) = (recording, live(status)));
            let told = |now: &Attributes| {
                now.get("box.recorded").is_some_and(|on| on == recorded)
                    && now.get("box.live").is_some_and(|on| on == arrives)
            };
            seen.wait_for(told).await.unwrap();
        }
    }

    #[test]
    fn the_state_says_why_not_everything_is_sent_while_the_box_is_in_the_room() {
        let state = StatePublisher::new(clock::wall);
        let (control, _orders) = ControlHandle::new(&state);
        let room = Room {
            name: "lobby".into(),
            url: "ws://h".into(),
            status: RoomStatus::Joining,
            reason: None,
            participants: 0,
        };
        state.update(|state| state.room = Some(room));
        let congested = || Some("the uplink is congested".to_owned());
        let lost = || Some("the connection is lost".to_owned());
        for (event, reason) in [
            // The joining itself says more than the uplink.
            (Event::Uplink { reason: congested() }, None),
            (Event::Joined { participants: 2, uplink: congested() }, congested()),
            (Event::Uplink { reason: None }, None),
            (Event::Uplink { reason: congested() }, congested()),
            (Event::Resuming { reason: "the connection is lost".into() }, lost()),
            (Event::Uplink { reason: None }, lost()),
            (Event::Joined { participants: 2, uplink: None }, None),
        ] {
            tell(&state, &control, event);
            assert_eq!(state.subscribe().borrow().room.as_ref().and_then(|room| room.reason.clone()), reason);
        }
    }
}
