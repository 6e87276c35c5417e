//! Datagrams to one peer that leave by one system call.

use std::net::SocketAddr;

/// Most bytes of them together: what fits into one datagram of IPv4 (RFC 768), less than the kernel's limit.
const MAX_BYTES: usize = 60_000;

/// Datagrams in order to one peer, all of one size but the last, which may be smaller: the form that the kernel cuts up
/// itself (UDP_SEGMENT, udp(7)).
#[derive(Debug, Default)]
pub(super) struct Train {
    /// Whence and whither.
    way: Option<(SocketAddr, SocketAddr)>,
    segment: usize,
    count: usize,
    /// Its last datagram is smaller.
    complete: bool,
    bytes: Vec<u8>,
}

/// What there is to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Load<'a> {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub bytes: &'a [u8],
    /// The size of each datagram but the last; None: there is only one.
    pub segment: Option<usize>,
}

impl Train {
    /// Adds a datagram; `most` may be in it. False: it does not go together with those that are there.
    pub fn add(&mut self, source: SocketAddr, destination: SocketAddr, contents: &[u8], most: usize) -> bool {
        let way = Some((source, destination));
        if self.count == 0 {
            (self.way, self.segment) = (way, contents.len());
            self.bytes.clear();
        } else if self.way != way
            || self.complete
            || contents.len() > self.segment
            || self.count >= most
            || self.bytes.len() + contents.len() > MAX_BYTES
        {
            return false;
        }
        self.count += 1;
        self.complete = contents.len() < self.segment;
        self.bytes.extend_from_slice(contents);
        true
    }

    /// Takes all of them out. None: there are none.
    pub fn take(&mut self) -> Option<Load<'_>> {
        let (source, destination) = self.way.take()?;
        let segment = (self.count > 1).then_some(self.segment);
        (self.count, self.complete) = (0, false);
        Some(Load { source, destination, bytes: &self.bytes, segment })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(port: u16) -> SocketAddr {
        (std::net::Ipv4Addr::LOCALHOST, port).into()
    }

    #[test]
    fn a_smaller_datagram_is_the_last_and_a_larger_one_or_another_peer_begins_anew() {
        let mut train = Train::default();
        let mut add = |to: u16, bytes: usize| train.add(address(1), address(to), &vec![7; bytes], 4);
        assert!(add(2, 100) && add(2, 100) && !add(3, 100) && !add(2, 101));
        assert!(add(2, 40) && !add(2, 40) && !add(2, 100));
        let load = train.take().unwrap();
        assert_eq!((load.destination, load.bytes.len(), load.segment), (address(2), 240, Some(100)));
        assert_eq!(train.take(), None);
        let mut add = |bytes: usize| train.add(address(1), address(2), &vec![7; bytes], 4);
        assert!([50; 4].map(&mut add) == [true; 4] && !add(50), "four at most");
        train.take();
        assert!(train.add(address(1), address(2), &[1], 1) && !train.add(address(1), address(2), &[1], 1));
        assert_eq!(train.take().unwrap().segment, None);
    }

    proptest! {
        #[test]
        fn every_datagram_comes_out_whole_and_in_order(
            sizes in proptest::collection::vec((1u16..3, prop_oneof![1usize..1400, Just(1200)]), 1..80),
            most in 1usize..70,
        ) {
            let given: Vec<(u16, Vec<u8>)> =
                sizes.iter().enumerate().map(|(index, (to, size))| (*to, vec![index as u8; *size])).collect();
            let (mut train, mut out) = (Train::default(), Vec::new());
            let unload = |train: &mut Train, out: &mut Vec<(u16, Vec<u8>)>| {
                let Some(load) = train.take() else { return };
                let segment = load.segment.unwrap_or(load.bytes.len());
                let cut = load.bytes.chunks(segment.max(1)).map(|one| (load.destination.port(), one.to_vec()));
                out.extend(cut);
            };
            for (to, contents) in &given {
                if !train.add(address(9), address(*to), contents, most) {
                    unload(&mut train, &mut out);
                    prop_assert!(train.add(address(9), address(*to), contents, most));
                }
            }
            unload(&mut train, &mut out);
            prop_assert_eq!(out, given);
        }
    }
}
