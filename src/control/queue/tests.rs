use proptest::prelude::*;

use super::*;
use crate::control::RecordingSource;
use crate::control::live::{LiveSource, LiveUrl, Output, StreamKey};

const NEAR: bool = true;
const FAR: bool = false;

fn origin(local: bool) -> Origin {
    Origin { issuer: "test".into(), local }
}

fn join(room: &str) -> Command {
    Command::RoomJoin(RoomJoin { room: room.into(), url: None, token: None })
}

fn record(on: bool, id: Option<&str>) -> Command {
    let source = RecordingSource::Box;
    Command::RecordingSet(RecordingSet { on, id: id.map(str::to_owned), source })
}

fn mute(muted: bool) -> Command {
    Command::MicrophoneSet(MicrophoneSet { muted })
}

/// Live to these hosts; to none of them: off. `None`: to those that are configured.
fn live(hosts: Option<&str>) -> Command {
    let output = |host: char| Output {
        url: LiveUrl::parse(&format!("rtmp://{host}/live")).unwrap(),
        key: StreamKey::parse("key").unwrap(),
    };
    let outputs = hosts.map(|hosts| hosts.chars().map(output).collect());
    let on = hosts != Some("");
    let outputs = outputs.filter(|_| on);
    Command::LiveSet(LiveSet { on, source: LiveSource::Box, outputs, config: None })
}

fn fresh() -> RequestQueue<u32> {
    RequestQueue::new(Policy::default(), Desired::default())
}

/// Gives an order as the daemon would; what was answered at once.
fn order(queue: &mut RequestQueue<u32>, command: &Command, local: bool, asker: u32) -> Vec<(u32, Reply)> {
    match queue.decide(command, &origin(local), || "fresh".to_owned()) {
        Verdict::Answer(reply) => vec![(asker, reply)],
        Verdict::Attach(lane) => queue.attach(lane, asker).into_iter().collect(),
        Verdict::Accept(change) => queue.accept(change, asker),
        Verdict::Do(_) => Vec::new(),
    }
}

fn done() -> Reply {
    Reply::ok("done", Value::Null)
}

#[test]
fn what_is_so_already_is_answered_at_once_and_not_done_again() {
    let mut queue = fresh();
    assert!(order(&mut queue, &Command::RoomLeave, FAR, 1)[0].1.ok);
    assert!(order(&mut queue, &record(false, None), FAR, 2)[0].1.ok);
    assert!(order(&mut queue, &join("lobby"), FAR, 3).is_empty());
    let action = queue.start().unwrap();
    assert_eq!(queue.finish(action.ticket, &done()), vec![(3, done())]);
    assert!(order(&mut queue, &join("lobby"), FAR, 4)[0].1.ok);
    assert_eq!(queue.start(), None);
}

#[test]
fn recording_while_recording_answers_the_running_id_and_another_id_conflicts() {
    let mut queue = fresh();
    order(&mut queue, &record(true, None), FAR, 1);
    let action = queue.start().unwrap();
    assert!(matches!(&action.change, Change::Recording(Some(recording)) if recording.id == "fresh"));
    queue.finish(action.ticket, &done());
    let again = &order(&mut queue, &record(true, None), FAR, 2)[0].1;
    assert_eq!((again.code, &again.data), (Code::Ok, &json!({"id": "fresh"})));
    assert!(order(&mut queue, &record(true, Some("fresh")), FAR, 3)[0].1.ok);
    let other = &order(&mut queue, &record(true, Some("other")), FAR, 4)[0].1;
    assert_eq!((other.code, &other.data), (Code::Conflict, &json!({"id": "fresh"})));
}

#[test]
fn only_somebody_at_the_box_may_unmute_unless_allowed() {
    let mut queue = fresh();
    order(&mut queue, &mute(true), FAR, 1);
    let action = queue.start().unwrap();
    queue.finish(action.ticket, &done());
    assert_eq!(order(&mut queue, &mute(false), FAR, 2)[0].1.code, Code::Unauthorized);
    assert!(queue.desired().muted);
    queue.set_policy(Policy { allow_remote_unmute: true, ..Policy::default() });
    assert!(order(&mut queue, &mute(false), FAR, 3).is_empty());
    queue.set_policy(Policy::default());
    order(&mut queue, &mute(true), FAR, 4);
    assert_eq!(order(&mut queue, &mute(false), NEAR, 5), vec![(4, superseded())]);
    assert!(!queue.desired().muted);
}

