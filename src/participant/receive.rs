//! The others' sound: received packets go to whoever listens, with an Opus decoder for each track.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::{Listener, PacketSink};
use crate::audio::Decode;
use crate::audio::jitter::Packet;
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

/// Hands packets on until the connection ends.
pub(super) async fn run(
    mut packets: mpsc::Receiver<ReceivedPacket>,
    mut sources: watch::Receiver<Sources>,
    listener: Arc<dyn Listener>,
) {
    let mut voices: HashMap<u32, Voice> = HashMap::new();
    loop {
        tokio::select! {
            packet = packets.recv() => {
                let Some(packet) = packet else { return };
                if packet.payload.is_empty() {
                    continue;
                }
                let known = sources.borrow().get(&packet.ssrc).cloned();
                let Some(source) = known else { continue };
                if let Some(voice) = voice_of(&mut voices, packet.ssrc, source, &*listener) {
                    voice.sink.push(Packet {
                        sequence: packet.sequence,
                        timestamp_48k: packet.timestamp_48k,
                        payload: packet.payload,
                        at: clock::media_at(packet.at),
                    });
                }
            }
            changed = sources.changed() => {
                if changed.is_err() {
                    return;
                }
                let current = sources.borrow_and_update().clone();
                voices.retain(|ssrc, voice| current.get(ssrc) == Some(&voice.source));
            }
        }
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
    sink: Box<dyn PacketSink>,
}

impl Voice {
    fn new(source: Source, listener: &dyn Listener) -> Result<Self, CodecError> {
        let track_sid = source.track_sid.clone();
        let decoder = Box::new(Opus { decoder: OpusDecoder::new()?, track_sid });
        let sink = listener.source(&source.identity, &source.track_sid, decoder);
        tracing::debug!(identity = source.identity, track = source.track_sid, "receiving");
        Ok(Voice { source, sink })
    }
}

/// The decoder of one track.
struct Opus {
    decoder: OpusDecoder,
    track_sid: String,
}

impl Decode for Opus {
    fn decode(&mut self, packet: &[u8], sound: &mut Vec<i16>) {
        match self.decoder.decode(packet) {
            Ok(samples) => sound.extend_from_slice(samples),
            Err(error) => tracing::debug!(%error, track = self.track_sid, "undecodable Opus packet"),
        }
    }

    fn conceal(&mut self, next: Option<&[u8]>, sound: &mut Vec<i16>) {
        match self.decoder.conceal(next) {
            Ok(samples) => sound.extend_from_slice(samples),
            Err(error) => tracing::debug!(%error, track = self.track_sid, "a lost packet was not concealed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::audio::Mixer;
    use crate::base::clock::MediaTime;
    use crate::media::FRAME_SAMPLES;

    /// Hears which packets came for whom.
    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<(String, u16)>>>);

    struct Ear(Heard, String);

    impl PacketSink for Ear {
        fn push(&mut self, packet: Packet) {
            self.0.0.lock().unwrap().push((self.1.clone(), packet.sequence));
        }
    }

    impl Listener for Heard {
        fn source(&self, identity: &str, track_sid: &str, _decoder: Box<dyn Decode>) -> Box<dyn PacketSink> {
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

    fn guest() -> Source {
        Source { identity: "guest".into(), track_sid: "TR_1".into() }
    }

    #[tokio::test]
    async fn packets_go_to_the_track_that_was_announced_and_others_nowhere() {
        let heard = Heard::default();
        let (announce, sources) = watch::channel(Sources::new(HashMap::from([(7, guest())])));
        let (packets, received) = mpsc::channel(16);
        let task = tokio::spawn(run(received, sources, Arc::new(heard.clone())));
        for (sequence, ssrc) in [(1, 7), (2, 8), (3, 7)] {
            let (payload, at) = (vec![0; 3].into(), clock::now());
            packets.send(ReceivedPacket { ssrc, sequence, timestamp_48k: 0, payload, at }).await.unwrap();
        }
        drop(packets);
        task.await.unwrap();
        drop(announce);
        assert_eq!(*heard.0.lock().unwrap(), [("guest/TR_1".into(), 1), ("guest/TR_1".into(), 3)]);
    }

    #[test]
    fn lost_packets_are_concealed_when_they_are_to_be_played_and_the_length_is_kept() {
        let mixer = Mixer::new();
        let mut voice = Voice::new(guest(), &mixer).unwrap();
        let mut heard = Vec::new();
        for (index, payload) in tone(100).into_iter().enumerate() {
            let now = MediaTime::from_millis(1000) + Duration::from_millis(20 * index as u64);
            let timestamp_48k = 960 * index as u32;
            if index % 10 != 5 {
                voice.sink.push(Packet {
                    sequence: index as u16,
                    timestamp_48k,
                    payload: payload.into(),
                    at: now,
                });
            }
            let mut mix = [0; FRAME_SAMPLES];
            mixer.mix(now, &mut mix);
            heard.extend(mix);
        }
        assert!(mixer.concealed() >= 9, "{} concealed", mixer.concealed());
        // All that was repaired is as loud as what was not.
        let frames: Vec<f64> = heard.chunks(FRAME_SAMPLES).map(rms).skip(5).collect();
        assert!(frames.iter().all(|loud| *loud > 1000.0), "{frames:?}");
    }

    #[test]
    fn noise_is_no_opus_and_no_panic() {
        let mixer = Mixer::new();
        let mut voice = Voice::new(guest(), &mixer).unwrap();
        let mut mix = [0; FRAME_SAMPLES];
        for number in 0..400u16 {
            let bytes: Vec<u8> = (0..number % 200).map(|i| (i.wrapping_mul(31) ^ number) as u8).collect();
            let at = MediaTime::from_millis(u64::from(number) * 20);
            let sequence = number.wrapping_mul(3);
            let timestamp_48k = u32::from(number) * 2880;
            voice.sink.push(Packet { sequence, timestamp_48k, payload: bytes.into(), at });
            mixer.mix(at, &mut mix);
        }
    }
}
