//! Datagrams on their way from the shard that reads the ports to the one whose they are.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::sockets::{Datagram, Peer};
use super::whereabouts::Addressee;

/// Most bytes that wait for a shard, with what is noted of each datagram: half a second of a busy room. Full: the newest
/// are lost, as any datagram may be, and counted.
const CAPACITY_BYTES: usize = 2 * 1024 * 1024;

/// What is noted of a datagram.
#[derive(Clone, Copy, Debug)]
struct Envelope {
    to: Addressee,
    peer: Peer,
    destination: std::net::SocketAddr,
    bytes: usize,
}

/// Datagrams in order of arrival.
#[derive(Debug, Default)]
pub struct Letters {
    contents: Vec<u8>,
    envelopes: Vec<Envelope>,
}

impl Letters {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (Addressee, Datagram<'_>)> {
        let mut rest = self.contents.as_slice();
        self.envelopes.iter().map_while(move |envelope| {
            let Envelope { to, peer, destination, bytes } = *envelope;
            let (contents, behind) = rest.split_at_checked(bytes)?;
            rest = behind;
            Some((to, Datagram { peer, destination, contents }))
        })
    }

    fn bytes(&self) -> usize {
        self.contents.len() + self.envelopes.len() * size_of::<Envelope>()
    }

    fn clear(&mut self) {
        self.contents.clear();
        self.envelopes.clear();
    }
}

/// One shard's datagrams. Memory is used again: nothing is allocated once it has held as much before.
#[derive(Debug, Default)]
pub struct Mailbox {
    letters: Mutex<Letters>,
    arrived: Notify,
}

impl Mailbox {
    /// Puts a datagram in; whoever waits learns it by [`Mailbox::ring`]. False: it is full, the datagram is lost.
    pub fn post(&self, to: Addressee, datagram: &Datagram<'_>) -> bool {
        let Datagram { peer, destination, contents } = *datagram;
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        if letters.bytes() + contents.len() + size_of::<Envelope>() > CAPACITY_BYTES {
            return false;
        }
        letters.contents.extend_from_slice(contents);
        letters.envelopes.push(Envelope { to, peer, destination, bytes: contents.len() });
        true
    }

    /// There is something in it: wakes whoever waits for that.
    pub fn ring(&self) {
        self.arrived.notify_one();
    }

    /// Waits until it was rung since the last time.
    pub async fn rung(&self) {
        self.arrived.notified().await;
    }

    /// Takes everything out into `letters`, in place of what was there. False: there was nothing.
    pub fn take(&self, letters: &mut Letters) -> bool {
        letters.clear();
        std::mem::swap(&mut *self.letters.lock().unwrap_or_else(PoisonError::into_inner), letters);
        !letters.envelopes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::ConnectionKey;
    use super::*;

    fn letter(number: u16, contents: &[u8]) -> (Addressee, Datagram<'_>) {
        let address = (std::net::Ipv4Addr::LOCALHOST, number).into();
        let to = Addressee { key: ConnectionKey::new(1, u64::from(number)), known: number.is_multiple_of(2) };
        (to, Datagram { peer: Peer { tcp: false, address }, destination: address, contents })
    }

    #[tokio::test]
    async fn datagrams_come_out_once_whole_and_in_order() {
        let (mailbox, mut letters) = (Mailbox::default(), Letters::default());
        assert!(!mailbox.take(&mut letters));
        for round in 0..3u16 {
            let given: Vec<Vec<u8>> = (0..5).map(|n| vec![n as u8; usize::from(n * 7 + round)]).collect();
            for (number, contents) in given.iter().enumerate() {
                let (to, datagram) = letter(number as u16, contents);
                assert!(mailbox.post(to, &datagram));
            }
            mailbox.ring();
            mailbox.rung().await;
            assert!(mailbox.take(&mut letters));
            let taken: Vec<_> = letters.iter().map(|(to, d)| (to, d.peer, d.contents.to_vec())).collect();
            let expected = given.iter().enumerate().map(|(number, contents)| {
                let (to, datagram) = letter(number as u16, contents);
                (to, datagram.peer, contents.clone())
            });
            assert_eq!(taken, expected.collect::<Vec<_>>());
            assert!(!mailbox.take(&mut letters));
        }
    }

    #[test]
    fn a_full_mailbox_loses_the_newest_and_takes_more_once_it_was_emptied() {
        let (mailbox, mut letters) = (Mailbox::default(), Letters::default());
        for contents in [&[7; 1200][..], &[]] {
            let (to, datagram) = letter(1, contents);
            let taken = (0..CAPACITY_BYTES).take_while(|_| mailbox.post(to, &datagram)).count();
            assert_eq!(taken, CAPACITY_BYTES / (contents.len() + size_of::<Envelope>()));
            assert!(mailbox.take(&mut letters) && letters.iter().count() == taken);
            assert!(mailbox.post(to, &datagram));
            assert!(mailbox.take(&mut letters));
        }
    }
}
