//! What Prometheus is told: read when it asks, so nothing is counted twice and nothing runs in between.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::sync::watch;

use super::supervise::{Board, Health};
use crate::audio::Mixer;
use crate::audio::card::CardStats;
use crate::control::LiveStatus;
use crate::media::{Meter, Stream};
use crate::mqtt::{BridgeStatus, Connection};
use crate::push;
use crate::server::signal;

/// Reads the process, the supervisor's board and the stream at each scrape.
#[derive(Debug)]
pub struct ProcessCollector {
    /// How every subsystem is.
    pub board: Board,
    /// Whose readers may lose access units.
    pub stream: Stream,
    /// What sound has been through.
    pub sound: SoundCounters,
    /// Pictures of the camera that were damaged.
    pub damaged: Arc<AtomicU64>,
    /// How loud the microphone is.
    pub meter: Meter,
}

/// Where the counts of sound come from.
#[derive(Clone, Debug, Default)]
pub struct SoundCounters {
    /// The microphone's card.
    pub microphone: CardStats,
    /// The speaker's card.
    pub speaker: CardStats,
    /// What is heard of the others.
    pub mixer: Mixer,
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        encode_threads(&mut encoder)?;
        if let Some(bytes) = resident_bytes() {
            let about = "Memory of the process that is in RAM";
            let gauge = ConstGauge::new(bytes as i64);
            gauge.encode(encoder.encode_descriptor(
                "roomd_memory_resident_bytes",
                about,
                None,
                gauge.metric_type(),
            )?)?;
        }
        encode_meter(&mut encoder, &self.meter)?;
        encode_board(&mut encoder, &self.board)?;
        let about = "Pictures of the camera that were damaged and left out";
        let damaged = ConstCounter::new(self.damaged.load(Ordering::Relaxed));
        let kind = damaged.metric_type();
        damaged.encode(encoder.encode_descriptor("roomd_camera_damaged_pictures", about, None, kind)?)?;
        encode_losses(&mut encoder, &self.stream)?;
        encode_sound(&mut encoder, &self.sound)
    }
}

fn encode_sound(encoder: &mut DescriptorEncoder<'_>, sound: &SoundCounters) -> Result<(), std::fmt::Error> {
    let sides = [("microphone", &sound.microphone), ("speaker", &sound.speaker)];
    let counter = ConstCounter::new(0u64).metric_type();
    let gauge = ConstGauge::new(0.0).metric_type();
    let about = "Times that a sound card was not served in time";
    let mut family = encoder.encode_descriptor("roomd_sound_xruns", about, None, counter)?;
    for (side, card) in sides {
        ConstCounter::new(card.xruns()).encode(family.encode_family(&[("side", side)])?)?;
    }
    let about = "Times that an open sound card failed";
    let mut family = encoder.encode_descriptor("roomd_sound_card_failures", about, None, counter)?;
    for (side, card) in sides {
        ConstCounter::new(card.failures()).encode(family.encode_family(&[("side", side)])?)?;
    }
    let about = "How much slower than the media clock a sound card runs";
    let mut family = encoder.encode_descriptor("roomd_sound_drift_ppm", about, None, gauge)?;
    for (side, card) in sides {
        ConstGauge::new(card.drift_ppm()).encode(family.encode_family(&[("side", side)])?)?;
    }
    let about = "Received packets in whose place sound was made up";
    let concealed = ConstCounter::new(sound.mixer.concealed());
    concealed.encode(encoder.encode_descriptor("roomd_sound_concealed_packets", about, None, counter)?)?;
    let about = "Longest time for which a participant's packets are held to smooth their jitter";
    let held = ConstGauge::new(sound.mixer.longest_delay_ms());
    held.encode(encoder.encode_descriptor("roomd_sound_jitter_buffer_ms", about, None, gauge)?)
}

/// CPU seconds of each thread by its name, from the scheduler's own clock.
fn encode_threads(encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
    let about = "CPU time of the process's threads by name";
    let kind = ConstCounter::new(0.0).metric_type();
    let mut family = encoder.encode_descriptor("roomd_thread_cpu_seconds", about, None, kind)?;
    for (name, nanos) in thread_cpu_nanos() {
        ConstCounter::new(nanos as f64 / 1e9).encode(family.encode_family(&[("thread", name)])?)?;
    }
    Ok(())
}

