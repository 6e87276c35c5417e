//! The five lanes that do what the queue has accepted: each one task, each with its own part of the world.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::live::Lives;
use super::media;
use super::mutator::{Done, done};
use super::recording::Recordings;
use super::room::Rooms;
use crate::base::Shutdown;
use crate::capture::PictureOut;
use crate::control::queue::{Action, Change, Lane};
use crate::control::{Code, Reply, RoomStatus, State, StatePublisher};
use crate::media::{CameraControls, DeviceStatus, MuteSwitch};

/// How long an order to join waits for its outcome; the joining itself goes on.
const JOIN_PATIENCE: Duration = Duration::from_secs(20);
/// How long an order to the camera waits for it: it may have to be opened first.
const CAMERA_PATIENCE: Duration = Duration::from_secs(5);

/// The microphone's lane: silence or sound at the source, in the room and in the state.
pub async fn microphone(
    mut actions: mpsc::Receiver<Action>,
    finished: mpsc::Sender<Done>,
    mute: MuteSwitch,
    state: StatePublisher,
    shutdown: Shutdown,
) {
    while let Some(Some(action)) = shutdown.run_until_cancelled(actions.recv()).await {
        let Change::Muted(muted) = action.change else { continue };
        mute.set(muted);
        state.update(|state| state.microphone.muted = muted);
        let reply = done(if muted { "the microphone is muted" } else { "the microphone is live" });
        let _ = finished.send(Done::Finished(action.ticket, reply)).await;
    }
}

/// The camera's lane: its pictures or the slate at the source, its controls, and the state.
pub async fn camera(
    mut actions: mpsc::Receiver<Action>,
    finished: mpsc::Sender<Done>,
    pictures: PictureOut,
    state: StatePublisher,
    shutdown: Shutdown,
) {
    while let Some(Some(action)) = shutdown.run_until_cancelled(actions.recv()).await {
        let Change::Camera(wanted) = action.change else { continue };
        let wish = pictures.controls.wish(&wanted.controls);
        if wanted.off {
            pictures.cover();
        } else {
            pictures.shutter.set(false);
        }
        state.update(|state| media::tell_camera(state, &pictures));
        let doing = async {
            match wanted.off {
                true => covered(&pictures).await,
                false => controlled(&pictures, wish).await,
            }
        };
        let Some(reply) = shutdown.run_until_cancelled(doing).await else { break };
        let _ = finished.send(Done::Finished(action.ticket, reply)).await;
    }
}

/// What was shown is seen until the slate is.
async fn covered(pictures: &PictureOut) -> Reply {
    // Without a camera there is no slate either.
    let none = pictures.report.subscribe().borrow().status == DeviceStatus::Off;
    if !none && tokio::time::timeout(CAMERA_PATIENCE, pictures.latest.shown()).await.is_err() {
        return Reply::refused(Code::Timeout, "the camera is off, and its slate does not come");
    }
    done("the camera is off")
}

/// Controls are in force when the camera has them; one that is not open takes them when it is.
async fn controlled(pictures: &PictureOut, wish: u64) -> Reply {
    let open = matches!(pictures.controls.there(), CameraControls::Of(_));
    if wish == 0 || !open {
        return done("the camera is on");
    }
    match tokio::time::timeout(CAMERA_PATIENCE, pictures.controls.settled(wish)).await {
        Ok(problems) if problems.is_empty() => done("the camera is on and has its controls"),
        Ok(problems) => Reply::refused(Code::Internal, format!("controls: {}", problems.join("; "))),
        Err(_) => {
            Reply::refused(Code::Timeout, "the camera does not take its controls yet; it is given them again")
        }
    }
}

/// The recording's lane.
pub async fn recording(
    mut actions: mpsc::Receiver<Action>,
    finished: mpsc::Sender<Done>,
    mut recordings: Recordings,
    shutdown: Shutdown,
) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = recordings.broke() => {
                let _ = finished.send(Done::Unsettled(Lane::Recording)).await;
            }
            action = actions.recv() => {
                let Some(action) = action else { break };
                let Change::Recording(wanted) = action.change else { continue };
                let reply = match wanted {
                    Some(wanted) => recordings.start(wanted).await,
                    None => recordings.stop().await,
                };
                let _ = finished.send(Done::Finished(action.ticket, reply)).await;
            }
        }
    }
    // The file is finished; what was ordered stays desired, so the next start goes on in a new file.
    recordings.stop().await;
}

