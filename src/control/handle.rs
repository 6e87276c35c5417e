//! The two ends that the rest of the box holds: where orders go in, and where the state comes out.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::{mpsc, oneshot, watch};

use super::dedupe::Identity;
use super::{Code, Command, Reply, State};

/// Orders on their way to the one task that changes the world. When it is full the asker gets `busy`.
pub const ORDER_CAPACITY: usize = 32;

/// Longest that an asker waits for its reply; the order itself goes on.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// Who gave an order, and by which way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Who: an MQTT issuer, `local`, or the admin session.
    pub issuer: String,
    /// From within the room's own network position (control socket, page opened on the box): may unmute.
    pub local: bool,
}

/// An order with the way back.
#[derive(Debug)]
pub struct Order {
    /// What to do.
    pub command: Command,
    /// Who wants it.
    pub origin: Origin,
    /// What it is known by; None: nobody repeats it.
    pub identity: Option<Identity>,
    /// Where the answer goes; it may be gone.
    pub reply: oneshot::Sender<Reply>,
}

/// Where orders go in and the state can be watched. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ControlHandle {
    orders: mpsc::Sender<Order>,
    state: watch::Receiver<Arc<State>>,
}

impl ControlHandle {
    /// A handle, and the end from which the one mutator takes orders.
    pub fn new(state: &StatePublisher) -> (Self, mpsc::Receiver<Order>) {
        let (orders, receiver) = mpsc::channel(ORDER_CAPACITY);
        (ControlHandle { orders, state: state.subscribe() }, receiver)
    }

    /// Gives an order and waits for its answer, at most 30 s.
    pub async fn submit(&self, command: Command, origin: Origin) -> Reply {
        self.order(command, origin).await
    }

    /// Gives an order now: orders are taken in the order of these calls. The future is its answer, as for
    /// [`ControlHandle::submit`]; dropping it does not take the order back.
    pub fn order(&self, command: Command, origin: Origin) -> impl Future<Output = Reply> + Send + 'static {
        self.give(command, origin, None)
    }

    /// As [`ControlHandle::order`], for a command that may come again: it is run once, and not after its time.
    pub fn order_once(
        &self,
        command: Command,
        origin: Origin,
        identity: Identity,
    ) -> impl Future<Output = Reply> + Send + 'static {
        self.give(command, origin, Some(identity))
    }

    fn give(
        &self,
        command: Command,
        origin: Origin,
        identity: Option<Identity>,
    ) -> impl Future<Output = Reply> + Send + 'static {
        let (reply, answer) = oneshot::channel();
        let order = Order { command, origin, identity, reply };
        let refused = self.orders.try_send(order).err().map(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                Reply::refused(Code::Busy, format!("{ORDER_CAPACITY} orders are waiting already"))
            }
            mpsc::error::TrySendError::Closed(_) => Reply::refused(Code::NotReady, "the box is stopping"),
        });
        async move {
            if let Some(refused) = refused {
                return refused;
            }
            match tokio::time::timeout(REPLY_TIMEOUT, answer).await {
                Ok(Ok(reply)) => reply,
                Ok(Err(_)) => Reply::refused(Code::Unknown, "the box stopped before it could answer"),
                Err(_) => Reply::refused(Code::Timeout, "no outcome after 30 s; it will show in the state"),
            }
        }
    }

    /// The state, to read or to wait for its next change.
    pub fn state(&self) -> watch::Receiver<Arc<State>> {
        self.state.clone()
    }
}

/// Where the state is changed. Cheap to clone: subsystems report what is true of them through it.
#[derive(Clone, Debug)]
pub struct StatePublisher {
    state: Arc<watch::Sender<Arc<State>>>,
    wall: fn() -> SystemTime,
}

impl StatePublisher {
    /// A fresh document, `seq` 1. `wall` tells the time that changes are stamped with.
    pub fn new(wall: fn() -> SystemTime) -> Self {
        let first = State { seq: 1, ts: rfc3339(wall()), ..State::default() };
        StatePublisher { state: Arc::new(watch::Sender::new(Arc::new(first))), wall }
    }

    /// Applies `change`; when something differs afterwards it becomes the next version, else nobody is woken.
    pub fn update(&self, change: impl FnOnce(&mut State)) {
        self.state.send_if_modified(|current| {
            let mut next = State::clone(current);
            change(&mut next);
            if next == **current {
                return false;
            }
            next.seq = current.seq + 1;
            next.ts = rfc3339((self.wall)());
            *current = Arc::new(next);
            true
        });
    }

    /// The newest document, and every later one.
    pub fn subscribe(&self) -> watch::Receiver<Arc<State>> {
        self.state.subscribe()
    }
}

/// `2026-11-20T09:30:00.123Z`; the epoch for times that RFC 3339 cannot say.
pub fn rfc3339(at: SystemTime) -> String {
    let at = OffsetDateTime::from(at);
    let millis = at.replace_nanosecond(at.millisecond() as u32 * 1_000_000).unwrap_or(at);
    millis.format(&Rfc3339).unwrap_or_else(|_| "1970-01-01T00:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_change_makes_a_new_version() {
        let publisher = StatePublisher::new(|| SystemTime::UNIX_EPOCH);
        let state = publisher.subscribe();
        publisher.update(|_| {});
        assert_eq!(state.borrow().seq, 1);
        publisher.update(|state| state.microphone.muted = true);
        assert_eq!(state.borrow().seq, 2);
        assert_eq!(state.borrow().ts, "1970-01-01T00:00:00Z");
    }

    #[tokio::test]
    async fn a_full_queue_answers_busy_and_a_gone_mutator_not_ready() {
        let publisher = StatePublisher::new(|| SystemTime::UNIX_EPOCH);
        let (handle, orders) = ControlHandle::new(&publisher);
        let origin = Origin { issuer: "test".into(), local: true };
        let waiting: Vec<_> = (0..ORDER_CAPACITY)
            .map(|_| {
                let (handle, origin) = (handle.clone(), origin.clone());
                tokio::spawn(async move { handle.submit(Command::Ping, origin).await })
            })
            .collect();
        tokio::task::yield_now().await;
        assert_eq!(handle.submit(Command::Ping, origin.clone()).await.code, Code::Busy);
        drop(orders);
        assert_eq!(handle.submit(Command::Ping, origin).await.code, Code::NotReady);
        for one in waiting {
            assert_eq!(one.await.unwrap().code, Code::Unknown);
        }
    }
}
