//! Whose packets are whose: what whoever reads the ports asks, for the connections of all shards.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::sockets::{Datagram, Peer};
use super::{ConnectionKey, stun};

/// Which connection a datagram is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addressee {
    /// The connection, and so its shard.
    pub key: ConnectionKey,
    /// The sender's address is the connection's. Else only the datagram says that it is for it.
    pub known: bool,
}

/// Who owns an address.
#[derive(Debug)]
struct Owner {
    key: ConnectionKey,
    /// Its peer was there a moment ago; the connection says so.
    living: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Table {
    by_address: HashMap<Peer, Owner>,
    by_ufrag: HashMap<String, ConnectionKey>,
}

/// The addresses and ICE user fragments of all connections. Read for each datagram; written only when a connection
/// begins, proves an address or ends.
#[derive(Debug, Default)]
pub struct Whereabouts(RwLock<Table>);

impl Whereabouts {
    /// Whom a datagram is for: whom its STUN message names, else whose address it comes from. None: nobody.
    pub fn addressee(&self, datagram: &Datagram<'_>) -> Option<Addressee> {
        let Datagram { peer, contents, .. } = datagram;
        let table = self.read();
        let known = table.by_address.get(peer).map(|owner| owner.key);
        let named = || table.by_ufrag.get(stun::receiver_ufrag(contents)?).copied();
        let key = if stun::is_stun(contents) { named().or(known) } else { known };
        key.map(|key| Addressee { key, known: known == Some(key) })
    }

    /// `key` has proved that `peer` is where its client is. False: the address is a living connection's, from which
    /// nobody takes it.
    pub fn claim(&self, peer: Peer, key: ConnectionKey, living: &Arc<AtomicBool>) -> bool {
        let mut table = self.write();
        let taken = |owner: &Owner| owner.key != key && owner.living.load(Ordering::Relaxed);
        if table.by_address.get(&peer).is_some_and(taken) {
            return false;
        }
        table.by_address.insert(peer, Owner { key, living: Arc::clone(living) });
        true
    }

    /// STUN messages to `ufrag` are for `key`.
    pub fn name(&self, ufrag: &str, key: ConnectionKey) {
        self.write().by_ufrag.insert(ufrag.to_owned(), key);
    }

    /// None are sent to `ufrag` any more.
    pub fn unname(&self, ufrag: &str) {
        self.write().by_ufrag.remove(ufrag);
    }

    /// `key` has ended. Addresses that have become another's stay.
    pub fn forget(&self, key: ConnectionKey, peers: &[Peer], ufrags: &[String]) {
        let mut table = self.write();
        for peer in peers {
            if table.by_address.get(peer).is_some_and(|owner| owner.key == key) {
                table.by_address.remove(peer);
            }
        }
        for ufrag in ufrags {
            table.by_ufrag.remove(ufrag);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNA: ConnectionKey = ConnectionKey::new(0, 1);
    const BERT: ConnectionKey = ConnectionKey::new(1, 1);

    fn peer(port: u16) -> Peer {
        Peer { tcp: false, address: (std::net::Ipv4Addr::LOCALHOST, port).into() }
    }

    fn living(yes: bool) -> Arc<AtomicBool> {
        Arc::new(AtomicBool::new(yes))
    }

    fn whose(table: &Whereabouts, port: u16, contents: &[u8]) -> Option<(ConnectionKey, bool)> {
        let peer = peer(port);
        let addressee = table.addressee(&Datagram { peer, destination: peer.address, contents });
        addressee.map(|Addressee { key, known }| (key, known))
    }

    const MEDIA: &[u8] = &[0x80; 40];

    #[test]
    fn stun_goes_to_whom_it_names_and_everything_else_to_whose_address_it_comes_from() {
        let table = Whereabouts::default();
        table.name("anna", ANNA);
        table.name("bert", BERT);
        let (to_anna, to_bert) = (stun::request("anna:x"), stun::request("bert:x"));
        assert_eq!(whose(&table, 1, &to_anna), Some((ANNA, false)));
        assert_eq!(whose(&table, 1, MEDIA), None, "nothing is proved yet");
        assert!(table.claim(peer(1), ANNA, &living(true)));
        assert_eq!(whose(&table, 1, MEDIA), Some((ANNA, true)));
        assert_eq!(whose(&table, 1, &to_anna), Some((ANNA, true)));
        assert_eq!(whose(&table, 1, &to_bert), Some((BERT, false)));
        assert_eq!(whose(&table, 1, &stun::request("nobody:x")), Some((ANNA, true)));
        assert_eq!(whose(&table, 2, &stun::request("nobody:x")), None);
        let tcp = Peer { tcp: true, ..peer(1) };
        let datagram = Datagram { peer: tcp, destination: tcp.address, contents: MEDIA };
        assert_eq!(table.addressee(&datagram), None, "the same address by TCP is another");
    }

    #[test]
    fn nobody_takes_the_address_of_a_living_connection_and_the_loser_takes_nothing_along() {
        let table = Whereabouts::default();
        let anna = living(true);
        table.name("anna", ANNA);
        assert!(table.claim(peer(1), ANNA, &anna) && table.claim(peer(1), ANNA, &anna), "twice is no harm");
        assert!(!table.claim(peer(1), BERT, &living(true)));
        assert_eq!(whose(&table, 1, MEDIA), Some((ANNA, true)));
        anna.store(false, Ordering::Relaxed);
        assert!(table.claim(peer(1), BERT, &living(true)));
        table.forget(ANNA, &[peer(1)], &["anna".to_owned()]);
        assert_eq!(whose(&table, 1, MEDIA), Some((BERT, true)));
        assert_eq!(whose(&table, 2, &stun::request("anna:x")), None);
        table.forget(BERT, &[peer(1)], &[]);
        assert_eq!(whose(&table, 1, MEDIA), None);
    }
}