fn encode_meter(encoder: &mut DescriptorEncoder<'_>, meter: &Meter) -> Result<(), std::fmt::Error> {
    let now = "Level of the microphone's last 20 ms, muted or not: 0 is the loudest, -127 silence";
    let peak = "As roomd_microphone_level_dbov, of the loudest 20 ms of the last second";
    for (name, about, level) in [
        ("roomd_microphone_level_dbov", now, meter.dbov()),
        ("roomd_microphone_peak_dbov", peak, meter.peak_dbov()),
    ] {
        let gauge = ConstGauge::new(-i64::from(level));
        gauge.encode(encoder.encode_descriptor(name, about, None, gauge.metric_type())?)?;
    }
    Ok(())
}

/// What the room server has counted.
#[derive(Debug)]
pub struct RoomsCollector(pub signal::Handle);

impl Collector for RoomsCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let counters = self.0.counters();
        let counted = [
            ("packets_received", "RTP packets received from publishers", &counters.packets_received),
            ("packets_forwarded", "RTP packets given to subscribers", &counters.packets_forwarded),
            ("nacks", "NACKs received and sent", &counters.nacks),
            ("keyframes_wanted", "Keyframes that subscribers asked for", &counters.keyframes_wanted),
            (
                "keyframes_requested",
                "Keyframes that publishers were asked for",
                &counters.keyframes_requested,
            ),
            ("data_messages", "Data messages forwarded", &counters.data_messages),
            ("data_lost", "Data messages that a subscriber did not take", &counters.data_lost),
            ("stray_datagrams", "Datagrams that belonged to nobody", &counters.stray_datagrams),
            (
                "undelivered_datagrams",
                "Datagrams that the shard whose they are did not take",
                &counters.undelivered_datagrams,
            ),
            ("unsent_datagrams", "Datagrams that the kernel did not take", &counters.unsent_datagrams),
            ("misbehaved", "Participants put out for malformed signalling", &counters.misbehaved),
        ];
        for (name, about, value) in counted {
            let counter = ConstCounter::new(value.load(Ordering::Relaxed));
            let name = format!("roomd_sfu_{name}");
            counter.encode(encoder.encode_descriptor(&name, about, None, counter.metric_type())?)?;
        }
        for (name, about, value) in [
            ("roomd_rooms", "Rooms now", &counters.rooms),
            ("roomd_participants", "Participants now, hidden ones included", &counters.participants),
        ] {
            let gauge = ConstGauge::new(value.load(Ordering::Relaxed) as i64);
            gauge.encode(encoder.encode_descriptor(name, about, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

/// How each destination of the stream is; `destination` numbers them as the state document does, from 0.
#[derive(Debug)]
pub struct LiveCollector(pub push::Reports);

impl Collector for LiveCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let reports = self.0.borrow().clone();
        let mut counters = |name: &str, about: &str, of: &dyn Fn(&push::Report) -> u64| {
            let kind = ConstCounter::new(0u64).metric_type();
            let mut family = encoder.encode_descriptor(name, about, None, kind)?;
            for (number, report) in reports.iter().enumerate() {
                let labels = [("destination", number.to_string()), ("url", report.url.to_string())];
                ConstCounter::new(of(report)).encode(family.encode_family(&labels)?)?;
            }
            Ok::<(), std::fmt::Error>(())
        };
        counters("roomd_live_acked_bytes", "Bytes that the server acknowledged", &|report| {
            report.acked_bytes
        })?;
        counters("roomd_live_failures", "Attempts that have failed", &|report| report.failures)?;
        counters("roomd_live_pictures", "Pictures put on the wire", &|report| report.sent.pictures)?;
        counters("roomd_live_sounds", "Packets of sound put on the wire", &|report| report.sent.sounds)?;
        counters("roomd_live_lost_access_units", "Lost because the server was too slow", &|report| {
            report.lost
        })?;
        let about = "1 while the server takes the stream";
        let kind = ConstGauge::new(0i64).metric_type();
        let mut family = encoder.encode_descriptor("roomd_live", about, None, kind)?;
        for (number, report) in reports.iter().enumerate() {
            let labels = [("destination", number.to_string()), ("url", report.url.to_string())];
            let live = i64::from(report.status == LiveStatus::Live);
            ConstGauge::new(live).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// What the bridge to the broker has counted.
#[derive(Debug)]
pub struct BridgeCollector(pub watch::Receiver<BridgeStatus>);

impl Collector for BridgeCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let status = self.0.borrow().clone();
        let gauge = ConstGauge::new(i64::from(status.connection == Connection::Online));
        let about = "1 while commands of the fleet are taken";
        gauge.encode(encoder.encode_descriptor("roomd_mqtt_online", about, None, gauge.metric_type())?)?;
        for (name, about, value) in [
            ("attempts", "Attempts to connect to the broker", status.attempts),
            ("connections", "Connections that the broker accepted", status.connections),
            ("commands", "Commands that were handed to the box", status.commands),
            ("duplicates", "Duplicates of commands that were under way", status.duplicates),
            ("refused", "Commands refused by the rules of the interface", status.refused),
            ("unanswerable", "Commands refused that named no place to say so", status.unanswerable),
            ("replies_dropped", "Replies that never reached the broker", status.replies_dropped),
            ("events_dropped", "Events that never reached the broker", status.events_dropped),
            ("too_large", "Publications larger than the broker takes", status.too_large),
        ] {
            let counter = ConstCounter::new(value);
            let name = format!("roomd_mqtt_{name}");
            counter.encode(encoder.encode_descriptor(&name, about, None, counter.metric_type())?)?;
        }
        Ok(())
    }
}

fn encode_board(encoder: &mut DescriptorEncoder<'_>, board: &Board) -> Result<(), std::fmt::Error> {
    let reports = board.reports();
    let about = "1 while the subsystem runs";
    let kind = ConstGauge::new(0i64).metric_type();
    let mut family = encoder.encode_descriptor("roomd_subsystem_running", about, None, kind)?;
    for (name, report) in &reports {
        let running = i64::from(report.health == Health::Running);
        ConstGauge::new(running).encode(family.encode_family(&[("subsystem", *name)])?)?;
    }
    let about = "How often the subsystem failed and was started again";
    let kind = ConstCounter::new(0u64).metric_type();
    let mut family = encoder.encode_descriptor("roomd_subsystem_restarts", about, None, kind)?;
    for (name, report) in &reports {
        ConstCounter::new(report.restarts).encode(family.encode_family(&[("subsystem", *name)])?)?;
    }
    Ok(())
}

fn encode_losses(encoder: &mut DescriptorEncoder<'_>, stream: &Stream) -> Result<(), std::fmt::Error> {
    let about = "Access units that a reader of the box's stream lost because it was too slow";
    let kind = ConstCounter::new(0u64).metric_type();
    let mut family = encoder.encode_descriptor("roomd_stream_lost_access_units", about, None, kind)?;
    // Several readers may share a name: every destination is called the same.
    let mut total = BTreeMap::new();
    for (reader, lost) in stream.losses() {
        *total.entry(reader).or_insert(0u64) += lost;
    }
    for (reader, lost) in total {
        ConstCounter::new(lost).encode(family.encode_family(&[("reader", reader)])?)?;
    }
    Ok(())
}

/// Nanoseconds on a CPU by thread name, threads of the same name added up. Linux: `schedstat`'s first number;
/// empty where the kernel keeps none.
fn thread_cpu_nanos() -> BTreeMap<String, u64> {
    let mut total = BTreeMap::new();
    for entry in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let read = |file: &str| std::fs::read_to_string(entry.path().join(file)).ok();
        let nanos = read("schedstat").and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        if let (Some(name), Some(nanos)) = (read("comm"), nanos) {
            *total.entry(name.trim().to_owned()).or_default() += nanos;
        }
    }
    total
}

/// `VmRSS` of `/proc/self/status`.
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string(Path::new("/proc/self/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    #[test]
    fn a_scrape_names_threads_memory_readers_and_the_bridge() {
        let stream = Stream::new();
        let _reader = stream.subscribe("recorder", crate::media::Wants::RECORDING);
        let mut registry = Registry::default();
        let meter = Meter::default();
        meter.show(&[3_277; 960]);
        registry.register_collector(Box::new(ProcessCollector {
            board: Board::default(),
            stream,
            sound: SoundCounters::default(),
            damaged: Arc::default(),
            meter,
        }));
        let status = BridgeStatus { connection: Connection::Online, commands: 7, ..BridgeStatus::default() };
        registry.register_collector(Box::new(BridgeCollector(watch::channel(status).1)));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for word in [
            "roomd_mqtt_online 1\n",
            "roomd_mqtt_commands_total 7\n",
            "roomd_thread_cpu_seconds_total{thread=\"",
            "roomd_memory_resident_bytes ",
            "roomd_microphone_level_dbov -20\n",
            "roomd_microphone_peak_dbov -20\n",
            "roomd_stream_lost_access_units_total{reader=\"recorder\"} 0",
            "roomd_sound_xruns_total{side=\"microphone\"} 0",
            "roomd_sound_drift_ppm{side=\"speaker\"} 0.0",
            "roomd_sound_jitter_buffer_ms 0.0",
        ] {
            assert!(text.contains(word), "{word} is missing in\n{text}");
        }
    }
}
