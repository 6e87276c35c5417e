use super::*;

/// A machine and its virtual clock.
struct Bench {
    machine: Machine,
    start: Instant,
    now: Instant,
}

impl Bench {
    fn started() -> (Self, Vec<Action>) {
        let start = crate::base::clock::now();
        let mut bench = Bench { machine: Machine::new(7), start, now: start };
        let actions = bench.input(Input::Start);
        (bench, actions)
    }

    fn connected() -> Self {
        let (mut bench, _) = Bench::started();
        bench.input(Input::Joined { publisher: true, subscriber: true });
        bench.peer(Side::Publisher, PeerState::Connected);
        assert_eq!(bench.peer(Side::Subscriber, PeerState::Connected), [Action::Report(Report::Joined)]);
        bench
    }

    fn input(&mut self, input: Input) -> Vec<Action> {
        self.machine.handle(self.now, input)
    }

    fn peer(&mut self, side: Side, state: PeerState) -> Vec<Action> {
        self.input(Input::Peer(side, state))
    }

    /// Goes to the machine's own deadline and ticks.
    fn tick(&mut self) -> Vec<Action> {
        self.now = self.machine.deadline().expect("a deadline").max(self.now);
        self.input(Input::Tick)
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
    }
}

fn backs_off(actions: &[Action]) -> Option<(&str, Duration)> {
    match actions {
        [Action::Close { goodbye: false }, Action::Report(Report::BackingOff { reason, delay })] => {
            Some((reason, *delay))
        }
        _ => None,
    }
}

fn trouble() -> Input {
    Input::Failed(Failure::Trouble("refused".into()))
}

const JOINS: [Action; 2] = [Action::Report(Report::Joining), Action::Join];

#[test]
fn it_joins_when_signalling_and_both_connections_stand() {
    let (mut bench, actions) = Bench::started();
    assert_eq!(actions, JOINS);
    assert_eq!(bench.peer(Side::Subscriber, PeerState::Connected), []);
    assert_eq!(bench.input(Input::Joined { publisher: true, subscriber: true }), []);
    assert_eq!(bench.peer(Side::Publisher, PeerState::PathFound), []);
    assert_eq!(bench.peer(Side::Publisher, PeerState::Connected), [Action::Report(Report::Joined)]);
    assert_eq!(bench.machine.deadline(), None);
}

#[test]
fn without_anything_to_publish_the_subscriber_is_enough() {
    let (mut bench, _) = Bench::started();
    bench.input(Input::Joined { publisher: false, subscriber: true });
    assert_eq!(bench.peer(Side::Subscriber, PeerState::Connected), [Action::Report(Report::Joined)]);
}

#[test]
fn a_drop_while_connecting_backs_off_and_joins_again_with_growing_delays() {
    let (mut bench, _) = Bench::started();
    let mut delays = Vec::new();
    for _ in 0..8 {
        let actions = bench.input(Input::SignalLost("reset".into()));
        delays.push(backs_off(&actions).unwrap().1);
        assert_eq!(bench.tick(), JOINS);
    }
    assert!(delays[0] <= BACKOFF[0] && delays[7] >= BACKOFF[1] / 2, "{delays:?}");
    assert!(delays.iter().all(|delay| *delay <= BACKOFF[1]));
}

#[test]
fn a_server_that_never_answers_is_given_up_after_15_s() {
    let (mut bench, _) = Bench::started();
    let actions = bench.tick();
    assert_eq!(backs_off(&actions).unwrap().0, "the server does not answer");
    assert_eq!(bench.now - bench.start, CONNECT_TIMEOUT);
}

#[test]
fn dtls_that_hangs_for_5_s_is_tried_again() {
    let (mut bench, _) = Bench::started();
    bench.input(Input::Joined { publisher: true, subscriber: true });
    bench.peer(Side::Subscriber, PeerState::Connected);
    bench.wait(Duration::from_secs(1));
    bench.peer(Side::Publisher, PeerState::PathFound);
    let actions = bench.tick();
    assert_eq!(backs_off(&actions).unwrap().0, "DTLS did not get through");
    assert_eq!(bench.now - bench.start, Duration::from_secs(1) + DTLS_TIMEOUT);
    assert_eq!(bench.tick(), JOINS);
}

