//! Going live: destinations by order or by configuration, and how they are, in the state.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::info;

use crate::control::{Code, DesiredLive, LiveDestination, LiveStatus, Reply, State, StatePublisher, rfc3339};
use crate::media::Stream;
use crate::push::{self, Destination, Key, Pusher, Report};

/// How long an order waits until each destination was tried; the trying itself goes on. More than connecting may take.
const PATIENCE: Duration = Duration::from_secs(12);

/// What the lane of going live holds.
#[derive(Debug)]
pub struct Lives {
    pusher: Pusher,
    configured: watch::Receiver<Vec<Destination>>,
    state: StatePublisher,
    on: bool,
    /// Carries the destinations' reports into the state.
    follower: JoinHandle<()>,
}

impl Drop for Lives {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl Lives {
    /// Live nowhere. `configured`: where to when an order does not say.
    pub fn new(
        config: push::Config,
        configured: watch::Receiver<Vec<Destination>>,
        stream: Stream,
        state: StatePublisher,
    ) -> Lives {
        let pusher = Pusher::new(config, stream);
        let follower = tokio::spawn(follow(pusher.reports(), state.clone()));
        Lives { pusher, configured, state, on: false, follower }
    }

    /// How every destination is.
    pub fn reports(&self) -> push::Reports {
        self.pusher.reports()
    }

    /// Begins to bring the destinations to `wanted`; those that stay are not disturbed.
    pub fn set(&mut self, wanted: Option<DesiredLive>) {
        self.on = wanted.is_some();
        let destinations = match wanted {
            None => Vec::new(),
            Some(DesiredLive { outputs: None, .. }) => self.configured.borrow().clone(),
            Some(DesiredLive { outputs: Some(outputs), .. }) => outputs
                .into_iter()
                .map(|output| Destination { url: output.url, key: Key::Given(output.key) })
                .collect(),
        };
        info!(on = self.on, destinations = destinations.len(), "going live");
        let on = self.on;
        self.state.update(|state| state.live.on = on);
        self.pusher.set(destinations);
    }

    /// What came of it: waits until each destination was tried, or all have ended. Cancel-safe.
    pub async fn outcome(&mut self) -> Reply {
        if !self.on {
            let left = self.pusher.left().await;
            let ended = |report: &Report| json!({"url": report.url, "bytes_acked": report.acked_bytes});
            let data: Vec<Value> = left.iter().map(ended).collect();
            return Reply::ok("not live", json!({"destinations": data}));
        }
        let mut reports = self.pusher.reports();
        let tried = reports.wait_for(|reports| reports.iter().all(was_tried));
        let in_time = tokio::time::timeout(PATIENCE, tried).await.is_ok();
        answer(&self.pusher.reports().borrow(), in_time)
    }
}

/// Sent to, or not for a known reason.
fn was_tried(report: &Report) -> bool {
    report.status != LiveStatus::Connecting || report.failures > 0
}

fn answer(reports: &[Report], in_time: bool) -> Reply {
    let staying: Vec<&Report> =
        reports.iter().filter(|report| report.status != LiveStatus::Stopped).collect();
    let live = staying.iter().filter(|report| report.status == LiveStatus::Live).count();
    let shown: Vec<LiveDestination> = staying.iter().map(|report| shown(report)).collect();
    let data = json!({"destinations": shown});
    if staying.is_empty() {
        let message = "no destination: live.destinations is empty";
        return Reply::refused(Code::BadRequest, message);
    }
    if live > 0 {
        return Reply::ok(format!("live to {live} of {} destinations", staying.len()), data);
    }
    let error = staying.iter().find_map(|report| report.last_error.as_deref());
    let mut reply = match error {
        Some(error) => Reply::refused(Code::Upstream, format!("not live yet: {error}; it is tried again")),
        None if in_time => Reply::refused(Code::Upstream, "not live yet; it is tried again"),
        None => Reply::refused(Code::Timeout, "still connecting; the state will show"),
    };
    reply.data = data;
    reply
}

/// A report as the state document has it.
fn shown(report: &Report) -> LiveDestination {
    LiveDestination {
        url: report.url.to_string(),
        status: report.status,
        bytes_acked: report.acked_bytes,
        last_error: report.last_error.clone(),
        next_try: report.next_try.map(rfc3339),
    }
}

async fn follow(mut reports: push::Reports, state: StatePublisher) {
    loop {
        let now: Vec<LiveDestination> = reports.borrow_and_update().iter().map(shown).collect();
        state.update(|state: &mut State| state.live.destinations = now);
        if reports.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::live::LiveUrl;

    fn report(status: LiveStatus, last_error: Option<&str>) -> Report {
        Report {
            id: 1,
            url: LiveUrl::parse("rtmp://a/live").unwrap(),
            status,
            acked_bytes: 7,
            last_error: last_error.map(str::to_owned),
            next_try: Some(std::time::SystemTime::UNIX_EPOCH),
            failures: u64::from(last_error.is_some()),
            lost: 0,
            rtt: None,
            sent: Default::default(),
        }
    }

    #[test]
    fn an_order_is_done_when_one_destination_takes_the_stream_and_says_of_each_how_it_is() {
        let live = report(LiveStatus::Live, None);
        let refused = report(LiveStatus::Retrying, Some("a:1935/live: cannot connect: refused"));
        let reply = answer(&[live, refused.clone()], true);
        assert_eq!((reply.ok, reply.message.as_str()), (true, "live to 1 of 2 destinations"));
        assert_eq!(reply.data["destinations"][1]["status"], "retrying");
        assert_eq!(reply.data["destinations"][1]["next_try"], "1970-01-01T00:00:00Z");
        let reply = answer(&[refused.clone(), report(LiveStatus::Stopped, None)], true);
        assert_eq!((reply.code, reply.retryable), (Code::Upstream, true));
        assert!(reply.message.contains("cannot connect: refused"), "{}", reply.message);
        let waiting = report(LiveStatus::Connecting, None);
        assert_eq!(answer(std::slice::from_ref(&waiting), false).code, Code::Timeout);
        assert!(was_tried(&refused) && !was_tried(&waiting));
    }
}
