//! The driver: gives the machine its inputs and does what it says.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use rand::RngExt;
use tokio::sync::watch;

use super::machine::{Action, Failure, Input, Machine, Report};
use super::open::{self, OpenError, Opened, Server};
use super::session::{Context, Session, Wake};
use super::{Attributes, Config, Error, Event, Listener};
use crate::base::{Shutdown, clock};
use crate::https::tls::client_config;
use crate::media::Stream;
use crate::rtc::signal::url::ServerUrl;

/// Keeps the box in the room of `config` until `shutdown`, or until the room wants it gone: joins, publishes what
/// `stream` carries, gives the others' sound to `listener`, comes back after every kind of trouble. `muted` says
/// whether the people turned the microphone off. `events` must not block.
///
/// # Errors
/// [`Error::Url`] and [`Error::Tls`] before anything is tried, [`Error::Left`] when the server sent the box away.
/// A refused token is none: it is tried again, with long delays.
pub async fn run(
    config: Config,
    stream: Stream,
    muted: watch::Receiver<bool>,
    listener: Arc<dyn Listener>,
    events: impl Fn(Event) + Send + Sync + 'static,
    shutdown: Shutdown,
) -> Result<(), Error> {
    let url = ServerUrl::parse(&config.url)?;
    let tls = client_config(config.extra_ca.as_deref())?;
    let loopback = url.host == "localhost" || url.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let server = Server { url, tls, token: config.token.clone() };
    let attributes = config.attributes.clone();
    let context = Arc::new(Context { config, loopback, stream, listener, events: Box::new(events) });
    Driver { server, context, muted, attributes, session: None, last_token: None, opening: None, left: None }
        .run(shutdown)
        .await
}

type Opening = Pin<Box<dyn Future<Output = Result<Opened, OpenError>> + Send>>;

struct Driver {
    server: Server,
    context: Arc<Context>,
    muted: watch::Receiver<bool>,
    attributes: watch::Receiver<Attributes>,
    session: Option<Session>,
    /// The newest token of the last session, which the server may have renewed.
    last_token: Option<String>,
    opening: Option<Opening>,
    left: Option<String>,
}

/// What ended a wait. One at a time, moved once: boxing would buy nothing.
#[allow(clippy::large_enum_variant)]
enum Happened {
    Input(Input),
    Opened(Result<Opened, OpenError>),
    Woken(Wake),
    Muted,
    Attributes,
}

impl Driver {
    async fn run(mut self, shutdown: Shutdown) -> Result<(), Error> {
        let mut machine = Machine::new(rand::rng().random());
        let mut inputs = VecDeque::from([Input::Start]);
        loop {
            while let Some(input) = inputs.pop_front() {
                tracing::trace!(?input, "participant");
                for action in machine.handle(clock::now(), input) {
                    if action == Action::Finish {
                        return self.finished();
                    }
                    inputs.extend(self.act(action).await);
                }
            }
            let happened = self.wait(machine.deadline(), &shutdown).await;
            inputs.extend(self.take(happened).await);
        }
    }

    fn finished(self) -> Result<(), Error> {
        match self.left {
            Some(reason) => Err(Error::Left { room: self.context.config.room.clone(), reason }),
            None => Ok(()),
        }
    }

