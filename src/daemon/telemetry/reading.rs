//! One look at what the kernel and the disk say.

use std::fs::read_to_string;
use std::path::Path;
use std::time::Instant;

use super::machine::{self, CpuTimes};
use crate::base::clock;
use crate::control::telemetry::{Clock, Disk, Health, Memory, rounded};
use crate::daemon::metrics::resident_bytes;
use crate::sys;

/// Where systemd-timesyncd says that it has heard a server since the boot.
const TIMESYNC: &str = "/run/systemd/timesync/synchronized";
/// The Raspberry Pi's firmware.
const THROTTLED: &str = "/sys/devices/platform/soc/soc:firmware/get_throttled";
/// Thermal zones that are looked at.
const ZONES: usize = 32;

/// What was read, and when.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    at: Instant,
    cpu: Option<CpuTimes>,
    /// All that needs no earlier reading.
    health: Health,
}

impl Reading {
    /// Reads everything; blocks for a moment, or for ever when the disk of `recordings` is dead.
    pub(super) fn take(recordings: &Path) -> Reading {
        let file = |path: &str| read_to_string(path).ok();
        let memory = file("/proc/meminfo").and_then(|text| machine::memory(&text));
        let health = Health {
            uptime_s: file("/proc/uptime").and_then(|text| machine::uptime_s(&text)),
            temperature_c: temperature(),
            memory: memory.map(|memory| Memory { process_bytes: resident_bytes(), ..memory }),
            // Before the first recording its folder may not be there.
            disk: recordings
                .ancestors()
                .find_map(|folder| sys::free_bytes(folder).ok())
                .map(|free_bytes| Disk { free_bytes }),
            throttling: file(THROTTLED).and_then(|text| machine::throttling(&text)),
            clock: wall_clock(),
            ..Health::default()
        };
        let cpu = file("/proc/stat").zip(file("/proc/self/stat"));
        let cpu = cpu.and_then(|(stat, own)| machine::cpu_times(&stat, &own));
        Reading { at: clock::now(), cpu, health }
    }

    /// As telemetry, with what was done since `before`.
    pub(super) fn health(&self, before: Option<&Reading>) -> Health {
        let cpu = before.and_then(|before| {
            let seconds = self.at.saturating_duration_since(before.at).as_secs_f64();
            machine::cpu(before.cpu.as_ref()?, self.cpu.as_ref()?, seconds)
        });
        Health { cpu, ..self.health.clone() }
    }
}

/// Of the processor's hottest sensor; of the hottest of all where none is named after the processor.
fn temperature() -> Option<f64> {
    let zones = std::fs::read_dir("/sys/class/thermal").ok()?.flatten();
    let zones = zones.filter(|zone| zone.file_name().to_string_lossy().starts_with("thermal_zone"));
    let read = |zone: std::fs::DirEntry| {
        let kind = read_to_string(zone.path().join("type")).unwrap_or_default().to_lowercase();
        let celsius = machine::celsius(&read_to_string(zone.path().join("temp")).ok()?)?;
        Some((["cpu", "soc", "pkg", "core"].iter().any(|word| kind.contains(word)), celsius))
    };
    let measured: Vec<(bool, f64)> = zones.take(ZONES).filter_map(read).collect();
    let any_cpu = measured.iter().any(|(cpu, _)| *cpu);
    let candidates = measured.iter().filter(|(cpu, _)| *cpu || !any_cpu).map(|(_, celsius)| *celsius);
    candidates.reduce(f64::max)
}

/// The kernel's own account; in a sandbox that forbids it what the machine's time service has left behind.
fn wall_clock() -> Option<Clock> {
    match sys::clock_state() {
        Ok(state) => Some(Clock {
            synchronized: state.synchronized,
            max_error_ms: Some(rounded(state.max_error_us as f64 / 1e3)),
            offset_ms: Some(rounded(state.offset_ns as f64 / 1e6)),
        }),
        Err(_) => {
            let synchronized = Path::new(TIMESYNC).exists();
            // Another service may keep the time: its absence says nothing.
            synchronized.then_some(Clock { synchronized, max_error_ms: None, offset_ms: None })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_measured_and_the_processor_only_over_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let first = Reading::take(&dir.path().join("not/yet/there"));
        assert_eq!(first.health(None).cpu, None);
        let health = first.health(None);
        assert!(
            health.uptime_s.is_some() && health.memory.is_some_and(|memory| memory.process_bytes.is_some())
        );
        assert!(health.disk.is_some_and(|disk| disk.free_bytes > 0));
        let mut later = Reading::take(dir.path());
        later.at = first.at + std::time::Duration::from_secs(60);
        if let Some(cpu) = later.health(Some(&first)).cpu {
            assert!((0.0..=1.0).contains(&cpu.machine) && (0.0..=1.0).contains(&cpu.process), "{cpu:?}");
        }
    }
}