#[test]
fn going_live_again_is_so_already_and_other_outputs_take_their_place_at_once() {
    let mut queue = fresh();
    assert_eq!(order(&mut queue, &live(None), FAR, 1)[0].1.code, Code::BadRequest);
    order(&mut queue, &live(Some("ab")), FAR, 2);
    let first = queue.start().unwrap();
    // The first may wait for a server for long: the newer order does not wait for it.
    assert_eq!(order(&mut queue, &live(Some("bc")), FAR, 3), vec![(2, superseded())]);
    let second = queue.start().unwrap();
    assert!(queue.finish(first.ticket, &done()).is_empty());
    queue.finish(second.ticket, &done());
    for same in [live(Some("bc")), live(None)] {
        assert_eq!(order(&mut queue, &same, FAR, 4)[0].1.message, "already live");
    }
    order(&mut queue, &live(Some("")), FAR, 5);
    assert_eq!(queue.start().unwrap().change, Change::Live(None));
    queue.set_policy(Policy { live_configured: true, ..Policy::default() });
    order(&mut queue, &live(None), FAR, 6);
    let wanted = DesiredLive { source: LiveSource::Box, outputs: None };
    assert_eq!(queue.start().unwrap().change, Change::Live(Some(wanted)));
}

fn superseded() -> Reply {
    Reply::refused(Code::Conflict, "superseded by a newer order")
}

#[test]
fn a_newer_join_supersedes_one_that_waits_and_one_that_runs() {
    let mut queue = fresh();
    order(&mut queue, &join("a"), FAR, 1);
    assert_eq!(order(&mut queue, &join("b"), FAR, 2), vec![(1, superseded())]);
    let to_b = queue.start().unwrap();
    assert_eq!(order(&mut queue, &join("c"), FAR, 3), vec![(2, superseded())]);
    let to_c = queue.start().unwrap();
    assert!(queue.finish(to_b.ticket, &done()).is_empty());
    assert_eq!(queue.finish(to_c.ticket, &done()), vec![(3, done())]);
    assert_eq!(queue.desired().room.as_ref().unwrap().room, "c");
}

#[test]
fn stopping_a_recording_waits_until_it_has_started() {
    let mut queue = fresh();
    order(&mut queue, &record(true, None), FAR, 1);
    let start = queue.start().unwrap();
    assert!(order(&mut queue, &record(false, None), FAR, 2).is_empty());
    assert_eq!(queue.start(), None);
    assert_eq!(queue.finish(start.ticket, &done()), vec![(1, done())]);
    let stop = queue.start().unwrap();
    assert_eq!(stop.change, Change::Recording(None));
    assert_eq!(queue.finish(stop.ticket, &done()), vec![(2, done())]);
}

#[test]
fn a_slow_join_does_not_hold_up_a_recording() {
    let mut queue = fresh();
    order(&mut queue, &join("far-away"), FAR, 1);
    queue.start().unwrap();
    order(&mut queue, &record(true, None), FAR, 2);
    assert!(matches!(queue.start().unwrap().change, Change::Recording(_)));
}

#[test]
fn what_failed_stays_desired_and_the_same_order_tries_again_with_the_same_id() {
    let mut queue = fresh();
    order(&mut queue, &record(true, None), FAR, 1);
    let first = queue.start().unwrap();
    let failed = Reply::refused(Code::Internal, "disk full");
    assert_eq!(queue.finish(first.ticket, &failed), vec![(1, failed)]);
    assert!(order(&mut queue, &record(true, None), FAR, 2).is_empty());
    assert_eq!(queue.start().unwrap().change, first.change);
}

#[test]
fn after_a_restart_the_world_is_brought_to_what_was_stored() {
    let mut queue = fresh();
    let mut stored = Vec::new();
    for command in [join("lobby"), record(true, Some("r1")), live(Some("a")), mute(true)] {
        if let Verdict::Accept(change) = queue.decide(&command, &origin(FAR), String::new) {
            stored.push((change.key(), change.value().to_string()));
            queue.accept(change, 0);
        }
    }
    let mut desired = Desired::default();
    for (key, json) in &stored {
        desired.restore(key, json).unwrap();
    }
    assert_eq!(&desired, queue.desired());
    let mut again = RequestQueue::<u32>::new(Policy::default(), desired);
    let actions: Vec<_> = std::iter::from_fn(|| again.start()).collect();
    assert_eq!(actions.len(), 4);
    assert!(Desired::default().restore("room", "{").is_err());
}

#[derive(Clone, Debug)]
enum Step {
    Order(Command, bool),
    Start,
    Finish(usize, bool),
    Unsettle(Lane),
}

