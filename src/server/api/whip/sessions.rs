//! The sessions: each a task that holds one participant's stay, found by an id that nobody guesses.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use tokio::sync::{mpsc, oneshot};

use super::fragment::{self, Credentials, Fragment, PatchError, Purpose};
use super::offer::Checked;
use crate::base::ids;
use crate::room::Grant;
use crate::server::signal::{Entry, Handle, Stay, StayError};

/// Most sessions at once; one more is refused.
pub const MAX_SESSIONS: usize = 1000;
/// What is asked of one session and not yet done; whoever asks more waits.
const ASKS: usize = 4;
/// 120 bits.
const ID_CHARACTERS: usize = 24;
const ETAG_CHARACTERS: usize = 12;

/// Who may speak for a session: whoever began it, by the same token even when that has expired.
#[derive(Clone, Debug)]
struct Owner {
    room: String,
    identity: String,
    token_sha256: Vec<u8>,
}

impl Owner {
    fn is(&self, token: &str) -> bool {
        digest(&SHA256, token.as_bytes()).as_ref() == self.token_sha256
    }
}

enum Ask {
    Patch {
        if_match: Option<String>,
        fragment: Fragment,
        reply: oneshot::Sender<Result<Patched, PatchFailure>>,
    },
    End(oneshot::Sender<()>),
}

/// Why a session does not begin, or a PATCH is not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PatchFailure {
    #[error(transparent)]
    Precondition(#[from] PatchError),
    #[error(transparent)]
    Stay(#[from] StayError),
}

/// A PATCH that was carried out.
#[derive(Debug)]
pub(super) enum Patched {
    Trickled,
    /// The new ICE session, and ours of it.
    Restarted {
        etag: String,
        fragment: String,
    },
}

/// A session that has begun.
#[derive(Debug)]
pub(super) struct Begun {
    pub id: String,
    pub etag: String,
    pub answer: String,
}

#[derive(Default)]
pub(in crate::server::api) struct Sessions(Mutex<HashMap<String, (Owner, mpsc::Sender<Ask>)>>);

/// What speaks to one session.
pub(super) struct Session(mpsc::Sender<Ask>);

impl Sessions {
    fn all(&self) -> MutexGuard<'_, HashMap<String, (Owner, mpsc::Sender<Ask>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_full(&self) -> bool {
        self.all().len() >= MAX_SESSIONS
    }

    /// Joins a room with an offer. The session goes on by itself until it is ended, or the participant is put out.
    pub(super) async fn begin(
        self: &Arc<Self>,
        rooms: &Handle,
        entry: Entry,
        checked: Checked,
        token: &str,
    ) -> Result<Begun, StayError> {
        let token_sha256 = digest(&SHA256, token.as_bytes()).as_ref().to_vec();
        let Grant { room, identity, .. } = entry.grant.clone();
        let owner = Owner { room, identity, token_sha256 };
        let (sessions, rooms) = (Arc::clone(self), rooms.clone());
        let (reply, begun) = oneshot::channel();
        // In a task of its own: whoever hangs up meanwhile leaves nothing half done.
        tokio::spawn(async move {
            let offer = entry.offer.clone();
            let (stay, answer) = match rooms.enter(entry).await {
                Ok(entered) => entered,
                Err(error) => return drop(reply.send(Err(error))),
            };
            if let Some(why) = checked.refused_by(&answer) {
                stay.leave().await;
                return drop(reply.send(Err(StayError::Offer(why))));
            }
            let (asks, asked) = mpsc::channel(ASKS);
            let (id, etag) = (ids::random(ID_CHARACTERS), new_etag());
            sessions.all().insert(id.clone(), (owner, asks));
            let begun = Begun { id: id.clone(), etag: etag.clone(), answer };
            match reply.send(Ok(begun)) {
                Ok(()) => Running { stay, etag, offer }.run(asked).await,
                Err(_) => stay.leave().await,
            }
            sessions.all().remove(&id);
        });
        begun.await.map_err(|_| StayError::Ended)?
    }

    /// The session of this id, for whoever began it, or whom `grant` makes the same participant or a moderator. None:
    /// there is none (any more), or it is another's.
    pub(super) fn find<E>(
        &self,
        id: &str,
        token: &str,
        grant: Result<Grant, E>,
    ) -> Result<Option<Session>, E> {
        let found = self.all().get(id).cloned();
        if let Some((_, asks)) = found.as_ref().filter(|(owner, _)| owner.is(token)) {
            return Ok(Some(Session(asks.clone())));
        }
        let grant = grant?;
        let may = |owner: &Owner| {
            let same = grant.may_join(&owner.room) && grant.identity == owner.identity;
            same || grant.may_moderate(&owner.room)
        };
        Ok(found.filter(|(owner, _)| may(owner)).map(|(_, asks)| Session(asks)))
    }
}

fn new_etag() -> String {
    format!("\"{}\"", ids::random(ETAG_CHARACTERS))
}

impl Session {
    pub(super) async fn patch(
        &self,
        if_match: Option<String>,
        fragment: Fragment,
    ) -> Result<Patched, PatchFailure> {
        let (reply, answer) = oneshot::channel();
        let ended = |_| StayError::Ended;
        self.0.send(Ask::Patch { if_match, fragment, reply }).await.map_err(|_| ended(()))?;
        answer.await.map_err(|_| ended(()))?
    }

    /// Returns when the participant is out of the room.
    pub(super) async fn end(&self) {
        let (reply, answer) = oneshot::channel();
        if self.0.send(Ask::End(reply)).await.is_ok() {
            let _ = answer.await;
        }
    }
}

struct Running {
    stay: Stay,
    etag: String,
    offer: String,
}

impl Running {
    async fn run(mut self, mut asks: mpsc::Receiver<Ask>) {
        loop {
            let ask = tokio::select! {
                () = self.stay.ended() => return,
                ask = asks.recv() => ask,
            };
            match ask {
                Some(Ask::Patch { if_match, fragment, reply }) => {
                    let patched = self.patch(if_match.as_deref(), fragment).await;
                    let over = matches!(patched, Err(PatchFailure::Stay(_)));
                    let _ = reply.send(patched);
                    if over {
                        return;
                    }
                }
                Some(Ask::End(reply)) => {
                    self.stay.leave().await;
                    let _ = reply.send(());
                    return;
                }
                None => return self.stay.leave().await,
            }
        }
    }

    async fn patch(&mut self, if_match: Option<&str>, fragment: Fragment) -> Result<Patched, PatchFailure> {
        let known = fragment::credentials(&self.offer).ok().flatten();
        match fragment::purpose(if_match, &self.etag, known.as_ref(), fragment)? {
            Purpose::Trickle => Ok(Patched::Trickled),
            Purpose::Restart(credentials) => self.restart(&credentials).await,
        }
    }

    /// The same offer under other credentials is what restarts ICE (RFC 8839 §4.4.1.1.1).
    async fn restart(&mut self, credentials: &Credentials) -> Result<Patched, PatchFailure> {
        let offer = fragment::with_credentials(&self.offer, credentials);
        let answer = self.stay.offer(offer.clone()).await?;
        self.offer = offer;
        self.etag = new_etag();
        Ok(Patched::Restarted { etag: self.etag.clone(), fragment: fragment::of_answer(&answer) })
    }
}
