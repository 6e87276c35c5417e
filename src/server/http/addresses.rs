//! Where the service can be reached, for people.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::server::tls;

/// The addresses that were bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Plain HTTP on loopback.
    pub http: Option<SocketAddr>,
    /// HTTPS.
    pub https: Option<SocketAddr>,
}

impl Addresses {
    /// Base URLs, the plain one first, without a `/` at the end.
    pub fn urls(&self) -> impl Iterator<Item = String> {
        self.http_url().into_iter().chain(self.https_urls())
    }

    /// `http://127.0.0.1:7880`.
    pub fn http_url(&self) -> Option<String> {
        self.http.map(|address| format!("http://{address}"))
    }

    /// `https://192.168.1.7:7443`, ….: bound to every address, the network's ones first, then `<host>.local`;
    /// loopback only when there is nothing else.
    pub fn https_urls(&self) -> Vec<String> {
        match self.https {
            Some(address) if address.ip().is_unspecified() => https_urls(address, &tls::current_names()),
            Some(address) => vec![format!("https://{address}")],
            None => Vec::new(),
        }
    }
}

fn https_urls(bound: SocketAddr, names: &[String]) -> Vec<String> {
    let ips = names.iter().filter_map(|name| name.parse::<IpAddr>().ok());
    let reachable = ips.filter(|ip| !ip.is_loopback() && (ip.is_ipv4() || bound.is_ipv6()));
    let mut urls: Vec<_> =
        reachable.map(|ip| format!("https://{}", SocketAddr::new(ip, bound.port()))).collect();
    let local = names.iter().filter(|name| name.ends_with(".local"));
    urls.extend(local.map(|name| format!("https://{name}:{}", bound.port())));
    if urls.is_empty() {
        urls.push(format!("https://localhost:{}", bound.port()));
    }
    urls
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.http, self.https) {
            (Some(http), Some(https)) => write!(f, "http://{http} https://{https}"),
            (Some(http), None) => write!(f, "http://{http}"),
            (None, Some(https)) => write!(f, "https://{https}"),
            (None, None) => f.write_str("no listener"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_on_every_address_names_those_that_others_can_reach() {
        let names =
            ["127.0.0.1", "192.0.2.7", "2001:db8::1", "box", "box.local", "localhost"].map(str::to_owned);
        let urls = |bound: &str| https_urls(bound.parse().unwrap(), &names);
        assert_eq!(urls("0.0.0.0:7443"), ["https://192.0.2.7:7443", "https://box.local:7443"]);
        assert_eq!(urls("[::]:1").len(), 3);
        assert_eq!(https_urls("0.0.0.0:1".parse().unwrap(), &[]), ["https://localhost:1"]);
        let one = Addresses { http: None, https: Some("192.0.2.9:5".parse().unwrap()) };
        assert_eq!(one.urls().collect::<Vec<_>>(), ["https://192.0.2.9:5"]);
    }
}
