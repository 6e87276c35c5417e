use proptest::prelude::*;
use rtc::rtcp::transport_feedbacks::transport_layer_cc::{RecvDelta, RunLengthChunk, StatusVectorChunk};

use super::*;
use crate::base::clock;

/// A report of packets from `base` on: by packet, µs after the one before, or not at all.
fn report(base: u16, reference_time: u32, arrivals: &[Option<i64>]) -> TransportLayerCc {
    let symbol = |arrival: &Option<i64>| match arrival {
        Some(_) => SymbolTypeTcc::PacketReceivedLargeDelta,
        None => SymbolTypeTcc::PacketNotReceived,
    };
    let chunk = |seven: &[Option<i64>]| {
        let symbol_list = seven.iter().map(symbol).collect();
        PacketStatusChunk::StatusVectorChunk(StatusVectorChunk { symbol_list, ..Default::default() })
    };
    TransportLayerCc {
        base_sequence_number: base,
        packet_status_count: arrivals.len() as u16,
        reference_time,
        packet_chunks: arrivals.chunks(7).map(chunk).collect(),
        recv_deltas: arrivals
            .iter()
            .flatten()
            .map(|&delta| RecvDelta { delta, ..Default::default() })
            .collect(),
        ..Default::default()
    }
}

/// `count` packets, 10 ms apart.
fn sent(history: &mut History, start: Instant, count: u32) {
    for index in 0..count {
        history.number(1, start + Duration::from_millis(10) * index, 1000);
    }
}

fn told(fates: &[Fate], start: Instant) -> Vec<(u128, Option<i64>)> {
    fates.iter().map(|fate| ((fate.departure - start).as_millis(), fate.arrival_us)).collect()
}

#[test]
fn arrivals_are_told_at_once_and_losses_when_nothing_can_have_overtaken_them() {
    let (mut history, start) = (History::default(), clock::now());
    sent(&mut history, start, 40);
    let fates = history.report(&report(0, 1, &[Some(1000), None, Some(250)]));
    assert_eq!(told(&fates, start), [(0, Some(65_000)), (20, Some(65_250))]);
    // It was late, and is told once more with those that came after it.
    let fates = history.report(&report(1, 1, &[Some(3000), Some(-2750), None, Some(9000)]));
    assert_eq!(told(&fates, start), [(10, Some(67_000)), (40, Some(73_250))]);
    let fates = history.report(&report(30, 4, &[Some(0)]));
    let (arrived, lost) = fates.split_first().unwrap();
    assert_eq!(arrived.departure, start + Duration::from_millis(300));
    // 250 ms and more before the newest arrival, and nothing heard of them.
    assert_eq!(told(lost, start), [(30, None), (50, None)]);
    assert!(history.report(&report(30, 4, &[Some(0)])).is_empty(), "nothing is told twice");
}

#[test]
fn what_left_before_the_server_knew_the_stream_is_not_lost() {
    let (mut history, start) = (History::default(), clock::now());
    for index in 0..40 {
        // The first stream is known from its packet 10 on, the second one from none.
        history.number(1 + index % 2, start + Duration::from_millis(10) * index, 1000);
    }
    let fates = history.report(&report(10, 1, &[Some(0), None, None]));
    assert_eq!(fates.len(), 1);
    let fates = history.report(&report(38, 1, &[Some(0)]));
    assert_eq!(told(&fates, start), [(380, Some(64_000)), (120, None)]);
}

#[test]
fn numbers_and_reference_times_wrap() {
    let (mut history, start) = (History { first: 65_534, ..Default::default() }, clock::now());
    sent(&mut history, start, 4);
    let fates = history.report(&report(65_534, 0xff_ffff, &[Some(0), Some(0)]));
    let before = fates[0].arrival_us.unwrap();
    let fates = history.report(&report(0, 0, &[Some(0), Some(500)]));
    let after: Vec<i64> = fates.iter().filter_map(|fate| fate.arrival_us).collect();
    assert_eq!(after, [before + 64_000, before + 64_500]);
}

#[test]
fn who_never_hears_anything_keeps_no_more_than_the_capacity() {
    let (mut history, start) = (History::default(), clock::now());
    sent(&mut history, start, CAPACITY as u32 + 100);
    assert_eq!((history.sent.len(), history.first), (CAPACITY, 100));
    assert!(history.report(&report(50, 1, &[Some(0)])).is_empty(), "of those nobody knows any more");
    assert_eq!(history.report(&report(100, 1, &[Some(0)])).len(), 1);
}

proptest! {
    /// A server may say anything.
    #[test]
    fn no_report_panics_or_tells_more_than_was_sent(
        count in any::<u16>(),
        base in any::<u16>(),
        references in proptest::collection::vec(any::<u32>(), 1..4),
        runs in proptest::collection::vec((0u16..4, any::<u16>()), 0..40),
        deltas in proptest::collection::vec(any::<i64>(), 0..300),
    ) {
        let mut history = History::default();
        sent(&mut history, clock::now(), 200);
        let mut told = 0;
        for reference_time in references {
            let chunk = |&(symbol, run_length): &(u16, u16)| {
                let packet_status_symbol = SymbolTypeTcc::from(symbol);
                PacketStatusChunk::RunLengthChunk(RunLengthChunk { packet_status_symbol, run_length, ..Default::default() })
            };
            let report = TransportLayerCc {
                base_sequence_number: base,
                packet_status_count: count,
                reference_time,
                packet_chunks: runs.iter().map(chunk).collect(),
                recv_deltas: deltas.iter().map(|&delta| RecvDelta { delta, ..Default::default() }).collect(),
                ..Default::default()
            };
            prop_assert!(symbols(&report).len() <= usize::from(count));
            told += history.report(&report).len();
        }
        prop_assert!(told <= 200);
    }
}
