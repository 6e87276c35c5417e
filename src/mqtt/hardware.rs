//! What the machine is, for the `info` document.

use schemars::JsonSchema;
use serde::Serialize;

/// The machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Hardware {
    /// Name of the processor, or of the board where the processor has none.
    pub cpu: String,
    /// Processors that this process may use.
    pub cores: usize,
    /// Memory in bytes; 0: not known.
    pub memory_bytes: u64,
    /// `x86_64`, `aarch64`, `arm`.
    pub arch: &'static str,
    /// Release of the kernel.
    pub kernel: String,
}

/// Reads `/proc`; what is missing stays empty. Blocks for a moment.
pub fn hardware() -> Hardware {
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = field(&file("/proc/cpuinfo"), "model name")
        .unwrap_or_else(|| file("/proc/device-tree/model").trim_end_matches('\0').to_owned());
    let memory_kib = field(&file("/proc/meminfo"), "MemTotal")
        .and_then(|value| value.trim_end_matches("kB").trim().parse::<u64>().ok());
    Hardware {
        cpu,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory_bytes: memory_kib.unwrap_or(0) * 1024,
        arch: std::env::consts::ARCH,
        kernel: file("/proc/sys/kernel/osrelease").trim().to_owned(),
    }
}

/// The value of the first line `name : value`.
fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_that_runs_the_test_is_described() {
        let machine = hardware();
        assert!(machine.cores >= 1 && machine.memory_bytes > 1 << 20 && !machine.kernel.is_empty());
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "model\t: 7\nmodel name\t: A: B\n";
        assert_eq!(field(text, "model name").as_deref(), Some("A: B"));
        assert_eq!(field(text, "name"), None);
    }
}
