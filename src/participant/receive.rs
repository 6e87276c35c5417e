//! The others' sound: packets in order, Opus decoded with its repairs, samples to whoever listens.

mod reorder;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, watch};

use self::reorder::{Reorder, Step};
use super::{Listener, PcmSink};
use crate::base::clock;
use crate::codec::{CodecError, OpusDecoder};
use crate::rtc::peer::ReceivedPacket;

/// Whose sound a stream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub identity: String,
    pub track_sid: String,
}

/// By SSRC: what the server's last offer announced.
pub(super) type Sources = Arc<HashMap<u32, Source>>;

/// Decodes until the connection ends.
pub(super) async fn run(
    mut packets: mpsc::Receiver<ReceivedPacket>,
    mut sources: watch::Receiver<Sources>,
    listener: Arc<dyn Listener>,
) {
    let mut voices: HashMap<u32, Voice> = HashMap::new();
    loop {
        let deadline = voices.values().filter_map(|voice| voice.reorder.deadline()).min();
        tokio::select! {
            packet = packets.recv() => {
                let Some(packet) = packet else { return };
                if packet.payload.is_empty() {
                    continue;
                }
                let known = sources.borrow().get(&packet.ssrc).cloned();
                let Some(source) = known else { continue };
                if let Some(voice) = voice_of(&mut voices, packet.ssrc, source, &*listener) {
                    voice.reorder.push(packet.sequence, packet.payload, packet.at);
                    voice.play(packet.at);
                }
            }
            changed = sources.changed() => {
                if changed.is_err() {
                    return;
                }
                let current = sources.borrow_and_update().clone();
                voices.retain(|ssrc, voice| current.get(ssrc) == Some(&voice.source));
            }
            () = until(deadline) => {
                let now = clock::now();
                voices.values_mut().for_each(|voice| voice.play(now));
            }
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

fn voice_of<'a>(
    voices: &'a mut HashMap<u32, Voice>,
    ssrc: u32,
    source: Source,
    listener: &dyn Listener,
) -> Option<&'a mut Voice> {
    match voices.entry(ssrc) {
        Entry::Occupied(voice) => Some(voice.into_mut()),
        Entry::Vacant(place) => match Voice::new(source, listener) {
            Ok(voice) => Some(place.insert(voice)),
            Err(error) => {
                tracing::error!(%error, "no decoder for a received track");
                None
            }
        },
    }
}

/// One received track.
struct Voice {
    source: Source,
    reorder: Reorder,
    decoder: OpusDecoder,
    sink: Box<dyn PcmSink>,
}

impl Voice {
    fn new(source: Source, listener: &dyn Listener) -> Result<Self, CodecError> {
        let decoder = OpusDecoder::new()?;
        let sink = listener.source(&source.identity, &source.track_sid);
        tracing::debug!(identity = source.identity, track = source.track_sid, "receiving");
        Ok(Voice { source, reorder: Reorder::default(), decoder, sink })
    }

    /// Decodes everything that is due.
    fn play(&mut self, now: Instant) {
        while let Some(step) = self.reorder.pop(now) {
            let decoded = match &step {
                Step::Packet(bytes) => self.decoder.decode(bytes),
                Step::Lost { next } => self.decoder.conceal(next.as_deref()),
            };
            match decoded {
                Ok(samples) => self.sink.push(samples),
                Err(error) => {
                    tracing::debug!(%error, track = self.source.track_sid, "undecodable Opus packet")
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<HashMap<String, Vec<i16>>>>);

    struct Ear(Heard, String);

    impl PcmSink for Ear {
        fn push(&mut self, samples: &[i16]) {
            self.0.0.lock().unwrap().entry(self.1.clone()).or_default().extend_from_slice(samples);
        }
    }

    impl Listener for Heard {
        fn source(&self, identity: &str, track_sid: &str) -> Box<dyn PcmSink> {
            Box::new(Ear(self.clone(), format!("{identity}/{track_sid}")))
        }
    }

    fn tone(frames: usize) -> Vec<Vec<u8>> {
        const RATE_HZ: u32 = 48_000;
        let mut encoder = opus::Encoder::new(RATE_HZ, opus::Channels::Mono, opus::Application::Voip).unwrap();
        encoder.set_inband_fec(true).unwrap();
        encoder.set_packet_loss_perc(20).unwrap();
        (0..frames)
            .map(|frame| {
                let samples: Vec<i16> = (0..960)
                    .map(|i| {
                        let t = (frame * 960 + i) as f32 / RATE_HZ as f32;
                        ((t * 440.0 * std::f32::consts::TAU).sin() * 8000.0) as i16
                    })
                    .collect();
                encoder.encode_vec(&samples, 1500).unwrap()
            })
            .collect()
    }

    fn rms(samples: &[i16]) -> f64 {
        (samples.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / samples.len() as f64).sqrt()
    }

    #[tokio::test]
    async fn lost_packets_are_concealed_and_the_length_is_kept() {
        let heard = Heard::default();
        let source = Source { identity: "guest".into(), track_sid: "TR_1".into() };
        let (announce, sources) = watch::channel(Sources::new(HashMap::from([(7, source)])));
        let (packets, received) = mpsc::channel(1024);
        let task = tokio::spawn(run(received, sources, Arc::new(heard.clone())));
        let start = clock::now();
        for (index, payload) in tone(100).into_iter().enumerate() {
            let lost = index % 10 == 5;
            let unknown = index % 10 == 6;
            for ssrc in [7].into_iter().filter(|_| !lost).chain([8].into_iter().filter(|_| unknown)) {
                let at = start + std::time::Duration::from_millis(20 * index as u64);
                let (sequence, payload) = (index as u16, payload.clone().into());
                let packet =
                    ReceivedPacket { ssrc, sequence, timestamp_48k: 960 * index as u32, payload, at };
                packets.send(packet).await.unwrap();
            }
        }
        drop(packets);
        task.await.unwrap();
        drop(announce);
        let heard = heard.0.lock().unwrap();
        assert_eq!(heard.keys().collect::<Vec<_>>(), ["guest/TR_1"]);
        let samples = &heard["guest/TR_1"];
        assert_eq!(samples.len(), 100 * 960);
        // The repaired packets are as loud as the others.
        for lost in (5..100).step_by(10) {
            let repaired = rms(&samples[lost * 960..(lost + 1) * 960]);
            assert!(repaired > 1000.0, "packet {lost}: {repaired}");
        }
    }

    #[test]
    fn noise_is_no_opus_and_no_panic() {
        let mut voice =
            Voice::new(Source { identity: "x".into(), track_sid: "y".into() }, &Heard::default()).unwrap();
        let now = clock::now();
        for sequence in 0..200u16 {
            let bytes: Vec<u8> = (0..sequence).map(|i| (i.wrapping_mul(31) ^ sequence) as u8).collect();
            voice.reorder.push(sequence.wrapping_mul(3), bytes.into(), now);
            voice.play(now + reorder::HOLD);
        }
    }
}
