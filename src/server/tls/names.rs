//! What the box is called on the network.

use std::net::IpAddr;

/// Every name that the certificate shall hold, sorted: `hostname`, `hostname.local`, `localhost`, and every
/// unicast address. IPv6 link-local ones are left out: a browser's URL cannot hold their zone.
pub fn wanted(hostname: &str, addresses: impl IntoIterator<Item = IpAddr>) -> Vec<String> {
    let mut names = vec!["localhost".to_owned()];
    let hostname = hostname.to_ascii_lowercase();
    if is_dns_name(&hostname) {
        let label = hostname.split('.').next().unwrap_or_default();
        names.push(format!("{label}.local"));
        names.push(hostname);
    }
    let usable = |ip: &IpAddr| match ip {
        IpAddr::V4(v4) => !v4.is_unspecified() && !v4.is_multicast() && !v4.is_broadcast(),
        IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_multicast() && !v6.is_unicast_link_local(),
    };
    names.extend(addresses.into_iter().filter(usable).map(|ip| ip.to_string()));
    names.sort();
    names.dedup();
    names
}

/// This machine's names now. Without its interfaces when they cannot be listed: then loopback stays.
pub fn current() -> Vec<String> {
    let hostname = gethostname::gethostname().to_string_lossy().into_owned();
    let listed = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot list the network's addresses");
        Vec::new()
    });
    let loopback = [IpAddr::from([127, 0, 0, 1]), IpAddr::from(std::net::Ipv6Addr::LOCALHOST)];
    wanted(&hostname, listed.iter().map(|interface| interface.ip()).chain(loopback))
}

/// Letters, digits, hyphens, dots: what may stand in a dNSName (RFC 5280 §4.2.1.6).
fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 240 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_the_hostname_its_local_form_localhost_and_the_unicast_addresses() {
        let addresses = ["192.168.1.7", "127.0.0.1", "::1", "fe80::1", "2001:db8::5", "224.0.0.1", "0.0.0.0"];
        let names = wanted("Box-7", addresses.map(|ip| ip.parse().unwrap()));
        let expected =
            ["127.0.0.1", "192.168.1.7", "2001:db8::5", "::1", "box-7", "box-7.local", "localhost"];
        assert_eq!(names, expected);
        assert!(wanted("a.example.org", []).contains(&"a.local".to_owned()));
        for odd in ["", "under_score", "-a", "a..b", "é", &"x".repeat(64)] {
            assert_eq!(wanted(odd, []), ["localhost"], "{odd}");
        }
    }
}
