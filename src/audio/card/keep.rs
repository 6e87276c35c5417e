//! Keeps a card open: opens it, notices that it failed or stalled, opens it again with backoff, follows the default.

use std::sync::mpsc::{RecvTimeoutError, TryRecvError};
use std::time::Duration;

use super::names;
use super::open::{Event, Line, Opened, Side, open};
use super::{CardError, CardStats};
use crate::base::backoff::Backoff;
use crate::base::clock::{self, MediaTime};
use crate::media::DeviceReport;

/// First and longest wait before a card is opened again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));
/// Nothing for this long from a card that is open: it has stalled.
const STALL: Duration = Duration::from_millis(500);
/// How long opening may take.
const OPENING: Duration = Duration::from_secs(5);
/// How often it is looked whether cards came or went.
const LOOK: Duration = Duration::from_secs(1);
/// A card that delivered for this long works: the next failure is a new one.
const WORKS: Duration = Duration::from_secs(10);

/// A card that fails soon after it was opened is told of so often, and then no more until it works.
const MOST_FLAPS: u32 = 3;

/// What a keeper opens, and how it learns of cards; the real one is [`Keeper::new`]'s.
pub trait Cards: Send {
    /// Begins to open the card.
    fn open(&mut self) -> Line;
    /// The cards that there are, in any form: a change is all that counts.
    fn list(&mut self) -> String;
}

/// The cards of this machine.
#[derive(Debug)]
struct Machine {
    name: Option<String>,
    side: Side,
}

impl Cards for Machine {
    fn open(&mut self) -> Line {
        open(self.name.as_deref(), self.side)
    }

    fn list(&mut self) -> String {
        names::kernel_cards()
    }
}

/// The card as it is open.
#[derive(Debug)]
struct Open {
    line: Line,
    /// None while it is being opened.
    card: Option<Opened>,
    since: MediaTime,
    /// When it was last heard of.
    last: MediaTime,
}

/// Keeps one card open, and tells of it.
pub struct Keeper {
    cards: Box<dyn Cards>,
    side: Side,
    /// The default card was asked for: it is chosen anew when cards come or go.
    follows: bool,
    open: Option<Open>,
    /// Received while waiting.
    peeked: Option<Event>,
    retry_at: MediaTime,
    backoff: Backoff,
    known: String,
    look_at: MediaTime,
    /// Whether the log has been told that it fails.
    warned: bool,
    /// How often in a row it was opened and failed soon after.
    flaps: u32,
    report: DeviceReport,
    stats: CardStats,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("side", &self.side).field("open", &self.open).finish_non_exhaustive()
    }
}

impl Keeper {
    /// Of the card `name` (None: the default, or the first that works), told of in `report` and `stats`.
    pub fn new(name: Option<&str>, side: Side, report: DeviceReport, stats: CardStats) -> Self {
        let cards = Machine { name: name.map(str::to_owned), side };
        Self::of(Box::new(cards), side, name.is_none(), report, stats)
    }

    /// Of what `cards` opens; `follows`: anew whenever cards come or go.
    pub fn of(
        cards: Box<dyn Cards>,
        side: Side,
        follows: bool,
        report: DeviceReport,
        stats: CardStats,
    ) -> Self {
        Keeper {
            cards,
            side,
            follows,
            open: None,
            peeked: None,
            retry_at: MediaTime::ZERO,
            backoff: Backoff::new(BACKOFF.0, BACKOFF.1),
            known: String::new(),
            look_at: MediaTime::ZERO,
            warned: false,
            flaps: 0,
            report,
            stats,
        }
    }

    /// The card, while it is open.
    pub fn card(&self) -> Option<&Opened> {
        self.open.as_ref()?.card.as_ref()
    }

    /// Blocks until something has happened, at most until `until`.
    pub fn wait(&mut self, until: MediaTime) {
        if self.peeked.is_some() {
            return;
        }
        let now = clock::media_now();
        match self.open.as_ref().map(|open| open.line.events.recv_timeout(until.since(now))) {
            Some(Ok(event)) => self.peeked = Some(event),
            Some(Err(RecvTimeoutError::Timeout)) => {}
            Some(Err(RecvTimeoutError::Disconnected)) | None => {
                clock::sleep_until(clock::instant_of(until));
            }
        }
    }