fn step() -> impl Strategy<Value = Step> {
    let command = prop_oneof![
        Just(Command::Ping),
        "[ab]".prop_map(|room| join(&room)),
        Just(Command::RoomLeave),
        (any::<bool>(), proptest::option::of("[xy]")).prop_map(|(on, id)| record(on, id.as_deref())),
        any::<bool>().prop_map(mute),
        proptest::option::of("[ab]?").prop_map(|hosts| live(hosts.as_deref())),
    ];
    let lane = prop_oneof![Just(Lane::Room), Just(Lane::Recording), Just(Lane::Live), Just(Lane::Microphone)];
    prop_oneof![
        4 => (command, any::<bool>()).prop_map(|(command, local)| Step::Order(command, local)),
        2 => Just(Step::Start),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(which, ok)| Step::Finish(which, ok)),
        1 => lane.prop_map(Step::Unsettle),
    ]
}

fn seeded() -> ProptestConfig {
    ProptestConfig {
        rng_seed: proptest::test_runner::RngSeed::Fixed(20_261_120),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(seeded())]
    #[test]
    fn every_order_is_answered_once_and_the_last_accepted_is_desired(
        steps in proptest::collection::vec(step(), 0..80)
    ) {
        let mut queue = fresh();
        let mut wanted = Desired::default();
        let (mut given, mut answers, mut running) = (0u32, Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Order(command, local) => {
                    given += 1;
                    let verdict = queue.decide(&command, &origin(local), || format!("id{given}"));
                    let unmutes = wanted.muted && matches!(verdict, Verdict::Accept(Change::Muted(false)));
                    prop_assert!(local || !unmutes);
                    if let Verdict::Accept(change) = &verdict {
                        wanted.restore(change.key(), &change.value().to_string()).unwrap();
                    }
                    answers.extend(match verdict {
                        Verdict::Answer(reply) => vec![(given, reply)],
                        Verdict::Attach(lane) => queue.attach(lane, given).into_iter().collect(),
                        Verdict::Accept(change) => queue.accept(change, given),
                        Verdict::Do(deed) => panic!("{deed:?} was not ordered"),
                    });
                }
                Step::Start => running.extend(queue.start()),
                Step::Finish(which, ok) if !running.is_empty() => {
                    let action = running.swap_remove(which % running.len());
                    let reply = if ok { done() } else { Reply::refused(Code::Upstream, "no") };
                    answers.extend(queue.finish(action.ticket, &reply));
                }
                Step::Finish(..) => {}
                Step::Unsettle(lane) => queue.unsettle(lane),
            }
            prop_assert_eq!(queue.desired(), &wanted);
        }
        // Finishing everything ends at what is desired, and nobody is left without an answer.
        let mut last: Vec<Action> = running;
        loop {
            for action in last.drain(..) {
                answers.extend(queue.finish(action.ticket, &done()));
            }
            last.extend(std::iter::from_fn(|| queue.start()));
            if last.is_empty() { break }
        }
        prop_assert!(queue.drain(&done()).is_empty());
        let mut askers: Vec<_> = answers.iter().map(|(asker, _)| *asker).collect();
        askers.sort_unstable();
        prop_assert_eq!(askers, (1..=given).collect::<Vec<_>>());
    }
}

#[test]
fn a_room_of_the_boxs_own_server_is_ended_and_anothers_is_not() {
    let mut queue = fresh();
    assert!(order(&mut queue, &Command::RoomEnd, FAR, 1)[0].1.ok, "in no room");
    order(&mut queue, &join("lobby"), FAR, 2);
    queue.set_policy(Policy { rooms_elsewhere: true, ..Policy::default() });
    assert_eq!(order(&mut queue, &Command::RoomEnd, FAR, 3)[0].1.code, Code::Unsupported);
    queue.set_policy(Policy::default());
    let conflict = order(&mut queue, &Command::RoomEnd, FAR, 4);
    assert_eq!(conflict.iter().map(|(asker, _)| *asker).collect::<Vec<_>>(), [2], "joining is given up");
    assert!(queue.desired().room.is_none());
    let action = queue.start().unwrap();
    assert_eq!((&action.change, action.change.value()), (&Change::RoomEnd, Value::Null));
    assert!(order(&mut queue, &Command::RoomEnd, FAR, 5).is_empty(), "it is under way");
    assert_eq!(queue.finish(action.ticket, &done()).len(), 2);
    let url = Some("wss://rooms.example".to_owned());
    let elsewhere = Command::RoomJoin(RoomJoin { room: "lobby".into(), url, token: None });
    order(&mut queue, &elsewhere, FAR, 6);
    assert_eq!(order(&mut queue, &Command::RoomEnd, FAR, 7)[0].1.code, Code::Unsupported);
}
