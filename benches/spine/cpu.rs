//! CPU time by thread, from the scheduler's own clock.

use std::collections::BTreeMap;

/// Nanoseconds that each thread of `process` (`self` or a pid) was on a CPU, by name.
pub fn threads(process: &str) -> BTreeMap<String, u64> {
    let mut total = BTreeMap::new();
    for entry in std::fs::read_dir(format!("/proc/{process}/task")).expect("the process lives").flatten() {
        let read = |file: &str| std::fs::read_to_string(entry.path().join(file)).unwrap_or_default();
        let nanos = read("schedstat").split_whitespace().next().and_then(|text| text.parse::<u64>().ok());
        *total.entry(read("comm").trim().to_owned()).or_default() += nanos.unwrap_or(0);
    }
    total
}

/// Shares of a core in percent between two readings of [`threads`], `nanos` apart.
pub fn shares(
    before: &BTreeMap<String, u64>,
    after: BTreeMap<String, u64>,
    nanos: u128,
) -> BTreeMap<String, f64> {
    let share = |(name, at): (String, u64)| {
        let spent = at.saturating_sub(before.get(&name).copied().unwrap_or(0));
        (name, spent as f64 / nanos as f64 * 100.0)
    };
    after.into_iter().map(share).collect()
}

/// `median (lowest to highest)`.
pub fn spread(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let (first, last) = (values[0], values[values.len() - 1]);
    format!("{:6.2} ({first:.2} to {last:.2})", values[values.len() / 2])
}

/// `p50, p95 and longest`.
pub fn percentiles(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let at = |share: usize| values[(values.len() - 1) * share / 100];
    format!("p50 {:.2}, p95 {:.2}, longest {:.2} ms", at(50), at(95), at(100))
}