    /// The next thing that has happened by `now`, to be called until None: [`Event::Opened`] begins a card's sound,
    /// [`Event::Failed`] ends it. Never blocks.
    pub fn poll(&mut self, now: MediaTime) -> Option<Event> {
        if self.cards_changed(now) {
            self.retry_at = now;
            self.backoff.reset();
            if self.follows && self.card().is_some() {
                tracing::info!(
                    side = self.side.name(),
                    "sound cards came or went: choosing the default again"
                );
                self.open = None;
            }
        }
        let Some(open) = &mut self.open else {
            self.open_when_due(now);
            return None;
        };
        let received = match self.peeked.take() {
            Some(event) => Ok(event),
            None => open.line.events.try_recv(),
        };
        match received {
            Ok(Event::Opened(card)) => {
                (open.card, open.last) = (Some(card.clone()), now);
                Some(self.running(card))
            }
            Ok(Event::Failed(error)) => Some(self.failed(error, now)),
            Ok(Event::Xrun) => {
                self.stats.xrun();
                tracing::debug!(side = self.side.name(), "the sound card was not served in time");
                Some(Event::Xrun)
            }
            Ok(event) => {
                open.last = now;
                Some(event)
            }
            Err(TryRecvError::Disconnected) => {
                let error = self.trouble("the thread of the card has ended");
                Some(self.failed(error, now))
            }
            Err(TryRecvError::Empty) => self.stalled(now),
        }
    }

    /// Gives the card up for `error`; it is opened again later.
    pub fn fail(&mut self, error: CardError, now: MediaTime) {
        self.failed(error, now);
    }

    fn cards_changed(&mut self, now: MediaTime) -> bool {
        if now < self.look_at {
            return false;
        }
        let first = self.look_at == MediaTime::ZERO;
        self.look_at = now + LOOK;
        let cards = self.cards.list();
        let changed = cards != self.known && !first;
        self.known = cards;
        changed
    }

    fn open_when_due(&mut self, now: MediaTime) {
        if now >= self.retry_at {
            self.peeked = None;
            self.open = Some(Open { line: self.cards.open(), card: None, since: now, last: now });
        }
    }

    fn running(&mut self, card: Opened) -> Event {
        let name = match card.description.as_str() {
            "" => card.name.clone(),
            description => format!("{} ({description})", card.name),
        };
        let format = format!("{} Hz, {} channels", card.rate_hz, card.channels);
        if self.flaps < MOST_FLAPS {
            tracing::info!(card = name, format, "the {} is open", self.side.name());
            self.warned = false;
        }
        self.report.running(name, Some(format));
        Event::Opened(card)
    }

    fn stalled(&mut self, now: MediaTime) -> Option<Event> {
        let open = self.open.as_ref()?;
        let (limit, side) = match open.card {
            Some(_) => (STALL, self.side.name()),
            None => (OPENING, self.side.name()),
        };
        if now.since(open.last) < limit {
            return None;
        }
        let error = match &open.card {
            Some(card) => CardError::Stalled { name: card.name.clone(), side },
            None => self.trouble("it cannot be opened: the system does not answer"),
        };
        Some(self.failed(error, now))
    }

    fn trouble(&self, message: &str) -> CardError {
        let name = self.card().map_or_else(|| "card".to_owned(), |card| card.name.clone());
        CardError::Refused { name, side: self.side.name(), message: message.to_owned() }
    }

    fn failed(&mut self, error: CardError, now: MediaTime) -> Event {
        if let Some(open) = self.open.take()
            && open.card.is_some()
        {
            self.stats.failed();
            let worked = now.since(open.since) > WORKS;
            self.flaps = if worked { 0 } else { self.flaps + 1 };
            if worked {
                self.backoff.reset();
            }
        }
        self.peeked = None;
        self.retry_at = now + self.backoff.next_delay(&mut rand::rng());
        // One warning, then quiet: a box may have no card for years.
        if self.warned {
            tracing::debug!(%error, "still no sound card");
        } else {
            tracing::warn!(%error, "the {} does not work; trying again", self.side.name());
        }
        self.warned = true;
        self.report.failed(error.to_string());
        Event::Failed(error)
    }
}
