//! The only meeting point of media: producers publish access units, consumers read at their own pace.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::{AccessUnit, KeyframeArbiter, Layer, TrackId, Wants};
use crate::base::clock::MediaTime;

/// Access units that one reader may be behind: about 3 s of picture and sound. When it is full the reader loses
/// its whole backlog and goes on at the next keyframe of each layer; producers and other readers notice nothing.
pub const READER_CAPACITY: usize = 256;

/// Fans access units out to readers. Cheap to clone; all clones are one stream.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    readers: Vec<Arc<ReaderState>>,
    keyframes: [KeyframeArbiter; 3],
    counts: [TrackCount; TrackId::ALL.len()],
}

/// What has become of one track since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackCount {
    /// Access units published.
    pub units: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Pictures encoded here …
    pub encoded: u64,
    /// … and the time that it took.
    pub encoding: Duration,
    /// Frames that the encoder left out because it was late.
    pub late: u64,
}

#[derive(Debug)]
struct ReaderState {
    name: &'static str,
    queue: Mutex<Queue>,
    ready: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    units: VecDeque<AccessUnit>,
    wants: Wants,
    /// By layer: nothing passes until its next keyframe.
    waits_for_keyframe: [bool; 3],
    lost: u64,
    closed: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stream {
    /// A stream without readers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives `unit` to every reader that wants its track. Never blocks.
    pub fn publish(&self, unit: &AccessUnit) {
        let mut shared = lock(&self.shared);
        let count = &mut shared.counts[unit.track.index()];
        count.units += 1;
        count.bytes += unit.data.len() as u64;
        if let (TrackId::Video(layer), true) = (unit.track, unit.keyframe) {
            shared.keyframes[layer.index()].keyframe_sent(unit.pts);
        }
        let mut again = false;
        for reader in &shared.readers {
            again |= reader.offer(unit);
        }
        if let (true, TrackId::Video(layer)) = (again, unit.track) {
            shared.keyframes[layer.index()].request();
        }
    }

    /// A new reader of the tracks in `wants`. Its picture starts with a keyframe, which is asked for at once.
    pub fn subscribe(&self, name: &'static str, wants: Wants) -> Reader {
        let queue = Queue { waits_for_keyframe: [true; 3], ..Queue::default() };
        let state = Arc::new(ReaderState { name, queue: Mutex::new(queue), ready: Notify::new() });
        lock(&self.shared).readers.push(state.clone());
        let reader = Reader { state, stream: self.clone() };
        reader.set_wants(wants);
        reader
    }

    /// What all readers want together: a track that nobody wants need not be encoded.
    pub fn demand(&self) -> Wants {
        let shared = lock(&self.shared);
        shared.readers.iter().fold(Wants::NOTHING, |all, reader| all.union(lock(&reader.queue).wants))
    }

    /// Asks for a keyframe of `layer`; merged with other requests and throttled ([`KeyframeArbiter`]).
    pub fn request_keyframe(&self, layer: Layer) {
        lock(&self.shared).keyframes[layer.index()].request();
    }

    /// For the encoder of `layer`, before each picture: whether to make it a keyframe.
    pub fn take_keyframe_request(&self, layer: Layer, now: MediaTime) -> bool {
        lock(&self.shared).keyframes[layer.index()].take(now)
    }

    /// A frame of `track` took so long to encode.
    pub fn encoded(&self, track: TrackId, took: Duration) {
        let count = &mut lock(&self.shared).counts[track.index()];
        count.encoded += 1;
        count.encoding += took;
    }

    /// The encoder of `track` left out so many frames because it was late.
    pub fn late(&self, track: TrackId, frames: u64) {
        lock(&self.shared).counts[track.index()].late += frames;
    }

    /// What has become of each track.
    pub fn counts(&self) -> [(TrackId, TrackCount); TrackId::ALL.len()] {
        let counts = lock(&self.shared).counts;
        TrackId::ALL.map(|track| (track, counts[track.index()]))
    }

    /// Names of the readers and what each has lost so far, in access units; for metrics.
    pub fn losses(&self) -> Vec<(&'static str, u64)> {
        lock(&self.shared).readers.iter().map(|reader| (reader.name, lock(&reader.queue).lost)).collect()
    }

    /// The producers are gone: readers get what is queued and then the end.
    pub fn close(&self) {
        for reader in &lock(&self.shared).readers {
            lock(&reader.queue).closed = true;
            reader.ready.notify_one();
        }
    }
}

impl ReaderState {
    /// True when this reader now needs a keyframe of the unit's layer.
    fn offer(&self, unit: &AccessUnit) -> bool {
        let mut queue = lock(&self.queue);
        if !queue.wants.contains(unit.track) {
            return false;
        }
        let overflowed = queue.units.len() >= READER_CAPACITY;
        if overflowed {
            queue.lost += queue.units.len() as u64;
            queue.units.clear();
            queue.waits_for_keyframe = [true; 3];
        }
        if let TrackId::Video(layer) = unit.track {
            let waits = &mut queue.waits_for_keyframe[layer.index()];
            if *waits && !unit.keyframe {
                queue.lost += u64::from(overflowed);
                return overflowed;
            }
            *waits = false;
        }
        queue.units.push_back(unit.clone());
        drop(queue);
        self.ready.notify_one();
        false
    }
}

/// One consumer's place in a [`Stream`]; leaves it when dropped.
#[derive(Debug)]
pub struct Reader {
    state: Arc<ReaderState>,
    stream: Stream,
}

impl Reader {
    /// The next access unit in publishing order; None after [`Stream::close`]. Cancel-safe.
    pub async fn recv(&mut self) -> Option<AccessUnit> {
        loop {
            if let Some(unit) = self.try_recv() {
                return Some(unit);
            }
            if lock(&self.state.queue).closed {
                return None;
            }
            // A permit left by a unit published since then makes this return at once.
            self.state.ready.notified().await;
        }
    }

    /// The next access unit if one is queued.
    pub fn try_recv(&mut self) -> Option<AccessUnit> {
        lock(&self.state.queue).units.pop_front()
    }

    /// Changes which tracks are wanted; a layer that is new starts with a keyframe, asked for at once.
    pub fn set_wants(&self, wants: Wants) {
        let mut queue = lock(&self.state.queue);
        let before = std::mem::replace(&mut queue.wants, wants);
        for layer in Layer::ALL {
            queue.waits_for_keyframe[layer.index()] |= !wants.video[layer.index()];
        }
        queue.units.retain(|unit| wants.contains(unit.track));
        drop(queue);
        for layer in Layer::ALL {
            if wants.video[layer.index()] && !before.video[layer.index()] {
                self.stream.request_keyframe(layer);
            }
        }
    }

    /// Access units lost because this reader was too slow.
    pub fn lost(&self) -> u64 {
        lock(&self.state.queue).lost
    }

    /// The stream that this reader reads, for keyframe requests.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        lock(&self.stream.shared).readers.retain(|other| !Arc::ptr_eq(other, &self.state));
    }
}

#[cfg(test)]
mod tests;
