//! The connection's state machine: inputs and the time come in, actions go out. It owns no socket and no clock.
//!
//! ```text
//!            Start                     all peers connected
//! disconnected ──▶ connecting ───────────────────────────▶ connected
//!                   ▲   │ failed, stuck, refused              │ signalling lost, path lost, Leave(resume)
//!             delay │   ▼                                     ▼
//!                 backing off ◀──────────────────────────  resuming ──▶ connected
//!                              10 s over, refused, Leave(reconnect)
//! ```
//! From everywhere: shutdown and a terminal Leave end it.

mod words;

use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::base::backoff::Backoff;
use crate::rtc::peer::{PeerState, Side};

pub use words::{Action, Failure, Input, Leave, Report};

/// Longest from the start of an attempt until media flows.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest that DTLS may take once a path is found; about one connect in twenty hangs there for ever.
pub const DTLS_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest that a lost connection is resumed; then the room is joined anew.
pub const RESUME_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it must have held for the delays to start small again.
pub const STABLE_AFTER: Duration = Duration::from_secs(10);
/// First and longest delay after trouble.
pub const BACKOFF: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(10)];
/// First and longest delay after a refusal: only a new token or a new configuration on the server helps.
pub const REFUSED_BACKOFF: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(300)];

#[derive(Clone, Debug, PartialEq)]
enum State {
    Disconnected,
    Connecting { deadline: Instant, joined: bool },
    Connected { since: Instant },
    Resuming { deadline: Instant, attempt: Attempt, stable: bool },
    BackingOff { until: Instant },
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Attempt {
    /// Signalling is being opened.
    Opening,
    /// To be opened again then.
    At(Instant),
    /// Signalling stands; media is awaited.
    Media,
}

/// How far one of the two connections is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Progress {
    connected: bool,
    /// Since when DTLS goes on.
    path_found: Option<Instant>,
}

/// The machine; see the module's picture.
#[derive(Debug)]
pub struct Machine {
    state: State,
    /// Which connections have to stand.
    needs: [(Side, bool); 2],
    publisher: Progress,
    subscriber: Progress,
    backoff: Backoff,
    refused: Backoff,
    rng: StdRng,
}

