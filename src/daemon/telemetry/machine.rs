//! What the kernel's files say of the machine: text in, numbers out. Whatever cannot be read is None. Pure.

use crate::control::telemetry::{Cpu, Memory, Throttling, rounded};

/// Ticks a second of the times in `/proc` (`USER_HZ`, the same on every Linux that we run on).
const TICKS: f64 = 100.0;

/// What the processors have done since the boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CpuTimes {
    /// All processors together, in ticks.
    total: u64,
    /// Of these with nothing to do.
    idle: u64,
    /// roomd's part, in ticks.
    process: u64,
    /// How many processors there are.
    cores: u64,
}

/// From `/proc/stat` and `/proc/self/stat`.
pub(super) fn cpu_times(stat: &str, own: &str) -> Option<CpuTimes> {
    let fields = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    // guest and guest_nice, the last two, are in user and nice already.
    let ticks: Vec<u64> = fields.split_whitespace().take(8).map_while(|field| field.parse().ok()).collect();
    let idle = ticks.get(3)?.saturating_add(*ticks.get(4)?);
    let is_core = |line: &&str| line.starts_with("cpu") && !line.starts_with("cpu ");
    // The name of the process may hold anything, blanks and brackets too.
    let (_, after_name) = own.rsplit_once(')')?;
    let mut own = after_name.split_whitespace().skip(11).map(str::parse::<u64>);
    let process = own.next()?.ok()?.saturating_add(own.next()?.ok()?);
    let total = ticks.iter().fold(0u64, |sum, ticks| sum.saturating_add(*ticks));
    Some(CpuTimes { total, idle, process, cores: stat.lines().filter(is_core).count() as u64 })
}

/// What was done in `seconds` between two readings.
pub(super) fn cpu(before: &CpuTimes, now: &CpuTimes, seconds: f64) -> Option<Cpu> {
    let total = now.total.checked_sub(before.total).filter(|total| *total > 0)?;
    let idle = now.idle.saturating_sub(before.idle).min(total);
    let available = seconds * TICKS * now.cores as f64;
    let process = now.process.saturating_sub(before.process) as f64;
    (available > 0.0).then(|| Cpu {
        machine: rounded(1.0 - idle as f64 / total as f64),
        process: rounded((process / available).min(1.0)),
    })
}

/// From `/proc/meminfo`.
pub(super) fn memory(meminfo: &str) -> Option<Memory> {
    let bytes = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    let (total_bytes, available_bytes) = (bytes("MemTotal")?, bytes("MemAvailable")?);
    Some(Memory { total_bytes, available_bytes, process_bytes: None })
}

/// From `/proc/uptime`, in seconds.
pub(super) fn uptime_s(uptime: &str) -> Option<u64> {
    uptime.split(['.', ' ']).next()?.parse().ok()
}

/// From a thermal zone's `temp`, in degrees Celsius; what no silicon survives is no measurement.
pub(super) fn celsius(temp: &str) -> Option<f64> {
    let milli: i64 = temp.trim().parse().ok()?;
    (-50_000..=200_000).contains(&milli).then(|| milli as f64 / 1000.0)
}

/// From the Raspberry Pi firmware's `get_throttled`: hexadecimal, bits as in its documentation of `vcgencmd`.
pub(super) fn throttling(text: &str) -> Option<Throttling> {
    const WORDS: [&str; 4] = ["under_voltage", "frequency_capped", "throttled", "temperature_limit"];
    let text = text.trim();
    let bits = u32::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()?;
    let words = |first: u32| {
        let set = (first..).zip(WORDS).filter(|(bit, _)| bits >> bit & 1 == 1);
        set.map(|(_, word)| word.to_owned()).collect()
    };
    Some(Throttling { now: words(0), since_boot: words(16) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STAT: &str =
        "cpu  100 0 100 700 100 0 0 0 50 50\ncpu0 50 0 50 350 50 0 0 0 0 0\ncpu1 1 1 1 1\nintr 5\n";
    const OWN: &str = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 0 0 0 30 20 0 0 20 0 9 0 5 6 7\n";

    #[test]
    fn shares_of_the_processor_are_those_between_two_readings() {
        let before = cpu_times(STAT, OWN).unwrap();
        assert_eq!(before, CpuTimes { total: 1000, idle: 800, process: 50, cores: 2 });
        let later = CpuTimes { total: 1400, idle: 900, process: 150, cores: 2 };
        assert_eq!(cpu(&before, &later, 2.0), Some(Cpu { machine: 0.75, process: 0.25 }));
        assert_eq!(cpu(&later, &before, 2.0), None, "a counter that went back tells nothing");
        assert_eq!(cpu(&before, &before, 2.0), None);
    }

    #[test]
    fn the_machine_that_runs_the_test_can_be_read() {
        let read = |path: &str| std::fs::read_to_string(path).unwrap();
        assert!(
            cpu_times(&read("/proc/stat"), &read("/proc/self/stat")).is_some_and(|times| times.cores > 0)
        );
        assert!(memory(&read("/proc/meminfo")).is_some_and(|memory| memory.available_bytes > 1 << 20));
        assert!(uptime_s(&read("/proc/uptime")).is_some());
    }

    #[test]
    fn temperatures_and_the_firmwares_bits_are_read() {
        assert_eq!(celsius("48312\n"), Some(48.312));
        assert_eq!((celsius("-274000"), celsius("hot"), celsius("")), (None, None, None));
        let throttled = throttling("50005\n").unwrap();
        assert_eq!(throttled.now, ["under_voltage", "throttled"]);
        assert_eq!(throttled.since_boot, ["under_voltage", "throttled"]);
        assert_eq!(throttling("0x0"), Some(Throttling::default()));
        assert_eq!(throttling("fine"), None);
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(a in "(?s).{0,200}", b in "cpu [0-9 \n]{0,80}", c in "(?s).{0,40}\\)[ 0-9]{0,80}") {
            for (stat, own) in [(&a, &a), (&b, &c), (&b, &a)] {
                if let Some(times) = cpu_times(stat, own) {
                    let _ = cpu(&CpuTimes::default(), &times, 60.0);
                }
            }
            let _ = (memory(&a), uptime_s(&a), celsius(&a), throttling(&a));
            let _ = memory(&format!("MemTotal: {a} kB\nMemAvailable: 18446744073709551615 kB"));
        }
    }
}
