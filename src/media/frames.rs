//! Where raw frames fan out from a source to the encoders: bounded, newest first to stay, never waiting.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{AudioFrame, VideoFrame};

/// Pictures on their way from the camera to the encoders.
pub type VideoFrames = Frames<Arc<VideoFrame>>;
/// Sound on its way from the microphone to the encoders.
pub type AudioFrames = Frames<Arc<AudioFrame>>;

/// Fans frames of one source out to readers on other threads. Cheap to clone; all clones are one. It outlives the
/// source: a source that failed and came back publishes into the same one.
#[derive(Debug)]
pub struct Frames<T> {
    shared: Arc<Mutex<Shared<T>>>,
}

#[derive(Debug)]
struct Shared<T> {
    readers: Vec<Arc<Slot<T>>>,
    closed: bool,
}

#[derive(Debug)]
struct Slot<T> {
    queue: Mutex<Queue<T>>,
    ready: Condvar,
    capacity: usize,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Queue<T> {
    frames: VecDeque<T>,
    closed: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Clone for Frames<T> {
    fn clone(&self) -> Self {
        Frames { shared: self.shared.clone() }
    }
}

impl<T> Default for Frames<T> {
    fn default() -> Self {
        Frames { shared: Arc::new(Mutex::new(Shared { readers: Vec::new(), closed: false })) }
    }
}

impl<T: Clone> Frames<T> {
    /// Without readers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives `frame` to every reader; a reader whose queue is full loses its oldest frame. Never blocks.
    pub fn publish(&self, frame: T) {
        for slot in &lock(&self.shared).readers {
            let mut queue = lock(&slot.queue);
            if queue.frames.len() >= slot.capacity {
                queue.frames.pop_front();
                slot.dropped.fetch_add(1, Ordering::Relaxed);
            }
            queue.frames.push_back(frame.clone());
            drop(queue);
            slot.ready.notify_one();
        }
    }

    /// A new reader that may be `capacity` (at least 1) frames behind.
    pub fn subscribe(&self, capacity: usize) -> FrameReader<T> {
        let mut shared = lock(&self.shared);
        let queue = Queue { frames: VecDeque::new(), closed: shared.closed };
        let slot = Arc::new(Slot {
            queue: Mutex::new(queue),
            ready: Condvar::new(),
            capacity: capacity.max(1),
            dropped: AtomicU64::new(0),
        });
        shared.readers.push(slot.clone());
        FrameReader { slot, frames: self.clone() }
    }

    /// No source will publish any more: readers get what is queued and then [`Received::Closed`].
    pub fn close(&self) {
        let mut shared = lock(&self.shared);
        shared.closed = true;
        for slot in &shared.readers {
            lock(&slot.queue).closed = true;
            slot.ready.notify_one();
        }
    }
}

/// What [`FrameReader::recv`] found.
#[derive(Debug)]
pub enum Received<T> {
    /// The oldest frame that is queued.
    Frame(T),
    /// No frame came within the time.
    Nothing,
    /// No frame will ever come.
    Closed,
}

/// One reader's place in [`Frames`]; leaves it when dropped.
#[derive(Debug)]
pub struct FrameReader<T> {
    slot: Arc<Slot<T>>,
    frames: Frames<T>,
}

impl<T> FrameReader<T> {
    /// Blocks this thread until there is a frame, but at most `wait` (about: a spurious wake-up may end it early).
    pub fn recv(&mut self, wait: Duration) -> Received<T> {
        let mut queue = lock(&self.slot.queue);
        if queue.frames.is_empty() && !queue.closed {
            queue =
                self.slot.ready.wait_timeout(queue, wait).map_or_else(|gone| gone.into_inner().0, |ok| ok.0);
        }
        match queue.frames.pop_front() {
            Some(frame) => Received::Frame(frame),
            None if queue.closed => Received::Closed,
            None => Received::Nothing,
        }
    }

    /// Frames that this reader lost because it was too slow.
    pub fn dropped(&self) -> u64 {
        self.slot.dropped.load(Ordering::Relaxed)
    }
}

impl<T> Drop for FrameReader<T> {
    fn drop(&mut self) {
        lock(&self.frames.shared).readers.retain(|other| !Arc::ptr_eq(other, &self.slot));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(reader: &mut FrameReader<u32>) -> Option<u32> {
        match reader.recv(Duration::ZERO) {
            Received::Frame(frame) => Some(frame),
            Received::Nothing | Received::Closed => None,
        }
    }

    #[test]
    fn a_slow_reader_loses_its_oldest_frames_and_nobody_elses() {
        let frames = Frames::new();
        let (mut slow, mut quick) = (frames.subscribe(2), frames.subscribe(9));
        (0..5).for_each(|n| frames.publish(n));
        assert_eq!((next(&mut slow), next(&mut slow), next(&mut slow)), (Some(3), Some(4), None));
        assert_eq!((slow.dropped(), quick.dropped(), next(&mut quick)), (3, 0, Some(0)));
    }

    #[test]
    fn closing_gives_what_is_queued_and_then_the_end() {
        let frames = Frames::new();
        let mut reader = frames.subscribe(4);
        frames.publish(1);
        frames.close();
        assert_eq!(next(&mut reader), Some(1));
        assert!(matches!(reader.recv(Duration::from_secs(60)), Received::Closed));
        assert!(matches!(frames.subscribe(1).recv(Duration::from_secs(60)), Received::Closed));
    }
}