/// The lane of going live. A newer order takes the place of one that still waits for its destinations.
pub async fn live(
    mut actions: mpsc::Receiver<Action>,
    finished: mpsc::Sender<Done>,
    mut lives: Lives,
    shutdown: Shutdown,
) {
    let mut next = None;
    loop {
        let action = match next.take() {
            Some(action) => Some(action),
            None => shutdown.run_until_cancelled(actions.recv()).await.flatten(),
        };
        let Some(action) = action else { break };
        let Change::Live(wanted) = action.change else { continue };
        lives.set(wanted);
        let reply = tokio::select! {
            reply = lives.outcome() => reply,
            newer = actions.recv() => {
                next = newer;
                continue;
            }
            () = shutdown.cancelled() => break,
        };
        let _ = finished.send(Done::Finished(action.ticket, reply)).await;
    }
    // What was ordered stays desired: the next start goes live again.
    lives.set(None);
    lives.outcome().await;
}

/// The room's lane. A newer order takes the place of a join that is still waited for.
pub async fn room(
    mut actions: mpsc::Receiver<Action>,
    finished: mpsc::Sender<Done>,
    mut rooms: Rooms,
    state: watch::Receiver<Arc<State>>,
    shutdown: Shutdown,
) {
    let mut next = None;
    loop {
        let action = match next.take() {
            Some(action) => action,
            None => tokio::select! {
                () = shutdown.cancelled() => break,
                () = rooms.left() => {
                    let _ = finished.send(Done::Unsettled(Lane::Room)).await;
                    continue;
                }
                action = actions.recv() => match action {
                    Some(action) => action,
                    None => break,
                },
            },
        };
        let (ticket, wanted) = match action {
            Action { ticket, change: Change::Room(wanted) } => (ticket, wanted),
            Action { ticket, change: Change::RoomEnd } => {
                let reply = rooms.end().await;
                let _ = finished.send(Done::Finished(ticket, reply)).await;
                continue;
            }
            _ => continue,
        };
        rooms.leave().await;
        let reply = match wanted {
            None => done("the box is in no room"),
            Some(join) => {
                let name = join.room.clone();
                match rooms.join(join) {
                    Err(reply) => reply,
                    Ok(()) => tokio::select! {
                        reply = outcome(&name, state.clone()) => reply,
                        newer = actions.recv() => {
                            next = newer;
                            continue;
                        }
                        () = shutdown.cancelled() => break,
                    },
                }
            }
        };
        let _ = finished.send(Done::Finished(ticket, reply)).await;
    }
    rooms.leave().await;
}

/// Waits until the box has joined `room`, or is known to wait for another attempt.
async fn outcome(room: &str, mut state: watch::Receiver<Arc<State>>) -> Reply {
    let settled = state.wait_for(|state| {
        state.room.as_ref().is_some_and(|joined| {
            joined.name == room && matches!(joined.status, RoomStatus::Joined | RoomStatus::BackingOff)
        })
    });
    match tokio::time::timeout(JOIN_PATIENCE, settled).await {
        Ok(Ok(state)) => match &state.room {
            Some(joined) if joined.status == RoomStatus::BackingOff => {
                let reason = joined.reason.as_deref().unwrap_or("no reason given");
                Reply::refused(Code::Upstream, format!("cannot join {room} yet: {reason}; it is tried again"))
            }
            Some(joined) => {
                let data =
                    json!({"room": joined.name, "url": joined.url, "participants": joined.participants});
                Reply::ok(format!("joined {room}"), data)
            }
            None => Reply::refused(Code::Conflict, "the box has left the room meanwhile"),
        },
        Ok(Err(_)) => Reply::refused(Code::NotReady, "the box is stopping"),
        Err(_) => Reply::refused(Code::Timeout, format!("still joining {room}; the state will show")),
    }
}
