//! Measures what `tele/health` and `tele/media` tell the fleet (control/telemetry says what each figure means).

mod machine;
mod media;
mod reading;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::{Rng, RngExt};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::media::Flows;
use self::reading::Reading;
use super::media::MediaHub;
use crate::base::{Shutdown, clock};
use crate::control::telemetry::{CameraHealth, HEALTH_LEAST, Health, MEDIA_LEAST, MicrophoneHealth, fitting};
use crate::control::{State, rfc3339};
use crate::push;

/// From one `tele/health` to the next, give or take a tenth: a thousand boxes shall not speak at once.
const HEALTH_EVERY: Duration = Duration::from_secs(60);
/// The first one comes soon: whoever has just started a box looks at it.
const HEALTH_FIRST: Duration = Duration::from_secs(5);
/// From one `tele/media` to the next, while there is something to tell.
const MEDIA_EVERY: Duration = Duration::from_secs(10);
/// Longest that the kernel's files and the disk may take to be read; then what they would say is left out.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is measured.
#[derive(Debug)]
pub struct Sources {
    /// Devices, and whether there is something to tell of media.
    pub state: watch::Receiver<Arc<State>>,
    /// Tracks, sound, the way to the room.
    pub hub: MediaHub,
    /// Where the stream goes live.
    pub live: push::Reports,
    /// Where recordings go.
    pub recordings: watch::Receiver<crate::record::Config>,
    /// Somebody has come who knows nothing yet: health is told at once.
    pub births: watch::Receiver<u64>,
}

/// The task that measures.
pub struct Telemetry {
    sources: Sources,
    health: watch::Sender<Value>,
    media: watch::Sender<Value>,
    last: Option<Reading>,
    /// One that hangs is not joined by another.
    reading: Option<JoinHandle<Reading>>,
    flows: Flows,
}

impl Telemetry {
    /// Measures `sources` for the bridge.
    pub fn new(sources: Sources, health: watch::Sender<Value>, media: watch::Sender<Value>) -> Self {
        let flows = Flows::default();
        Telemetry { sources, health, media, last: None, reading: None, flows }
    }

    /// Measures until `shutdown`.
    pub async fn run(mut self, shutdown: Shutdown) {
        self.last = self.read().await;
        let mut health_at = clock::now() + HEALTH_FIRST;
        let mut media_at = clock::now() + MEDIA_EVERY;
        loop {
            let mut births = self.sources.births.clone();
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep_until(health_at.into()) => {}
                Ok(()) = births.changed() => {
                    self.sources.births.mark_unchanged();
                    health_at = clock::now() + jittered(HEALTH_FIRST, &mut rand::rng());
                    continue;
                }
                () = tokio::time::sleep_until(media_at.into()) => {
                    media_at = clock::now() + MEDIA_EVERY;
                    self.tell_media();
                    continue;
                }
            }
            health_at = clock::now() + jittered(HEALTH_EVERY, &mut rand::rng());
            self.tell_health().await;
        }
    }

    async fn tell_health(&mut self) {
        let before = self.last.take();
        let now = self.read().await;
        let state = self.sources.state.borrow().clone();
        let health = Health {
            ts: rfc3339(clock::wall()),
            camera: CameraHealth {
                status: state.camera.status,
                damaged: self.sources.hub.pictures.damaged.load(Ordering::Relaxed),
            },
            microphone: MicrophoneHealth {
                status: state.microphone.status,
                muted: state.microphone.muted,
                peak_dbov: -i16::from(self.sources.hub.sound.meter.peak_dbov()),
            },
            ..now.as_ref().map(|now| now.health(before.as_ref())).unwrap_or_default()
        };
        self.last = now;
        self.health.send_replace(fitting(health, HEALTH_LEAST));
    }

    /// What the kernel and the disk say; None: they hang.
    async fn read(&mut self) -> Option<Reading> {
        let disk = self.sources.recordings.borrow().dir.clone();
        let reading =
            self.reading.get_or_insert_with(|| tokio::task::spawn_blocking(move || Reading::take(&disk)));
        let read = tokio::time::timeout(PATIENCE, reading).await.ok()?;
        self.reading = None;
        read.ok()
    }

    fn tell_media(&mut self) {
        let state = self.sources.state.borrow().clone();
        let destinations = self.sources.live.borrow().clone();
        let told = self.flows.next(clock::now(), &self.sources.hub, &destinations);
        let active = state.room.is_some() || state.recording.on || state.live.on;
        if let (true, Some(mut media)) = (active, told) {
            media.ts = rfc3339(clock::wall());
            if state.room.is_none() {
                (media.uplink, media.received) = (None, None);
            }
            self.media.send_replace(fitting(media, MEDIA_LEAST));
        }
    }
}

/// `period`, a tenth longer or shorter.
fn jittered(period: Duration, rng: &mut impl Rng) -> Duration {
    period.mul_f64(rng.random_range(0.9..=1.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boxes_of_a_fleet_drift_apart_within_a_tenth() {
        let mut rng = rand::rng();
        let periods: Vec<_> = (0..100).map(|_| jittered(HEALTH_EVERY, &mut rng).as_secs_f64()).collect();
        assert!(periods.iter().all(|period| (54.0..=66.0).contains(period)));
        let (least, most) =
            (periods.iter().copied().fold(f64::MAX, f64::min), periods.iter().copied().fold(0.0, f64::max));
        assert!(most - least > 1.0, "{least} to {most}");
    }
}