#[test]
fn the_dtls_watch_of_one_connection_does_not_count_against_the_other() {
    let (mut bench, _) = Bench::started();
    bench.input(Input::Joined { publisher: true, subscriber: true });
    bench.peer(Side::Subscriber, PeerState::PathFound);
    bench.wait(Duration::from_secs(4));
    bench.peer(Side::Subscriber, PeerState::Connected);
    bench.peer(Side::Publisher, PeerState::PathFound);
    bench.wait(Duration::from_secs(4));
    assert_eq!(bench.input(Input::Tick), []);
    assert_eq!(bench.peer(Side::Publisher, PeerState::Connected), [Action::Report(Report::Joined)]);
}

#[test]
fn a_lost_signalling_connection_is_resumed() {
    let mut bench = Bench::connected();
    let reason = || "reset".to_owned();
    let actions = bench.input(Input::SignalLost(reason()));
    assert_eq!(actions, [Action::Report(Report::Resuming { reason: reason() }), Action::Resume]);
    assert_eq!(bench.input(Input::Resumed), [Action::Report(Report::Joined)]);
}

#[test]
fn a_resume_waits_for_the_media_path() {
    let mut bench = Bench::connected();
    bench.peer(Side::Publisher, PeerState::Failed);
    assert_eq!(bench.input(Input::Resumed), []);
    bench.peer(Side::Publisher, PeerState::Connecting);
    assert_eq!(bench.peer(Side::Publisher, PeerState::Connected), [Action::Report(Report::Joined)]);
}

#[test]
fn a_resume_is_tried_several_times_within_10_s_and_then_the_room_is_joined_anew() {
    let mut bench = Bench::connected();
    bench.wait(STABLE_AFTER);
    bench.input(Input::SignalLost("reset".into()));
    let lost = bench.now;
    let mut resumes = 1;
    loop {
        let actions = bench.input(trouble());
        if backs_off(&actions).is_some() {
            break;
        }
        assert_eq!(bench.tick(), [Action::Resume]);
        resumes += 1;
    }
    assert!(resumes >= 3 && bench.now - lost <= RESUME_TIMEOUT, "{resumes} in {:?}", bench.now - lost);
    assert_eq!(bench.tick(), JOINS);
}

#[test]
fn a_resume_that_gets_no_answer_ends_after_10_s() {
    let mut bench = Bench::connected();
    bench.input(Input::SignalLost("reset".into()));
    let lost = bench.now;
    assert!(backs_off(&bench.tick()).is_some());
    assert_eq!(bench.now - lost, RESUME_TIMEOUT);
}

#[test]
fn a_refused_resume_joins_anew_at_once() {
    for input in [
        Input::Failed(Failure::Gone("state mismatch".into())),
        Input::Leave(Leave::Reconnect("state mismatch".into())),
    ] {
        let mut bench = Bench::connected();
        bench.input(Input::SignalLost("reset".into()));
        let actions = bench.input(input);
        assert!(backs_off(&actions).unwrap().1 <= BACKOFF[0]);
        assert_eq!(bench.tick(), JOINS);
    }
}

#[test]
fn a_refused_token_waits_long_and_tries_again() {
    let (mut bench, _) = Bench::started();
    let refusal = || Input::Failed(Failure::Refused("HTTP 401".into()));
    let actions = bench.input(refusal());
    let (reason, delay) = backs_off(&actions).unwrap();
    assert_eq!(reason, "HTTP 401");
    assert!(delay >= REFUSED_BACKOFF[0] / 2 && delay <= REFUSED_BACKOFF[0]);
    assert_eq!(bench.tick(), JOINS);
    for _ in 0..6 {
        assert!(backs_off(&bench.input(refusal())).unwrap().1 <= REFUSED_BACKOFF[1]);
        assert_eq!(bench.tick(), JOINS);
    }
}