impl Machine {
    /// A machine at rest; `seed` draws the jitter of its delays.
    pub fn new(seed: u64) -> Self {
        Machine {
            state: State::Disconnected,
            needs: [(Side::Publisher, false), (Side::Subscriber, false)],
            publisher: Progress::default(),
            subscriber: Progress::default(),
            backoff: Backoff::new(BACKOFF[0], BACKOFF[1]),
            refused: Backoff::new(REFUSED_BACKOFF[0], REFUSED_BACKOFF[1]),
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// When [`Input::Tick`] is due; None when only an input can change anything.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Connecting { deadline, .. } => {
                Some(self.dtls_deadline().map_or(deadline, |dtls| dtls.min(deadline)))
            }
            State::Resuming { deadline, attempt: Attempt::At(at), .. } => Some(at.min(deadline)),
            State::Resuming { deadline, .. } => Some(deadline),
            State::BackingOff { until } => Some(until),
            State::Disconnected | State::Connected { .. } | State::Over => None,
        }
    }

    /// Takes an input; returns what is to be done, in order.
    pub fn handle(&mut self, now: Instant, input: Input) -> Vec<Action> {
        match (&self.state, input) {
            (State::Over, _) => Vec::new(),
            (_, Input::Shutdown) => {
                self.state = State::Over;
                vec![Action::Close { goodbye: true }, Action::Finish]
            }
            (State::Disconnected, Input::Start) => self.join(now),
            (State::Disconnected, _) => Vec::new(),
            (_, Input::Leave(Leave::Disconnect(reason))) => {
                self.state = State::Over;
                vec![
                    Action::Close { goodbye: false },
                    Action::Report(Report::Left { reason }),
                    Action::Finish,
                ]
            }
            (_, Input::Peer(side, state)) => self.peer(now, side, state),
            (State::Connecting { .. }, input) => self.connecting(now, input),
            (State::Connected { .. }, input) => self.connected(now, input),
            (State::Resuming { .. }, input) => self.resuming(now, input),
            (State::BackingOff { until }, Input::Tick) if now >= *until => self.join(now),
            (State::BackingOff { .. }, _) => Vec::new(),
        }
    }

    fn connecting(&mut self, now: Instant, input: Input) -> Vec<Action> {
        let dtls = self.dtls_deadline();
        let State::Connecting { deadline, joined } = &mut self.state else { return Vec::new() };
        match input {
            Input::Joined { publisher, subscriber } => {
                *joined = true;
                self.needs = [(Side::Publisher, publisher), (Side::Subscriber, subscriber)];
                self.stand(now)
            }
            Input::Failed(failure) => self.back_off(now, failure),
            Input::SignalLost(reason) | Input::SessionFailed(reason) => {
                self.back_off(now, Failure::Trouble(reason))
            }
            Input::Leave(Leave::Resume(reason) | Leave::Reconnect(reason) | Leave::Disconnect(reason)) => {
                self.back_off(now, Failure::Trouble(reason))
            }
            Input::Tick if dtls.is_some_and(|dtls| now >= dtls) => {
                self.back_off(now, Failure::Trouble("DTLS did not get through".into()))
            }
            Input::Tick if now >= *deadline => {
                let what = if *joined { "no media path to the server" } else { "the server does not answer" };
                self.back_off(now, Failure::Trouble(what.into()))
            }
            _ => Vec::new(),
        }
    }

    fn connected(&mut self, now: Instant, input: Input) -> Vec<Action> {
        match input {
            Input::SignalLost(reason) | Input::Leave(Leave::Resume(reason)) => self.resume(now, reason),
            Input::SessionFailed(reason) | Input::Leave(Leave::Reconnect(reason)) => {
                self.back_off(now, Failure::Trouble(reason))
            }
            _ => Vec::new(),
        }
    }

    fn resuming(&mut self, now: Instant, input: Input) -> Vec<Action> {
        let State::Resuming { deadline, attempt, .. } = &mut self.state else { return Vec::new() };
        let deadline = *deadline;
        match input {
            Input::Resumed => {
                *attempt = Attempt::Media;
                self.stand(now)
            }
            Input::Failed(Failure::Trouble(reason))
            | Input::SignalLost(reason)
            | Input::Leave(Leave::Resume(reason)) => {
                let retry = now + self.backoff.next_delay(&mut self.rng);
                if retry >= deadline {
                    return self.back_off(now, Failure::Trouble(reason));
                }
                *attempt = Attempt::At(retry);
                Vec::new()
            }
            Input::Failed(failure) => self.back_off(now, failure),
            Input::SessionFailed(reason) | Input::Leave(Leave::Reconnect(reason)) => {
                self.back_off(now, Failure::Trouble(reason))
            }
            Input::Tick if now >= deadline => {
                self.back_off(now, Failure::Trouble("the connection could not be resumed".into()))
            }
            Input::Tick => match *attempt {
                Attempt::At(at) if now >= at => {
                    *attempt = Attempt::Opening;
                    vec![Action::Resume]
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    fn peer(&mut self, now: Instant, side: Side, state: PeerState) -> Vec<Action> {
        let progress = match side {
            Side::Publisher => &mut self.publisher,
            Side::Subscriber => &mut self.subscriber,
        };
        match state {
            PeerState::PathFound if !progress.connected => _ = progress.path_found.get_or_insert(now),
            PeerState::PathFound => {}
            PeerState::Connected => *progress = Progress { connected: true, path_found: None },
            PeerState::Connecting | PeerState::Disconnected | PeerState::Failed => {
                *progress = Progress::default()
            }
        }
        let reason = || format!("the media path of the {side:?} connection is lost");
        match (&self.state, state) {
            (State::Connecting { .. }, PeerState::Failed) => self.back_off(now, Failure::Trouble(reason())),
            (State::Connecting { .. } | State::Resuming { .. }, PeerState::Connected) => self.stand(now),
            (State::Connected { .. }, PeerState::Failed) => self.resume(now, reason()),
            _ => Vec::new(),
        }
    }

    /// When the first of the connections that are in DTLS has taken too long.
    fn dtls_deadline(&self) -> Option<Instant> {
        let started = [self.publisher.path_found, self.subscriber.path_found];
        started.into_iter().flatten().min().map(|since| since + DTLS_TIMEOUT)
    }

    /// Connected when signalling and every connection that is needed stand.
    fn stand(&mut self, now: Instant) -> Vec<Action> {
        let signalling = match self.state {
            State::Connecting { joined, .. } => joined,
            State::Resuming { attempt, .. } => attempt == Attempt::Media,
            _ => false,
        };
        let media = self.needs.iter().all(|(side, needed)| {
            !needed
                || match side {
                    Side::Publisher => self.publisher.connected,
                    Side::Subscriber => self.subscriber.connected,
                }
        });
        if !signalling || !media {
            return Vec::new();
        }
        self.state = State::Connected { since: now };
        vec![Action::Report(Report::Joined)]
    }

    fn join(&mut self, now: Instant) -> Vec<Action> {
        (self.publisher, self.subscriber) = (Progress::default(), Progress::default());
        self.state = State::Connecting { deadline: now + CONNECT_TIMEOUT, joined: false };
        vec![Action::Report(Report::Joining), Action::Join]
    }

    fn resume(&mut self, now: Instant, reason: String) -> Vec<Action> {
        let stable = self.was_stable(now);
        if stable {
            self.backoff.reset();
        }
        self.state = State::Resuming { deadline: now + RESUME_TIMEOUT, attempt: Attempt::Opening, stable };
        vec![Action::Report(Report::Resuming { reason }), Action::Resume]
    }

    fn was_stable(&self, now: Instant) -> bool {
        match self.state {
            State::Connected { since } => now.saturating_duration_since(since) >= STABLE_AFTER,
            State::Resuming { stable, .. } => stable,
            _ => false,
        }
    }

    fn back_off(&mut self, now: Instant, failure: Failure) -> Vec<Action> {
        if self.was_stable(now) {
            self.backoff.reset();
            self.refused.reset();
        }
        let (delay, reason) = match failure {
            Failure::Refused(reason) => (self.refused.next_delay(&mut self.rng), reason),
            Failure::Gone(reason) | Failure::Trouble(reason) => {
                (self.backoff.next_delay(&mut self.rng), reason)
            }
        };
        self.state = State::BackingOff { until: now + delay };
        vec![Action::Close { goodbye: false }, Action::Report(Report::BackingOff { reason, delay })]
    }
}

#[cfg(test)]
mod tests;
