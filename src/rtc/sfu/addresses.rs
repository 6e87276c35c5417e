//! The addresses under which this box can be reached.

use std::net::{IpAddr, SocketAddr};

/// Which addresses to offer to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeIp {
    /// Every unicast address of the box, loopback included, looked up at each join.
    Auto,
    /// This one only.
    Fixed(IpAddr),
}

impl NodeIp {
    /// Reads `auto` or an address. None for anything else.
    pub fn parse(text: &str) -> Option<NodeIp> {
        if text == "auto" {
            return Some(NodeIp::Auto);
        }
        text.parse().ok().map(NodeIp::Fixed)
    }
}

/// Most candidates in one SDP: a box with dozens of container bridges would make clients probe for seconds.
const MAX_CANDIDATES: usize = 16;

/// The candidates of a socket on `port`. `ipv6`: the socket speaks it.
pub fn candidates(node_ip: NodeIp, port: u16, ipv6: bool) -> Vec<SocketAddr> {
    let mut addresses = match node_ip {
        NodeIp::Fixed(address) => vec![address],
        NodeIp::Auto => match if_addrs::get_if_addrs() {
            Ok(interfaces) => interfaces.into_iter().map(|interface| interface.ip()).collect(),
            Err(error) => {
                tracing::warn!(%error, "cannot list network addresses; offering loopback only");
                vec![IpAddr::from([127, 0, 0, 1])]
            }
        },
    };
    addresses.retain(|address| usable(*address) && (ipv6 || address.is_ipv4()));
    // Real networks before loopback, IPv4 before IPv6.
    addresses.sort_by_key(|address| (address.is_loopback(), address.is_ipv6()));
    addresses.dedup();
    addresses.truncate(MAX_CANDIDATES);
    addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect()
}

/// Unicast, and not IPv6 link-local, which means nothing without an interface.
fn usable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !(v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast()),
        IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_offers_loopback_and_a_fixed_address_only_itself() {
        let all = candidates(NodeIp::Auto, 7882, true);
        assert!(all.contains(&SocketAddr::from(([127, 0, 0, 1], 7882))), "{all:?}");
        let one = candidates(NodeIp::parse("192.0.2.7").unwrap(), 1, true);
        assert_eq!(one, [SocketAddr::from(([192, 0, 2, 7], 1))]);
        assert!(candidates(NodeIp::parse("::1").unwrap(), 1, false).is_empty());
        assert_eq!(NodeIp::parse("everywhere"), None);
    }
}
