//! Simulated cards for tests: a test tells what happens to them.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::keep::Cards;
use super::open::{Event, Line, Opened};

/// Cards that do what the test says. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct FakeCards(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    line: Option<SyncSender<Event>>,
    opened: usize,
    list: String,
}

impl FakeCards {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `event` happens to the card that was opened last; nothing when nobody listens.
    pub fn tell(&self, event: Event) {
        if let Some(line) = &self.lock().line {
            let _ = line.try_send(event);
        }
    }

    /// The card's thread ends.
    pub fn hang_up(&self) {
        self.lock().line = None;
    }

    /// How often a card was opened.
    pub fn opened(&self) -> usize {
        self.lock().opened
    }

    /// From now on these are the cards.
    pub fn list(&self, cards: &str) {
        self.lock().list = cards.to_owned();
    }
}

impl Cards for FakeCards {
    fn open(&mut self) -> Line {
        let (events, seen) = sync_channel(64);
        let mut inner = self.lock();
        inner.line = Some(events);
        inner.opened += 1;
        Line { events: seen, hold: sync_channel(1).0 }
    }

    fn list(&mut self) -> String {
        self.lock().list.clone()
    }
}

/// A card of this name and rate, one channel, periods of 20 ms.
pub fn opened(name: &str, rate_hz: u32) -> Opened {
    let period = rate_hz as usize / 50;
    Opened { name: name.to_owned(), description: String::new(), rate_hz, channels: 1, period, sound: None }
}
