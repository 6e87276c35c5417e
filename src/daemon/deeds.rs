//! Orders that are done once and leave nothing desired behind: a picture taken, a sign given, a restart.

use std::f64::consts::TAU;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tracing::info;

use crate::audio::jitter::Packet;
use crate::audio::{Decode, Mixer};
use crate::base::{Shutdown, clock};
use crate::control::queue::Deed;
use crate::control::{Code, Reply, StatePublisher};
use crate::media::{AUDIO_RATE, FRAME_SAMPLES};
use crate::server::http::Http;

/// How long the sign stands on the page.
const SIGN: Duration = Duration::from_secs(10);
/// Frames of 20 ms in one beep, and in the pause after it.
const BEEP_FRAMES: u16 = 10;
/// Beeps.
const BEEPS: u16 = 3;
/// Of the beep, in Hz.
const PITCH: f64 = 880.0;

/// What the deeds need. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Deeds {
    /// Where pictures can be fetched; None: there is no server.
    pub http: Option<Arc<Http>>,
    /// Where the sign is shown.
    pub state: StatePublisher,
    /// Where the beeps are heard.
    pub mixer: Mixer,
    /// Asks the process to end in order.
    pub restart: Shutdown,
    /// Counts the signs: only the last one ends itself.
    pub signs: Arc<AtomicU64>,
}

impl Deeds {
    /// Does it; what came of it. A restart is only begun.
    pub async fn act(self, deed: Deed) -> Reply {
        match deed {
            Deed::Snapshot => self.snapshot().await,
            Deed::Identify => self.identify(),
            Deed::Restart => {
                info!("restarting by order");
                self.restart.cancel();
                Reply::ok("restarting", Value::Null)
            }
        }
    }

    async fn snapshot(&self) -> Reply {
        let Some(http) = &self.http else {
            return Reply::refused(Code::Unsupported, "there is no HTTP service: server.enabled is false");
        };
        match http.snapshot().await {
            Err(reason) => Reply::refused(Code::NotReady, reason),
            Ok(snapshot) => Reply::ok("the picture is there for 10 minutes", json!(snapshot)),
        }
    }

    fn identify(&self) -> Reply {
        let mine = self.signs.fetch_add(1, Ordering::SeqCst) + 1;
        self.state.update(|state| state.identifying = true);
        let beeps = beep(self.mixer.clone());
        let this = self.clone();
        tokio::spawn(async move {
            let ((), ()) = tokio::join!(beeps, tokio::time::sleep(SIGN));
            if this.signs.load(Ordering::SeqCst) == mine {
                this.state.update(|state| state.identifying = false);
            }
        });
        Reply::ok("the box's page shows it for 10 s, and its speaker beeps", Value::Null)
    }
}

/// Gives packets to the mixer as a participant would: they are only numbers, [`Beep`] knows the sound.
async fn beep(mixer: Mixer) {
    let source = mixer.source(Box::new(Beep));
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    for number in 0..BEEPS * 2 * BEEP_FRAMES {
        pace.tick().await;
        source.push(Packet {
            sequence: number,
            timestamp_48k: u32::from(number) * FRAME_SAMPLES as u32,
            payload: number.to_le_bytes().to_vec().into(),
            at: clock::media_now(),
        });
    }
    // What is held against jitter is played too.
    tokio::time::sleep(Duration::from_millis(300)).await;
}

/// Beeps of 0.2 s with pauses as long.
struct Beep;

impl Decode for Beep {
    fn decode(&mut self, packet: &[u8], sound: &mut Vec<i16>) {
        let number = packet.first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes));
        let on = (number / BEEP_FRAMES).is_multiple_of(2);
        let first = usize::from(number) * FRAME_SAMPLES;
        sound.extend((first..first + FRAME_SAMPLES).map(|at| {
            let wave = (TAU * PITCH * at as f64 / f64::from(AUDIO_RATE)).sin();
            if on { (wave * 8000.0) as i16 } else { 0 }
        }));
    }

    fn conceal(&mut self, _next: Option<&[u8]>, sound: &mut Vec<i16>) {
        sound.extend([0; FRAME_SAMPLES]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_sign_is_shown_for_ten_seconds_after_the_last_order_and_three_beeps_are_heard() {
        let (state, mixer) = (StatePublisher::new(clock::wall), Mixer::new());
        let (restart, signs) = (Shutdown::new(), Arc::default());
        let deeds = Deeds { http: None, state: state.clone(), mixer: mixer.clone(), restart, signs };
        let shown = || state.subscribe().borrow().identifying;
        assert!(deeds.clone().act(Deed::Identify).await.ok && shown());
        tokio::time::sleep(SIGN / 2).await;
        deeds.clone().act(Deed::Identify).await;
        tokio::time::sleep(SIGN * 3 / 4).await;
        assert!(shown(), "the second is not over");
        tokio::time::sleep(SIGN / 2).await;
        assert!(!shown());
        assert_eq!(deeds.act(Deed::Snapshot).await.code, Code::Unsupported);
    }

    #[test]
    fn a_beep_begins_at_once_and_pauses_after_a_fifth_of_a_second() {
        let loud = |number: u16| {
            let mut sound = Vec::new();
            Beep.decode(&number.to_le_bytes(), &mut sound);
            assert_eq!(sound.len(), FRAME_SAMPLES);
            sound.iter().any(|sample| *sample > 7000)
        };
        let beeps: Vec<bool> = (0..BEEPS * 2 * BEEP_FRAMES).map(loud).collect();
        assert_eq!(beeps.iter().filter(|loud| **loud).count(), usize::from(BEEPS * BEEP_FRAMES));
        assert!(beeps[0] && beeps[9] && !beeps[10] && !beeps[19] && beeps[20]);
    }
}