    async fn wait(&mut self, deadline: Option<Instant>, shutdown: &Shutdown) -> Happened {
        let opened = async {
            match &mut self.opening {
                Some(opening) => opening.await,
                None => std::future::pending().await,
            }
        };
        let woken = async {
            match &mut self.session {
                Some(session) => session.wait().await,
                None => std::future::pending().await,
            }
        };
        let due = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        let muted = async {
            // A box that no longer says anything leaves it as it is.
            if self.muted.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let attributes = async {
            if self.attributes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => Happened::Input(Input::Shutdown),
            () = due => Happened::Input(Input::Tick),
            opened = opened => {
                self.opening = None;
                Happened::Opened(opened)
            }
            wake = woken => Happened::Woken(wake),
            () = muted => Happened::Muted,
            () = attributes => Happened::Attributes,
        }
    }

    async fn take(&mut self, happened: Happened) -> Option<Input> {
        let outcome = match (happened, &mut self.session) {
            (Happened::Input(input), _) => return Some(input),
            (Happened::Opened(Err(OpenError::Failure(failure))), _) => return Some(Input::Failed(failure)),
            (Happened::Opened(Err(OpenError::Leave(leave))), _) => return Some(Input::Leave(leave)),
            (Happened::Opened(Ok(opened)), _) => return self.opened(opened).await,
            (Happened::Woken(wake), Some(session)) => session.handle(wake).await,
            (Happened::Muted, Some(session)) => {
                let muted = *self.muted.borrow_and_update();
                session.set_muted(muted).await.map(|()| None)
            }
            (Happened::Attributes, Some(session)) => {
                let attributes = self.attributes.borrow_and_update().clone();
                session.set_attributes(attributes).await.map(|()| None)
            }
            (Happened::Woken(_) | Happened::Muted | Happened::Attributes, None) => Ok(None),
        };
        let input = outcome.unwrap_or_else(|error| Some(error.into()));
        if let (Some(Input::SignalLost(_)), Some(session)) = (&input, &mut self.session) {
            session.detach();
        }
        input
    }

    async fn opened(&mut self, opened: Opened) -> Option<Input> {
        match (opened, &mut self.session) {
            (Opened::Joined { socket, join, token }, None) => {
                let muted = *self.muted.borrow_and_update();
                // Told once the session is there.
                self.attributes.mark_changed();
                match Session::start(self.context.clone(), socket, *join, token, muted).await {
                    Ok((session, input)) => {
                        self.session = Some(session);
                        Some(input)
                    }
                    Err(error) => Some(error.into()),
                }
            }
            (Opened::Resumed { socket, reconnect }, Some(session)) => {
                session.resume(socket, reconnect).await.unwrap_or_else(|error| Some(error.into()))
            }
            (Opened::Joined { .. }, Some(_)) | (Opened::Resumed { .. }, None) => {
                Some(Input::Failed(Failure::Gone("the server has another session in mind".into())))
            }
        }
    }

    async fn act(&mut self, action: Action) -> Option<Input> {
        match action {
            Action::Join => {
                let join = open::join(self.server.clone(), self.last_token.clone());
                self.opening = Some(Box::pin(join));
            }
            Action::Resume => {
                let Some(session) = &mut self.session else {
                    return Some(Input::Failed(Failure::Gone("no session".into())));
                };
                session.detach();
                let (sid, token) = session.credentials();
                self.opening = Some(Box::pin(open::resume(self.server.clone(), sid, token)));
            }
            Action::Close { goodbye } => {
                self.opening = None;
                if let Some(session) = self.session.take() {
                    self.last_token = Some(session.credentials().1);
                    session.end(goodbye).await;
                }
            }
            Action::Report(report) => self.report(report),
            Action::Finish => {}
        }
        None
    }

    fn report(&mut self, report: Report) {
        let config = &self.context.config;
        let (room, url) = (&config.room, &config.url);
        let event = match report {
            Report::Joining => Event::Joining,
            Report::Joined => {
                tracing::info!(room, url, "in the room");
                let session = self.session.as_ref();
                Event::Joined {
                    participants: session.map_or(1, Session::participant_count),
                    uplink: session.and_then(Session::uplink_reason),
                }
            }
            Report::Resuming { reason } => {
                tracing::warn!(room, reason, "connection lost, resuming");
                Event::Resuming { reason }
            }
            Report::BackingOff { reason, delay } => {
                tracing::warn!(room, url, reason, ?delay, "not in the room, trying again");
                Event::BackingOff { reason, delay }
            }
            Report::Left { reason } => {
                tracing::warn!(room, reason, "sent away");
                self.left = Some(reason.clone());
                Event::Left { reason }
            }
        };
        (self.context.events)(event);
    }
}