#[test]
fn the_servers_leave_decides() {
    let reason = || "SERVER_SHUTDOWN".to_owned();
    let mut bench = Bench::connected();
    let actions = bench.input(Input::Leave(Leave::Resume(reason())));
    assert_eq!(actions, [Action::Report(Report::Resuming { reason: reason() }), Action::Resume]);

    let mut bench = Bench::connected();
    assert!(backs_off(&bench.input(Input::Leave(Leave::Reconnect(reason())))).is_some());

    let mut bench = Bench::connected();
    let actions = bench.input(Input::Leave(Leave::Disconnect(reason())));
    let left = Action::Report(Report::Left { reason: reason() });
    assert_eq!(actions, [Action::Close { goodbye: false }, left, Action::Finish]);
    assert_eq!(bench.input(Input::Tick), []);
}

#[test]
fn a_connection_that_drops_again_and_again_is_not_hammered() {
    let mut bench = Bench::connected();
    let mut longest = Duration::ZERO;
    for _ in 0..10 {
        let actions = bench.input(Input::Leave(Leave::Reconnect("again".into())));
        longest = longest.max(backs_off(&actions).unwrap().1);
        bench.tick();
        bench.input(Input::Joined { publisher: false, subscriber: false });
        bench.wait(Duration::from_secs(1));
    }
    assert!(longest >= BACKOFF[1] / 2, "{longest:?}");
    bench.wait(STABLE_AFTER);
    let actions = bench.input(Input::Leave(Leave::Reconnect("later".into())));
    assert!(backs_off(&actions).unwrap().1 <= BACKOFF[0]);
}

#[test]
fn shutdown_ends_every_state() {
    let ends = [Action::Close { goodbye: true }, Action::Finish];
    let mut fresh = Machine::new(1);
    let now = crate::base::clock::now();
    assert_eq!(fresh.handle(now, Input::Shutdown), ends);
    let (mut connecting, _) = Bench::started();
    assert_eq!(connecting.input(Input::Shutdown), ends);
    let mut connected = Bench::connected();
    assert_eq!(connected.input(Input::Shutdown), ends);
    let mut resuming = Bench::connected();
    resuming.input(Input::SignalLost("x".into()));
    assert_eq!(resuming.input(Input::Shutdown), ends);
    let (mut backing_off, _) = Bench::started();
    backing_off.input(trouble());
    assert_eq!(backing_off.input(Input::Shutdown), ends);
    assert_eq!(backing_off.input(Input::Start), []);
    assert_eq!(backing_off.machine.deadline(), None);
}

proptest::proptest! {
    /// Whatever comes in whatever order: every state that is not at rest has a deadline or is connected, and
    /// there is never an action after the end.
    #[test]
    fn no_order_of_inputs_gets_it_stuck(choices in proptest::collection::vec((0u8..14, 0u64..6000), 1..80)) {
        let (mut bench, _) = Bench::started();
        for (choice, wait_ms) in choices {
            bench.wait(Duration::from_millis(wait_ms));
            let text = || "x".to_owned();
            let input = match choice {
                0 => Input::Joined { publisher: true, subscriber: true },
                1 => Input::Resumed,
                2 => trouble(),
                3 => Input::Failed(Failure::Refused(text())),
                4 => Input::Failed(Failure::Gone(text())),
                5 => Input::SignalLost(text()),
                6 => Input::Peer(Side::Publisher, PeerState::PathFound),
                7 => Input::Peer(Side::Publisher, PeerState::Connected),
                8 => Input::Peer(Side::Subscriber, PeerState::Connected),
                9 => Input::Peer(Side::Subscriber, PeerState::Failed),
                10 => Input::Leave(Leave::Resume(text())),
                11 => Input::Leave(Leave::Reconnect(text())),
                12 => Input::SessionFailed(text()),
                _ => Input::Tick,
            };
            bench.input(input);
            let rests = matches!(bench.machine.state, State::Connected { .. });
            proptest::prop_assert!(rests || bench.machine.deadline().is_some());
        }
    }
}
